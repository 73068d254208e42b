//! `lockless-migration-tool`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Rule, Topic, configure, example, parameters,
    run_to_completion,
};
use crate::model::annotation::DATABASE;

pub(super) static RULE: Rule = Rule {
    id: "lockless-migration-tool",
    summary: "nothing keeps two runs of this migration tool from meeting",
    why: "Some tools take a lock in the database, so that a second run waits for the first. Others take \
          none: when a Job is retried while its Pod still runs on a lost node, or two releases \
          overlap, both apply the same steps at once, and what one has done fails in the other or is \
          done twice.",
    fix: "Say which database it is with the annotation `tidegate.dev/database`, so that \
          `concurrent-migration` lets one run at a time, or let the tool take a lock: a session locker \
          for goose, an advisory lock in `env.py` for Alembic, `lock_timeout` and \
          `pg_advisory_lock` in a script.",
    sources: &[
        "https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS",
        "https://pressly.github.io/goose/documentation/provider/",
        "https://alembic.sqlalchemy.org/en/latest/cookbook.html",
        "https://kubernetes.io/docs/concepts/workloads/controllers/job/#handling-pod-and-container-failures",
    ],
    since: "0.1.0",
    level: Level::Audit,
    topic: Topic::Jobs,
    places: Place::EVERYWHERE,
    example: example!("lockless-migration-tool"),
    configure: configure::<LocklessMigrationTool>,
    parameters: parameters::<LocklessMigrationTool>,
};

/// The rule's parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct LocklessMigrationTool {
    /// Ids of tools that take a lock here, because they are set up to.
    locking_tools: Vec<String>,
}

impl Check for LocklessMigrationTool {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let declared = context.object.metadata.annotation(DATABASE);
        if declared.is_some_and(|database| !database.trim().is_empty()) {
            return;
        }
        for migration in run_to_completion(context) {
            let tool = migration.main.tool;
            let locks = self.locking_tools.iter().any(|id| id == tool)
                || context.detector.waits_for_itself(tool) != Some(false);
            if locks || !migration.operation().is_schema_change() {
                continue;
            }
            findings.container(
                &RULE,
                migration,
                "",
                tool,
                format!("`{}` takes no lock: a second run does not wait", migration.main.words),
                format!("name the database with `{DATABASE}`, or let it take a lock"),
            );
        }
    }
}
