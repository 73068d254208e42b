//! `destructive-without-backup`

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    BackupWaiver, Check, Context, Findings, Level, Place, Rule, Topic, configure, example, kind_of,
    parameters,
};
use crate::{
    detect::{Confidence, Detection, Operation},
    model::{BackupState, ContainerList, Database, Fact, annotation},
};

pub(super) static RULE: Rule = Rule {
    id: "destructive-without-backup",
    summary: "a destructive migration names no backup and no reason to do without",
    why: "What is dropped is gone, and an approval does not bring it back. The minutes after a wrong \
          `DROP` are the worst ones to find out that the last backup is a week old.",
    fix: "Back up first, in a PreSync hook of an earlier wave or in an initContainer of the Job, and \
          name it on the Job: `tidegate.dev/backup: <what and where>`. Where no backup is needed, say \
          why in `tidegate.dev/backup-waiver`: it counts inside an approval that holds. A backup in \
          an initContainer of the same Pod, earlier in the same script, or in an earlier wave of the \
          same set of manifests, is seen. In a cluster a reference is looked up: `job/NAME`, \
          `volumesnapshot/NAME`, `backup.velero.io/NAME` and `backup.postgresql.cnpg.io/NAME` count \
          once they are complete, and as long as they are young enough.",
    sources: &[
        "https://www.postgresql.org/docs/current/backup.html",
        "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/",
    ],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Destructive,
    places: Place::EVERYWHERE,
    example: example!("destructive-without-backup"),
    configure: configure::<DestructiveWithoutBackup>,
    parameters: parameters::<DestructiveWithoutBackup>,
};

/// The rule's parameters.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct DestructiveWithoutBackup {
    /// Whether the second half of expand and contract counts as destructive.
    include_contract: bool,
    /// Greatest age of a backup that a cluster knows of, in hours.
    max_age_hours: u32,
    /// Whether the annotation is not enough where a cluster knows its backups.
    require_proof: bool,
}

impl Default for DestructiveWithoutBackup {
    fn default() -> Self {
        Self { include_contract: true, max_age_hours: 24, require_proof: false }
    }
}

impl Check for DestructiveWithoutBackup {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let mut any = false;
        for migration in context.migrations() {
            any = true;
            let Some((operation, words)) = self.unsaved(context, migration) else { continue };
            let name = &migration.container.name;
            let is = format!("`{words}` of container `{name}` is {}", kind_of(operation));
            match self.saved(context, operation) {
                Saved::Yes => {}
                Saved::Undecided(why) => {
                    findings.undecided(&RULE, migration.container.path.to_string(), why);
                }
                Saved::No(why, mend) => {
                    let runs = format!("{words}|{}", super::fingerprint(migration));
                    findings.container(&RULE, migration, "", runs, format!("{is} and {why}"), mend);
                }
            }
        }
        // An object in which no migration is recognised is what it declares itself to be.
        let declared = context.approval.declared_risk().filter(|risk| self.is_gated(*risk));
        if let Some(operation) = declared.filter(|_| !any) {
            let at = format!("metadata.annotations[{}]", annotation::RISK);
            match self.saved(context, operation) {
                Saved::Yes => {}
                Saved::Undecided(why) => findings.undecided(&RULE, at, why),
                Saved::No(why, mend) => {
                    let what = format!("it declares itself {} and {why}", kind_of(operation));
                    findings.object(&RULE, at, super::runs(context.object), what, mend);
                }
            }
        }
    }
}

/// Whether there is a backup, or a reason to do without.
enum Saved {
    Yes,
    Undecided(String),
    /// Why not, and how to mend it.
    No(&'static str, &'static str),
}

const NAME_IT: &str = "back up first and name it in tidegate.dev/backup, or state a reason in tidegate.dev/backup-waiver";

impl DestructiveWithoutBackup {
    fn is_gated(&self, operation: Operation) -> bool {
        match operation {
            Operation::Destructive => true,
            Operation::Contract => self.include_contract,
            _ => false,
        }
    }

    /// The first destructive command of a container that nothing in the same Pod saves before.
    fn unsaved<'c>(
        &self,
        context: &Context<'c>,
        migration: &'c Detection<'c>,
    ) -> Option<(Operation, &'c str)> {
        if has_backup_before(context, migration) {
            return None;
        }
        for invocation in &migration.invocations {
            let saves = invocation.operation == Operation::Backup
                && invocation.confidence > Confidence::Name;
            if saves {
                return None;
            }
            let operation = context.approval.operation(invocation);
            if self.is_gated(operation) {
                return Some((operation, &invocation.words));
            }
        }
        None
    }

    fn saved(&self, context: &Context<'_>, operation: Operation) -> Saved {
        match context.approval.backup_waiver(operation) {
            BackupWaiver::Holds { .. } => return Saved::Yes,
            BackupWaiver::Undecided { why } => return Saved::Undecided(why.to_owned()),
            BackupWaiver::Absent | BackupWaiver::DoesNotHold => {}
        }
        if matches!(context.facts.has_earlier_backup, Fact::Known(true)) {
            return Saved::Yes;
        }
        match &context.facts.named_backup {
            Fact::Known(state) => return self.proven(*state, context),
            Fact::Unknown(why) => return Saved::Undecided(why.clone().into_owned()),
            Fact::NotAsked => {}
        }
        let named = context.approval.backup().is_some();
        let asked = context.facts.backups != Fact::NotAsked;
        if named && !(asked && self.require_proof) {
            return Saved::Yes;
        }
        let waived = context.approval.backup_waiver(operation) == BackupWaiver::DoesNotHold;
        match &context.facts.backups {
            Fact::Known(_) if self.has_fresh(context) => Saved::Yes,
            Fact::Unknown(why) => Saved::Undecided(why.clone().into_owned()),
            _ if waived => {
                Saved::No("its backup waiver is in no approval that holds", "have it approved")
            }
            Fact::Known(_) if named => {
                Saved::No("no fresh backup of its database is known", "back up its database first")
            }
            Fact::Known(_) | Fact::NotAsked => Saved::No("names no backup", NAME_IT),
        }
    }

    /// What the state of the backup comes to that the object names.
    fn proven(&self, state: BackupState, context: &Context<'_>) -> Saved {
        const WAIT: &str = "wait until that backup is complete";
        const AGAIN: &str = "back up again and name that backup in tidegate.dev/backup";
        let max_age = SignedDuration::from_hours(i64::from(self.max_age_hours));
        match state {
            BackupState::Complete(at) if context.now.duration_since(at) <= max_age => Saved::Yes,
            BackupState::Complete(_) => Saved::No("the backup that it names is too old", AGAIN),
            BackupState::Unfinished => Saved::No("the backup that it names is not complete", WAIT),
            BackupState::Failed => Saved::No("the backup that it names has failed", AGAIN),
            BackupState::Missing => Saved::No("the backup that it names does not exist", AGAIN),
        }
    }

    /// True when the cluster has a backup of the same database that is young enough.
    fn has_fresh(&self, context: &Context<'_>) -> bool {
        let Fact::Known(backups) = &context.facts.backups else { return false };
        let containers = context.migrations().map(|migration| migration.container);
        let Some(database) = Database::of(context.object, context.namespace, containers) else {
            return false;
        };
        let max_age = SignedDuration::from_hours(i64::from(self.max_age_hours));
        backups.iter().any(|backup| {
            let age = context.now.duration_since(backup.completed);
            backup.database.is_same_as(&database) && age <= max_age
        })
    }
}

/// True when an initContainer of the same Pod saves data before this container starts.
fn has_backup_before(context: &Context<'_>, migration: &Detection<'_>) -> bool {
    context.detections.iter().any(|other| {
        let before = other.container.list == ContainerList::Init
            && (migration.container.list != ContainerList::Init
                || other.container.path.index() < migration.container.path.index());
        before
            && std::ptr::eq(other.template, migration.template)
            && other.operation() == Operation::Backup
            && other.main.confidence > Confidence::Name
    })
}
