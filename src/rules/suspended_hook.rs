//! `suspended-hook`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Check, Context, Findings, Level, Place, Rule, Topic, configure, example, parameters};
use crate::{detect::Confidence, model::WorkloadKind};

pub(super) static RULE: Rule = Rule {
    id: "suspended-hook",
    summary: "a hook Job is created suspended",
    why: "Argo CD waits for a suspended hook without a limit, and once it is resumed takes it for done \
          while it is still running: the presence of the condition `Suspended` counts, and it stays, \
          as `False`, after the Job has been resumed. The rollout then starts in the middle of the \
          migration. (This is how we read the health check of Argo CD 3.6 and the Job controller of \
          Kubernetes 1.36; upstream tests cover suspended Jobs and no resumed ones.) Helm waits until \
          its timeout. Suspending a Job that runs already is not refused: it may be an emergency.",
    fix: "Remove `suspend: true`. To hold a migration until somebody agrees, require an approval: the \
          Job is then refused instead of held. Keep queues such as Kueue away from hook Jobs.",
    sources: &[
        "https://github.com/argoproj/argo-cd/blob/master/gitops-engine/pkg/health/health_job.go",
        "https://kubernetes.io/docs/concepts/workloads/controllers/job/#suspending-a-job",
    ],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Hooks,
    places: Place::EVERYWHERE,
    example: example!("suspended-hook"),
    configure: configure::<SuspendedHook>,
    parameters: parameters::<SuspendedHook>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct SuspendedHook {}

impl Check for SuspendedHook {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let object = context.object;
        // A backup and a verification that count as done too early are as bad as the migration.
        let ours = context.detections.iter().find(|found| found.main.confidence > Confidence::Name);
        let Some(ours) = ours else { return };
        // Whoever stops a Job that runs knows what they do, and must be able to.
        if object.workload != WorkloadKind::Job || !object.hooks.is_hook() || context.is_update {
            return;
        }
        for job in object.templates.iter().filter_map(|template| template.job.as_ref()) {
            if job.suspend {
                findings.object(
                    &RULE,
                    format!("{}.suspend", job.path),
                    "suspend",
                    format!(
                        "the hook Job of `{}` is suspended: once resumed it counts as done while it \
                         runs",
                        ours.main.words
                    ),
                    "remove suspend, and require an approval to hold it",
                );
            }
        }
    }
}
