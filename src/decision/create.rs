//! What admission comes to for an object that is created.

use std::borrow::Cow;

use jiff::Timestamp;

use super::{Verdict, fill::filled, mutate::mutate_looked, validate::validate_looked};
use crate::{
    detect::Detection,
    model::{
        Change, ConfigMaps, Container, EnvFrom, Facts, MountedSource, Object, PodTemplate, Volume,
    },
    plan::Member,
    policy::PolicySet,
};

/// An object that was read, and what its containers do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looked<'l> {
    /// The object.
    pub(super) object: &'l Object<'l>,
    /// What its containers do; none where that is still to be found out.
    pub(super) detections: Option<&'l [Detection<'l>]>,
}

/// What becomes of an object that is created.
#[derive(Clone, Debug, PartialEq)]
pub struct Created {
    /// The verdict on the object with everything filled in.
    pub verdict: Verdict,
    /// What mutation fills in.
    pub filled_in: Vec<String>,
}

/// Fills in, as the mutating side of admission does, and then judges what comes of it.
///
/// `member` is the object of the change as a release knows it, looked at with the tools of the policy
/// that applies and with the same ConfigMaps in reach: what is known of it is not found out again.
///
/// Total, like [`validate()`](super::validate()).
pub fn create(
    policies: &PolicySet,
    change: &Change<'_>,
    facts: &Facts<'_>,
    now: Timestamp,
    member: Option<&Member<'_>>,
) -> Created {
    let looked =
        member.map(|member| Looked { object: member.object, detections: Some(&member.detections) });
    // Mutation reads no ConfigMap, so that only what was found without one is good for it.
    let alone = looked.map(|looked| Looked {
        detections: looked.detections.filter(|_| !sees_any(looked.object, facts.config_maps)),
        ..looked
    });
    let mutation = mutate_looked(policies, change, facts, alone);
    let json = change.object.unwrap_or_default();
    // What was read before has no key twice that counts, so that its text can be added to.
    let in_text = looked.filter(|_| !mutation.is_empty());
    let in_text = in_text.and_then(|_| filled(json, &mutation.patch));
    let patched = in_text.map_or_else(|| mutation.applied(json), Cow::Owned);
    let Cow::Owned(patched) = patched else {
        let verdict = validate_looked(policies, change, facts, now, looked);
        return Created { verdict, filled_in: Vec::new() };
    };
    let change = Change { object: Some(&patched), ..*change };
    let object = looked.and_then(|looked| Some((looked, Object::parse(&patched).ok()?)));
    let verdict = match &object {
        Some((looked, object)) => {
            let detections = looked.moved_to(object);
            let looked = Looked { object, detections: detections.as_deref() };
            validate_looked(policies, &change, facts, now, Some(looked))
        }
        None => validate_looked(policies, &change, facts, now, None),
    };
    Created { verdict, filled_in: mutation.added }
}

impl Looked<'_> {
    /// What was found, as found in the same object with everything filled in: nothing of that is
    /// read to tell what a container does.
    fn moved_to<'o>(self, filled: &'o Object<'o>) -> Option<Vec<Detection<'o>>>
    where
        Self: 'o,
    {
        let moved = |found: &Detection<'o>| {
            let is_template = |it: &&PodTemplate<'_>| it.spec_path == found.template.spec_path;
            let template = filled.templates.iter().find(is_template)?;
            let is_container = |it: &&Container<'_>| it.path == found.container.path;
            let container = template.containers.iter().find(is_container)?;
            Some(Detection { template, container, ..found.clone() })
        };
        self.detections?.iter().map(moved).collect()
    }
}

/// True when a ConfigMap is in reach that a container may read.
fn sees_any(object: &Object<'_>, maps: ConfigMaps<'_>) -> bool {
    let is_seen = |source: &MountedSource<'_>| matches!(source, MountedSource::ConfigMap(name) if maps.get(name).is_some());
    object.templates.iter().any(|template| {
        let mut volumes = template.spec.volumes.iter().flat_map(Volume::sources);
        volumes.any(|source| is_seen(&source))
            || template.containers.iter().any(|container| {
                let mut whole = container.env_from.iter().filter_map(EnvFrom::source);
                let mut keys = container.env.iter().filter_map(|variable| {
                    variable.value_from.as_ref()?.config_map_key_ref.as_ref()
                });
                whole.any(|source| is_seen(&source))
                    || keys.any(|key| maps.get(&key.name).is_some())
            })
    })
}
