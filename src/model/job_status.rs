//! How far a Job is.

use jiff::Timestamp;
use serde::Deserialize;

use crate::source::mapping;

/// What a `batch/v1` Job says of its run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct JobStatus {
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    suspend: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    start_time: Option<Timestamp>,
    completion_time: Option<Timestamp>,
    conditions: Option<Vec<Condition>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    r#type: String,
    status: String,
    last_transition_time: Option<Timestamp>,
}

impl JobStatus {
    /// Reads it from a Job in JSON; none where it is of another shape.
    pub fn parse(json: &str) -> Option<Self> {
        mapping::from_str(json).ok()
    }

    /// How it ended, `succeeded` or `failed`, and when, if it has.
    pub fn ended(&self) -> Option<(&'static str, Option<Timestamp>)> {
        let conditions = self.status.conditions.as_deref().unwrap_or_default();
        conditions.iter().filter(|condition| condition.status == "True").find_map(|condition| {
            let result = match condition.r#type.as_str() {
                "Complete" => "succeeded",
                "Failed" => "failed",
                _ => return None,
            };
            Some((result, self.status.completion_time.or(condition.last_transition_time)))
        })
    }

    /// When it started, if it has.
    pub fn started(&self) -> Option<Timestamp> {
        self.status.start_time
    }

    /// True when it runs nothing until somebody resumes it.
    pub fn is_suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }
}
