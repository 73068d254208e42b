//! `migration-in-init-container`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Check, Context, Findings, Level, Place, Rule, Topic, configure, example, parameters};
use crate::{
    detect::Site,
    model::{ContainerList, Lifetime, WorkloadKind},
};

pub(super) static RULE: Rule = Rule {
    id: "migration-in-init-container",
    summary: "an initContainer of a workload migrates",
    why: "An initContainer runs in every Pod: once per replica, again after every restart, \
          eviction and scale-up, and several at the same time. Replicas race for the same schema, a \
          slow migration holds up the rollout, a failed one keeps new Pods from starting in the \
          middle of an incident, and a rollback runs the old migrations against the new schema. \
          Nothing records that a migration ran, and nobody can approve it.",
    fix: "Run the migration once per release, before the rollout: in a Job with the annotation \
          `argocd.argoproj.io/hook: PreSync` (or `helm.sh/hook: pre-install,pre-upgrade`). What only \
          waits for the schema may stay in the initContainer.",
    sources: &[
        "https://kubernetes.io/docs/concepts/workloads/pods/init-containers/",
        "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/",
    ],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Placement,
    places: Place::EVERYWHERE,
    example: example!("migration-in-init-container"),
    configure: configure::<MigrationInInitContainer>,
    parameters: parameters::<MigrationInInitContainer>,
};

/// The rule's parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct MigrationInInitContainer {
    /// Lets workloads migrate that have exactly one replica.
    allow_single_replica: bool,
}

impl Check for MigrationInInitContainer {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let object = context.object;
        // A Job runs once: there an initContainer is a step like any other.
        if object.workload.lifetime() == Lifetime::Once {
            return;
        }
        if self.allow_single_replica && is_single_replica(object.workload, object.replicas) {
            return;
        }
        for migration in context.migrations() {
            if migration.container.list != ContainerList::Init
                || migration.site != Site::Command
                || !migration.operation().is_schema_change()
            {
                continue;
            }
            findings.container(
                &RULE,
                migration,
                "",
                &migration.main.words,
                format!(
                    "initContainer `{}` migrates (`{}`) in every Pod, on every start",
                    migration.container.name, migration.main.words
                ),
                "run it once per release in a PreSync or pre-upgrade hook Job",
            );
        }
    }
}

/// Replicas left out mean one, for the kinds that have them.
fn is_single_replica(kind: WorkloadKind, replicas: Option<i64>) -> bool {
    matches!(
        kind,
        WorkloadKind::Deployment
            | WorkloadKind::StatefulSet
            | WorkloadKind::ReplicaSet
            | WorkloadKind::ReplicationController
            | WorkloadKind::Rollout
            | WorkloadKind::DeploymentConfig
    ) && replicas.unwrap_or(1) <= 1
}
