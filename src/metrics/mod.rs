//! What is counted.
//!
//! Every label value is one of a closed set that is written in our code, or the name of a loaded
//! policy. Nothing that a request carries becomes a label.

mod cache;
mod migrations;
mod scan;

use std::{fmt, sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Metric, Registry, Unit},
};

pub use cache::{Cache, CacheLabels, CacheMetrics};
pub use migrations::{CUSTOM_TOOL, MigrationLabels, Migrations, OutcomeLabels};
pub use scan::{ScanResult, Scans};

/// Upper bounds of the duration histogram, in seconds: from what a review takes to the longest
/// timeout that a webhook can have.
const BUCKETS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// A gauge that holds seconds with a fraction.
pub type Seconds = Gauge<f64, AtomicU64>;

/// One review that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReviewLabels {
    /// `validate` or `mutate`.
    pub path: &'static str,
    /// `CREATE`, `UPDATE`, `DELETE`, `CONNECT` or `unknown`.
    pub operation: &'static str,
    /// A class of kinds; `other` for what tidegate does not know.
    pub kind: &'static str,
    /// What became of it.
    pub outcome: &'static str,
}

/// One finding of an answered review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FindingLabels {
    /// The rule's id.
    pub rule: &'static str,
    /// What it did to the verdict.
    pub effect: &'static str,
}

/// Which of the two entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PathLabels {
    /// `validate` or `mutate`.
    pub path: &'static str,
}

/// Why something did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    /// One word.
    pub reason: &'static str,
}

/// Which certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CertificateLabels {
    /// `leaf`, `ca` or `client-ca`.
    pub kind: &'static str,
}

/// Which kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    /// Such as `MigrationPolicy`.
    pub kind: &'static str,
}

/// Which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RuleLabels {
    /// The rule's id.
    pub rule: &'static str,
}

/// What is done to a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OperationLabels {
    /// The operation.
    pub operation: &'static str,
}

/// A loaded policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PolicyLabels {
    /// Its name.
    pub policy: String,
}

type Build = Info<Vec<(&'static str, &'static str)>>;

/// Everything that is counted, and the text of it.
pub struct Metrics {
    registry: Registry,
    /// Reviews that were answered.
    pub reviews: Family<ReviewLabels, Counter>,
    /// Time from the end of the request's head to its answer.
    pub duration: Family<PathLabels, Histogram>,
    /// Findings of reviews that were not dry runs.
    pub findings: Family<FindingLabels, Counter>,
    /// Requests being answered now.
    pub in_flight: Gauge,
    /// Bytes reserved for bodies.
    pub body_bytes: Gauge,
    /// Requests and connections that were sent away for now.
    pub shed: Family<ReasonLabels, Counter>,
    /// Requests that are no review: answered with a 4xx.
    pub rejected: Family<ReasonLabels, Counter>,
    /// Reviews that could not be decided within their deadline.
    pub deadline: Family<ReasonLabels, Counter>,
    /// Reviews with a uid whose envelope could not be read.
    pub unreadable: Counter,
    /// Panics that were caught while deciding.
    pub panics: Counter,
    /// Open connections.
    pub open_connections: Gauge,
    /// Connections accepted.
    pub connections: Counter,
    /// Handshakes that failed.
    pub handshake_failures: Family<ReasonLabels, Counter>,
    /// End of validity of what is served.
    pub certificate_not_after: Family<CertificateLabels, Seconds>,
    /// Certificates taken into use after a change.
    pub certificate_reloads: Counter,
    /// Changed certificates that were not taken into use.
    pub certificate_reload_failures: Counter,
    /// The loaded policies.
    pub policy: Family<PolicyLabels, Gauge>,
    /// Policies and exceptions of the cluster that are not in force because they are wrong.
    pub documents_rejected: Family<KindLabels, Gauge>,
    caches: cache::Caches,
    /// What becomes of migrations.
    pub migrations: Migrations,
    /// Background scans and reports.
    pub scans: Scans,
    /// Findings that an exception took the edge off, in reviews that were not dry runs.
    pub exceptions_used: Family<RuleLabels, Counter>,
    /// Changes that were let in by an approval.
    pub approvals_used: Family<OperationLabels, Counter>,
    /// Findings that could not be decided, in reviews that were not dry runs.
    pub undecided: Family<RuleLabels, Counter>,
    /// 1 on the replica that writes to the cluster.
    pub leader: Gauge,
    /// Lines of the decision log that were not written.
    pub decisions_dropped: Counter,
    /// Events that were not written.
    pub events_dropped: Family<ReasonLabels, Counter>,
    /// 1 while stopping.
    pub draining: Gauge,
    resident: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("tidegate");
        let r = &mut registry;
        let buckets: fn() -> Histogram = || Histogram::new(BUCKETS);
        let duration = Family::<PathLabels, Histogram>::new_with_constructor(buckets);
        let duration =
            add(r, "review_duration", "Time to answer a review", Some(Unit::Seconds), duration);
        let build: Build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        add(r, "build", "What is running", None, Plain(build));
        Self {
            reviews: new(r, "reviews", "Reviews answered"),
            duration,
            findings: new(r, "findings", "Findings of reviews that were not dry runs"),
            in_flight: new(r, "requests_in_flight", "Requests being answered"),
            body_bytes: unit(r, "body_reserved", "Memory reserved for bodies", Unit::Bytes),
            shed: new(r, "shed", "Requests and connections sent away for now"),
            rejected: new(r, "rejected_requests", "Requests that are no review"),
            deadline: new(r, "deadline_exceeded", "Reviews that were not done in time"),
            unreadable: new(r, "unreadable_reviews", "Reviews whose envelope could not be read"),
            panics: new(r, "panics", "Panics caught while deciding"),
            open_connections: new(r, "open_connections", "Open connections"),
            connections: new(r, "connections", "Connections accepted"),
            handshake_failures: new(r, "tls_handshake_failures", "TLS handshakes that failed"),
            certificate_not_after: unit(
                r,
                "certificate_not_after_timestamp",
                "End of validity of the certificates in use, as Unix time",
                Unit::Seconds,
            ),
            certificate_reloads: new(r, "certificate_reloads", "Certificates taken into use"),
            certificate_reload_failures: new(
                r,
                "certificate_reload_failures",
                "Changed certificates that were refused",
            ),
            policy: new(r, "policy_info", "Loaded policies"),
            documents_rejected: new(
                r,
                "documents_rejected",
                "Policies and exceptions of the cluster that are wrong and not in force",
            ),
            caches: cache::Caches::new(r),
            migrations: Migrations::new(r),
            scans: Scans::new(r),
            exceptions_used: new(r, "exceptions_used", "Findings that an exception covered"),
            approvals_used: new(r, "approvals_used", "Changes that an approval let in"),
            undecided: new(r, "undecided", "Findings that could not be decided"),
            decisions_dropped: new(
                r,
                "decision_log_dropped",
                "Lines of the decision log that were left out because they came too fast",
            ),
            events_dropped: new(r, "events_dropped", "Kubernetes Events that were not written"),
            leader: new(r, "leader", "1 on the replica that writes to the cluster"),
            draining: new(r, "draining", "1 while stopping"),
            resident: unit(r, "process_resident_memory", "Resident memory", Unit::Bytes),
            registry,
        }
    }
}

impl Metrics {
    /// All of it in the `OpenMetrics` text format.
    ///
    /// # Errors
    ///
    /// None in practice: writing to a string cannot fail.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        if let Some(bytes) = resident_bytes() {
            self.resident.set(bytes);
        }
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// What is counted of one cache.
    pub fn cache(&self, cache: Cache) -> CacheMetrics {
        self.caches.of(cache)
    }

    /// Says which policies are in force.
    pub fn policies(&self, names: impl IntoIterator<Item = String>) {
        self.policy.clear();
        for policy in names {
            self.policy.get_or_create(&PolicyLabels { policy }).set(1);
        }
    }

    /// Counts an Event that is not written.
    pub fn events_dropped(&self, reason: &'static str) {
        self.events_dropped.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Counts something that was sent away for now.
    pub fn shed(&self, reason: &'static str) {
        self.shed.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Counts a request that is no review.
    pub fn rejected(&self, reason: &'static str) {
        self.rejected.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Counts a review that was not done in time.
    pub fn late(&self, reason: &'static str) {
        self.deadline.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Counts an answered review.
    pub fn answered(&self, labels: &ReviewLabels, elapsed: Duration) {
        self.reviews.get_or_create(labels).inc();
        self.duration
            .get_or_create(&PathLabels { path: labels.path })
            .observe(elapsed.as_secs_f64());
    }
}

/// Counts one up for as long as it lives.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    /// Counts one up in `gauge`.
    pub fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Makes [`Info`], which is not `Clone`, fit [`add`].
#[derive(Debug)]
struct Plain(Build);

impl Clone for Plain {
    fn clone(&self) -> Self {
        Self(Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]))
    }
}

impl EncodeMetric for Plain {
    fn encode(
        &self,
        encoder: prometheus_client::encoding::MetricEncoder<'_>,
    ) -> Result<(), fmt::Error> {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> prometheus_client::metrics::MetricType {
        self.0.metric_type()
    }
}

fn new<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    add(registry, name, help, None, M::default())
}

fn unit<M: Metric + Clone + Default>(r: &mut Registry, name: &str, help: &str, unit: Unit) -> M {
    add(r, name, help, Some(unit), M::default())
}

fn add<M: Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    unit: Option<Unit>,
    metric: M,
) -> M {
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit, metric.clone()),
        None => registry.register(name, help, metric.clone()),
    }
    metric
}

/// Resident memory of this process in bytes, where the system tells.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        let metrics = Metrics::default();
        metrics.answered(
            &ReviewLabels {
                path: "validate",
                operation: "CREATE",
                kind: "job",
                outcome: "admitted",
            },
            Duration::from_micros(40),
        );
        let text = metrics.encode().unwrap();
        for line in [
            r#"tidegate_reviews_total{path="validate",operation="CREATE",kind="job",outcome="admitted"} 1"#,
            r#"tidegate_review_duration_seconds_bucket{le="0.00005",path="validate"} 1"#,
            "tidegate_body_reserved_bytes 0",
            concat!("tidegate_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "tidegate_draining 0",
            "# EOF",
        ] {
            assert!(text.contains(line), "no {line} in\n{text}");
        }
        assert!(text.contains("tidegate_process_resident_memory_bytes "), "{text}");
    }
}
