//! Who was judged, so that what they made is not judged again.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use crate::model::{Metadata, OwnerReference};

/// Every object that was judged, by namespace, kind and uid.
///
/// An owner reference can be written by anyone. One that names a uid which no judged object of that
/// kind and namespace has excuses nothing, so that only what really belongs to something that was
/// judged is left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    /// Digests: a cluster has many objects, and nobody can make two of one digest.
    judged: BTreeSet<u128>,
}

impl Owners {
    /// Notes an object that was judged, or whose owner was.
    pub(super) fn note(&mut self, namespace: &str, api_version: &str, kind: &str, uid: &str) {
        if !uid.is_empty() {
            self.judged.insert(key(namespace, api_version, kind, uid));
        }
    }

    /// True when the controller that owns an object was judged.
    pub(super) fn cover(&self, namespace: &str, metadata: &Metadata<'_>) -> bool {
        let controller = metadata.owner_references.iter().find(|owner| owner.controller);
        controller.is_some_and(|OwnerReference { api_version, kind, uid, .. }| {
            !uid.is_empty() && self.judged.contains(&key(namespace, api_version, kind, uid))
        })
    }
}

/// The version of a kind is left out: it changes nothing of who an object is.
fn key(namespace: &str, api_version: &str, kind: &str, uid: &str) -> u128 {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let mut hash = Sha256::new();
    for text in [namespace, group, kind, uid] {
        hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(text);
    }
    let bytes = hash.finalize();
    bytes.iter().take(16).fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Object;

    fn covered(owners: &Owners, namespace: &str, reference: &str) -> bool {
        let json = format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"a","ownerReferences":[{reference}]}}}}"#
        );
        owners.cover(namespace, &Object::parse(&json).unwrap().metadata)
    }

    #[test]
    fn only_a_real_owner_of_the_same_namespace_covers() {
        let mut owners = Owners::default();
        owners.note("shop", "apps/v1", "ReplicaSet", "u-1");
        owners.note("shop", "apps/v1", "ReplicaSet", "");
        let reference = |kind: &str, uid: &str, controller: bool| {
            format!(
                r#"{{"apiVersion":"apps/v1","kind":"{kind}","name":"x","uid":"{uid}","controller":{controller}}}"#
            )
        };
        assert!(covered(&owners, "shop", &reference("ReplicaSet", "u-1", true)));
        for (namespace, reference) in [
            ("shop", reference("ReplicaSet", "u-2", true)),
            ("shop", reference("ReplicaSet", "", true)),
            ("shop", reference("StatefulSet", "u-1", true)),
            ("shop", reference("ReplicaSet", "u-1", false)),
            ("other", reference("ReplicaSet", "u-1", true)),
        ] {
            assert!(!covered(&owners, namespace, &reference), "{namespace}: {reference}");
        }
    }
}
