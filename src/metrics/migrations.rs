//! What becomes of migrations: counted from the Jobs that the cluster runs.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{Seconds, add, new, unit};

/// Upper bounds of the histogram, in seconds: from an empty run to a day.
const BUCKETS: [f64; 13] =
    [1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0, 86_400.0];

/// A tool that a policy brings along, in labels: their number must not depend on what users write.
pub const CUSTOM_TOOL: &str = "custom";

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MigrationLabels {
    /// Id of a tool of the built-in catalogue, or [`CUSTOM_TOOL`].
    pub tool: &'static str,
    /// What it does to the database.
    pub operation: &'static str,
}

/// What ran, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// Id of a tool of the built-in catalogue, or [`CUSTOM_TOOL`].
    pub tool: &'static str,
    /// What it does to the database.
    pub operation: &'static str,
    /// `succeeded` or `failed`.
    pub result: &'static str,
}

/// What is counted of the migrations of the cluster.
#[derive(Clone, Debug)]
pub struct Migrations {
    /// Jobs that ended while we watched.
    pub ended: Family<OutcomeLabels, Counter>,
    /// How long they took.
    pub duration: Family<OutcomeLabels, Histogram>,
    /// Jobs that run.
    pub active: Family<MigrationLabels, Gauge>,
    /// Since when the longest of them has run; 0 when none does.
    pub oldest_start: Seconds,
}

impl Migrations {
    pub(super) fn new(r: &mut Registry) -> Self {
        let buckets: fn() -> Histogram = || Histogram::new(BUCKETS);
        let duration = Family::<OutcomeLabels, Histogram>::new_with_constructor(buckets);
        Self {
            ended: new(r, "migrations", "Migration Jobs that ended"),
            duration: add(
                r,
                "migration_duration",
                "Time from the start to the end of migration Jobs",
                Some(Unit::Seconds),
                duration,
            ),
            active: new(r, "migrations_active", "Migration Jobs that run"),
            oldest_start: unit(
                r,
                "migration_oldest_start_timestamp",
                "Start of the migration Job that has run the longest, as Unix time; 0 for none",
                Unit::Seconds,
            ),
        }
    }
}
