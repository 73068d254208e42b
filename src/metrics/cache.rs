//! What is counted of the caches that watches fill.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::{Seconds, new, unit};

/// One of the caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cache {
    /// Labels of namespaces.
    Namespaces,
    /// `MigrationPolicy`.
    Policies,
    /// `MigrationException`.
    Exceptions,
    /// Migrations that run.
    Jobs,
    /// `MigrationApproval`.
    Approvals,
    /// Deployments that migrate while they roll out.
    Deployments,
    /// `StatefulSet`s, the same.
    StatefulSets,
    /// `DaemonSet`s, the same.
    DaemonSets,
}

impl Cache {
    /// Its name in metrics, logs and readiness.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Policies => "policies",
            Self::Exceptions => "exceptions",
            Self::Jobs => "jobs",
            Self::Approvals => "approvals",
            Self::Deployments => "deployments",
            Self::StatefulSets => "stateful-sets",
            Self::DaemonSets => "daemon-sets",
        }
    }
}

impl EncodeLabelValue for Cache {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

/// Which cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CacheLabels {
    /// The cache.
    pub cache: Cache,
}

/// What is counted of every cache.
#[derive(Clone, Debug)]
pub(super) struct Caches {
    synced: Family<CacheLabels, Gauge>,
    entries: Family<CacheLabels, Gauge>,
    heard: Family<CacheLabels, Seconds>,
    errors: Family<CacheLabels, Counter>,
}

impl Caches {
    pub(super) fn new(r: &mut Registry) -> Self {
        Self {
            synced: new(r, "cache_synced", "1 once everything that a cache holds was read"),
            entries: new(r, "cache_entries", "Objects that a cache holds"),
            heard: unit(
                r,
                "cache_last_contact_timestamp",
                "When the API server last answered the watch, as Unix time",
                Unit::Seconds,
            ),
            errors: new(r, "cache_errors", "Failures of the watch that fills a cache"),
        }
    }

    pub(super) fn of(&self, cache: Cache) -> CacheMetrics {
        let labels = CacheLabels { cache };
        CacheMetrics {
            synced: self.synced.get_or_create_owned(&labels),
            entries: self.entries.get_or_create_owned(&labels),
            heard: self.heard.get_or_create_owned(&labels),
            errors: self.errors.get_or_create_owned(&labels),
        }
    }
}

/// What is counted of one cache.
#[derive(Clone, Debug)]
pub struct CacheMetrics {
    /// 1 once everything was read.
    pub synced: Gauge,
    /// How many objects it holds.
    pub entries: Gauge,
    /// When the API server last answered.
    pub heard: Seconds,
    /// Failures of the watch.
    pub errors: Counter,
}
