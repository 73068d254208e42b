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
    since: "0.1.0",
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
        for run in &release.runs {
            for (index, migration) in release.migrations() {
                for start in run.steps_of(index) {
                    let late = late(release, run, migration, start);
                    for (backup, step) in late {
                        report(release, run, (backup, step), (migration, start), findings);
                    }
                }
            }
        }
    }
}

/// The backups of the database of a migration, unless one of them is complete before it starts: one
/// more afterwards does no harm.
fn late<'r>(
    release: &'r Release<'r>,
    run: &'r Run,
    migration: &Member<'_>,
    start: &Step,
) -> Vec<(&'r Member<'r>, &'r Step)> {
    let mut late = Vec::new();
    for (index, backup) in release.backups() {
        let differs = match (&backup.database, &migration.database) {
            (Some(one), Some(other)) => one.differs_from(other),
            _ => false,
        };
        if differs || backup.namespace != migration.namespace || backup.is_migration_step() {
            continue;
        }
        let is_complete = |step: &Step| release.place(step, start) == plan::Place::Before;
        if run.steps_of(index).any(is_complete) {
            return Vec::new();
        }
        late.extend(run.steps_of(index).next().map(|step| (backup, step)));
    }
    late
}

fn report(
    release: &Release<'_>,
    run: &Run,
    (backup, step): (&Member<'_>, &Step),
    (migration, start): (&Member<'_>, &Step),
    findings: &mut SetFindings,
) {
    let found = findings.on(step.member);
    // Once for each backup, however many migrations and rollouts there are.
    if !found.found.is_empty() {
        return;
    }
    let (engine, kind) = (release.engine.title(), &backup.object.kind);
    let (subject, when) = (migration.subject(), run.when(step));
    let (what, mend) = match release.place(step, start) {
        plan::Place::NotAwaited => (
            format!(
                "{subject} starts without waiting for it: {engine} does not know when a {kind} is complete"
            ),
            "make the backup a Job that ends when it is complete",
        ),
        plan::Place::Together => (
            format!("it starts together with {subject} in {when}"),
            "give the backup a lower wave than the migration",
        ),
        plan::Place::Before | plan::Place::After => (
            format!("it starts in {when}, after {subject} in {}", run.when(start)),
            "give the backup an earlier phase or a lower wave than the migration",
        ),
    };
    found.object(&RULE, "metadata.annotations", &subject, what, mend);
}
