//! The scan that goes on while the server serves, on the replica that leads.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Client;

use super::{
    Cluster, Leader,
    happened::Waiting,
    reports::{Published, Reports},
    scan::{Request, ScanError, scan},
};
use crate::{
    metrics::{Metrics, ScanResult},
    model::Fact,
    scan::Limits,
};

/// How much is kept of what a background scan finds: what fits into reports.
const LIMITS: Limits = Limits { per_namespace: 8_000, total: 50_000 };

/// How often to look whether the caches are filled, before the first scan.
const READY: Duration = Duration::from_millis(100);

/// When things happen.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// From the end of a scan to the next, more or less a tenth.
    pub interval: Duration,
    /// From a change of the policies to the next scan: more changes may follow.
    pub settle: Duration,
    /// From the end of a scan that failed, or that found no kind for reports, to the next.
    pub retry: Duration,
    /// From something that happened to its being written into a history.
    pub history: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            interval: Duration::from_hours(1),
            settle: Duration::from_secs(10),
            retry: Duration::from_mins(1),
            history: Duration::from_secs(5),
        }
    }
}

/// What writes reports.
#[derive(Debug)]
pub struct Reporting {
    /// What happened and waits to be written.
    pub waiting: Waiting,
    /// When.
    pub pace: Pace,
}

impl Reporting {
    /// Scans while this replica leads, and writes what happened. Never ends. Whatever fails is
    /// logged, counted and tried again later: serving does not depend on it.
    pub(super) async fn keep(
        self,
        cluster: &Cluster,
        client: Client,
        leader: Leader,
        metrics: &Metrics,
    ) {
        let Self { waiting, pace } = self;
        let history = waiting.keep(client.clone(), pace.history, metrics);
        // Another replica that takes over begins a scan of its own.
        let scans = leader.while_leading(|| again_and_again(cluster, &client, pace, metrics));
        tokio::join!(history, scans);
    }
}

async fn again_and_again(cluster: &Cluster, client: &Client, pace: Pace, metrics: &Metrics) {
    let Some(documents) = &cluster.documents else { return std::future::pending().await };
    let mut changes = documents.changes();
    loop {
        // What a policy says counts from its first scan on.
        while !cluster.waits_for().is_empty() {
            tokio::time::sleep(READY).await;
        }
        changes.mark_unchanged();
        let started = Instant::now();
        let done = once(cluster, client, metrics).await;
        if let Err(error) = &done {
            tracing::warn!(error, "the cluster could not be scanned");
        }
        let result = match &done {
            Ok(Done::NoKind) => None,
            Ok(Done::Complete) => Some("complete"),
            Ok(Done::Incomplete) => Some("incomplete"),
            Err(_) => Some("failed"),
        };
        if let Some(result) = result {
            metrics.scans.ended.get_or_create(&ScanResult { result }).inc();
            metrics.scans.duration.set(started.elapsed().as_secs_f64());
        }
        let next = match done {
            Ok(Done::Complete | Done::Incomplete) => jittered(pace.interval),
            Ok(Done::NoKind) | Err(_) => pace.retry,
        };
        tokio::select! {
            () = tokio::time::sleep(next) => {}
            heard = changes.changed() => match heard {
                Ok(()) => tokio::time::sleep(pace.settle).await,
                Err(_) => return std::future::pending().await,
            }
        }
    }
}

/// What a scan came to.
enum Done {
    /// The cluster has no kind for reports: nothing was looked for.
    NoKind,
    /// Everything was looked at.
    Complete,
    /// Something could not be looked at, or a report not written.
    Incomplete,
}

/// One scan, and what it found into reports.
async fn once(cluster: &Cluster, client: &Client, metrics: &Metrics) -> Result<Done, String> {
    let unable = |error: kube::Error| format!("{:#}", anyhow::Error::from(error));
    let Some(documents) = &cluster.documents else { return Ok(Done::NoKind) };
    let Some(reports) = Reports::find(client).await.map_err(unable)? else {
        return Ok(Done::NoKind);
    };
    let request = Request {
        config_maps: true,
        options: crate::scan::Options { limits: LIMITS, ..crate::scan::Options::default() },
        ..Request::default()
    };
    let active = match cluster.jobs.active(Instant::now()) {
        Fact::Known(active) => Fact::Known(active.migrations.clone()),
        Fact::Unknown(why) => Fact::Unknown(why),
        Fact::NotAsked => Fact::NotAsked,
    };
    let policies = documents.current().as_ref().clone();
    let found = scan(client, &request, policies, Some(active), &|_, _| {}).await;
    let found = found.map_err(|error: ScanError| format!("{:#}", anyhow::Error::from(error)))?;
    let now = Timestamp::now();
    for error in &found.errors {
        tracing::warn!(error, "a part of the cluster was not scanned");
    }
    let published = reports.publish(&found, None, now).await.map_err(unable)?;
    reports.prune(now).await.map_err(unable)?;
    let Published { written, unchanged, deleted, failed } = published;
    let scans = &metrics.scans;
    scans.written.inc_by(u64::try_from(written.saturating_add(deleted)).unwrap_or(u64::MAX));
    scans.failed.inc_by(u64::try_from(failed).unwrap_or(u64::MAX));
    scans.would_be_refused.set(count(found.would_be_refused()));
    scans.objects.set(count(found.counts.judged));
    tracing::info!(
        objects = found.counts.judged,
        refused = found.refused(),
        would_be_refused = found.would_be_refused(),
        written,
        unchanged,
        deleted,
        failed,
        "the cluster was scanned"
    );
    let complete = found.errors.is_empty() && failed == 0;
    Ok(if complete { Done::Complete } else { Done::Incomplete })
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A tenth less or more, so that the clusters of a company do not scan at one moment.
fn jittered(interval: Duration) -> Duration {
    let part = Timestamp::now().subsec_nanosecond().unsigned_abs() % 1_000;
    interval.mul_f64(0.9 + f64::from(part) / 5_000.0)
}
