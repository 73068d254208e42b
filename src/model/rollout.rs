//! How far a workload is rolled out, as its status tells.

use serde::Deserialize;

use crate::source::mapping;

/// How far a Deployment, StatefulSet or DaemonSet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolloutStatus {
    /// True while Pods of it start or are still to start.
    pub is_rolling: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    generation: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    replicas: Option<i64>,
}

/// The fields of all three kinds; none of them means two things.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    observed_generation: i64,
    updated_replicas: i64,
    available_replicas: i64,
    desired_number_scheduled: Option<i64>,
    updated_number_scheduled: i64,
    number_available: i64,
}

impl RolloutStatus {
    /// Reads the status of a workload; none where it cannot be read.
    ///
    /// A Pod that is replaced later, because its node goes or because it fails, starts as those of a
    /// rollout do, and counts as one.
    pub fn parse(json: &str) -> Option<Self> {
        let View { metadata, spec, status } = mapping::from_str(json).ok()?;
        let is_seen = status.observed_generation >= metadata.generation;
        let scheduled = status
            .desired_number_scheduled
            .map(|desired| (desired, status.updated_number_scheduled, status.number_available));
        let (wanted, updated, available) = scheduled.unwrap_or_else(|| {
            (spec.replicas.unwrap_or(1), status.updated_replicas, status.available_replicas)
        });
        let is_rolling = if wanted <= 0 {
            // What nobody has scheduled yet wants none either.
            !is_seen && spec.replicas != Some(0)
        } else {
            !is_seen || updated < wanted || available < wanted
        };
        Some(Self { is_rolling })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_rolls_out_until_all_its_pods_are_new_and_available() {
        for (spec, status, rolling) in [
            ("{}", "{}", true),
            (
                r#"{"replicas":2}"#,
                r#"{"observedGeneration":2,"updatedReplicas":2,"availableReplicas":2}"#,
                true,
            ),
            (
                r#"{"replicas":2}"#,
                r#"{"observedGeneration":3,"updatedReplicas":2,"availableReplicas":2}"#,
                false,
            ),
            (
                r#"{"replicas":2}"#,
                r#"{"observedGeneration":3,"updatedReplicas":1,"availableReplicas":2}"#,
                true,
            ),
            (
                r#"{"replicas":2}"#,
                r#"{"observedGeneration":3,"updatedReplicas":2,"availableReplicas":1}"#,
                true,
            ),
            ("{}", r#"{"observedGeneration":3,"updatedReplicas":1,"availableReplicas":1}"#, false),
            (r#"{"replicas":0}"#, "{}", false),
            (
                "{}",
                r#"{"observedGeneration":3,"desiredNumberScheduled":3,"updatedNumberScheduled":3,"numberAvailable":3}"#,
                false,
            ),
            (
                "{}",
                r#"{"observedGeneration":3,"desiredNumberScheduled":3,"updatedNumberScheduled":2,"numberAvailable":3}"#,
                true,
            ),
            (
                "{}",
                r#"{"observedGeneration":3,"desiredNumberScheduled":3,"updatedNumberScheduled":3,"numberAvailable":2}"#,
                true,
            ),
            ("{}", r#"{"observedGeneration":3,"desiredNumberScheduled":0}"#, false),
            ("{}", r#"{"observedGeneration":2,"desiredNumberScheduled":0}"#, true),
        ] {
            let json =
                format!(r#"{{"metadata":{{"generation":3}},"spec":{spec},"status":{status}}}"#);
            assert_eq!(RolloutStatus::parse(&json).unwrap().is_rolling, rolling, "{json}");
        }
        assert_eq!(RolloutStatus::parse(r#"{"status":7}"#), None);
    }
}
