//! `retried-migration`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Repair, Rule, Topic, configure, example,
    job_migrations, parameters,
};

/// What the API server fills in where `backoffLimit` is absent.
const KUBERNETES_BACKOFF_LIMIT: i64 = 6;
/// How often Argo CD's automated sync retries unless the Application says otherwise.
const ARGO_CD_RETRIES: i64 = 5;

pub(super) static RULE: Rule = Rule {
    id: "retried-migration",
    summary: "a migration Job is retried more often than allowed",
    why: "A migration that failed half-way is run again on top of what it left. Kubernetes retries a \
          Job 6 times by default, Argo CD retries a failed sync 5 times and runs its PreSync hooks \
          each time, and with `restartPolicy: OnFailure` the container restarts in place and its \
          logs are lost.",
    fix: "Set `backoffLimit` to 0 or 1 and `restartPolicy: Never`. For destructive steps also set \
          `retry.limit: 0` on the Application.",
    sources: &[
        "https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-backoff-failure-policy",
        "https://argo-cd.readthedocs.io/en/stable/user-guide/auto_sync/",
    ],
    since: "0.1.0",
    level: Level::Warn,
    topic: Topic::Jobs,
    places: Place::EVERYWHERE,
    example: example!("retried-migration"),
    configure: configure::<RetriedMigration>,
    parameters: parameters::<RetriedMigration>,
};

/// The rule's parameters.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RetriedMigration {
    /// Highest `backoffLimit` admitted.
    max_backoff_limit: i64,
}

impl Default for RetriedMigration {
    fn default() -> Self {
        Self { max_backoff_limit: 1 }
    }
}

impl Check for RetriedMigration {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        for (job, migration) in job_migrations(context) {
            let backoff = job.backoff_limit.unwrap_or(KUBERNETES_BACKOFF_LIMIT);
            let max = self.max_backoff_limit;
            if backoff > max {
                let at = format!("{}.backoffLimit", job.path);
                let runs = worst_case(backoff, !context.object.hooks.argo.phases.is_empty());
                findings.object(
                    &RULE,
                    at.clone(),
                    backoff,
                    format!("`{}` is retried up to {backoff} times ({runs})", migration.main.words),
                    format!("set backoffLimit to at most {max}"),
                );
                findings.mended_by(Repair::set(at, max));
            }
            let spec = &migration.template.spec;
            if spec.restart_policy.as_ref().is_some_and(|policy| policy == "OnFailure") {
                let at = format!("{}.restartPolicy", migration.template.spec_path);
                findings.object(
                    &RULE,
                    at.clone(),
                    "OnFailure",
                    format!(
                        "`{}` restarts in place after a failure, and the failed run's logs are lost",
                        migration.main.words
                    ),
                    "set restartPolicy: Never",
                );
                findings.mended_by(Repair::set(at, "Never"));
            }
        }
    }
}

/// How often the container may start for one release.
fn worst_case(backoff: i64, argo_hook: bool) -> String {
    let starts = backoff.saturating_add(1);
    if argo_hook {
        let syncs = ARGO_CD_RETRIES.saturating_add(1);
        let total = starts.saturating_mul(syncs);
        format!("at worst {total} runs: {syncs} syncs of {starts} under Argo CD's default retry")
    } else {
        format!("at worst {starts} runs")
    }
}
