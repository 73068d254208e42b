//! `scheduled-migration`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Check, Context, Findings, Level, Place, Rule, Topic, configure, example, parameters};
use crate::{
    detect::{Operation, Site},
    model::{ContainerList, Lifetime},
};

pub(super) static RULE: Rule = Rule {
    id: "scheduled-migration",
    summary: "a schedule applies schema migrations",
    why: "A schema belongs to a release. On a schedule it changes at a time that has nothing to do \
          with the code that runs: a new image migrates at night before its application is rolled \
          out, or a rolled back application meets the schema of its successor the next morning.",
    fix: "Apply migrations in a hook Job of the release. A schedule is right for backups, for data \
          backfills and for upkeep. A CronJob with `suspend: true`, from which Jobs are made by hand, \
          is left alone.",
    sources: &["https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/"],
    since: "0.1.0",
    level: Level::Warn,
    topic: Topic::Placement,
    places: Place::EVERYWHERE,
    example: example!("scheduled-migration"),
    configure: configure::<ScheduledMigration>,
    parameters: parameters::<ScheduledMigration>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ScheduledMigration {}

impl Check for ScheduledMigration {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let object = context.object;
        if object.workload.lifetime() != Lifetime::Repeated || object.is_suspended {
            return;
        }
        for migration in context.migrations() {
            // An initContainer and a lifecycle hook are the wrong place by a rule of their own.
            let own =
                migration.container.list == ContainerList::Main && migration.site == Site::Command;
            if !own || !is_for_a_release(migration.operation()) {
                continue;
            }
            findings.container(
                &RULE,
                migration,
                "",
                &migration.main.words,
                format!(
                    "container `{}` migrates (`{}`) whenever the {} fires",
                    migration.container.name, migration.main.words, object.kind
                ),
                "run it once per release in a PreSync or pre-upgrade hook Job",
            );
        }
    }
}

/// Rows and the tool's own bookkeeping may be looked after at any time.
fn is_for_a_release(operation: Operation) -> bool {
    operation.is_schema_change() && operation != Operation::HistoryOnly
}
