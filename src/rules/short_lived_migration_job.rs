//! `short-lived-migration-job`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Repair, Rule, Topic, configure, example,
    job_migrations, parameters,
};
use crate::model::WorkloadKind;

pub(super) static RULE: Rule = Rule {
    id: "short-lived-migration-job",
    summary: "a migration Job is removed before its result is seen, or to be run again",
    why: "`ttlSecondsAfterFinished` removes a finished Job with its Pod and its logs. Whoever waits \
          for a hook may then miss its end: Argo CD before 3.0 hangs, and Helm 3 takes a Job that is \
          deleted while it watches for a success, also when it failed. An ordinary Job that \
          disappears is missing from what Git wants, so that Argo CD's self-heal or Flux creates it \
          again: the migration runs at any time, until somebody wonders.",
    fix: "On a hook leave `ttlSecondsAfterFinished` out: the next run replaces the Job anyway. Make an \
          ordinary Job a hook, or leave it out there too.",
    sources: &[
        "https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/",
        "https://github.com/argoproj/argo-cd/issues/21055",
        "https://github.com/argoproj/argo-cd/issues/6880",
        "https://github.com/helm/helm/issues/8146",
    ],
    since: "0.1.0",
    level: Level::Warn,
    topic: Topic::Jobs,
    places: Place::EVERYWHERE,
    example: example!("short-lived-migration-job"),
    configure: configure::<ShortLivedMigrationJob>,
    parameters: parameters::<ShortLivedMigrationJob>,
};

/// The rule's parameters.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct ShortLivedMigrationJob {
    /// Shortest `ttlSecondsAfterFinished` of a hook Job, in seconds.
    min_seconds: i64,
}

impl Default for ShortLivedMigrationJob {
    fn default() -> Self {
        Self { min_seconds: 300 }
    }
}

impl Check for ShortLivedMigrationJob {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let object = context.object;
        let metadata = &object.metadata;
        // What has a name of its own for every run, or an owner that counts its runs, is not made
        // again because it is gone. What an engine drops is not there at all.
        let is_owned = metadata.owner_references.iter().any(|owner| owner.controller);
        let made_once = metadata.name.is_empty() || is_owned;
        if object.workload != WorkloadKind::Job || object.hooks.argo.dropped {
            return;
        }
        for (job, migration) in job_migrations(context) {
            let Some(ttl) = job.ttl_seconds_after_finished else { continue };
            let words = &migration.main.words;
            let what = if object.hooks.is_hook() {
                if ttl >= self.min_seconds {
                    continue;
                }
                format!(
                    "the hook Job of `{words}` is removed {ttl} s after its end, perhaps unseen"
                )
            } else if made_once || object.hooks.argo.skipped {
                continue;
            } else {
                format!(
                    "the Job of `{words}` is removed {ttl} s after its end, and whoever keeps the \
                     cluster as it is in Git creates and runs it again"
                )
            };
            let at = format!("{}.ttlSecondsAfterFinished", job.path);
            findings.object(&RULE, at.clone(), ttl, what, "remove ttlSecondsAfterFinished");
            findings.mended_by(Repair::remove(at));
        }
    }
}
