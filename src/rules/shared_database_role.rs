//! `shared-database-role`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Rule, Topic, configure, example, parameters,
    run_to_completion,
};
use crate::model::{Fact, database_secrets};

pub(super) static RULE: Rule = Rule {
    id: "shared-database-role",
    summary: "a migration and the running application use the same database Secret",
    why: "A migration may change the schema, so the role behind its Secret may. When the application \
          uses the same one, an SQL injection in it can drop tables, and the password that a \
          migration needs for a minute lives in every Pod. Which Secrets workloads use is known to a \
          set of manifests and to a cluster: for one file alone the rule is silent.",
    fix: "Give migrations a role of their own that owns the schema, in a Secret of its own, and the \
          application one that may only read and write rows.",
    sources: &[
        "https://www.postgresql.org/docs/current/ddl-priv.html",
        "https://owasp.org/www-community/attacks/SQL_Injection",
    ],
    since: "0.1.0",
    level: Level::Audit,
    topic: Topic::Security,
    places: &[Place::Manifests, Place::Cluster],
    example: example!("shared-database-role"),
    configure: configure::<SharedDatabaseRole>,
    parameters: parameters::<SharedDatabaseRole>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct SharedDatabaseRole {}

impl Check for SharedDatabaseRole {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        for migration in run_to_completion(context) {
            let own = database_secrets(migration.container);
            if own.is_empty() || !migration.operation().is_schema_change() {
                continue;
            }
            let running = match &context.facts.runtime_secrets {
                Fact::NotAsked => continue,
                Fact::Unknown(why) => {
                    findings.undecided(
                        &RULE,
                        format!("{}.env", migration.container.path),
                        why.clone(),
                    );
                    continue;
                }
                Fact::Known(running) => running,
            };
            let Some(shared) =
                own.iter().find(|one| running.iter().any(|other| one.overlaps(other)))
            else {
                continue;
            };
            findings.container(
                &RULE,
                migration,
                "env",
                &shared.name,
                format!(
                    "`{}` uses Secret `{}`, as do workloads that keep running",
                    migration.main.words, shared.name
                ),
                "give the migration a database role and a Secret of its own",
            );
        }
    }
}
