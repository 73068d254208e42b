//! ConfigMaps in reach: what a set, or a cluster, shows of the files and variables of its Pods.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::pod::null_is_default;
use crate::source::mapping;

/// What one ConfigMap holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigMap {
    data: Texts,
    /// As it is written, in base64.
    binary: Texts,
}

/// Texts by key, sorted. A set may hold very many, and a map takes several times as much memory.
type Texts = Box<[(Box<str>, Box<str>)]>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(default, deserialize_with = "null_is_default")]
    data: BTreeMap<Box<str>, Box<str>>,
    #[serde(default, deserialize_with = "null_is_default")]
    binary_data: BTreeMap<Box<str>, Box<str>>,
}

impl ConfigMap {
    /// Reads a `v1` ConfigMap; none where `data` or
    /// `binaryData` is no map of texts, which the API server refuses.
    pub fn parse(json: &str) -> Option<Self> {
        let Content { data, binary_data } = mapping::from_str(json).ok()?;
        Some(Self { data: data.into_iter().collect(), binary: binary_data.into_iter().collect() })
    }

    /// The text under a key; none where there is no such key or its content is binary.
    pub fn text(&self, key: &str) -> Option<&str> {
        let at = self.data.binary_search_by(|(own, _)| (**own).cmp(key)).ok()?;
        self.data.get(at).map(|(_, text)| &**text)
    }

    /// Every key that holds a text, in order, with the text.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.data.iter().map(|(key, text)| (&**key, &**text))
    }

    /// Every key that holds something that is no text, in order, with its content in base64.
    pub fn binaries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.binary.iter().map(|(key, content)| (&**key, &**content))
    }

    /// True when a key holds something that is no text.
    pub fn has_binary(&self) -> bool {
        !self.binary.is_empty()
    }
}

/// The ConfigMaps of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigMapSet {
    /// By namespace and name.
    by_name: BTreeMap<[Box<str>; 2], Namesakes>,
}

/// The ConfigMaps of one name in one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Namesakes {
    /// With their files, sorted by those. Of one file there are two only where they differ, and never
    /// more: no more is asked of them.
    maps: Vec<(usize, ConfigMap)>,
    /// Not all of them hold the same.
    differ: bool,
}

impl ConfigMapSet {
    /// Adds a ConfigMap that stands in a namespace and in a file, which is told apart from others
    /// by any number.
    pub fn add(&mut self, namespace: &str, name: &str, file: usize, map: ConfigMap) {
        self.by_name.entry([namespace.into(), name.into()]).or_default().add(file, map);
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
        let all = self.set?.by_name.get(&[self.namespace.into(), name.into()])?;
        match all.of(self.file) {
            [(_, same_file)] => Some(same_file),
            _ if all.differ => None,
            _ => all.maps.first().map(|(_, map)| map),
        }
    }
}

impl Namesakes {
    fn add(&mut self, file: usize, map: ConfigMap) {
        let here = self.of(file);
        if here.len() > 1 || here.iter().any(|(_, other)| *other == map) {
            return;
        }
        self.differ |= self.maps.first().is_some_and(|(_, first)| *first != map);
        let at = self.maps.partition_point(|(other, _)| *other <= file);
        // Nearly every name stands once, and a list would begin with room for several.
        self.maps.reserve_exact(usize::from(self.maps.is_empty()));
        self.maps.insert(at, (file, map));
    }

    fn of(&self, file: usize) -> &[(usize, ConfigMap)] {
        let from = self.maps.partition_point(|(other, _)| *other < file);
        let to = self.maps.partition_point(|(other, _)| *other <= file);
        self.maps.get(from..to).unwrap_or_default()
    }
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
    fn of_one_file_two_tell_nothing_unless_they_say_the_same() {
        let mut set = ConfigMapSet::default();
        for (file, value) in [(2, "two"), (1, "one"), (1, "one"), (3, "three"), (3, "other")] {
            set.add("shop", "scripts", file, map(value));
        }
        let text =
            |file| set.seen_from("shop", file).get("scripts").and_then(|map| map.text("key"));
        assert_eq!([text(1), text(2), text(3), text(4)], [Some("one"), Some("two"), None, None]);
        let mut same = ConfigMapSet::default();
        for _ in 0..3 {
            same.add("shop", "scripts", 1, map("one"));
        }
        assert!(same.seen_from("shop", 7).get("scripts").is_some());
        assert_eq!(same.by_name.values().map(|all| all.maps.len()).sum::<usize>(), 1);
    }

    #[test]
    fn what_is_no_text_is_not_read_as_one() {
        let map = ConfigMap::parse(r#"{"data": null, "binaryData": {"a": "AAE="}}"#).unwrap();
        assert!(map.has_binary() && map.text("a").is_none());
        assert_eq!(ConfigMap::parse(r#"{"data": {"a": 1}}"#), None);
    }
}
