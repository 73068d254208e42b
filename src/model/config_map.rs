//! ConfigMaps in reach: what a set, or a cluster, shows of the files and variables of its Pods.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::pod::null_is_default;

/// What one ConfigMap holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigMap {
    data: BTreeMap<String, String>,
    /// As it is written, in base64.
    binary: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(default, deserialize_with = "null_is_default")]
    data: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null_is_default")]
    binary_data: BTreeMap<String, String>,
}

impl ConfigMap {
    /// Reads a `v1` ConfigMap; none where `data` or
    /// `binaryData` is no map of texts, which the API server refuses.
    pub fn parse(json: &str) -> Option<Self> {
        let Content { data, binary_data } = serde_json::from_str(json).ok()?;
        Some(Self { data, binary: binary_data })
    }

    /// The text under a key; none where there is no such key or its content is binary.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.data.get(key).map(String::as_str)
    }

    /// Every key that holds a text, in order, with the text.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.data.iter().map(|(key, text)| (key.as_str(), text.as_str()))
    }

    /// Every key that holds something that is no text, in order, with its content in base64.
    pub fn binaries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.binary.iter().map(|(key, content)| (key.as_str(), content.as_str()))
    }

    /// True when a key holds something that is no text.
    pub fn has_binary(&self) -> bool {
        !self.binary.is_empty()
    }
}

/// The ConfigMaps of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigMapSet {
    /// By name; several may have one name in different namespaces or files.
    by_name: BTreeMap<String, Vec<Placed>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Placed {
    namespace: String,
    file: usize,
    map: ConfigMap,
}

impl ConfigMapSet {
    /// Adds a ConfigMap that stands in a namespace and in a file, which is told apart from others
    /// by any number.
    pub fn add(&mut self, namespace: &str, name: &str, file: usize, map: ConfigMap) {
        let placed = Placed { namespace: namespace.to_owned(), file, map };
        self.by_name.entry(name.to_owned()).or_default().push(placed);
    }

    /// What an object of a namespace that stands in a file sees.
    pub fn seen_from<'s>(&'s self, namespace: &'s str, file: usize) -> ConfigMaps<'s> {
        ConfigMaps { set: Some(self), namespace, file }
    }
}

/// The ConfigMaps that one object may refer to.
///
/// One that is not found here may well exist: nothing is concluded from its absence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfigMaps<'s> {
    set: Option<&'s ConfigMapSet>,
    namespace: &'s str,
    file: usize,
}

impl<'s> ConfigMaps<'s> {
    /// No ConfigMap is in reach.
    pub const NONE: Self = Self { set: None, namespace: "", file: 0 };

    /// True when nobody has looked for any.
    pub fn is_none(self) -> bool {
        self.set.is_none()
    }

    /// The ConfigMap of a name in the object's namespace.
    ///
    /// Where a set holds several of that name, such as one for each environment, the one in the
    /// same file counts; where that does not tell either, none does unless all say the same.
    pub fn get(self, name: &str) -> Option<&'s ConfigMap> {
        let all = self.set?.by_name.get(name)?;
        let here = || all.iter().filter(|placed| placed.namespace == self.namespace);
        if let Some(same_file) = only(here().filter(|placed| placed.file == self.file)) {
            return Some(same_file);
        }
        only(here())
    }
}

/// The map that all of them are.
fn only<'s>(mut maps: impl Iterator<Item = &'s Placed>) -> Option<&'s ConfigMap> {
    let first = &maps.next()?.map;
    maps.all(|other| other.map == *first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: &str) -> ConfigMap {
        ConfigMap::parse(&format!(r#"{{"data": {{"key": "{value}"}}}}"#)).unwrap()
    }

    #[test]
    fn a_map_is_found_by_namespace_and_then_by_file() {
        let mut set = ConfigMapSet::default();
        set.add("shop", "scripts", 1, map("one"));
        set.add("shop", "scripts", 2, map("two"));
        set.add("shop", "same", 1, map("same"));
        set.add("shop", "same", 2, map("same"));
        let text = |namespace, file, name| {
            set.seen_from(namespace, file).get(name).and_then(|map| map.text("key"))
        };
        assert_eq!(text("shop", 1, "scripts"), Some("one"));
        assert_eq!(text("shop", 2, "scripts"), Some("two"));
        assert_eq!(text("shop", 3, "scripts"), None);
        assert_eq!(text("shop", 3, "same"), Some("same"));
        assert_eq!(text("other", 1, "scripts"), None);
        assert_eq!(ConfigMaps::NONE.get("scripts"), None);
    }

    #[test]
    fn what_is_no_text_is_not_read_as_one() {
        let map = ConfigMap::parse(r#"{"data": null, "binaryData": {"a": "AAE="}}"#).unwrap();
        assert!(map.has_binary() && map.text("a").is_none());
        assert_eq!(ConfigMap::parse(r#"{"data": {"a": 1}}"#), None);
    }
}
