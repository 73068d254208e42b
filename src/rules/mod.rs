//! One file a rule.
//!
//! A rule is a `static RULE` of plain data, a struct of parameters that implements [`Check`], one
//! line in [`ALL`], and a folder of fixtures under `tests/rules/`. Everything else follows: its
//! page, its parameters in the policy, its messages.

mod approval;
mod approval_gate;
mod backup_after_migration;
mod concurrent_migration;
mod definition;
mod destructive_with_rollout;
mod destructive_without_backup;
mod duplicate_hook_job;
mod finding;

mod hook_deletes_shared_object;
mod hook_needs_later_object;
mod inline_credentials;
mod invalid_sync_wave;
mod lockless_migration_tool;
mod migration_after_rollout;
mod migration_in_app_container;
mod migration_in_ephemeral_container;
mod migration_in_init_container;
mod migration_in_lifecycle_hook;
mod migration_outside_hook;
mod migration_runs_twice;
mod missing_verification;
mod mounted_service_account_token;
mod mutable_migration_image;
mod parallel_migration;
mod repair;
mod retried_migration;
mod root_migration;
mod scheduled_migration;
mod shared_database_role;
mod short_lived_migration_job;
mod sidecar_blocks_migration;
mod suspended_hook;
mod unapproved_destructive_migration;
mod unapproved_rollback;
mod unbounded_migration_job;
mod undeclared_risk;
mod unguarded_migration_resource;
mod unknown_hook;
mod unlimited_migration;
mod unreplaceable_hook;
mod unrestricted_egress;
mod unsafe_sql;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    detect::{Detection, Detector, Operation, Site},
    model::{ContainerList, Database, Facts, Job, Object, WorkloadKind},
    plan::Release,
};

pub(crate) use approval::Grant;
pub(crate) use approval::Risk;
pub use approval::{Approval, BackupWaiver, Standing};
use approval_gate::{fingerprint, gate, kind_of, runs};
pub use definition::{Example, Parameter, Place, Topic};
use definition::{configure, example, parameters};
pub use finding::{Finding, Findings, SetFindings, Undecided};
pub use repair::Repair;
use repair::replace_words;

/// Longest deadline of a migration Job that is admitted unless a policy says otherwise, in seconds.
pub const DEFAULT_MAX_DEADLINE_SECONDS: i64 = 3_600;

/// Every built-in rule, sorted by id.
pub static ALL: &[&Rule] = &[
    &backup_after_migration::RULE,
    &concurrent_migration::RULE,
    &destructive_with_rollout::RULE,
    &destructive_without_backup::RULE,
    &duplicate_hook_job::RULE,
    &hook_deletes_shared_object::RULE,
    &hook_needs_later_object::RULE,
    &inline_credentials::RULE,
    &invalid_sync_wave::RULE,
    &lockless_migration_tool::RULE,
    &migration_after_rollout::RULE,
    &migration_in_app_container::RULE,
    &migration_in_ephemeral_container::RULE,
    &migration_in_init_container::RULE,
    &migration_in_lifecycle_hook::RULE,
    &migration_outside_hook::RULE,
    &migration_runs_twice::RULE,
    &missing_verification::RULE,
    &mounted_service_account_token::RULE,
    &mutable_migration_image::RULE,
    &parallel_migration::RULE,
    &retried_migration::RULE,
    &root_migration::RULE,
    &scheduled_migration::RULE,
    &shared_database_role::RULE,
    &short_lived_migration_job::RULE,
    &sidecar_blocks_migration::RULE,
    &suspended_hook::RULE,
    &unapproved_destructive_migration::RULE,
    &unapproved_rollback::RULE,
    &unbounded_migration_job::RULE,
    &undeclared_risk::RULE,
    &unguarded_migration_resource::RULE,
    &unknown_hook::RULE,
    &unlimited_migration::RULE,
    &unreplaceable_hook::RULE,
    &unrestricted_egress::RULE,
    &unsafe_sql::RULE,
];

/// What is fixed about a rule: everything its page is made of.
#[derive(Debug)]
pub struct Rule {
    /// Stable, kebab-case, named after the thing that is wrong.
    pub id: &'static str,
    /// One line without a full stop, at most 80 characters.
    pub summary: &'static str,
    /// What goes wrong in production.
    pub why: &'static str,
    /// How to mend it.
    pub fix: &'static str,
    /// Where the facts come from.
    pub sources: &'static [&'static str],
    /// The release that brought it.
    pub since: &'static str,
    /// The level where a policy does not say.
    pub level: Level,
    /// What it is about.
    pub topic: Topic,
    /// Where it can be asked.
    pub places: &'static [Place],
    /// What it finds something in, and how that is mended.
    pub example: Example,
    /// Builds the check from its parameters; runs once, when a policy loads.
    pub configure: fn(Value) -> Result<Box<dyn Check>, ParameterError>,
    /// The parameters, their defaults and what they do.
    pub parameters: fn() -> Vec<Parameter>,
}

/// The rule with this id.
pub fn find(id: &str) -> Option<&'static Rule> {
    ALL.iter().copied().find(|rule| rule.id == id)
}

/// Parameters that do not fit their rule.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct ParameterError {
    /// The parameter that is wrong, as a path inside `params`.
    pub path: String,
    /// What is wrong with it.
    pub source: serde_json::Error,
}

/// How a policy treats what a rule finds.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema,
)]
pub enum Level {
    /// The rule does not run.
    Off,
    /// Reported, nothing more.
    Audit,
    /// Admitted with a warning to whoever asked.
    Warn,
    /// Refused.
    Deny,
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;

        impl serde::de::Visitor<'_> for Word {
            type Value = Level;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`Off`, `Audit`, `Warn` or `Deny`")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Level, E> {
                match word {
                    "Off" => Ok(Level::Off),
                    "Audit" => Ok(Level::Audit),
                    "Warn" => Ok(Level::Warn),
                    "Deny" => Ok(Level::Deny),
                    other => Err(E::unknown_variant(other, &["Off", "Audit", "Warn", "Deny"])),
                }
            }

            /// `Off` without quotes is the boolean in YAML as Kubernetes reads it.
            fn visit_bool<E: serde::de::Error>(self, on: bool) -> Result<Level, E> {
                if on {
                    Err(E::invalid_type(serde::de::Unexpected::Bool(on), &self))
                } else {
                    Ok(Level::Off)
                }
            }
        }

        deserializer.deserialize_any(Word)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "Off",
            Self::Audit => "Audit",
            Self::Warn => "Warn",
            Self::Deny => "Deny",
        })
    }
}

/// What a rule may look at.
#[derive(Clone, Copy, Debug)]
pub struct Context<'c> {
    /// The object.
    pub object: &'c Object<'c>,
    /// Its namespace, also where the object leaves it out; empty when it is cluster-scoped.
    pub namespace: &'c str,
    /// True when the object is there already and is being changed.
    pub is_update: bool,
    /// What was looked with.
    pub detector: &'c Detector,
    /// What its containers do.
    pub detections: &'c [Detection<'c>],
    /// What somebody approved, and what the object declares of itself.
    pub approval: &'c Approval,
    /// What the cluster knows.
    pub facts: &'c Facts<'c>,
    /// The present.
    pub now: Timestamp,
}

impl<'c> Context<'c> {
    /// The containers that migrate, as far as more than a name tells.
    pub fn migrations(&self) -> impl Iterator<Item = &'c Detection<'c>> {
        self.detections.iter().filter(|detection| detection.is_migration())
    }
}

/// A configured rule.
///
/// Total: the same context always gives the same findings, and nothing is read but the arguments.
pub trait Check: fmt::Debug + Send + Sync {
    /// Adds one finding for each thing that is wrong with one object.
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let _ = (context, findings);
    }

    /// Adds one finding for each thing that is wrong with one object of a release, as far as it
    /// only shows beside the others.
    fn check_set(&self, context: &SetContext<'_>, findings: &mut SetFindings) {
        let _ = (context, findings);
    }
}

/// What a rule over a whole release may look at.
#[derive(Clone, Copy, Debug)]
pub struct SetContext<'c> {
    /// The release.
    pub release: &'c Release<'c>,
    /// The same application as it was before; none when nobody said.
    pub before: Option<&'c Release<'c>>,
    /// The present.
    pub now: Timestamp,
}

/// The migrations that run in a Job, or in a Job that a CronJob or another kind makes.
fn job_migrations<'c>(context: &Context<'c>) -> impl Iterator<Item = (&'c Job, &'c Detection<'c>)> {
    let mut seen = Vec::new();
    context.migrations().filter_map(move |migration| {
        let job = migration.template.job.as_ref()?;
        // One finding for the Job, however many of its containers migrate.
        if seen.contains(&&job.path) {
            return None;
        }
        seen.push(&job.path);
        Some((job, migration))
    })
}

/// The migrations of Jobs and bare Pods: those that are where a migration may be, and so have to
/// be in order. Elsewhere the finding is that they are there.
fn run_to_completion<'c>(context: &Context<'c>) -> impl Iterator<Item = &'c Detection<'c>> {
    let bare_pod = context.object.workload == WorkloadKind::Pod;
    context.migrations().filter(move |migration| {
        let runs = matches!(migration.container.list, ContainerList::Init | ContainerList::Main);
        runs && migration.site == Site::Command && (bare_pod || migration.template.job.is_some())
    })
}

/// The migrations among what was found in a Job: what it runs, beside hooks of its life cycle.
pub(crate) fn run_by_job<'c>(
    detections: &'c [Detection<'c>],
) -> impl Iterator<Item = &'c Detection<'c>> {
    detections.iter().filter(|migration| {
        let runs = matches!(migration.container.list, ContainerList::Init | ContainerList::Main);
        runs && migration.site == Site::Command && migration.is_migration()
    })
}

/// True when something of what was found, or what is declared, destroys data.
pub(crate) fn destroys(detections: &[Detection<'_>], approval: &Approval) -> bool {
    let gated = |operation| matches!(operation, Operation::Destructive | Operation::Contract);
    let found = detections.iter().flat_map(|detection| &detection.invocations);
    found.map(|invocation| approval.operation(invocation)).any(gated)
        || approval.declared_risk().is_some_and(gated)
}

/// The database whose schema a Job changes, where it is known.
pub(crate) fn migrated_database(
    object: &Object<'_>,
    namespace: &str,
    detections: &[Detection<'_>],
) -> Option<Database> {
    let schema =
        || run_by_job(detections).filter(|migration| migration.operation().is_schema_change());
    schema().next()?;
    Database::of(object, namespace, schema().map(|migration| migration.container))
}
