//! `unlimited-migration`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Rule, Topic, configure, example, parameters,
    run_to_completion,
};
use crate::model::Resources;

pub(super) static RULE: Rule = Rule {
    id: "unlimited-migration",
    summary: "a migration container has no requests or no memory limit",
    why: "Without requests the scheduler puts the migration on a full node, where it is evicted \
          first: in the middle of DDL. Without a memory limit a backfill that reads a table into \
          memory takes its neighbours with it.",
    fix: "Set `resources.requests` for CPU and memory and `resources.limits.memory`. On hook Jobs \
          they are filled in at admission where they are absent.",
    sources: &["https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/"],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Jobs,
    places: Place::EVERYWHERE,
    example: example!("unlimited-migration"),
    configure: configure::<UnlimitedMigration>,
    parameters: parameters::<UnlimitedMigration>,
};

/// The rule's parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct UnlimitedMigration {
    /// Whether a CPU limit is needed too. A throttled migration holds its locks for longer.
    require_cpu_limit: bool,
}

impl Check for UnlimitedMigration {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        for migration in run_to_completion(context) {
            // What the container leaves out, the Pod as a whole may set.
            let levels = [
                migration.container.resources.as_ref(),
                migration.template.spec.resources.as_ref(),
            ];
            let set = |has: fn(&Resources<'_>) -> bool| levels.iter().flatten().any(|r| has(r));
            let cpu_limit = set(|r| r.limits.as_ref().is_some_and(|list| list.cpu.is_some()));
            let memory_limit = set(|r| r.limits.as_ref().is_some_and(|list| list.memory.is_some()));
            // Where only the limit is set, the API server makes it the request too.
            let cpu_request =
                cpu_limit || set(|r| r.requests.as_ref().is_some_and(|list| list.cpu.is_some()));
            let memory_request = memory_limit
                || set(|r| r.requests.as_ref().is_some_and(|list| list.memory.is_some()));
            let missing: Vec<&str> = [
                (cpu_request, "requests.cpu"),
                (memory_request, "requests.memory"),
                (cpu_limit || !self.require_cpu_limit, "limits.cpu"),
                (memory_limit, "limits.memory"),
            ]
            .into_iter()
            .filter_map(|(present, name)| (!present).then_some(name))
            .collect();
            if missing.is_empty() {
                continue;
            }
            let missing = missing.join(", ");
            findings.container(
                &RULE,
                migration,
                "resources",
                &missing,
                format!("migration container `{}` has no {missing}", migration.container.name),
                "set them under resources",
            );
        }
    }
}
