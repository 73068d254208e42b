//! What happened in a namespace lately: refusals, and migrations that ended. It outlives the Jobs,
//! and whoever writes it next, because the report is the only place where it is kept.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    Dialect,
    entry::Entry,
    shard::{MOST_BYTES, Report, report},
};

/// Name of the report.
pub const HISTORY: &str = "tidegate-history";
/// How much is kept of a namespace.
const MOST: usize = 50;
/// For how long.
const AGE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// The property that counts how often the same happened.
const COUNT: &str = "count";

/// The last results of a namespace, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History(Vec<Entry>);

impl History {
    /// What a report holds that was written before; nothing where it is of another shape.
    pub fn read(report: &Value) -> Self {
        let results = report.get("results").and_then(Value::as_array).into_iter().flatten();
        Self(results.filter_map(|result| serde_json::from_value(result.clone()).ok()).collect())
    }

    /// Adds what happened. The same again is one result that counts, with the later time.
    pub fn add(&mut self, entry: Entry) {
        let same = self.0.iter().position(|known| known.key() == entry.key());
        let Some(mut known) = same.map(|place| self.0.remove(place)) else {
            self.0.push(entry);
            return;
        };
        // Two replicas tell of the end of one Job.
        let is_same_moment = known.timestamp == entry.timestamp;
        let count = known.properties.get(COUNT).and_then(|text| text.parse::<u64>().ok());
        known.timestamp = known.timestamp.max(entry.timestamp);
        if !is_same_moment {
            let count = count.unwrap_or(1).saturating_add(1);
            known.properties.insert(COUNT.to_owned(), count.to_string());
        }
        self.0.push(known);
    }

    /// The report at `now`; none when there is nothing to tell.
    pub fn report(mut self, dialect: Dialect, namespace: &str, now: Timestamp) -> Option<Report> {
        let oldest = now.checked_sub(AGE).unwrap_or(Timestamp::UNIX_EPOCH).as_second();
        self.0.retain(|entry| entry.timestamp.seconds >= oldest);
        self.0.sort_by(|a, b| (b.timestamp, b.key()).cmp(&(a.timestamp, a.key())));
        self.0.truncate(MOST);
        while !self.0.is_empty() {
            let report = report(dialect, namespace, HISTORY, &self.0, 0);
            if report.object.to_string().len() <= MOST_BYTES {
                return Some(report);
            }
            self.0.pop();
        }
        None
    }

    /// True when something in it has become too old.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        let oldest = now.checked_sub(AGE).unwrap_or(Timestamp::UNIX_EPOCH).as_second();
        self.0.iter().any(|entry| entry.timestamp.seconds < oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Finished, Refused, Resource};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000_i64.saturating_add(seconds)).unwrap()
    }

    fn refused(name: &str, seconds: i64) -> Entry {
        Refused {
            resource: Resource {
                kind: "Job".to_owned(),
                name: name.to_owned(),
                ..Resource::default()
            },
            policy: "default".to_owned(),
            rule: "root-migration",
            message: format!("root-migration: Job/{name} {}", "x".repeat(2_000)),
            at: at(seconds),
        }
        .into()
    }

    fn results(report: &Report) -> Vec<Value> {
        report.object["results"].as_array().unwrap().clone()
    }

    #[test]
    fn the_last_fifty_are_kept_and_survive_being_read_back() {
        let mut history = History::default();
        for number in 0..200 {
            history.add(refused(&format!("m-{number}"), number));
        }
        let report = history.report(Dialect::OpenReports, "shop", at(300)).unwrap();
        assert!(report.object.to_string().len() <= MOST_BYTES);
        let kept = results(&report);
        assert_eq!(kept.len(), 50);
        assert_eq!(kept[0]["resources"][0]["name"], "m-199");
        assert_eq!(kept[49]["resources"][0]["name"], "m-150");
        let mut again = History::read(&report.object);
        again.add(refused("later", 400));
        let report = again.report(Dialect::OpenReports, "shop", at(400)).unwrap();
        let kept = results(&report);
        assert_eq!((kept.len(), &kept[0]["resources"][0]["name"]), (50, &"later".into()));
        assert_eq!(kept[1]["resources"][0]["name"], "m-199");
    }

    #[test]
    fn the_same_again_counts_and_the_end_of_a_job_is_told_once() {
        let mut history = History::default();
        for seconds in [1, 2, 3] {
            history.add(refused("m", seconds));
        }
        let end = Finished {
            resource: Resource {
                kind: "Job".to_owned(),
                uid: "u".to_owned(),
                ..Resource::default()
            },
            tool: "alembic",
            operation: "apply",
            result: "succeeded",
            seconds: Some(42),
            at: at(9),
        };
        history.add(end.clone().into());
        history.add(end.into());
        let report = history.report(Dialect::PolicyReports, "shop", at(10)).unwrap();
        let kept = results(&report);
        assert_eq!(kept.len(), 2);
        assert_eq!(kept[0]["result"], "pass");
        assert_eq!(kept[0]["message"], "alembic (apply) succeeded after 42 s");
        assert_eq!(kept[0]["properties"]["count"], Value::Null);
        assert_eq!(kept[1]["properties"]["count"], "3");
        assert_eq!(kept[1]["timestamp"]["seconds"], at(3).as_second());
    }

    #[test]
    fn what_is_older_than_a_week_goes() {
        let mut history = History::default();
        history.add(refused("old", 0));
        let week = 7 * 24 * 3_600;
        assert!(!history.is_stale(at(week)) && history.is_stale(at(week + 1)));
        assert_eq!(history.report(Dialect::OpenReports, "shop", at(week + 1)), None);
        assert_eq!(
            History::read(&serde_json::json!({"results": [{"rule": 1}, 2]})),
            History::default()
        );
    }
}
