//! Reviews of tidegate's own kinds: policies and exceptions that load, and approvals that say who
//! approved.

use std::collections::BTreeMap;

use jiff::Timestamp;
use json_patch::{AddOperation, PatchOperation, jsonptr::PointerBuf};
use serde_json::Value;

use super::{
    engine::{Defaulted, Judgement},
    review::{Gvk, Review},
};
use crate::{
    decision::Granting,
    model::{ChangeOperation, GrantedApproval},
    policy::{self, LoadError},
};

/// The group of our own kinds.
const GROUP: &str = "tidegate.dev";
/// Where an approval says who approved.
const APPROVER: &str = "/spec/approver";

/// A kind of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `MigrationPolicy` or `MigrationException`.
    Document,
    /// `MigrationApproval`.
    Approval,
}

impl Kind {
    /// The kind of a review; none where it is not ours.
    pub(super) fn of(Gvk { group, kind, .. }: &Gvk<'_>) -> Option<Self> {
        match (group.as_ref(), kind.as_ref()) {
            (GROUP, "MigrationPolicy" | "MigrationException") => Some(Self::Document),
            (GROUP, "MigrationApproval") => Some(Self::Approval),
            _ => None,
        }
    }
}

/// What the policy of its namespace says of an approval.
pub(super) type Grant<'g> = dyn Fn(&GrantedApproval) -> Granting + 'g;

/// Judges what is to be written. What is already there and stays as it is, is never refused.
pub(super) fn validate(
    kind: Kind,
    review: &Review<'_>,
    now: Timestamp,
    grant: &Grant<'_>,
) -> Judgement {
    let is_update = match (review.operation, review.subresource.as_ref()) {
        (ChangeOperation::Create, "") => false,
        (ChangeOperation::Update, "") => true,
        _ => return allowed("not-judged"),
    };
    let text = review.object.unwrap_or_default();
    let (Some(object), old) = (parse(Some(text)), parse(review.old_object)) else {
        return refused(review, &["the object cannot be read".to_owned()]);
    };
    let same = old.as_ref().is_some_and(|old| old.get("spec") == object.get("spec"));
    if is_update && same {
        return allowed("unchanged");
    }
    let problems = match kind {
        Kind::Document => brief(policy::read(text, "").err()),
        Kind::Approval if is_update => {
            vec!["spec: an approval cannot be changed: delete it and make another one".to_owned()]
        }
        Kind::Approval => return made(text, &object, review, now, grant),
    };
    if problems.is_empty() { allowed("admitted") } else { refused(review, &problems) }
}

/// Judges an approval that is made: by itself, and by the policy of its namespace.
fn made(
    text: &str,
    object: &Value,
    review: &Review<'_>,
    now: Timestamp,
    grant: &Grant<'_>,
) -> Judgement {
    let read = policy::read_approval(text, "");
    let mut problems = Vec::new();
    let mut granting = Granting::default();
    match &read {
        Ok(granted) if granted.expires <= now => {
            problems.push("spec.expires: has passed".to_owned());
        }
        Ok(granted) => {
            // Whatever is written there: these are what it would count with.
            let namespace = review.namespace.clone().into_owned();
            let approver = review.user.clone().into_owned();
            granting = grant(&GrantedApproval { namespace, approver, ..granted.clone() });
        }
        Err(_) => {}
    }
    problems.extend(brief(read.err()));
    problems.extend(stamped(object, &review.user).err().map(str::to_owned));
    problems.append(&mut granting.refusals);
    let Granting { policy, warnings, .. } = granting;
    if !problems.is_empty() {
        return Judgement { policy, ..refused(review, &problems) };
    }
    let warnings = warnings.iter().map(|warning| line(review, warning)).collect();
    Judgement { warnings, policy, ..allowed("admitted") }
}

/// Stamps an approval that is made with whoever makes it. Who wrote something else there is left
/// to be refused.
pub(super) fn mutate(kind: Kind, review: &Review<'_>) -> Defaulted {
    let makes = (kind, review.operation, review.subresource.as_ref())
        == (Kind::Approval, ChangeOperation::Create, "");
    let object = if makes { parse(review.object) } else { None };
    let spec = object.as_ref().and_then(|object| object.get("spec")).and_then(Value::as_object);
    let is_free = spec.is_some_and(|spec| spec.get("approver").is_none_or(Value::is_null));
    if !is_free || review.user.is_empty() {
        return Defaulted { outcome: "not-judged", patch: None };
    }
    let Ok(pointer) = PointerBuf::parse(APPROVER) else {
        return Defaulted { outcome: "not-judged", patch: None };
    };
    let value = Value::from(review.user.as_ref());
    let patch = json_patch::Patch(vec![PatchOperation::Add(AddOperation { path: pointer, value })]);
    Defaulted { outcome: "patched", patch: serde_json::to_vec(&patch).ok() }
}

/// Who approved is who makes it.
fn stamped(object: &Value, user: &str) -> Result<(), &'static str> {
    match object.pointer(APPROVER).and_then(Value::as_str) {
        Some(approver) if approver == user && !user.is_empty() => Ok(()),
        Some(_) => Err("spec.approver: is not the user who makes the approval; leave it out"),
        None => Err(
            "spec.approver: was not stamped: the mutating webhook of tidegate is not registered",
        ),
    }
}

fn parse(text: Option<&str>) -> Option<Value> {
    serde_json::from_str(text?).ok()
}

fn brief(errors: Option<Vec<LoadError>>) -> Vec<String> {
    errors.unwrap_or_default().iter().map(LoadError::brief).collect()
}

fn allowed(outcome: &'static str) -> Judgement {
    Judgement { allowed: true, outcome, ..Judgement::default() }
}

/// What is told of the object.
fn line(review: &Review<'_>, what: &str) -> String {
    format!("tidegate: {}/{}: {what}", review.kind.kind, review.name)
}

/// Everything that is wrong, one line each.
fn refused(review: &Review<'_>, problems: &[String]) -> Judgement {
    let lines: Vec<String> = problems.iter().map(|problem| line(review, problem)).collect();
    Judgement {
        outcome: "refused",
        message: lines.join("\n"),
        audit: BTreeMap::from([("outcome", "refused".to_owned())]),
        ..Judgement::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::review::Parsed;
    use serde_json::json;

    const NOW: &str = "2026-06-01T12:00:00Z";

    fn approval_of(spec: &Value) -> Value {
        json!({"apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationApproval",
            "metadata": {"name": "drop", "namespace": "shop", "managedFields": [{}]}, "spec": spec})
    }

    fn good() -> Value {
        json!({"digest": format!("sha256:{}", "a".repeat(64)), "ticket": "DB-1",
            "expires": "2026-06-02T12:00:00Z", "approver": "alice"})
    }

    fn with(key: &str, value: Value) -> Value {
        let mut spec = good();
        spec[key] = value;
        spec
    }

    fn body(operation: &str, object: &Value, old: &Value) -> String {
        let kind = object.get("kind").or(old.get("kind"));
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "operation": operation, "name": "drop", "namespace": "shop",
            "kind": {"group": "tidegate.dev", "version": "v1alpha1", "kind": kind},
            "userInfo": {"username": "alice"}, "object": object, "oldObject": old}})
        .to_string()
    }

    fn judged(operation: &str, object: &Value, old: &Value) -> Judgement {
        let body = body(operation, object, old);
        let Parsed::Review(review) = Parsed::read(body.as_bytes()) else { panic!("{body}") };
        let kind = Kind::of(&review.kind).unwrap();
        validate(kind, &review, NOW.parse().unwrap(), &|_| Granting::default())
    }

    fn patch(operation: &str, spec: &Value) -> Option<String> {
        let body = body(operation, &approval_of(spec), &Value::Null);
        let Parsed::Review(review) = Parsed::read(body.as_bytes()) else { panic!("{body}") };
        let Some(kind) = Kind::of(&review.kind) else { panic!("{body}") };
        mutate(kind, &review).patch.map(|patch| String::from_utf8(patch).unwrap())
    }

    #[test]
    fn an_approval_is_stamped_with_the_user_and_with_nobody_else() {
        let mut free = good();
        free.as_object_mut().unwrap().remove("approver");
        let stamp = r#"[{"op":"add","path":"/spec/approver","value":"alice"}]"#;
        assert_eq!(patch("CREATE", &free).as_deref(), Some(stamp));
        assert_eq!(patch("CREATE", &with("approver", Value::Null)).as_deref(), Some(stamp));
        for (operation, spec) in
            [("UPDATE", &free), ("CREATE", &good()), ("CREATE", &with("approver", json!("bob")))]
        {
            assert_eq!(patch(operation, spec), None, "{operation} {spec}");
        }
    }

    #[test]
    fn an_approval_names_whoever_makes_it() {
        assert!(judged("CREATE", &approval_of(&good()), &Value::Null).allowed);
        let long_ago = json!("2020-01-01T00:00:00Z");
        for (spec, says) in [
            (with("approver", json!("bob")), "spec.approver: is not the user"),
            (with("approver", json!("Alice")), "spec.approver: is not the user"),
            (with("approver", json!("\u{430}lice")), "spec.approver: is not the user"),
            (with("approver", Value::Null), "spec.approver: was not stamped"),
            (with("digest", json!("sha256:0")), "spec.digest: must be"),
            (with("expires", long_ago), "spec.expires: has passed"),
            (with("expires", json!("tomorrow")), "spec.expires: is no RFC 3339"),
            (with("approver2", json!("x")), "unknown field `approver2`"),
        ] {
            let judgement = judged("CREATE", &approval_of(&spec), &Value::Null);
            assert!(!judgement.allowed && judgement.message.contains(says), "{judgement:?}");
        }
        let all = json!({"digest": "x", "expires": "x", "approver": "bob"});
        let judgement = judged("CREATE", &approval_of(&all), &Value::Null);
        assert_eq!(judgement.message.lines().count(), 3, "{}", judgement.message);
    }

    #[test]
    fn the_policy_is_asked_about_the_user_and_the_namespace_of_the_request() {
        let mut elsewhere = approval_of(&with("approver", json!("bob")));
        elsewhere["metadata"]["namespace"] = json!("other");
        let body = body("CREATE", &elsewhere, &Value::Null);
        let Parsed::Review(review) = Parsed::read(body.as_bytes()) else { panic!("{body}") };
        let grant = |granted: &GrantedApproval| {
            let asked = format!("{} in {}", granted.approver, granted.namespace);
            Granting { refusals: vec![asked], ..Granting::default() }
        };
        let judgement = validate(Kind::Approval, &review, NOW.parse().unwrap(), &grant);
        let lines: Vec<&str> = judgement.message.lines().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[1], "tidegate: MigrationApproval/drop: alice in shop");
        // What only warns is told, and lets in.
        let warns = |_: &GrantedApproval| Granting {
            warnings: vec!["beware".to_owned()],
            ..Granting::default()
        };
        let good = self::body("CREATE", &approval_of(&good()), &Value::Null);
        let Parsed::Review(review) = Parsed::read(good.as_bytes()) else { panic!("{good}") };
        let judgement = validate(Kind::Approval, &review, NOW.parse().unwrap(), &warns);
        assert!(judgement.allowed);
        assert_eq!(judgement.warnings, ["tidegate: MigrationApproval/drop: beware"]);
    }

    #[test]
    fn an_approval_cannot_be_changed_and_its_metadata_can() {
        let old = approval_of(&good());
        let mut labelled = old.clone();
        labelled["metadata"]["labels"] = json!({"a": "b"});
        assert!(judged("UPDATE", &labelled, &old).allowed);
        for (key, value) in [
            ("expires", json!("2026-06-03T12:00:00Z")),
            ("approver", json!("bob")),
            ("digest", json!(format!("sha256:{}", "b".repeat(64)))),
            ("backupWaiver", json!("why not")),
        ] {
            let judgement = judged("UPDATE", &approval_of(&with(key, value)), &old);
            assert!(judgement.message.contains("cannot be changed"), "{key}: {judgement:?}");
        }
    }

    #[test]
    fn a_document_that_does_not_load_is_refused_with_everything_and_an_old_one_is_left_alone() {
        let document = |kind: &str, spec: Value| {
            json!({"apiVersion": "tidegate.dev/v1alpha1", "kind": kind,
                "metadata": {"name": "a", "generation": 1}, "spec": spec})
        };
        let wrong = document("MigrationPolicy", json!({"rules": {"root-migratoin": {}, "b": {}}}));
        let judgement = judged("CREATE", &wrong, &Value::Null);
        assert!(!judgement.allowed);
        assert_eq!(judgement.message.lines().count(), 2, "{}", judgement.message);
        assert!(judgement.message.contains("(did you mean `root-migration`?)"), "{judgement:?}");
        let mut finalized = wrong.clone();
        finalized["metadata"]["finalizers"] = json!([]);
        assert!(judged("UPDATE", &finalized, &wrong).allowed);
        let right = document("MigrationPolicy", json!({"level": "Audit"}));
        assert!(judged("CREATE", &right, &Value::Null).allowed);
        assert!(!judged("UPDATE", &wrong, &right).allowed);
        let exception = document("MigrationException", json!({"rules": []}));
        let judgement = judged("CREATE", &exception, &Value::Null);
        assert!(judgement.message.starts_with("tidegate: MigrationException/drop: spec"));
        assert!(judged("DELETE", &Value::Null, &wrong).allowed);
    }
}
