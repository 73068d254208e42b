//! `concurrent-migration`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Rule, Topic, configure, example, parameters,
    run_to_completion,
};
use crate::model::{ActiveMigration, Database, Fact, annotation::DATABASE};

pub(super) static RULE: Rule = Rule {
    id: "concurrent-migration",
    summary: "another migration of the same database is running",
    why: "Two migrations of one database wait for each other's locks until one is killed, or, where \
          the tool takes none, undo each other. It happens when a release is started while the last \
          one still migrates, or when two applications share a database. What is running is known to \
          a cluster alone: on files the rule is silent.",
    fix: "Wait until the other one has finished. Name the database in `tidegate.dev/database` on every \
          Job that migrates it; without it two Jobs are known to share one only when they are in the \
          same namespace and take their credentials from the same Secret. Databases of tenants are \
          told apart by `tidegate.dev/tenant`.",
    sources: &[
        "https://www.postgresql.org/docs/current/explicit-locking.html",
        "https://argo-cd.readthedocs.io/en/stable/user-guide/resource_hooks/",
    ],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Cluster,
    places: &[Place::Admission, Place::Cluster],
    example: example!("concurrent-migration"),
    configure: configure::<ConcurrentMigration>,
    parameters: parameters::<ConcurrentMigration>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ConcurrentMigration {}

impl Check for ConcurrentMigration {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let schema: Vec<_> = run_to_completion(context)
            .filter(|migration| migration.operation().is_schema_change())
            .collect();
        let Some(first) = schema.first() else { return };
        let containers = schema.iter().map(|migration| migration.container);
        let Some(database) = Database::of(context.object, context.namespace, containers) else {
            return;
        };
        let at = format!("metadata.annotations[{DATABASE}]");
        let active = match &context.facts.active_migrations {
            Fact::NotAsked => return,
            Fact::Unknown(why) => return findings.undecided(&RULE, at, why.clone()),
            Fact::Known(active) => active,
        };
        for ActiveMigration { namespace, name, database: other } in *active {
            let itself =
                namespace == context.namespace && *name == context.object.metadata.name.as_str();
            if itself || !database.is_same_as(other) {
                continue;
            }
            findings.object(
                &RULE,
                at.as_str(),
                format!("{namespace}/{name}"),
                format!(
                    "`{}` would run beside Job {namespace}/{name}, which migrates the same database",
                    first.main.words
                ),
                "wait until that Job has finished",
            );
        }
    }
}
