//! The digest of what ConfigMaps hold that a migration reads: what its author may change without
//! touching the Job.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::Digest;
use crate::model::{ConfigMaps, EnvFrom, MountedSource, Object, Volume};

/// First line of the hashed text. A change of the canonical form changes this line.
const VERSION: &str = "tidegate.dev/content/v1\n";

/// SHA-256 over the content of every ConfigMap that the containers of `object` mount or take
/// variables from: names, keys and texts, in order of name and of key.
///
/// An object that refers to none has the digest of
/// nothing, so that it is noticed when it comes to refer to one.
///
/// # Errors
///
/// When one of them is not in reach: a clause that reads on after "because".
pub fn content(object: &Object<'_>, maps: ConfigMaps<'_>) -> Result<Digest, String> {
    let mut hash = Sha256::new();
    hash.update(VERSION);
    for name in names(object) {
        let Some(map) = maps.get(name) else {
            return Err(format!("ConfigMap `{name}` is not in reach"));
        };
        let keys = map.texts().map(|(key, text)| ("text", key, text));
        let keys: Vec<_> =
            keys.chain(map.binaries().map(|(key, text)| ("binary", key, text))).collect();
        // Serialising texts to memory cannot fail; the empty text would match nothing.
        hash.update(serde_json::to_vec(&(name, keys)).unwrap_or_default());
        hash.update("\n");
    }
    Ok(Digest(hash.finalize().into()))
}

/// The ConfigMaps that an object's containers refer to, in order and once.
pub fn names<'o>(object: &'o Object<'_>) -> Vec<&'o str> {
    let mut names = Vec::new();
    let map = |source: MountedSource<'o>| match source {
        MountedSource::ConfigMap(name) => Some(name),
        MountedSource::Secret(_) | MountedSource::PersistentVolumeClaim(_) => None,
    };
    for template in &object.templates {
        let containers = &template.containers;
        let mounts = containers.iter().flat_map(|container| &container.volume_mounts);
        let mounted: BTreeSet<&str> = mounts.map(|mount| mount.name.as_str()).collect();
        let volumes = template.spec.volumes.iter();
        let volumes = volumes.filter(|volume| mounted.contains(volume.name.as_str()));
        names.extend(volumes.flat_map(Volume::sources).filter_map(map));
        for container in containers {
            let from = container.env_from.iter().filter_map(EnvFrom::source);
            names.extend(from.filter_map(map));
            let values = container.env.iter().filter_map(|var| var.value_from.as_ref());
            let keys = values.filter_map(|value| value.config_map_key_ref.as_ref());
            names.extend(keys.map(|key| key.name.as_str()));
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ConfigMap, ConfigMapSet};

    const JOB: &str = r#"{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"m"},"spec":
        {"template":{"spec":{"containers":[{"name":"a","volumeMounts":[{"name":"v","mountPath":"/v"}],
        "envFrom":[{"configMapRef":{"name":"vars"}},{"secretRef":{"name":"s"}}],
        "env":[{"name":"A","valueFrom":{"configMapKeyRef":{"name":"key","key":"k"}}}]}],
        "volumes":[{"name":"v","projected":{"sources":[{"configMap":{"name":"sql"}}]}},
        {"name":"unused","configMap":{"name":"unused"}}]}}}}"#;

    fn of(maps: &[(&str, &str)]) -> Result<String, String> {
        let mut set = ConfigMapSet::default();
        for (name, data) in maps {
            set.add("shop", name, 0, ConfigMap::parse(data).unwrap());
        }
        let Ok(object) = Object::parse(JOB) else { panic!("{JOB}") };
        content(&object, set.seen_from("shop", 0)).map(|digest| digest.to_string())
    }

    #[test]
    fn every_map_in_use_counts_and_no_other() {
        assert_eq!(names(&Object::parse(JOB).unwrap()), ["key", "sql", "vars"]);
        let key = ("key", r#"{"data":{"k":"1"}}"#);
        let vars = ("vars", r#"{"data":{"a":"1","b":"2"}}"#);
        let sql = ("sql", r#"{"data":{"a.sql":"DROP TABLE a"}}"#);
        let base = of(&[key, vars, sql]).unwrap();
        let other = ("unused", r#"{"data":{"x":"y"}}"#);
        assert_eq!(of(&[other, sql, vars, key]).unwrap(), base);
        for changed in [
            ("sql", r#"{"data":{"a.sql":"DROP TABLE b"}}"#),
            ("sql", r#"{"data":{"b.sql":"DROP TABLE a"}}"#),
            ("sql", r#"{"binaryData":{"a.sql":"DROP TABLE a"}}"#),
            ("sql", r#"{"data":{"a.sql":"DROP TABLE a","b":""}}"#),
        ] {
            assert_ne!(of(&[key, vars, changed]).unwrap(), base, "{changed:?}");
        }
        // What moves from one key to another is something else.
        let moved = ("vars", r#"{"data":{"a":"1b","":"2"}}"#);
        assert_ne!(of(&[key, moved, sql]).unwrap(), base);
        assert_eq!(of(&[key, vars]).unwrap_err(), "ConfigMap `sql` is not in reach");
    }
}
