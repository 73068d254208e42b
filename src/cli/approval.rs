//! The objects of a set and what is approved in them: what `digest`, `approve` and `verify` share.

use jiff::Timestamp;

use super::{
    manifests::{Manifest, Seen},
    set::{Part, Set},
};
use crate::{
    detect::{Detection, Detector},
    model::{Facts, Object},
    policy::{Policy, PolicySet, Subject, assess},
    render::InputError,
    rules::Approval,
};

/// One object that migrates.
pub(super) struct Migrating<'a> {
    pub(super) part: &'a Part<'a>,
    pub(super) manifest: &'a Manifest,
    pub(super) object: &'a Object<'a>,
    pub(super) detections: &'a [Detection<'a>],
    pub(super) facts: &'a Facts<'a>,
    /// The namespace that it goes to, and whether it or the user says so.
    pub(super) namespace: &'a str,
    pub(super) stated_namespace: Option<&'a str>,
    /// The policy for its namespace; none when there is none.
    pub(super) policy: Option<&'a Policy>,
}

impl Migrating<'_> {
    /// `Kind/name`.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.manifest.kind, self.manifest.name)
    }

    /// What is approved in it, as it stands in the file or as `json` has it.
    pub(super) fn assess(&self, requester: &str, now: Timestamp) -> Approval {
        self.policy.map_or_else(Approval::default, |policy| {
            assess(&policy.approvals, &self.subject(self.object, requester, now))
        })
    }

    /// What another version of the object is held against.
    pub(super) fn subject<'s>(
        &'s self,
        object: &'s Object<'s>,
        requester: &'s str,
        now: Timestamp,
    ) -> Subject<'s> {
        Subject {
            object,
            detections: self.detections,
            facts: self.facts,
            namespace: self.namespace,
            requester,
            now,
        }
    }
}

/// `look` at every object that migrates or declares a risk, in order, and everything that could not
/// be read.
pub(super) fn each<R: Send>(
    policies: &PolicySet,
    set: &Set<'_>,
    look: impl Fn(&Migrating<'_>) -> R + Sync,
) -> (Vec<R>, Vec<InputError>) {
    let (mut looked, mut errors) = (Vec::new(), Vec::new());
    let parts = set.map(|part, seen| {
        let one = |seen: &Seen| match seen {
            Seen::Manifest(manifest) => object(policies, set, part, manifest, &look),
            Seen::Own | Seen::Foreign | Seen::Exception(_) => Ok(None),
            Seen::Broken(error) => Err(part.error(error.position, &error.message)),
        };
        seen.iter().map(one).collect::<Vec<_>>()
    });
    for part in parts {
        match part {
            Ok(part) => {
                for object in part {
                    match object {
                        Ok(object) => looked.extend(object),
                        Err(error) => errors.push(error),
                    }
                }
            }
            Err(error) => errors.push(error),
        }
    }
    errors.extend(set.nothing());
    (looked, errors)
}

fn object<R>(
    policies: &PolicySet,
    set: &Set<'_>,
    part: &Part<'_>,
    manifest: &Manifest,
    look: &impl Fn(&Migrating<'_>) -> R,
) -> Result<Option<R>, InputError> {
    let object = Object::parse(&manifest.json)
        .map_err(|error| part.error(manifest.position, &error.to_string()))?;
    let namespace = set.namespace(manifest);
    let facts = set.facts(part, manifest);
    let policy = policies.select(namespace, &facts).policy;
    let detector = policy.map_or(Detector::built_in(), |policy| &policy.detector);
    let detections = detector.detect(&object, facts.config_maps);
    let migrates = detections.iter().any(Detection::is_migration);
    let declares = object.metadata.annotation(crate::model::annotation::RISK).is_some();
    if !migrates && !declares {
        return Ok(None);
    }
    Ok(Some(look(&Migrating {
        part,
        manifest,
        object: &object,
        detections: &detections,
        facts: &facts,
        namespace,
        stated_namespace: set.stated_namespace(manifest),
        policy,
    })))
}
