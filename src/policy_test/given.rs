//! What a case says is known of the cluster, as users write it.
//!
//! Every struct refuses unknown keys. Doc comments here are the descriptions in the JSON Schema.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::document::{ObjectFrom, moment};
use crate::{
    decision::JOB,
    model::{ActiveMigration, BackupReference, BackupState, Database, GrantedApproval},
};

/// How long an approval holds of which a case does not say.
const HOLDS: SignedDuration = SignedDuration::from_hours(1);

/// What is known of the cluster. What is left out nobody asked for, as where there is no cluster.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FactsGiven {
    /// ConfigMaps in reach, as they stand in manifests.
    pub config_maps: Vec<Value>,
    /// Manifests whose ConfigMaps are in reach, relative to this file.
    pub files: Vec<String>,
    /// Every `MigrationApproval` of the namespace. Empty: there is none.
    pub approvals: Option<Vec<GrantGiven>>,
    /// The objects that `tidegate.dev/backup` may name: Jobs, snapshots of volumes, backups of Velero and
    /// of CNPG. One that is not here does not exist.
    pub backups: Option<Vec<BackupGiven>>,
    /// Every migration that runs. Empty: none does, which is what counts where `backups` are given.
    pub active_migrations: Option<Vec<ActiveGiven>>,
    /// What was asked for in vain: whatever depends on it is undecided.
    pub unknown: Vec<UnknownFact>,
}

/// A fact that could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum UnknownFact {
    /// The approvals of the namespace.
    Approvals,
    /// What became of the backup that the object names.
    Backups,
    /// The migrations that run.
    ActiveMigrations,
}

/// A `MigrationApproval`. What is left out stands not in it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GrantGiven {
    /// Its name. Default: `approval`.
    pub name: Option<String>,
    /// Who made it, as the API server authenticated them. Left out: nobody stamped it.
    pub approver: Option<String>,
    /// `spec.digest`. Default: that of the object before `change`.
    pub digest: Option<String>,
    /// `spec.content`.
    pub content: Option<String>,
    /// `spec.job`.
    pub job: Option<String>,
    /// `spec.ticket`.
    pub ticket: Option<String>,
    /// `spec.reason`.
    pub reason: Option<String>,
    /// `spec.backup`.
    pub backup: Option<String>,
    /// `spec.backupWaiver`.
    pub backup_waiver: Option<String>,
    /// `spec.expires`, RFC 3339. Default: an hour after the present.
    #[serde(deserialize_with = "moment")]
    #[schemars(with = "Option<String>")]
    pub expires: Option<Timestamp>,
    /// Uid of the Job that ran under it: `status.usedBy.uid`. Left out: none did.
    pub used_by: Option<String>,
}

/// An object that saved data, or tried to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupGiven {
    /// As `tidegate.dev/backup` names it: `job/NAME`, `volumesnapshot/NAME`,
    /// `backup.velero.io/[NAMESPACE/]NAME`, `backup.postgresql.cnpg.io/NAME`.
    pub reference: String,
    /// What became of it.
    pub state: BackupStateGiven,
    /// When it was complete, RFC 3339. Default: at the present.
    #[serde(default, deserialize_with = "moment")]
    #[schemars(with = "Option<String>")]
    pub completed: Option<Timestamp>,
}

/// What became of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BackupStateGiven {
    /// It is complete.
    Complete,
    /// It is not complete yet.
    Unfinished,
    /// It failed.
    Failed,
}

/// A migration that runs: of a database by its name, or a Job from a manifest.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ActiveGiven {
    /// Name of the Job. Default: that of `objectFrom`.
    pub name: Option<String>,
    /// Its namespace. Default: that of `objectFrom`, else that of the case.
    pub namespace: Option<String>,
    /// The database, as `tidegate.dev/database` names it.
    pub database: Option<String>,
    /// The tenant, as `tidegate.dev/tenant` names it.
    pub tenant: Option<String>,
    /// The Job, from a manifest: its database is told as that of any Job.
    pub object_from: Option<ObjectFrom>,
}

impl GrantGiven {
    /// The approval, in its namespace; `digest` is that of the object.
    pub(super) fn granted(&self, digest: &str, namespace: &str, now: Timestamp) -> GrantedApproval {
        let or =
            |text: &Option<String>, default: &str| text.as_deref().unwrap_or(default).to_owned();
        GrantedApproval {
            name: or(&self.name, "approval"),
            namespace: namespace.to_owned(),
            approver: or(&self.approver, ""),
            digest: or(&self.digest, digest),
            content: self.content.clone(),
            job: self.job.clone(),
            ticket: self.ticket.clone(),
            reason: self.reason.clone(),
            backup: self.backup.clone(),
            backup_waiver: self.backup_waiver.clone(),
            expires: self.expires.or_else(|| now.checked_add(HOLDS).ok()).unwrap_or(now),
            used_by: self.used_by.clone(),
        }
    }
}

impl BackupGiven {
    /// What it is, where that can be read, and what became of it.
    pub(super) fn state(&self, now: Timestamp) -> Option<(BackupReference, BackupState)> {
        let state = match self.state {
            BackupStateGiven::Complete => BackupState::Complete(self.completed.unwrap_or(now)),
            BackupStateGiven::Unfinished => BackupState::Unfinished,
            BackupStateGiven::Failed => BackupState::Failed,
        };
        Some((BackupReference::parse(&self.reference)?, state))
    }
}

impl ActiveGiven {
    /// The migration, where it names its database; `namespace` is that of the case.
    pub fn named(&self, namespace: &str) -> Option<ActiveMigration> {
        let database = Database::declared(self.database.clone()?);
        let database = match &self.tenant {
            Some(tenant) => database.of_tenant(tenant),
            None => database,
        };
        Some(ActiveMigration {
            kind: JOB,
            namespace: self.namespace.as_deref().unwrap_or(namespace).to_owned(),
            name: self.name.clone()?,
            database,
        })
    }
}
