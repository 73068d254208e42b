//! `migration-in-app-container`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Check, Context, Findings, Level, Place, Rule, Topic, configure, example, parameters};
use crate::{
    detect::Site,
    model::{ContainerList, Lifetime, PodTemplate, WorkloadKind},
};

pub(super) static RULE: Rule = Rule {
    id: "migration-in-app-container",
    summary: "a long-running container migrates before it serves",
    why: "A container that runs `migrate && serve` migrates once per replica and again on every \
          restart. Replicas race, the readiness of the application hangs on the database's locks, a \
          liveness probe may kill a migration half-way, and a rolled back image still migrates.",
    fix: "Move the migration to a PreSync or pre-upgrade hook Job and let the container only serve.",
    sources: &[
        "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/",
        "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/",
    ],
    since: "0.1.0",
    level: Level::Warn,
    topic: Topic::Placement,
    places: Place::EVERYWHERE,
    example: example!("migration-in-app-container"),
    configure: configure::<MigrationInAppContainer>,
    parameters: parameters::<MigrationInAppContainer>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct MigrationInAppContainer {}

impl Check for MigrationInAppContainer {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        for migration in context.migrations() {
            let listed =
                matches!(migration.container.list, ContainerList::Main | ContainerList::Sidecar);
            if !listed
                || migration.site != Site::Command
                || !migration.operation().is_schema_change()
                || !is_long_running(context.object.workload, migration.template)
            {
                continue;
            }
            findings.container(
                &RULE,
                migration,
                "",
                &migration.main.words,
                format!(
                    "container `{}` migrates (`{}`) on every start of every replica",
                    migration.container.name, migration.main.words
                ),
                "run it once per release in a PreSync or pre-upgrade hook Job",
            );
        }
    }
}

/// A bare Pod is long-running unless its restart policy says that it ends.
fn is_long_running(kind: WorkloadKind, template: &PodTemplate<'_>) -> bool {
    match kind.lifetime() {
        Lifetime::LongRunning => true,
        Lifetime::Once | Lifetime::Repeated => false,
        Lifetime::AsWritten => {
            template.spec.restart_policy.as_ref().is_none_or(|policy| policy == "Always")
        }
    }
}
