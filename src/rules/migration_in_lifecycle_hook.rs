//! `migration-in-lifecycle-hook`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Check, Context, Findings, Level, Place, Rule, Topic, configure, example, parameters};
use crate::{detect::Site, model::ContainerList};

pub(super) static RULE: Rule = Rule {
    id: "migration-in-lifecycle-hook",
    summary: "a lifecycle hook migrates: `postStart`, or one of a DeploymentConfig",
    why: "`postStart` runs beside the container's own process, in every Pod and on every start: the \
          application may serve before the schema is there, nothing logs what the hook prints, and \
          when it fails the container is killed and started again. A lifecycle hook of an OpenShift \
          DeploymentConfig runs once a rollout, but again whenever the rollout is retried, without a \
          deadline of its own and out of sight of Argo CD and Helm; with `failurePolicy: Ignore` \
          the rollout goes on after it has failed.",
    fix: "Run the migration once per release, before the rollout: in a Job with the annotation \
          `argocd.argoproj.io/hook: PreSync` (or `helm.sh/hook: pre-install,pre-upgrade`).",
    sources: &[
        "https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/",
        "https://docs.openshift.com/container-platform/4.17/applications/deployments/deployment-strategies.html",
    ],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Placement,
    places: Place::EVERYWHERE,
    example: example!("migration-in-lifecycle-hook"),
    configure: configure::<MigrationInLifecycleHook>,
    parameters: parameters::<MigrationInLifecycleHook>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct MigrationInLifecycleHook {}

impl Check for MigrationInLifecycleHook {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let schema = context.migrations().filter(|found| found.operation().is_schema_change());
        for migration in schema {
            let (name, words) = (&migration.container.name, &migration.main.words);
            let (field, what) = match (migration.site, migration.container.list) {
                (Site::PostStart, _) => (
                    "lifecycle.postStart",
                    format!(
                        "`postStart` of container `{name}` migrates (`{words}`) on every start"
                    ),
                ),
                (Site::Command, ContainerList::DeploymentHook) => {
                    ("", format!("a lifecycle hook migrates (`{words}`) on every try of a rollout"))
                }
                (Site::Command, _) => continue,
            };
            let mend = "run it once per release in a PreSync or pre-upgrade hook Job";
            findings.container(&RULE, migration, field, words, what, mend);
        }
    }
}
