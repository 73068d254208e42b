//! `parallel-migration`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Rule, Topic, configure, example, job_migrations,
    parameters,
};
use crate::model::annotation::TENANT;

pub(super) static RULE: Rule = Rule {
    id: "parallel-migration",
    summary: "a migration Job runs more than one Pod",
    why: "Two runs of the same migration race for the same tables. Tools that take a lock make the \
          second wait until its deadline; tools that take none corrupt each other's work.",
    fix: "Leave `parallelism` and `completions` at 1. Where each Pod migrates a database of its own, \
          say so with the annotation `tidegate.dev/tenant`.",
    sources: &["https://kubernetes.io/docs/concepts/workloads/controllers/job/#parallel-jobs"],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Jobs,
    places: Place::EVERYWHERE,
    example: example!("parallel-migration"),
    configure: configure::<ParallelMigration>,
    parameters: parameters::<ParallelMigration>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ParallelMigration {}

impl Check for ParallelMigration {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let tenant = context.object.metadata.annotation(TENANT);
        if tenant.is_some_and(|tenant| !tenant.trim().is_empty()) {
            return;
        }
        for (job, migration) in job_migrations(context) {
            if !migration.operation().is_schema_change() {
                continue;
            }
            for (field, count) in
                [("parallelism", job.parallelism), ("completions", job.completions)]
            {
                let Some(count) = count.filter(|count| *count > 1) else { continue };
                findings.object(
                    &RULE,
                    format!("{}.{field}", job.path),
                    count,
                    format!("`{}` runs in {count} Pods", migration.main.words),
                    format!("set {field} to 1, or declare the tenant with `{TENANT}`"),
                );
            }
        }
    }
}
