//! What is counted of background scans and of reports.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::{Seconds, new, unit};

/// How a scan ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ScanResult {
    /// `complete`, `incomplete` or `failed`.
    pub result: &'static str,
}

/// What is counted of scans.
#[derive(Clone, Debug)]
pub struct Scans {
    /// Scans that ended.
    pub ended: Family<ScanResult, Counter>,
    /// How long the last one took.
    pub duration: Seconds,
    /// Objects that the last one judged.
    pub objects: Gauge,
    /// Objects of the last one that would be refused if every policy enforced.
    pub would_be_refused: Gauge,
    /// Reports that were written or deleted.
    pub written: Counter,
    /// Reports that could not be.
    pub failed: Counter,
    /// Results that are in no history, because there were too many or the API server refused.
    pub history_dropped: Counter,
}

impl Scans {
    pub(super) fn new(r: &mut Registry) -> Self {
        Self {
            ended: new(r, "scans", "Background scans that ended"),
            duration: unit(r, "scan_duration", "Time of the last background scan", Unit::Seconds),
            objects: new(r, "scan_objects", "Objects that the last background scan judged"),
            would_be_refused: new(
                r,
                "scan_would_be_refused",
                "Objects of the last background scan that would be refused if policies enforced",
            ),
            written: new(r, "reports_written", "Policy reports written or deleted"),
            failed: new(r, "reports_failed", "Policy reports that could not be written"),
            history_dropped: new(r, "history_dropped", "Results that are missing in histories"),
        }
    }
}
