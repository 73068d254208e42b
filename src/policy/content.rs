//! The digest of what ConfigMaps hold that a migration reads: what its author may change without
//! touching the Job.

use sha2::{Digest as _, Sha256};

use super::Digest;
use crate::model::{ConfigMaps, Fact, MountedSource, Object, Volume};

/// First line of the hashed text. A change of the canonical form changes this line.
const VERSION: &str = "tidegate.dev/content/v1\n";

/// SHA-256 over the content of every ConfigMap that the containers of `object` mount or take
/// variables from: names, keys and texts, in order of name and of key.
///
/// Unknown when one of them is not in reach. An object that refers to none has the digest of
/// nothing, so that it is noticed when it comes to refer to one.
pub fn content(object: &Object<'_>, maps: ConfigMaps<'_>) -> Fact<Digest> {
    let mut hash = Sha256::new();
    hash.update(VERSION);
    for name in names(object) {
        let Some(map) = maps.get(name) else {
            return Fact::Unknown(format!("ConfigMap `{name}` is not in reach").into());
        };
        let keys = map.texts().map(|(key, text)| ("text", key, text));
        let keys: Vec<_> =
            keys.chain(map.binaries().map(|(key, text)| ("binary", key, text))).collect();
        // Serialising texts to memory cannot fail; the empty text would match nothing.
        hash.update(serde_json::to_vec(&(name, keys)).unwrap_or_default());
        hash.update("\n");
    }
    Fact::Known(Digest(hash.finalize().into()))
}

/// The ConfigMaps that an object's containers refer to, in order and once.
pub fn names<'o>(object: &'o Object<'_>) -> Vec<&'o str> {
    let mut names = Vec::new();
    let mut add = |source: MountedSource<'o>| {
        if let MountedSource::ConfigMap(name) = source {
            names.push(name);
        }
    };
    for template in &object.templates {
        for container in &template.containers {
            for mount in &container.volume_mounts {
                let volumes = template.spec.volumes.iter();
                let mounted = volumes.filter(|volume| volume.name == mount.name);
                mounted.flat_map(Volume::sources).for_each(&mut add);
            }
            container.env_from.iter().filter_map(|from| from.source()).for_each(&mut add);
            for var in &container.env {
                let from =
                    var.value_from.as_ref().and_then(|from| from.config_map_key_ref.as_ref());
                add(match from {
                    Some(key) => MountedSource::ConfigMap(&key.name),
                    None => continue,
                });
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}
