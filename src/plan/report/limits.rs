//! How long a step may take, and how often it may run, at worst.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::{Engine, Member, Release, Step};
use crate::model::{DeletePolicy, Job, WorkloadKind};

/// What the API server fills in where `backoffLimit` is absent.
const BACKOFF_LIMIT: i64 = 6;
/// The first pause before a Pod of a Job is started again, and the longest, in seconds.
///
/// **Source:** the Job controller: pauses double from 10 s to 6 min.
const PAUSES: (u64, u64) = (10, 360);

/// What bounds something that runs to completion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// What ends it when it does not end by itself.
    pub deadline: Deadline,
    /// The longest that one attempt may take, in seconds; null when nothing bounds it.
    pub seconds: Option<u64>,
    /// The most starts of its containers in one attempt; null when nothing bounds them.
    pub runs: Option<u64>,
    /// How often the engine tries.
    pub attempts: Attempts,
    /// The longest of all attempts together, without the pauses between them; null when that is not
    /// bounded or not known.
    pub total_seconds: Option<u64>,
    /// The most starts of all attempts together; null when they are not bounded or not known.
    pub total_runs: Option<u64>,
    /// True with `restartPolicy` other than `Never`: failed containers start again in the same Pod,
    /// and their logs are lost.
    pub restarts_in_place: bool,
}

/// What ends a step that does not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Deadline {
    /// `activeDeadlineSeconds` of the Job: it bounds everything, retries and waiting included.
    #[serde(rename_all = "camelCase")]
    Job {
        /// In seconds.
        seconds: u64,
        /// True when the manifest has none, and admission fills it in.
        filled_in: bool,
    },
    /// `activeDeadlineSeconds` of the Pod: it bounds each Pod, from the moment that it has a node.
    Pod {
        /// In seconds.
        seconds: u64,
    },
    /// Nothing: it may hang for ever.
    None,
}

/// How often an engine tries to roll out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Attempts {
    /// At most so often.
    AtMost {
        /// Above 0.
        count: u64,
    },
    /// Until it succeeds.
    Unlimited,
    /// The Application is not among the manifests. An automated sync is tried 6 times by default, one
    /// that somebody starts once.
    NotKnown,
}

impl Limits {
    /// The limits of a step; none for what keeps running, and for what others run on its behalf.
    pub(super) fn of(
        release: &Release<'_>,
        member: &Member<'_>,
        step: &Step,
        filled_in: Option<u64>,
    ) -> Option<Self> {
        let template = member.object.templates.first()?;
        let pod_deadline = template.spec.active_deadline_seconds.and_then(positive);
        let in_place = template.spec.restart_policy.as_ref().is_none_or(|it| it != "Never");
        let (deadline, seconds, runs) = match (member.object.workload, &template.job) {
            (WorkloadKind::Job, Some(job)) => {
                let runs = starts(job);
                let (deadline, seconds) = of_job(job, pod_deadline, filled_in, runs);
                (deadline, seconds, runs)
            }
            // The kubelet starts its containers again for as long as the Pod is there.
            (WorkloadKind::Pod, _) => {
                let deadline =
                    pod_deadline.map_or(Deadline::None, |seconds| Deadline::Pod { seconds });
                (deadline, pod_deadline, (!in_place).then_some(1))
            }
            _ => return None,
        };
        let attempts = attempts(release, member, step);
        let times = |one: Option<u64>| match attempts {
            Attempts::AtMost { count } => one?.checked_mul(count),
            Attempts::Unlimited | Attempts::NotKnown => None,
        };
        Some(Self {
            deadline,
            seconds,
            runs,
            attempts,
            total_seconds: times(seconds),
            total_runs: times(runs),
            restarts_in_place: in_place,
        })
    }
}

fn positive(seconds: i64) -> Option<u64> {
    u64::try_from(seconds).ok().filter(|seconds| *seconds > 0)
}

/// The most Pods, or starts of a container, that a Job comes to: failures up to one above its limit,
/// or what it wants to succeed and every failure that it bears.
fn starts(job: &Job) -> Option<u64> {
    let failures = u64::try_from(job.backoff_limit.unwrap_or(BACKOFF_LIMIT)).ok()?;
    let wanted = job.completions.or(job.parallelism).unwrap_or(1).max(1);
    failures.checked_add(u64::try_from(wanted).ok()?)
}

fn of_job(
    job: &Job,
    pod_deadline: Option<u64>,
    filled_in: Option<u64>,
    runs: Option<u64>,
) -> (Deadline, Option<u64>) {
    if let Some(seconds) = job.active_deadline_seconds.and_then(positive) {
        return (Deadline::Job { seconds, filled_in: false }, Some(seconds));
    }
    if let Some(seconds) = filled_in {
        return (Deadline::Job { seconds, filled_in: true }, Some(seconds));
    }
    let Some(seconds) = pod_deadline else { return (Deadline::None, None) };
    let all = runs
        .and_then(|runs| runs.checked_mul(seconds)?.checked_add(pauses(runs.saturating_sub(1))));
    (Deadline::Pod { seconds }, all)
}

/// All pauses before so many retries, in seconds.
fn pauses(retries: u64) -> u64 {
    let (first, longest) = PAUSES;
    let mut pause = first;
    let mut sum: u64 = 0;
    for retry in 0..retries {
        if pause >= longest {
            let rest = retries.saturating_sub(retry);
            return sum.saturating_add(rest.saturating_mul(longest));
        }
        sum = sum.saturating_add(pause);
        pause = pause.saturating_mul(2);
    }
    sum
}

/// How often an engine runs a step for one change.
fn attempts(release: &Release<'_>, member: &Member<'_>, step: &Step) -> Attempts {
    let once = Attempts::AtMost { count: 1 };
    let argo = &member.object.hooks.argo;
    // What an earlier attempt left runs again only when it is gone by then.
    let is_gone = argo.is_replaced()
        || argo.delete_policies.contains(&DeletePolicy::HookFailed)
        || member.object.metadata.name.is_empty();
    if release.engine == Engine::Helm || !step.hook || !is_gone {
        return once;
    }
    match &release.application {
        None => Attempts::NotKnown,
        Some(application) => match application.retries() {
            None => Attempts::Unlimited,
            Some(retries) => Attempts::AtMost { count: u64::from(retries).saturating_add(1) },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_six_minutes() {
        for (retries, seconds) in
            [(0, 0), (1, 10), (2, 30), (6, 630), (7, 990), (u64::MAX, u64::MAX)]
        {
            assert_eq!(pauses(retries), seconds, "{retries}");
        }
    }

    #[test]
    fn a_job_bears_failures_beside_what_it_wants() {
        for (backoff_limit, completions, parallelism, want) in [
            (None, None, None, Some(7)),
            (Some(0), None, None, Some(1)),
            (Some(1), Some(1), None, Some(2)),
            (Some(2), Some(5), Some(3), Some(7)),
            (Some(0), None, Some(4), Some(4)),
            (Some(-1), None, None, None),
            (Some(i64::MAX), Some(i64::MAX), None, Some(u64::MAX - 1)),
        ] {
            let job = Job { backoff_limit, parallelism, completions, ..Job::default() };
            assert_eq!(starts(&job), want, "{job:?}");
        }
    }

    #[test]
    fn a_deadline_of_the_job_bounds_its_retries_and_one_of_the_pod_each_of_them() {
        let job = |deadline| Job { active_deadline_seconds: deadline, ..Job::default() };
        let own = Deadline::Job { seconds: 60, filled_in: false };
        assert_eq!(of_job(&job(Some(60)), Some(5), Some(9), Some(7)), (own, Some(60)));
        let filled = Deadline::Job { seconds: 9, filled_in: true };
        assert_eq!(of_job(&job(None), Some(5), Some(9), Some(7)), (filled, Some(9)));
        let pod = Deadline::Pod { seconds: 100 };
        assert_eq!(of_job(&job(None), Some(100), None, Some(3)), (pod, Some(330)));
        assert_eq!(of_job(&job(None), None, None, Some(3)), (Deadline::None, None));
        // The API server refuses 0: it is no limit to count on.
        assert_eq!(of_job(&job(Some(0)), None, None, Some(1)), (Deadline::None, None));
    }
}
