//! An object as the API server wrote it.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, core::ApiResource};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::value::RawValue;

/// An object whose text is kept as it came, so that the same reader judges it that judges what
/// admission sends. Of its metadata only what watches and references need is read; nothing of the
/// rest is, so that neither depth nor an unknown field ends a watch.
#[derive(Clone, Debug)]
pub struct Raw {
    /// Name, namespace, uid, resource version, generation and labels.
    pub metadata: ObjectMeta,
    types: Option<(String, String)>,
    json: Arc<str>,
}

impl Raw {
    /// The object as a JSON text that says its kind. The API server leaves that out of the items
    /// of a list of its own kinds; then it is `resource`'s.
    pub fn text(&self, resource: &ApiResource) -> Cow<'_, str> {
        match (&self.types, self.json.trim_start().strip_prefix('{')) {
            (None, Some(rest)) => {
                let (version, kind) = (&resource.api_version, &resource.kind);
                let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
                Cow::Owned(format!(r#"{{"apiVersion":"{version}","kind":"{kind}"{comma}{rest}"#))
            }
            _ => Cow::Borrowed(&self.json),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Its namespace; empty when it is cluster-scoped.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct View {
    api_version: Option<String>,
    kind: Option<String>,
    #[serde(default)]
    metadata: Meta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let View { api_version, kind, metadata } =
            serde_json::from_str(json.get()).map_err(D::Error::custom)?;
        Ok(Self {
            metadata: ObjectMeta {
                name: metadata.name,
                namespace: metadata.namespace,
                uid: metadata.uid,
                resource_version: metadata.resource_version,
                generation: metadata.generation,
                labels: metadata.labels,
                ..ObjectMeta::default()
            },
            types: api_version.zip(kind),
            json: Box::<str>::from(json).into(),
        })
    }
}

/// As it came.
impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json: &RawValue =
            serde_json::from_str(&self.json).map_err(serde::ser::Error::custom)?;
        json.serialize(serializer)
    }
}

impl Resource for Raw {
    type DynamicType = ApiResource;
    type Scope = kube::core::DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::batch::v1::Job;
    use kube::core::{ObjectList, WatchEvent};

    use super::*;

    fn jobs() -> ApiResource {
        ApiResource::erase::<Job>(&())
    }

    #[test]
    fn an_item_of_a_list_gets_its_kind_and_keeps_its_text() {
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        let text = format!(
            r#"{{"kind":"JobList","apiVersion":"batch/v1","metadata":{{"resourceVersion":"7"}},"items":[
            {{"metadata":{{"name":"a","namespace":"n","uid":"u","labels":{{"k":"v"}},"managedFields":{deep}}},"spec":{{"x":{deep}}}}},
            {{}}, {{"apiVersion":"batch/v1","kind":"Job","metadata":{{"name":"b"}}}}]}}"#
        );
        let list: ObjectList<Raw> = serde_json::from_str(&text).unwrap();
        let texts: Vec<_> = list.items.iter().map(|item| item.text(&jobs())).collect();
        assert!(
            texts[0].starts_with(r#"{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"a""#)
        );
        assert!(texts[0].contains(&deep));
        assert_eq!(texts[1], r#"{"apiVersion":"batch/v1","kind":"Job"}"#);
        assert_eq!(texts[2], r#"{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"b"}}"#);
        let a = &list.items[0];
        assert_eq!((a.name(), a.namespace(), a.uid()), ("a", "n", "u"));
    }

    #[test]
    fn an_event_of_a_watch_holds_one() {
        let text = r#"{"type":"MODIFIED","object":{"kind":"Job","apiVersion":"batch/v1","metadata":{"name":"a","resourceVersion":"9"}}}"#;
        let event: WatchEvent<Raw> = serde_json::from_str(text).unwrap();
        let WatchEvent::Modified(raw) = event else { panic!("{event:?}") };
        assert_eq!(raw.metadata.resource_version.as_deref(), Some("9"));
        assert_eq!(serde_json::to_string(&raw).unwrap(), raw.text(&jobs()));
    }
}
