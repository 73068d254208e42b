//! `backup-after-migration`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Level, Place, Rule, SetContext, SetFindings, Topic, configure, example, parameters,
};
use crate::plan::{self, Member, Release, Run, Step};

pub(super) static RULE: Rule = Rule {
    id: "backup-after-migration",
    summary: "a backup of the same release is not complete before the migration starts",
    why: "Hooks of one wave start together, and a backup taken during a migration holds neither the \
          old schema nor the new one. Argo CD waits only for kinds whose health it can judge: a \
          Velero or CloudNativePG `Backup` counts as done the moment it is applied, in whatever wave \
          it stands. (Argo CD 3.6 has no health check for them; where a cluster has one of its own, \
          except the rule.)",
    fix: "Give the backup a lower `argocd.argoproj.io/sync-wave` than the migration (`helm.sh/hook-weight` \
          with Helm), as a Job that ends when the backup is complete, for example with `kubectl wait`.",
    sources: &[
        "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/",
        "https://argo-cd.readthedocs.io/en/stable/operator-manual/health/",
    ],
    since: "0.2.0",
    level: Level::Deny,
    topic: Topic::Destructive,
    places: Place::RELEASE,
    example: example!("backup-after-migration"),
    configure: configure::<BackupAfterMigration>,
    parameters: parameters::<BackupAfterMigration>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct BackupAfterMigration {}

impl Check for BackupAfterMigration {
    fn check_set(&self, context: &SetContext<'_>, findings: &mut SetFindings) {
        let release = context.release;
        for (index, backup) in release.members.iter().enumerate() {
            if !backup.is_backup() || backup.is_migration_step() {
                continue;
            }
            let late = release.runs.iter().find_map(|run| late(release, run, index, backup));
            if let Some((run, step, migration, start, place)) = late {
                let subject = migration.subject();
                let stage = step.stage.title(run.rollout);
                let (what, mend) = match place {
                    plan::Place::NotAwaited => (
                        format!(
                            "{subject} starts without waiting for it: {} does not know when a {} is complete",
                            release.engine.title(),
                            backup.object.kind
                        ),
                        "make the backup a Job that ends when it is complete",
                    ),
                    plan::Place::Together => (
                        format!("it starts together with {subject} in {stage} wave {}", start.wave),
                        "give the backup a lower wave than the migration",
                    ),
                    plan::Place::Before | plan::Place::After => (
                        format!(
                            "it starts in {stage} wave {}, after {subject} in {} wave {}",
                            step.wave,
                            start.stage.title(run.rollout),
                            start.wave
                        ),
                        "give the backup an earlier phase or a lower wave than the migration",
                    ),
                };
                findings.on(index).object(&RULE, "metadata.annotations", &subject, what, mend);
            }
        }
    }
}

/// The first migration of the same database that no backup is complete before.
fn late<'r>(
    release: &'r Release<'r>,
    run: &'r Run,
    index: usize,
    backup: &Member<'_>,
) -> Option<(&'r Run, &'r Step, &'r Member<'r>, &'r Step, plan::Place)> {
    let database = backup.database();
    run.steps.iter().find_map(|start| {
        let migration = release.members.get(start.member)?;
        if !migration.is_migration_step() || migration.namespace != backup.namespace {
            return None;
        }
        let own = migration.database();
        if database.iter().zip(&own).any(|(one, other)| one.differs_from(other)) {
            return None;
        }
        // One more backup afterwards does no harm.
        let is_saved = run.steps.iter().any(|step| {
            release.members.get(step.member).is_some_and(Member::is_backup)
                && release.place(step, start) == plan::Place::Before
        });
        let step = run.steps_of(index).next().filter(|_| !is_saved)?;
        Some((run, step, migration, start, release.place(step, start)))
    })
}
