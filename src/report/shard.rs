//! The results of a namespace, divided into objects of bounded size.

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    CONTENT, Dialect, LEFT_OUT, MANAGED_BY, SOURCE, digest,
    entry::{Entry, Outcome, Severity},
};

/// The largest object, in bytes of JSON: far below what etcd takes, so that a list of many is
/// answered.
pub const MOST_BYTES: usize = 64 << 10;
/// Most objects of a namespace, its history among them.
pub const MOST_OBJECTS: usize = 65;
/// Most shards of a namespace.
const MOST_SHARDS: usize = 64;
/// What an object takes before its first result.
const FRAME: usize = 2 << 10;
/// How full shards are meant to be, in tenths, since results are spread by chance.
const FULL: usize = 6;

/// An object to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// Digest of what it says, without its times.
    pub digest: String,
    /// The object, without owners.
    pub object: Value,
}

#[derive(Default, Serialize)]
struct Summary {
    pass: usize,
    fail: usize,
    warn: usize,
    error: usize,
    skip: usize,
}

/// The reports of a namespace, or of the cluster where `namespace` is empty. `left_out` results are
/// told of that are not among the entries.
///
/// The same results give the same reports, whatever their order. Of what has no room the worst is
/// kept, and the rest is counted.
pub fn shards(
    dialect: Dialect,
    namespace: &str,
    entries: Vec<Entry>,
    left_out: usize,
) -> Vec<Report> {
    if entries.is_empty() && left_out == 0 {
        return Vec::new();
    }
    let sized: Vec<(usize, Entry)> =
        entries.into_iter().map(|entry| (size(&entry), entry)).collect();
    let total = sized.iter().fold(0_usize, |sum, (size, _)| sum.saturating_add(*size));
    let count = count(total);
    let mut buckets: Vec<Vec<(usize, Entry)>> = Vec::new();
    buckets.resize_with(count, Vec::new);
    for (size, entry) in sized {
        let place = place(&entry, count);
        if let Some(bucket) = buckets.get_mut(place) {
            bucket.push((size, entry));
        }
    }
    let mut cut: usize = left_out;
    let mut kept = Vec::new();
    for mut bucket in buckets {
        bucket.sort_by(|(_, a), (_, b)| rank(a).cmp(&rank(b)));
        let mut room = MOST_BYTES.saturating_sub(FRAME);
        let before = bucket.len();
        bucket.retain(|(size, _)| {
            let fits = *size <= room;
            room = if fits { room.saturating_sub(*size) } else { 0 };
            fits
        });
        cut = cut.saturating_add(before.saturating_sub(bucket.len()));
        kept.push(bucket.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>());
    }
    let mut reports = Vec::new();
    for (index, mut entries) in kept.into_iter().enumerate() {
        if index == 0 && cut > 0 {
            entries.insert(0, told(namespace, cut, &entries));
        }
        // What a shard does not need is no object.
        if !entries.is_empty() {
            let cut = if index == 0 { cut } else { 0 };
            reports.push(report(
                dialect,
                namespace,
                &format!("tidegate-{index:02}"),
                &entries,
                cut,
            ));
        }
    }
    reports
}

/// The number of shards: a power of two, so that growth moves as little as can be.
fn count(total: usize) -> usize {
    let meant = (MOST_BYTES / 10).saturating_mul(FULL);
    total.div_ceil(meant).max(1).next_power_of_two().min(MOST_SHARDS)
}

/// The bytes that a result takes in a list.
fn size(entry: &Entry) -> usize {
    serde_json::to_string(entry).map_or(MOST_BYTES, |text| text.len().saturating_add(1))
}

/// The shard of a result: the one of its object, so that a change of an object changes one shard.
fn place(entry: &Entry, count: usize) -> usize {
    let mut hash = Sha256::new();
    if let Some(resource) = entry.resources.first() {
        hash.update(&resource.kind);
        hash.update("/");
        hash.update(&resource.name);
    }
    let first = hash.finalize().first().copied().unwrap_or_default();
    usize::from(first).checked_rem(count).unwrap_or_default()
}

/// The order in a shard: the worst first, and then by object, rule and place.
fn rank(entry: &Entry) -> impl Ord + use<'_> {
    (entry.result, entry.severity, entry.key())
}

/// A result that tells of those that have no room.
fn told(namespace: &str, cut: usize, entries: &[Entry]) -> Entry {
    let time = entries.first().map(|entry| entry.timestamp);
    let scan = match namespace {
        "" => "tidegate scan".to_owned(),
        namespace => format!("tidegate scan --namespace {namespace}"),
    };
    Entry {
        source: SOURCE.to_owned(),
        policy: SOURCE.to_owned(),
        rule: "more-results".to_owned(),
        category: "report".to_owned(),
        severity: Severity::Info,
        timestamp: time.unwrap_or_else(|| jiff::Timestamp::UNIX_EPOCH.into()),
        result: Outcome::Warn,
        scored: false,
        resources: Vec::new(),
        message: format!("{cut} more results have no room here: `{scan}` shows all of them"),
        properties: std::collections::BTreeMap::new(),
    }
}

/// A report with these results.
pub(super) fn report(
    dialect: Dialect,
    namespace: &str,
    name: &str,
    entries: &[Entry],
    left_out: usize,
) -> Report {
    let mut summary = Summary::default();
    for entry in entries {
        let count = match entry.result {
            Outcome::Pass => &mut summary.pass,
            Outcome::Fail => &mut summary.fail,
            Outcome::Warn => &mut summary.warn,
            Outcome::Error => &mut summary.error,
            Outcome::Skip => &mut summary.skip,
        };
        *count = count.saturating_add(1);
    }
    let digest = content(entries);
    let mut object = json!({
        "apiVersion": dialect.api_version(),
        "kind": dialect.kind(namespace),
        "metadata": {
            "name": name,
            "labels": {MANAGED_BY: SOURCE},
            "annotations": {CONTENT: digest},
        },
        "summary": summary,
        "results": entries,
    });
    if let Some(fields) = object.as_object_mut()
        && dialect == Dialect::OpenReports
    {
        fields.insert("source".to_owned(), json!(SOURCE));
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        if !namespace.is_empty() {
            metadata.insert("namespace".to_owned(), json!(namespace));
        }
        if left_out > 0
            && let Some(annotations) =
                metadata.get_mut("annotations").and_then(Value::as_object_mut)
        {
            annotations.insert(LEFT_OUT.to_owned(), json!(left_out.to_string()));
        }
    }
    Report { name: name.to_owned(), digest, object }
}

/// A digest of what results say, without when it was found: a scan that finds the same again
/// changes nothing.
fn content(entries: &[Entry]) -> String {
    let timeless = entries.iter().map(|entry| {
        let timestamp = jiff::Timestamp::UNIX_EPOCH.into();
        serde_json::to_string(&Entry { timestamp, ..entry.clone() }).unwrap_or_default()
    });
    let texts: Vec<String> = timeless.collect();
    digest(texts.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::report::{Resource, Stamp};

    fn entry(number: usize, seconds: i64) -> Entry {
        Entry {
            source: SOURCE.to_owned(),
            policy: "default".to_owned(),
            rule: "migration-in-init-container".to_owned(),
            category: "placement".to_owned(),
            severity: if number.is_multiple_of(10) { Severity::Critical } else { Severity::High },
            timestamp: Stamp { seconds, nanos: 0 },
            result: if number.is_multiple_of(3) { Outcome::Warn } else { Outcome::Fail },
            scored: true,
            resources: vec![Resource {
                api_version: "apps/v1".to_owned(),
                kind: "Deployment".to_owned(),
                namespace: "shop".to_owned(),
                name: format!("web-{}", number / 2),
                uid: format!("uid-{number}"),
            }],
            message: "initContainer `migrate` migrates in every Pod, on every start".to_owned(),
            properties: BTreeMap::from([("path".to_owned(), format!("spec[{number}]"))]),
        }
    }

    fn of(numbers: impl IntoIterator<Item = usize>, seconds: i64) -> Vec<Report> {
        let entries = numbers.into_iter().map(|number| entry(number, seconds)).collect();
        shards(Dialect::OpenReports, "shop", entries, 0)
    }

    fn results(report: &Report) -> &Vec<Value> {
        report.object["results"].as_array().unwrap()
    }

    #[test]
    fn nothing_is_no_object_and_a_little_is_one() {
        assert_eq!(of(0..0, 0), []);
        let reports = of(0..3, 7);
        assert_eq!(reports.len(), 1);
        let object = &reports[0].object;
        assert_eq!(object["metadata"]["name"], "tidegate-00");
        assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/managed-by"], "tidegate");
        assert_eq!(object["source"], "tidegate");
        assert_eq!(
            object["summary"],
            json!({"pass": 0, "fail": 2, "warn": 1, "error": 0, "skip": 0})
        );
        assert_eq!(object["results"][0]["timestamp"], json!({"seconds": 7, "nanos": 0}));
        let other = shards(Dialect::PolicyReports, "", vec![entry(1, 0)], 0);
        assert_eq!(other[0].object["kind"], "ClusterPolicyReport");
        assert_eq!(other[0].object["source"], Value::Null);
        assert_eq!(other[0].object["metadata"]["namespace"], Value::Null);
    }

    #[test]
    fn neither_order_nor_time_changes_what_a_report_is_known_by() {
        let digests = |reports: &[Report]| -> Vec<String> {
            reports.iter().map(|it| format!("{} {}", it.name, it.digest)).collect()
        };
        let (one, other) = (of(0..700, 1), of((0..700).rev(), 2));
        assert!(one.len() > 1);
        assert_eq!(digests(&one), digests(&other));
        // One more result changes one object.
        let more = of((0..700).chain([701]), 1);
        let known: BTreeSet<_> = digests(&one).into_iter().collect();
        assert_eq!(digests(&more).iter().filter(|it| !known.contains(*it)).count(), 1);
    }

    #[test]
    fn a_hundred_thousand_results_stay_in_bounds_and_the_rest_is_counted() {
        let all: Vec<_> = (0..100_000).map(|number| entry(number, 0)).collect();
        {
            let reports = shards(Dialect::PolicyReports, "shop", all, 5);
            assert!(reports.len() < MOST_OBJECTS);
            for report in &reports {
                let bytes = report.object.to_string().len();
                assert!(bytes <= MOST_BYTES, "{}: {bytes}", report.name);
                assert!(bytes > MOST_BYTES / 2, "{}: {bytes}", report.name);
            }
            let kept: usize = reports.iter().map(|report| results(report).len()).sum();
            let left: usize = reports[0].object["metadata"]["annotations"][LEFT_OUT]
                .as_str()
                .unwrap()
                .parse()
                .unwrap();
            // One of those kept tells of the others.
            assert_eq!(kept - 1 + left, 100_005);
            assert!(
                results(&reports[0])[0]["message"].as_str().unwrap().contains("more results"),
                "{}",
                results(&reports[0])[0]
            );
            let severe = |it: &&Value| it["severity"] == "critical" && it["result"] == "fail";
            let severe = reports.iter().flat_map(results).filter(severe).count();
            assert!(severe > 6_000 || severe == kept - 1, "the worst is kept: {severe} of {kept}");
        }
    }

    #[test]
    fn names_are_stable_and_distinct() {
        let names: Vec<_> = of(0..5_000, 0).into_iter().map(|report| report.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert!(names.iter().all(|name| name.len() == "tidegate-00".len()), "{names:?}");
    }
}
