//! `unbounded-migration-job`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, DEFAULT_MAX_DEADLINE_SECONDS, Findings, Level, Place, Repair, Rule, Topic,
    configure, example, job_migrations, parameters,
};

pub(super) static RULE: Rule = Rule {
    id: "unbounded-migration-job",
    summary: "a migration Job has no deadline, or one longer than allowed",
    why: "A migration that waits for a lock waits for ever, and every query behind it waits too. An \
          image that cannot be pulled or a missing Secret never fails a Job either, so the sync \
          hangs. Only `activeDeadlineSeconds` of the Job ends both: `backoffLimit` counts failures, \
          and waiting is not a failure.",
    fix: "Set `spec.activeDeadlineSeconds` to the longest that the release can wait, and below \
          Helm's `--timeout`. On hook Jobs it is filled in at admission where it is absent.",
    sources: &[
        "https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-termination-and-cleanup",
        "https://github.com/argoproj/argo-cd/issues/15593",
    ],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Jobs,
    places: Place::EVERYWHERE,
    example: example!("unbounded-migration-job"),
    configure: configure::<UnboundedMigrationJob>,
    parameters: parameters::<UnboundedMigrationJob>,
};

/// The rule's parameters.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct UnboundedMigrationJob {
    /// Longest deadline admitted, in seconds.
    max_seconds: i64,
}

impl Default for UnboundedMigrationJob {
    fn default() -> Self {
        Self { max_seconds: DEFAULT_MAX_DEADLINE_SECONDS }
    }
}

impl Check for UnboundedMigrationJob {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        for (job, migration) in job_migrations(context) {
            let max = self.max_seconds;
            let (evidence, what) = match job.active_deadline_seconds {
                Some(deadline) if deadline <= max => continue,
                Some(deadline) => (
                    deadline.to_string(),
                    format!("its deadline of {deadline} s is longer than the {max} s allowed"),
                ),
                None => (
                    "none".to_owned(),
                    format!(
                        "the Job that runs `{}` has no deadline: waiting for a lock never ends",
                        migration.main.words
                    ),
                ),
            };
            let at = format!("{}.activeDeadlineSeconds", job.path);
            let mend = format!("set {at} to at most {max}");
            findings.object(&RULE, at.clone(), evidence, what, mend);
            findings.mended_by(Repair::set(at, max));
        }
    }
}
