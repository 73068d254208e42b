//! What stands around the object of a case.

use jiff::Timestamp;

use super::given::{FactsGiven, UnknownFact};
use crate::model::{ActiveMigration, BackupReference, BackupState, Fact, Facts, GrantedApproval};

/// What the cluster of a case knows, beside labels and ConfigMaps.
#[derive(Clone, Debug)]
pub(super) struct Around {
    approvals: Fact<Vec<GrantedApproval>>,
    backups: Fact<Vec<(BackupReference, BackupState)>>,
    active: Fact<Vec<ActiveMigration>>,
}

impl Around {
    /// What `given` says; `digest` is that of the object, and `active` are the migrations that run.
    pub(super) fn new(
        given: &FactsGiven,
        active: Vec<ActiveMigration>,
        (digest, namespace, now): (&str, &str, Timestamp),
    ) -> Self {
        let granted = given.approvals.as_ref().map(|all| {
            all.iter().map(|approval| approval.granted(digest, namespace, now)).collect()
        });
        let backups = given
            .backups
            .as_ref()
            .map(|all| all.iter().filter_map(|backup| backup.state(now)).collect());
        let fact = |unknown| given.unknown.contains(&unknown);
        let backups = fact_of(backups, fact(UnknownFact::Backups));
        // Where somebody looks for backups there is a cluster, and so somebody who knows what runs.
        let in_cluster = given.active_migrations.is_some() || backups != Fact::NotAsked;
        Self {
            approvals: fact_of(granted, fact(UnknownFact::Approvals)),
            active: fact_of(in_cluster.then_some(active), fact(UnknownFact::ActiveMigrations)),
            backups,
        }
    }

    /// Adds what is known before anything is looked up.
    pub(super) fn add_to<'f>(&'f self, facts: &mut Facts<'f>) {
        facts.approvals = borrowed(&self.approvals);
        facts.active_migrations = borrowed(&self.active);
    }

    /// What became of a backup, if anybody looks.
    pub(super) fn backup(&self, wanted: &BackupReference) -> Fact<BackupState> {
        match &self.backups {
            Fact::Known(all) => {
                let found = all.iter().find(|(reference, _)| reference.is_same_as(wanted));
                Fact::Known(found.map_or(BackupState::Missing, |(_, state)| *state))
            }
            Fact::Unknown(why) => Fact::Unknown(why.clone()),
            Fact::NotAsked => Fact::NotAsked,
        }
    }
}

fn fact_of<T>(given: Option<T>, is_unknown: bool) -> Fact<T> {
    match given {
        _ if is_unknown => Fact::Unknown("the case says that nobody could tell".into()),
        Some(given) => Fact::Known(given),
        None => Fact::NotAsked,
    }
}

fn borrowed<T>(fact: &Fact<Vec<T>>) -> Fact<&[T]> {
    match fact {
        Fact::Known(all) => Fact::Known(all),
        Fact::Unknown(why) => Fact::Unknown(why.clone()),
        Fact::NotAsked => Fact::NotAsked,
    }
}
