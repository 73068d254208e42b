//! The request as the API server sends it.
//!
//! Read in two steps: the envelope here, with every field still as text, and the object in
//! [`model`](crate::model). What nobody asks for is passed over without being parsed. A field of a wrong type, an object of a wrong kind or any nesting depth
//! leaves the uid readable, and with a uid the answer is a verdict. Without one it is a failure,
//! which `failurePolicy: Ignore` lets pass.

use std::borrow::Cow;

use serde::Deserialize;

use crate::model::{
    ChangeOperation,
    json::{Broken, Cursor, string},
};

/// The longest uid that is answered, in bytes. The API server's are 36 long.
const LONGEST_UID: usize = 1_024;

/// The version of the review that we speak.
pub(super) const V1: &str = "admission.k8s.io/v1";
/// The version that a stale configuration may still ask for. It is refused in its own version, so
/// that the refusal arrives.
pub(super) const V1BETA1: &str = "admission.k8s.io/v1beta1";

/// What a body turned out to be.
#[derive(Debug)]
pub(super) enum Parsed<'a> {
    /// A review that can be judged.
    Review(Review<'a>),
    /// Something with a uid that cannot be judged.
    Malformed {
        /// The uid to answer under.
        uid: Cow<'a, str>,
        /// The version to answer in.
        version: &'static str,
        /// What is wrong; constant, so that nothing of the body gets into messages or logs.
        why: &'static str,
    },
    /// Nothing that could be answered.
    NoUid,
}

/// One request for admission.
#[derive(Debug)]
pub(super) struct Review<'a> {
    pub(super) uid: Cow<'a, str>,
    pub(super) operation: ChangeOperation,
    pub(super) kind: Gvk<'a>,
    pub(super) namespace: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    pub(super) subresource: Cow<'a, str>,
    pub(super) user: Cow<'a, str>,
    pub(super) dry_run: bool,
    pub(super) object: Option<&'a str>,
    pub(super) old_object: Option<&'a str>,
}

/// `request.kind`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Gvk<'a> {
    #[serde(borrow)]
    pub(super) group: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) version: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UserInfo<'a> {
    #[serde(borrow)]
    username: Cow<'a, str>,
}

impl Parsed<'_> {
    /// Reads a body.
    pub(super) fn read(body: &[u8]) -> Parsed<'_> {
        let Ok(text) = std::str::from_utf8(body) else {
            // Perhaps the uid can still be found.
            let text = String::from_utf8_lossy(body);
            let (envelope, _) = Envelope::read(&text);
            return match envelope.uid() {
                Some(uid) => Parsed::Malformed {
                    uid: Cow::Owned(uid.into_owned()),
                    version: V1,
                    why: NOT_JSON,
                },
                None => Parsed::NoUid,
            };
        };
        let (envelope, ended) = Envelope::read(text);
        let Some(uid) = envelope.uid() else { return Parsed::NoUid };
        if ended.is_err() {
            return Parsed::Malformed { uid, version: V1, why: NOT_JSON };
        }
        let version = envelope.api_version.and_then(string);
        let beta = version.as_deref() == Some(V1BETA1);
        match envelope.judgeable(version.as_deref()) {
            Ok(()) => {}
            Err(why) => {
                return Parsed::Malformed { uid, version: if beta { V1BETA1 } else { V1 }, why };
            }
        }
        match envelope.request.read(uid) {
            Ok(review) => Parsed::Review(review),
            Err((uid, why)) => Parsed::Malformed { uid, version: V1, why },
        }
    }
}

/// What is wrong with a body that ends too early, or is no JSON.
const NOT_JSON: &str = "the body is not valid JSON";

/// The body with every field still as text. Of a repeated field the last one counts, as for the
/// API server's own decoder, and it is noted.
#[derive(Default)]
struct Envelope<'a> {
    api_version: Option<&'a str>,
    kind: Option<&'a str>,
    request: Fields<'a>,
    repeated: bool,
}

#[derive(Default)]
struct Fields<'a> {
    uid: Option<&'a str>,
    kind: Option<&'a str>,
    operation: Option<&'a str>,
    namespace: Option<&'a str>,
    name: Option<&'a str>,
    subresource: Option<&'a str>,
    user: Option<&'a str>,
    dry_run: Option<&'a str>,
    object: Option<&'a str>,
    old_object: Option<&'a str>,
    repeated: bool,
}

impl<'a> Envelope<'a> {
    /// Reads as far as it goes, and says whether that is the end.
    fn read(text: &'a str) -> (Self, Result<(), Broken>) {
        let mut envelope = Self::default();
        let ended = envelope.scan(text);
        (envelope, ended)
    }

    fn scan(&mut self, text: &'a str) -> Result<(), Broken> {
        let mut body = Cursor::new(text);
        let mut requests: u8 = 0;
        body.enter()?;
        while let Some(field) = body.key()? {
            let slot = match field.as_ref() {
                "apiVersion" => &mut self.api_version,
                "kind" => &mut self.kind,
                "request" => {
                    requests = requests.saturating_add(1);
                    self.repeated |= requests > 1;
                    self.request = Fields::default();
                    self.request.scan(&mut body)?;
                    continue;
                }
                _ => {
                    body.value()?;
                    continue;
                }
            };
            self.repeated |= slot.replace(body.value()?).is_some();
        }
        if body.is_at_end() { Ok(()) } else { Err(Broken) }
    }

    /// The uid, if there is one that can be answered.
    fn uid(&self) -> Option<Cow<'a, str>> {
        string(self.request.uid?).filter(|uid| !uid.is_empty() && uid.len() <= LONGEST_UID)
    }
    fn judgeable(&self, version: Option<&str>) -> Result<(), &'static str> {
        if version != Some(V1) {
            return Err("apiVersion is not admission.k8s.io/v1: \
                        set admissionReviewVersions to [v1]");
        }
        if self.kind.and_then(string).as_deref() != Some("AdmissionReview") {
            return Err("kind is not AdmissionReview");
        }
        if self.repeated || self.request.repeated {
            return Err("a field is given twice");
        }
        Ok(())
    }
}

impl<'a> Fields<'a> {
    /// Reads the request that is next, as far as it goes.
    fn scan(&mut self, body: &mut Cursor<'a>) -> Result<(), Broken> {
        body.enter()?;
        while let Some(field) = body.key()? {
            let slot = match field.as_ref() {
                "uid" => &mut self.uid,
                "kind" => &mut self.kind,
                "operation" => &mut self.operation,
                "namespace" => &mut self.namespace,
                "name" => &mut self.name,
                "subResource" => &mut self.subresource,
                "userInfo" => &mut self.user,
                "dryRun" => &mut self.dry_run,
                "object" => &mut self.object,
                "oldObject" => &mut self.old_object,
                _ => {
                    body.value()?;
                    continue;
                }
            };
            // What is cut off in the middle of its value leaves no older value behind.
            self.repeated |= slot.take().is_some();
            *slot = Some(body.value()?);
        }
        Ok(())
    }

    /// Reads the fields, or says which one is wrong and gives the uid back.
    fn read(&self, uid: Cow<'a, str>) -> Result<Review<'a>, (Cow<'a, str>, &'static str)> {
        macro_rules! field {
            ($value:expr, $why:literal) => {
                match $value {
                    Some(value) => value,
                    None => return Err((uid, $why)),
                }
            };
        }
        let operation = field!(
            self.operation.and_then(string).and_then(|word| operation(&word)),
            "request.operation is none of CREATE, UPDATE, DELETE, CONNECT"
        );
        let kind = field!(
            present(self.kind).and_then(|raw| serde_json::from_str(raw).ok()),
            "request.kind is not a group, version and kind"
        );
        let user: UserInfo<'_> = field!(
            present(self.user).map_or_else(
                || Some(UserInfo::default()),
                |raw| { serde_json::from_str(raw).ok() }
            ),
            "request.userInfo is not an object with a username"
        );
        let dry_run = field!(
            present(self.dry_run).map_or(Some(false), |raw| raw.parse().ok()),
            "request.dryRun is neither true nor false"
        );
        Ok(Review {
            operation,
            kind,
            namespace: field!(optional(self.namespace), "request.namespace is not a string"),
            name: field!(optional(self.name), "request.name is not a string"),
            subresource: field!(optional(self.subresource), "request.subResource is not a string"),
            user: user.username,
            dry_run,
            object: present(self.object),
            old_object: present(self.old_object),
            uid,
        })
    }
}

fn operation(word: &str) -> Option<ChangeOperation> {
    match word {
        "CREATE" => Some(ChangeOperation::Create),
        "UPDATE" => Some(ChangeOperation::Update),
        "DELETE" => Some(ChangeOperation::Delete),
        "CONNECT" => Some(ChangeOperation::Connect),
        _ => None,
    }
}

/// The text of a field that is there and not `null`.
fn present(raw: Option<&str>) -> Option<&str> {
    raw.filter(|text| *text != "null")
}

/// A string that may be left out; `None` when it is there and is none.
fn optional(raw: Option<&str>) -> Option<Cow<'_, str>> {
    present(raw).map_or(Some(Cow::Borrowed("")), string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(parsed: &Parsed<'_>) -> Option<String> {
        match parsed {
            Parsed::Review(review) => Some(review.uid.to_string()),
            Parsed::Malformed { uid, .. } => Some(uid.to_string()),
            Parsed::NoUid => None,
        }
    }

    fn review(fields: &str) -> String {
        format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{{fields}}}}}"#
        )
    }

    #[test]
    fn a_review_is_read() {
        let body = review(
            r#""uid":"u","kind":{"group":"batch","version":"v1","kind":"Job"},"operation":"CREATE",
               "name":"a\u0062","namespace":"prod","userInfo":{"username":"bob","groups":[]},
               "object":{"a":1},"oldObject":null,"dryRun":true"#,
        );
        let Parsed::Review(review) = Parsed::read(body.as_bytes()) else { panic!("not a review") };
        assert_eq!((review.name.as_ref(), review.user.as_ref()), ("ab", "bob"));
        assert_eq!((review.object, review.old_object), (Some(r#"{"a":1}"#), None));
        assert!(review.dry_run && review.operation == ChangeOperation::Create);
        assert_eq!((review.kind.group.as_ref(), review.kind.kind.as_ref()), ("batch", "Job"));
    }

    #[test]
    fn whatever_is_wrong_the_uid_is_found() {
        let kind = r#""kind":{"group":"","version":"v1","kind":"Pod"},"operation":"CREATE""#;
        for (fields, why) in [
            (r#""uid":"u""#.to_owned(), "request.operation"),
            (format!(r#""uid":"u",{kind},"operation":"CREATE""#), "twice"),
            (format!(r#""uid":"u",{kind},"object":{{}},"object":{{}}"#), "twice"),
            (r#""uid":"u","kind":{"kind":"Pod"},"operation":"FLY""#.to_owned(), "operation"),
            (r#""uid":"u","kind":7,"operation":"CREATE""#.to_owned(), "request.kind"),
            (r#""uid":"u","operation":"CREATE""#.to_owned(), "request.kind"),
            (format!(r#""uid":"u",{kind},"namespace":7"#), "namespace"),
            (format!(r#""uid":"u",{kind},"name":["a"]"#), "name"),
            (format!(r#""uid":"u",{kind},"name":"\ud800""#), "name"),
            (format!(r#""uid":"u",{kind},"subResource":{{}}"#), "subResource"),
            (format!(r#""uid":"u",{kind},"userInfo":"bob""#), "userInfo"),
            (format!(r#""uid":"u",{kind},"dryRun":"no""#), "dryRun"),
        ] {
            let body = review(&fields);
            let parsed = Parsed::read(body.as_bytes());
            assert!(
                matches!(&parsed, Parsed::Malformed { uid, why: w, .. } if uid == "u" && w.contains(why)),
                "{body}: {parsed:?}"
            );
        }
    }

    #[test]
    fn what_is_not_json_still_has_its_uid() {
        let whole = br#"{"kind":"x","request": {"object":{"uid":"no","a":"\"}{"},"uid" : "u\u0031","object":{"b":[1,2"#;
        assert_eq!(uid(&Parsed::read(whole)).as_deref(), Some("u1"));
        let bytes = b"{\"request\":{\"uid\":\"u\",\"object\":{\"a\":\"\xff\xfe\"}}}";
        assert_eq!(uid(&Parsed::read(bytes)).as_deref(), Some("u"));
        let trailing = review(r#""uid":"u""#) + "}";
        assert_eq!(uid(&Parsed::read(trailing.as_bytes())).as_deref(), Some("u"));
        for none in [
            &b""[..],
            b"{}",
            b"[]",
            b"null",
            b"{\"uid\":\"u\"}",
            b"{\"request\":[{\"uid\":\"u\"}]}",
            b"{\"request\":{\"uid\":7}}",
            b"{\"request\":{\"uid\":\"\"}}",
            b"{\"request\":{\"uid\":\"u",
            b"{\"other\":{\"uid\":\"u\"}",
            b"{\"request\":{\"object\":{\"uid\":\"u\"",
        ] {
            assert_eq!(uid(&Parsed::read(none)), None, "{}", String::from_utf8_lossy(none));
        }
    }

    #[test]
    fn any_depth_is_read() {
        for depth in [10, 127, 128, 10_000, 1_000_000] {
            let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let body = review(&format!(
                r#""uid":"u","operation":"CREATE","kind":{{"kind":"Pod"}},"object":{deep}"#
            ));
            let parsed = Parsed::read(body.as_bytes());
            assert!(
                matches!(&parsed, Parsed::Review(review) if review.object.unwrap().len() == deep.len()),
                "{depth}"
            );
        }
    }

    #[test]
    fn another_version_is_refused_in_itself() {
        let body = review(r#""uid":"u""#).replace("/v1\"", "/v1beta1\"");
        let parsed = Parsed::read(body.as_bytes());
        assert!(matches!(parsed, Parsed::Malformed { version: V1BETA1, .. }), "{parsed:?}");
    }
}
