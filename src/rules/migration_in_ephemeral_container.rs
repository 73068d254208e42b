//! `migration-in-ephemeral-container`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Check, Context, Findings, Level, Place, Rule, Topic, configure, example, parameters};
use crate::model::ContainerList;

pub(super) static RULE: Rule = Rule {
    id: "migration-in-ephemeral-container",
    summary: "a container that `kubectl debug` adds to a running Pod migrates",
    why: "A migration by hand, from inside a running Pod, is in no release: nobody reviewed it, \
          nothing records it, it has the application's credentials and no deadline, and it dies with \
          the Pod in the middle of a statement.",
    fix: "Put the migration into a hook Job of the release. In an emergency create a Job with the \
          approval annotations instead: it is seen, bounded and recorded.",
    sources: &["https://kubernetes.io/docs/concepts/workloads/pods/ephemeral-containers/"],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Placement,
    // The API server refuses them in a manifest.
    places: &[Place::Admission],
    example: example!("migration-in-ephemeral-container"),
    configure: configure::<MigrationInEphemeralContainer>,
    parameters: parameters::<MigrationInEphemeralContainer>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct MigrationInEphemeralContainer {}

impl Check for MigrationInEphemeralContainer {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        for migration in context.migrations() {
            let ephemeral = migration.container.list == ContainerList::Ephemeral;
            if !ephemeral || !migration.operation().is_schema_change() {
                continue;
            }
            findings.container(
                &RULE,
                migration,
                "",
                &migration.main.words,
                format!(
                    "ephemeral container `{}` migrates (`{}`) outside of any release",
                    migration.container.name, migration.main.words
                ),
                "run it in a Job, which is reviewed, bounded and recorded",
            );
        }
    }
}
