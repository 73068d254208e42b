//! What stands around an object: what a cluster knows, or a set, and a manifest does not.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;

use super::{BackupState, ConfigMaps, Database, DatabaseSecret};

/// A fact, or why it is not known.
///
/// Not knowing is never read as "nothing there": what depends on an unknown fact is undecided, and
/// the policy's `onUndecided` settles it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact<T> {
    /// It is this.
    Known(T),
    /// It was looked for and nobody could tell, and this is why: a clause that reads on after
    /// "because".
    Unknown(Cow<'static, str>),
    /// Nobody looked, because there is nowhere to look: a file has no cluster around it. Rules that
    /// need the fact are silent, since no answer could be had; their pages say so.
    NotAsked,
}

/// The labels of a namespace.
pub type Labels = BTreeMap<String, String>;

/// Everything that was gathered before a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Labels of the object's namespace. Known and empty for a cluster-scoped object.
    pub namespace_labels: Fact<&'a Labels>,
    /// The ConfigMaps that the object may refer to: scripts, statements and variables stand in
    /// them. One that is not in reach is not known, whatever it holds.
    pub config_maps: ConfigMaps<'a>,
    /// The migrations that run now, in any namespace.
    pub active_migrations: Fact<&'a [ActiveMigration]>,
    /// The backups that have succeeded, as far back as they are kept, in any namespace.
    pub backups: Fact<&'a [Backup]>,
    /// What became of the backup that the object names, where it names an object of the cluster.
    pub named_backup: Fact<BackupState>,
    /// True when a backup of the same release, of a database that is not known to be another, is
    /// complete before the object starts.
    pub has_earlier_backup: Fact<bool>,
    /// Whether a NetworkPolicy limits what the object's Pods may reach.
    pub egress_is_limited: Fact<bool>,
    /// What the long-running workloads of the object's namespace take their way into a database
    /// from.
    pub runtime_secrets: Fact<&'a [DatabaseSecret]>,
    /// The approval resources of the object's namespace.
    pub approvals: Fact<&'a [GrantedApproval]>,
}

/// An approval that is an object of the cluster: a `MigrationApproval`, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedApproval {
    /// Its name.
    pub name: String,
    /// Its namespace, the only one that it is for.
    pub namespace: String,
    /// Who created it, as the API server authenticated them; empty where nobody stamped it.
    pub approver: String,
    /// The digest of what may run.
    pub digest: String,
    /// The digest of what the ConfigMaps held that the approver saw.
    pub content: Option<String>,
    /// Names of Jobs that it is for, with `*` for any text.
    pub job: Option<String>,
    /// Where it was agreed.
    pub ticket: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// What was or will be backed up.
    pub backup: Option<String>,
    /// Why nothing is.
    pub backup_waiver: Option<String>,
    /// From when on it covers nothing.
    pub expires: Timestamp,
    /// Uid of the Job that used it first; empty where a Job did whose uid nobody knows yet.
    pub used_by: Option<String>,
}

/// A migration that runs now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveMigration {
    /// What runs it: `Job`, or a workload that migrates while it rolls out.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What it works on.
    pub database: Database,
}

/// A backup that has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// What was saved.
    pub database: Database,
    /// When it was complete.
    pub completed: Timestamp,
}

impl<'a> Facts<'a> {
    /// Facts of which only the namespace's labels were looked for.
    pub fn new(namespace_labels: Fact<&'a Labels>) -> Self {
        Self {
            namespace_labels,
            config_maps: ConfigMaps::NONE,
            active_migrations: Fact::NotAsked,
            backups: Fact::NotAsked,
            named_backup: Fact::NotAsked,
            has_earlier_backup: Fact::NotAsked,
            egress_is_limited: Fact::NotAsked,
            runtime_secrets: Fact::NotAsked,
            approvals: Fact::NotAsked,
        }
    }
}
