//! What happens to migrations, on its way into the history of their namespace.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::Client;
use tokio::sync::mpsc;

use super::reports::Reports;
use crate::{
    metrics::Metrics,
    report::{Entry, Finished, Refused},
};

/// How much waits to be written; more is counted and left out.
const WAITING: usize = 256;

/// Where it is left what happened. Never waits: what is too much is counted and left out.
#[derive(Debug)]
pub struct Happened {
    queue: mpsc::Sender<(String, Entry)>,
    metrics: Arc<Metrics>,
}

/// What was left and is to be written.
#[derive(Debug)]
pub struct Waiting(mpsc::Receiver<(String, Entry)>);

impl Happened {
    /// A place to leave it, and what has to be written from there.
    pub fn new(metrics: Arc<Metrics>) -> (Self, Waiting) {
        let (queue, waiting) = mpsc::channel(WAITING);
        (Self { queue, metrics }, Waiting(waiting))
    }

    /// A change was refused.
    pub fn refused(&self, refused: Refused) {
        self.leave(refused.resource.namespace.clone(), refused.into());
    }

    /// A migration has ended.
    pub fn finished(&self, finished: Finished) {
        self.leave(finished.resource.namespace.clone(), finished.into());
    }

    fn leave(&self, namespace: String, entry: Entry) {
        if self.queue.try_send((namespace, entry)).is_err() {
            self.metrics.scans.history_dropped.inc();
        }
    }
}

impl Waiting {
    /// Writes what was left, a namespace at most once in every `pace`. Ends when nobody can leave
    /// anything any more.
    pub(super) async fn keep(mut self, client: Client, pace: Duration, metrics: &Metrics) {
        let mut all = Vec::new();
        while self.0.recv_many(&mut all, WAITING).await > 0 {
            // What follows at once is written with it.
            tokio::time::sleep(pace).await;
            while let Ok(next) = self.0.try_recv() {
                all.push(next);
            }
            let mut by_namespace: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
            for (namespace, entry) in all.drain(..) {
                by_namespace.entry(namespace).or_default().push(entry);
            }
            write(&client, by_namespace, metrics).await;
        }
    }
}

async fn write(client: &Client, by_namespace: BTreeMap<String, Vec<Entry>>, metrics: &Metrics) {
    let dropped = |entries: &[Entry], error: kube::Error| {
        let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        metrics.scans.history_dropped.inc_by(count);
        let error = format!("{:#}", anyhow::Error::from(error));
        tracing::warn!(error, "the history of a namespace was not written");
    };
    let reports = match Reports::find(client).await {
        Ok(Some(reports)) => reports,
        // The cluster has no kind for it.
        Ok(None) => return,
        Err(error) => {
            let all: Vec<Entry> = by_namespace.into_values().flatten().collect();
            return dropped(&all, error);
        }
    };
    for (namespace, entries) in by_namespace {
        match reports.add(&namespace, &entries, Timestamp::now()).await {
            Ok(()) => {}
            // The namespace is going away.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => dropped(&entries, error),
        }
    }
}
