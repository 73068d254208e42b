//! What the other objects of a release tell about one of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Member, Place, Release};
use crate::model::{DatabaseSecret, Fact, Facts, NetworkPolicy, database_secrets};

/// What a release knows that none of its objects says alone.
#[derive(Debug, Default)]
pub struct Around {
    by_member: BTreeMap<usize, Neighbours>,
    runtime_secrets: BTreeMap<String, Vec<DatabaseSecret>>,
}

#[derive(Debug, Default)]
struct Neighbours {
    namespace: String,
    egress_is_limited: Option<bool>,
    has_earlier_backup: bool,
}

impl Around {
    /// Looks around each object of a release that migrates.
    pub fn of(release: &Release<'_>) -> Self {
        let policies: Vec<Placed<'_>> = release.members.iter().filter_map(Placed::of).collect();
        let mut around = Self::default();
        for (index, member) in release.members.iter().enumerate() {
            if member.migrates().is_none() {
                continue;
            }
            let neighbours = Neighbours {
                namespace: member.namespace.to_owned(),
                egress_is_limited: egress_is_limited(member, &policies),
                has_earlier_backup: has_earlier_backup(release, index, member),
            };
            around.by_member.insert(member.number, neighbours);
        }
        let mut secrets: BTreeMap<String, BTreeSet<DatabaseSecret>> = BTreeMap::new();
        for member in release.members.iter().filter(|member| member.is_application()) {
            let templates = member.object.templates.iter();
            let own = templates.flat_map(|it| &it.containers).flat_map(database_secrets);
            secrets.entry(member.namespace.to_owned()).or_default().extend(own);
        }
        around.runtime_secrets =
            secrets.into_iter().map(|(key, set)| (key, set.into_iter().collect())).collect();
        around
    }

    /// The numbers of the members that it knows something about.
    pub fn numbers(&self) -> impl Iterator<Item = usize> {
        self.by_member.keys().copied()
    }

    /// Adds what is known about the member with this number.
    pub fn add_to<'f>(&'f self, number: usize, facts: &mut Facts<'f>) {
        let Some(own) = self.by_member.get(&number) else { return };
        facts.has_earlier_backup = Fact::Known(own.has_earlier_backup);
        if let Some(limited) = own.egress_is_limited {
            facts.egress_is_limited = Fact::Known(limited);
        }
        if let Some(secrets) = self.runtime_secrets.get(&own.namespace) {
            facts.runtime_secrets = Fact::Known(secrets);
        }
    }
}

/// True when a backup is complete before a member starts, however the release is rolled out: one of
/// a database that is not known to be another.
fn has_earlier_backup(release: &Release<'_>, index: usize, member: &Member<'_>) -> bool {
    let is_complete = |backup: usize| {
        release.runs.iter().all(|run| {
            run.steps_of(index).all(|start| {
                let mut steps = run.steps_of(backup);
                steps.any(|step| release.place(step, start) == Place::Before)
            })
        })
    };
    release.backups().any(|(backup, saved)| {
        let both = saved.database.as_ref().zip(member.database.as_ref());
        backup != index
            && !both.is_some_and(|(one, other)| one.differs_from(other))
            && is_complete(backup)
    })
}

/// Whether a NetworkPolicy of the set limits where the Pods of a member may connect to. None where
/// the set has none for its namespace: they may be kept elsewhere.
fn egress_is_limited(member: &Member<'_>, policies: &[Placed<'_>]) -> Option<bool> {
    let mut own = policies.iter().filter(|it| it.namespace == member.namespace).peekable();
    own.peek()?;
    let template = member.object.templates.first()?;
    Some(own.any(|it| it.policy.limits_egress && it.policy.selects(&template.labels)))
}

/// A NetworkPolicy of the set.
struct Placed<'p> {
    namespace: &'p str,
    policy: NetworkPolicy,
}

impl<'p> Placed<'p> {
    fn of(member: &Member<'p>) -> Option<Self> {
        let gvk = member.object.gvk();
        if (gvk.group, gvk.kind) != ("networking.k8s.io", "NetworkPolicy") {
            return None;
        }
        let policy = NetworkPolicy::parse(member.object.spec)?;
        Some(Self { namespace: member.namespace, policy })
    }
}
