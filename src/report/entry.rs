//! One result of a report.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::SOURCE;
use crate::{
    decision::Effect,
    policy::guards_data,
    rules::{self, Level},
    scan::{Found, Scanned},
};

/// The longest message and the longest property, in bytes.
const TEXT: usize = 512;

/// What became of a check, in the words of the report kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is wrong, and would be refused where the policy enforces.
    Fail,
    /// It could not be decided.
    Error,
    /// It is wrong, and would be let in.
    Warn,
    /// An exception excuses it.
    Skip,
    /// It is right.
    Pass,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Data may be lost.
    Critical,
    /// It would be refused.
    High,
    /// It would be warned about.
    Medium,
    /// It would be reported only.
    Low,
    /// Nothing is wrong.
    Info,
}

/// A time as the report kinds have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Always 0: no reader shows more.
    pub nanos: i32,
}

impl From<Timestamp> for Stamp {
    fn from(time: Timestamp) -> Self {
        Self { seconds: time.as_second(), nanos: 0 }
    }
}

/// The object that a result is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resource {
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// Its namespace; empty when it is cluster-scoped.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid; empty for one that was refused and so never was.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// One result, as both families of kinds write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Always [`SOURCE`].
    pub source: String,
    /// The policy.
    pub policy: String,
    /// The rule's id.
    #[serde(default)]
    pub rule: String,
    /// The rule's topic.
    #[serde(default)]
    pub category: String,
    /// How bad it is.
    pub severity: Severity,
    /// When it was found.
    pub timestamp: Stamp,
    /// What became of it.
    pub result: Outcome,
    /// True where it counts.
    #[serde(default)]
    pub scored: bool,
    /// The object, once.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// What is wrong, or what happened.
    #[serde(default)]
    pub message: String,
    /// More, for machines.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

impl Entry {
    /// What is the same in the same result of another time.
    pub(super) fn key(&self) -> (Option<&Resource>, &str, &str, &str, &str) {
        let property = |key| self.properties.get(key).map_or("", String::as_str);
        let place = property("path");
        (self.resources.first(), &self.rule, place, &self.message, property("event"))
    }
}

/// A change that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What was to be changed; it has no uid when it was to be created.
    pub resource: Resource,
    /// The policy that refused.
    pub policy: String,
    /// The first rule that refused.
    pub rule: &'static str,
    /// The first line of the refusal.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// A migration that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The Job.
    pub resource: Resource,
    /// Id of the tool.
    pub tool: &'static str,
    /// What it did.
    pub operation: &'static str,
    /// `succeeded` or `failed`.
    pub result: &'static str,
    /// How long it took, in seconds.
    pub seconds: Option<i64>,
    /// When it ended.
    pub at: Timestamp,
}

impl From<Refused> for Entry {
    fn from(refused: Refused) -> Self {
        let Refused { resource, policy, rule, message, at } = refused;
        Self {
            source: SOURCE.to_owned(),
            policy,
            rule: rule.to_owned(),
            category: category(rule).to_owned(),
            severity: severity(rule, Level::Deny),
            timestamp: at.into(),
            result: Outcome::Fail,
            scored: true,
            resources: vec![resource],
            message: cut(&message),
            properties: BTreeMap::from([("event".to_owned(), "refused".to_owned())]),
        }
    }
}

impl From<Finished> for Entry {
    fn from(finished: Finished) -> Self {
        let Finished { resource, tool, operation, result, seconds, at } = finished;
        let took = seconds.map(|seconds| format!(" after {seconds} s")).unwrap_or_default();
        let failed = result == "failed";
        let properties = [("event", "finished"), ("tool", tool), ("operation", operation)];
        Self {
            source: SOURCE.to_owned(),
            policy: SOURCE.to_owned(),
            rule: "migration".to_owned(),
            category: "run".to_owned(),
            severity: if failed { Severity::High } else { Severity::Info },
            timestamp: at.into(),
            result: if failed { Outcome::Fail } else { Outcome::Pass },
            scored: true,
            message: format!("{tool} ({operation}) {result}{took}"),
            resources: vec![resource],
            properties: properties
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        }
    }
}

/// Every finding of an object, as results of a scan at `now`.
pub fn of_object(object: &Scanned, now: Timestamp) -> impl Iterator<Item = Entry> {
    object.findings.iter().map(move |found| of_finding(object, found, now))
}

fn of_finding(object: &Scanned, found: &Found, now: Timestamp) -> Entry {
    let result = match found.enforced {
        _ if found.undecided => Outcome::Error,
        Effect::Refuses => Outcome::Fail,
        Effect::Warns | Effect::Audits | Effect::Ratcheted => Outcome::Warn,
        Effect::Excepted | Effect::Baselined => Outcome::Skip,
    };
    let optional = [
        ("effect", Some(found.effect.map_or("off", Effect::as_str).to_owned())),
        ("path", Some(found.at.clone())),
        ("fix", Some(found.mend.clone().into_owned())),
        ("team", object.team.as_deref().map(str::to_owned)),
        ("finished", object.finished.map(str::to_owned)),
        ("exception", found.excuse.as_ref().map(crate::policy::Excuse::text)),
    ];
    let properties = optional.into_iter().filter_map(|(key, value)| {
        Some((key.to_owned(), cut(&value?))).filter(|(_, value)| !value.is_empty())
    });
    Entry {
        source: SOURCE.to_owned(),
        policy: object.policy.to_string(),
        rule: found.rule.to_owned(),
        category: category(found.rule).to_owned(),
        severity: severity(found.rule, found.level),
        timestamp: now.into(),
        result,
        scored: result == Outcome::Fail,
        resources: vec![Resource {
            api_version: object.api_version.clone(),
            kind: object.kind.clone(),
            namespace: object.namespace.to_string(),
            name: object.name.clone(),
            uid: object.uid.clone(),
        }],
        message: cut(&found.what),
        properties: properties.collect(),
    }
}

/// The topic of a built-in rule; `policy` for one that a policy brings along.
fn category(rule: &str) -> &'static str {
    rules::find(rule).map_or("policy", |rule| rule.topic.as_str())
}

fn severity(rule: &str, level: Level) -> Severity {
    match level {
        Level::Deny if guards_data(rule) => Severity::Critical,
        Level::Deny => Severity::High,
        Level::Warn => Severity::Medium,
        Level::Audit | Level::Off => Severity::Low,
    }
}

/// One line of bounded length.
fn cut(text: &str) -> String {
    let mut text: String =
        text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    if text.len() > TEXT {
        text.truncate(text.floor_char_boundary(TEXT.saturating_sub('…'.len_utf8())));
        text.push('…');
    }
    text
}
