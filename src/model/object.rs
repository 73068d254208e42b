//! Any Kubernetes object: who it is, and what it runs.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{
    Hooks, MigrationResource, PodTemplate, StringMap, Text, WorkloadKind, annotation,
    json::{Cursor, string},
    pod::null_is_default,
    text, workload,
};
use crate::source::mapping::{self, Mappings};

/// Group, version and kind of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupVersionKind<'a> {
    /// API group; empty for the core group.
    pub group: &'a str,
    /// API version, such as `v1`.
    pub version: &'a str,
    /// Kind, such as `Job`.
    pub kind: &'a str,
}

impl<'a> GroupVersionKind<'a> {
    /// Splits `batch/v1` and adds a kind.
    pub fn new(api_version: &'a str, kind: &'a str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self { group, version, kind }
    }
}

/// The metadata that rules ask for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata<'a> {
    /// `name`; empty while `generateName` has not been answered.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub name: Text<'a>,
    /// `generateName`.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub generate_name: Text<'a>,
    /// `uid`, which the API server gives; empty before it has.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub uid: Text<'a>,
    /// `namespace`; empty for a cluster-scoped object, or where Git leaves it out.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub namespace: Text<'a>,
    /// `labels`, if the map is there.
    #[serde(borrow)]
    pub labels: Option<StringMap<'a>>,
    /// `annotations`, if the map is there.
    #[serde(borrow)]
    pub annotations: Option<StringMap<'a>>,
    /// `finalizers`.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub finalizers: Vec<Text<'a>>,
    /// `ownerReferences`. Anyone can write them: never trust them alone.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub owner_references: Vec<OwnerReference<'a>>,
}

impl<'a> Metadata<'a> {
    /// As [`Head::scan`], for the object that is next: `managedFields` are a third of many objects.
    fn scan(fields: &mut Cursor<'a>) -> Option<Self> {
        let [mut name, mut generate_name, mut uid, mut namespace] = [None; 4];
        let [mut labels, mut annotations, mut finalizers, mut owners] = [None; 4];
        fields.enter().ok()?;
        while let Some(key) = fields.key().ok()? {
            let value = fields.value().ok()?;
            let slot = match key.as_ref() {
                "name" => &mut name,
                "generateName" => &mut generate_name,
                "uid" => &mut uid,
                "namespace" => &mut namespace,
                "labels" => &mut labels,
                "annotations" => &mut annotations,
                "finalizers" => &mut finalizers,
                "ownerReferences" => &mut owners,
                _ => continue,
            };
            once(slot, value)?;
        }
        Some(Self {
            name: parsed(name)?,
            generate_name: parsed(generate_name)?,
            uid: parsed(uid)?,
            namespace: parsed(namespace)?,
            labels: optional(labels).ok()?,
            annotations: optional(annotations).ok()?,
            finalizers: optional(finalizers).ok()?.unwrap_or_default(),
            owner_references: optional(owners).ok()?.unwrap_or_default(),
        })
    }
}

impl Metadata<'_> {
    /// The annotation `key`, if it is there.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key)
    }

    /// The annotations that a person approves with, or asks for something with.
    fn own_annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.annotations.iter().flat_map(StringMap::iter);
        all.filter(|(key, _)| key.starts_with(annotation::PREFIX) && *key != annotation::DEFAULTED)
    }

    /// The name, or the prefix that the API server will make one from.
    pub fn display_name(&self) -> &str {
        if self.name.is_empty() { &self.generate_name } else { &self.name }
    }
}

/// One `ownerReferences` entry.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference<'a> {
    /// `apiVersion` of the owner.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub api_version: Text<'a>,
    /// `kind` of the owner.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub kind: Text<'a>,
    /// `uid` of the owner.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub uid: Text<'a>,
    /// True for the one owner that manages the object.
    #[serde(deserialize_with = "null_is_default")]
    pub controller: bool,
}

/// An object as it stands in one text.
#[derive(Debug)]
pub struct Object<'a> {
    /// `apiVersion`, as written.
    pub api_version: Text<'a>,
    /// `kind`, as written.
    pub kind: Text<'a>,
    /// Its metadata.
    pub metadata: Metadata<'a>,
    /// What Argo CD and Helm make of its annotations.
    pub hooks: Hooks,
    /// Which of the kinds that run Pods it is.
    pub workload: WorkloadKind,
    /// `replicas`, where the kind has them and the object says so.
    pub replicas: Option<i64>,
    /// True for a CronJob with `suspend: true`, which makes no Jobs until it is resumed.
    pub is_suspended: bool,
    /// What it asks an operator to migrate, where it is such a resource.
    pub resource: Option<MigrationResource<'a>>,
    /// Every Pod template in it; empty for kinds that run nothing.
    pub templates: Vec<PodTemplate<'a>>,
    /// The `spec` as text (the `template` of a PodTemplate): two objects with the same text run the
    /// same thing.
    pub spec: &'a str,
    /// True where that is the field `spec`.
    has_spec: bool,
}

/// An object that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ParseError {
    /// The field that is wrong, such as `spec.template.spec.containers[0].args`.
    pub path: String,
    /// What is wrong with it. Holds no value of the object but a key.
    pub message: String,
    /// True where a string is wanted and a number or a boolean stands, which quotes would make one.
    pub wants_quotes: bool,
}

/// The head of an object: what is the same for every kind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    api_version: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    kind: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    metadata: Metadata<'a>,
    /// Empty where there is none.
    #[serde(borrow, default, deserialize_with = "text_of")]
    spec: &'a str,
    /// Empty where there is none.
    #[serde(borrow, default, deserialize_with = "text_of")]
    template: &'a str,
}

impl<'a> Head<'a> {
    fn parse(json: &'a str) -> Result<Self, ParseError> {
        Self::scan(json).map_or_else(|| read(json, ""), Ok)
    }

    /// Reads what is as it should be, without looking at what nobody asks for. None for anything
    /// else, of which the parser says what is wrong.
    fn scan(json: &'a str) -> Option<Self> {
        let mut fields = Cursor::new(json);
        let [mut api_version, mut kind, mut spec, mut template] = [None; 4];
        let mut metadata = None;
        fields.enter().ok()?;
        while let Some(key) = fields.key().ok()? {
            if key == "metadata" && fields.is_at_object() {
                if metadata.replace(Metadata::scan(&mut fields)?).is_some() {
                    return None;
                }
                continue;
            }
            let value = fields.value().ok()?;
            let slot = match key.as_ref() {
                "apiVersion" => &mut api_version,
                "kind" => &mut kind,
                "spec" => &mut spec,
                "template" => &mut template,
                "metadata" => return None,
                _ => continue,
            };
            once(slot, value)?;
        }
        let text = |raw: Option<&'a str>| present(raw).unwrap_or_default();
        fields.is_at_end().then_some(Self {
            api_version: parsed(api_version)?,
            kind: parsed(kind)?,
            metadata: metadata.unwrap_or_default(),
            spec: text(spec),
            template: text(template),
        })
    }

    fn hooks(&self) -> Hooks {
        self.metadata.annotations.as_ref().map(Hooks::parse).unwrap_or_default()
    }

    /// The text of what the object runs: its `spec`, or the `template` of a PodTemplate.
    fn running(&self) -> &'a str {
        if self.spec.is_empty() { self.template } else { self.spec }
    }

    /// True when `old` runs the same thing under the same annotations that anything reads.
    fn is_same_as(&self, old: &Head<'_>) -> bool {
        self.running() == old.running()
            && self.hooks() == old.hooks()
            && self.metadata.own_annotations().eq(old.metadata.own_annotations())
    }
}

/// Notes the value of a field; none for one that is given twice.
pub(super) fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

/// The text of a field that is there and not `null`.
fn present(raw: Option<&str>) -> Option<&str> {
    raw.filter(|text| *text != "null")
}

/// A value that may be left out.
pub(super) fn optional<'a, T: Deserialize<'a>>(
    raw: Option<&'a str>,
) -> serde_json::Result<Option<T>> {
    present(raw).map(mapping::from_str).transpose()
}

/// A string that may be left out.
fn parsed(raw: Option<&str>) -> Option<Text<'_>> {
    present(raw).map_or_else(|| Some(Text::default()), |raw| string(raw).map(Text::from))
}

/// The text of a value; empty for `null`.
fn text_of<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'de str, D::Error> {
    Ok(Option::<&RawValue>::deserialize(deserializer)?.map_or("", RawValue::get))
}

impl<'a> Object<'a> {
    /// Reads an object from JSON.
    ///
    /// Fields that no rule asks for are skipped without being built, at any nesting depth.
    ///
    /// # Errors
    ///
    /// The first field that has another type than Kubernetes gives it, a duplicate key among the
    /// fields that are read, or text that is no JSON.
    pub fn parse(json: &'a str) -> Result<Self, ParseError> {
        Self::of(Head::parse(json)?)
    }

    /// Reads an object that was `old` before. None when it runs the same thing as `old` under the same
    /// annotations that anything reads.
    ///
    /// Texts are compared, not values: the API server writes both objects in the same way, and a
    /// difference only means that the change is judged. An old object that cannot be read is
    /// another one.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`], but for an object that is the same.
    pub fn parse_changed(json: &'a str, old: &str) -> Result<Option<Self>, ParseError> {
        let head = Head::parse(json)?;
        if Head::parse(old).is_ok_and(|old| head.is_same_as(&old)) {
            return Ok(None);
        }
        Self::of(head).map(Some)
    }

    fn of(head: Head<'a>) -> Result<Self, ParseError> {
        let hooks = head.hooks();
        let gvk = GroupVersionKind::new(&head.api_version, &head.kind);
        let workload = WorkloadKind::of(&gvk);
        let resource = MigrationResource::parse(&gvk, head.spec);
        let source =
            workload::Source { spec: head.spec, template: head.template, metadata: &head.metadata };
        let workload::Workload { templates, replicas, is_suspended } =
            workload::templates(workload, &source)?;
        Ok(Self {
            hooks,
            workload,
            replicas,
            is_suspended,
            resource,
            templates,
            spec: head.running(),
            has_spec: !head.spec.is_empty(),
            metadata: head.metadata,
            api_version: head.api_version,
            kind: head.kind,
        })
    }

    /// The field `spec` as text, where there is one.
    pub fn written_spec(&self) -> Option<&'a str> {
        self.has_spec.then_some(self.spec)
    }

    /// Group, version and kind.
    pub fn gvk(&self) -> GroupVersionKind<'_> {
        GroupVersionKind::new(&self.api_version, &self.kind)
    }
}

/// Reads `json`, found at `path` of the object. The slow way round is taken only to say which
/// field is wrong.
pub(super) fn read<'a, T: Deserialize<'a>>(json: &'a str, path: &str) -> Result<T, ParseError> {
    mapping::from_str(json).map_err(|_again| {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let again = serde_path_to_error::deserialize::<_, T>(Mappings(&mut deserializer));
        let Err(error) = again else {
            let message = "trailing text".to_owned();
            return ParseError { path: join(path, ""), message, wants_quotes: false };
        };
        let inner = error.path().to_string();
        let message = plain(error.inner());
        let wants_quotes = message.ends_with(text::QUOTES)
            || SCALARS.iter().any(|kind| message == format!("invalid type: {kind}, {STRING}"));
        ParseError { path: join(path, &inner), message, wants_quotes }
    })
}

/// How serde calls what has no quotes, and what [`Text`] says that it wants.
const SCALARS: [&str; 3] = ["boolean", "integer", "floating"];
const STRING: &str = "expected a string";

fn join(outer: &str, inner: &str) -> String {
    match (outer, inner) {
        ("", "" | ".") => ".".to_owned(),
        (outer, "" | ".") => outer.to_owned(),
        ("", inner) => inner.to_owned(),
        (outer, inner) => format!("{outer}.{inner}"),
    }
}

/// The message without the position, which means nothing in a text that nobody sees, and without
/// the value, which may be a secret: serde quotes it as `string "…"`.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    match (text.find("invalid type: "), text.rfind(", expected ")) {
        (Some(_), Some(at)) => {
            let expected = text.get(at..).unwrap_or_default().trim_start_matches(", expected ");
            let expected = match expected {
                "i32" | "i64" | "u32" | "u64" => "a whole number",
                other => other,
            };
            let found = text.trim_start_matches("invalid type: ");
            let found = found.split([' ', ',']).next().unwrap_or_default();
            format!("invalid type: {found}, expected {expected}")
        }
        _ => match text.find("invalid value: ") {
            Some(_) => "invalid value".to_owned(),
            None => text.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_no_mapping() {
        for list in ["[]", " [\"batch/v1\", \"Job\"]"] {
            assert!(Object::parse(list).is_err_and(|error| error.message.contains("sequence")));
        }
        let container = |fields: &str| {
            let path = "spec.template.spec.containers[0]";
            (format!(r#"{{"template":{{"spec":{{"containers":[{fields}]}}}}}}"#), path.to_owned())
        };
        for ((spec, path), field) in [
            (("[]".to_owned(), "spec".to_owned()), ""),
            ((r#"[{"containers":[]}]"#.to_owned(), "spec".to_owned()), ""),
            ((r#"{"template":[]}"#.to_owned(), "spec.template".to_owned()), ""),
            ((r#"{"template":{"spec":[]}}"#.to_owned(), "spec.template.spec".to_owned()), ""),
            (container("[]"), ""),
            (container(r#"{"resources":[]}"#), ".resources"),
            (container(r#"{"resources":{"limits":[]}}"#), ".resources.limits"),
            (container(r#"{"securityContext":[]}"#), ".securityContext"),
            (container(r#"{"env":[["A"]]}"#), ".env[0]"),
            (container(r#"{"envFrom":[{"configMapRef":[]}]}"#), ".envFrom[0].configMapRef"),
        ] {
            for kind in ["apps/v1|Deployment", "batch/v1|Job"] {
                let (version, kind) = kind.split_once('|').unwrap();
                let json = format!(r#"{{"apiVersion":"{version}","kind":"{kind}","spec":{spec}}}"#);
                let error = Object::parse(&json).expect_err(&json);
                assert_eq!(error.message, "invalid type: sequence, expected a mapping", "{json}");
                assert_eq!(error.path, format!("{path}{field}"), "{json}");
            }
        }
    }

    #[test]
    fn an_error_names_the_field_and_never_the_value() {
        let error = Object::parse(
            r#"{"apiVersion":"batch/v1","kind":"Job","spec":{"template":{"spec":
               {"containers":[{"name":"a","args":"--password=hunter2"}]}}}}"#,
        )
        .unwrap_err();
        assert_eq!(error.path, "spec.template.spec.containers[0].args");
        assert!(!error.message.contains("hunter2"), "{error}");
        assert_eq!(error.message, "invalid type: string, expected a sequence");
    }

    #[test]
    fn what_quotes_would_mend_is_told_from_what_they_would_not() {
        let job = |metadata: &str, container: &str| {
            format!(
                r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{metadata},"spec":
                   {{"template":{{"spec":{{"containers":[{container}]}}}}}}}}"#
            )
        };
        for (metadata, container, wants) in [
            (r#"{"annotations":{"a.io/b":true}}"#, "{}", Some("metadata.annotations")),
            (r#"{"labels":{"a":1}}"#, "{}", Some("metadata.labels")),
            (r#"{"labels":{"a":[1]}}"#, "{}", None),
            (r#"{"labels":[1]}"#, "{}", None),
            (r#"{"name":1}"#, "{}", Some("metadata.name")),
            ("{}", r#"{"args":["a",8080]}"#, Some("spec.template.spec.containers[0].args[1]")),
            ("{}", r#"{"args":8080}"#, None),
            ("{}", r#""a""#, None),
            (
                "{}",
                r#"{"env":[{"name":"A","value":1.5}]}"#,
                Some("spec.template.spec.containers[0].env[0].value"),
            ),
        ] {
            let error = Object::parse(&job(metadata, container)).unwrap_err();
            let path = error.wants_quotes.then_some(error.path.as_str());
            assert_eq!(path, wants, "{metadata} {container}: {}", error.message);
        }
    }

    #[test]
    fn a_type_has_a_name_that_people_know() {
        for (spec, message) in [
            (r#""a""#, "invalid type: string, expected a mapping"),
            (r#"{"backoffLimit":"a"}"#, "invalid type: string, expected a whole number"),
        ] {
            let json = format!(r#"{{"apiVersion":"batch/v1","kind":"Job","spec":{spec}}}"#);
            assert_eq!(Object::parse(&json).unwrap_err().message, message);
        }
    }

    #[test]
    fn deep_nesting_in_a_field_that_nobody_reads_is_skipped() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let json = format!(
            r#"{{"apiVersion":"apps/v1","kind":"Deployment","spec":{{"x":{deep},"replicas":2}}}}"#
        );
        assert_eq!(Object::parse(&json).unwrap().replicas, Some(2));
    }

    #[test]
    fn a_duplicate_key_is_refused() {
        let error = Object::parse(r#"{"kind":"Job","kind":"Pod"}"#).unwrap_err();
        assert!(error.message.contains("duplicate field `kind`"), "{error}");
    }

    #[test]
    fn unknown_fields_and_kinds_are_tolerated() {
        let object = Object::parse(r#"{"kind":"Gadget","apiVersion":"x.io/v9","future":1}"#);
        assert!(object.unwrap().templates.is_empty());
    }
}
