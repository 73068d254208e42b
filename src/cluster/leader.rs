//! Which replica writes to the cluster. Serving does not depend on it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kube::Client;
use tokio::{sync::watch, time::timeout};

use super::lease::Candidate;
use crate::metrics::Metrics;

/// When things happen; the times of client-go's leader election.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How long another replica waits for one that went away without a word; whole seconds.
    pub duration: Duration,
    /// How long after it last renewed the Lease a replica writes. The rest of the duration is for what
    /// it was writing then.
    pub deadline: Duration,
    /// From the start of one try to take or renew the Lease to the start of the next.
    pub pace: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            deadline: Duration::from_secs(10),
            pace: Duration::from_secs(2),
        }
    }
}

impl Terms {
    /// The longest that one try may take: when one hangs, there is time for another.
    fn patience(&self) -> Duration {
        self.deadline.checked_div(2).unwrap_or(self.deadline)
    }

    /// The same when there is so long `left`.
    fn limit(&self, left: Duration) -> Duration {
        self.patience().min(left)
    }

    /// How long to wait after a try that took so long.
    fn pause(&self, took: Duration) -> Duration {
        self.pace.saturating_sub(took)
    }
}

/// How far a replica is with leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    No,
    Asked,
    Done,
}

/// What is wrong when a try takes too long.
const SILENCE: &str = "the API server does not answer";

/// Whether this replica writes, and what waits for it.
#[derive(Debug)]
struct Office {
    leads: watch::Sender<bool>,
    /// How many do what only one replica may.
    busy: watch::Sender<usize>,
    leaving: watch::Sender<Leaving>,
}

impl Office {
    fn new(leads: bool, leaving: Leaving) -> Arc<Self> {
        Arc::new(Self {
            leads: watch::Sender::new(leads),
            busy: watch::Sender::new(0),
            leaving: watch::Sender::new(leaving),
        })
    }
}

/// Waits until it is so. The sender is at hand, so that waiting cannot fail.
async fn reached<T: Send + Sync>(sender: &watch::Sender<T>, is_so: impl FnMut(&T) -> bool + Send) {
    drop(sender.subscribe().wait_for(is_so).await);
}

/// Whether this replica writes.
#[derive(Clone, Debug)]
pub struct Leader(Arc<Office>);

impl Leader {
    /// The only one there is.
    pub fn alone() -> Self {
        Self(Office::new(true, Leaving::Done))
    }

    /// True while this replica writes.
    pub fn leads(&self) -> bool {
        *self.0.leads.borrow()
    }

    /// Does `work` while this replica writes, from the start whenever it begins to. When another
    /// may write, it is dropped where it stands. Never ends.
    pub(super) async fn while_leading<W: Future<Output = ()>>(&self, mut work: impl FnMut() -> W) {
        loop {
            reached(&self.0.leads, |leads| *leads).await;
            let _busy = Busy::new(&self.0);
            tokio::select! {
                biased;
                () = reached(&self.0.leads, |leads| !leads) => {}
                () = work() => {}
            }
        }
    }

    /// Writes no more, now and later, and lets another replica do so. Returns when all that was
    /// being written has stopped and the Lease is free; the only replica there is has nobody to leave
    /// anything to. Waits for as long as the API server does not answer.
    pub async fn resign(&self) {
        self.0.leaving.send_if_modified(|leaving| {
            let asked = *leaving == Leaving::No;
            if asked {
                *leaving = Leaving::Asked;
            }
            asked
        });
        reached(&self.0.leaving, |leaving| *leaving == Leaving::Done).await;
    }
}

/// Somebody who does what only one replica may, until it is dropped.
struct Busy<'o>(&'o Office);

impl<'o> Busy<'o> {
    fn new(office: &'o Office) -> Self {
        office.busy.send_modify(|number| *number = number.saturating_add(1));
        Self(office)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.send_modify(|number| *number = number.saturating_sub(1));
    }
}

/// Someone who stands for election.
#[derive(Debug)]
pub struct Election {
    candidate: Candidate,
    terms: Terms,
    office: Arc<Office>,
    /// When the Lease was last renewed by this replica, if that is why it writes.
    renewed: Option<Instant>,
    /// True after the Lease could not be read or written.
    is_failing: bool,
}

impl Election {
    /// An election by the Lease of `namespace`, in which this process is `identity`.
    pub fn new(client: Client, namespace: &str, identity: String, terms: Terms) -> (Self, Leader) {
        let office = Office::new(false, Leaving::No);
        let candidate = Candidate::new(client, namespace, identity, terms.duration);
        let leader = Leader(Arc::clone(&office));
        (Self { candidate, terms, office, renewed: None, is_failing: false }, leader)
    }

    /// Stands for election until it is to leave. Never ends.
    pub(super) async fn run(mut self, metrics: &Metrics) {
        let office = Arc::clone(&self.office);
        tokio::select! {
            () = self.stand(metrics) => {}
            () = reached(&office.leaving, |leaving| *leaving != Leaving::No) => {}
        }
        self.settle(None, metrics);
        // Whoever takes over must not meet what is still being written.
        reached(&office.busy, |number| *number == 0).await;
        self.release().await;
        office.leaving.send_replace(Leaving::Done);
        std::future::pending::<()>().await;
    }

    /// Gives the Lease up. An attempt may have been dropped after it was heard, so who holds it is asked
    /// again, until somebody answers.
    async fn release(&self) {
        loop {
            let error = match timeout(self.terms.patience(), self.candidate.release()).await {
                Ok(Ok(true)) => return tracing::info!("this replica writes no more: another may"),
                Ok(Ok(false)) => return,
                Ok(Err(error)) => format!("{:#}", anyhow::Error::from(error)),
                Err(_) => SILENCE.to_owned(),
            };
            tracing::warn!(error, "the lease cannot be given up: tried again");
            tokio::time::sleep(self.terms.pace).await;
        }
    }

    /// Takes the Lease whenever it is free, and renews it. Never ends.
    async fn stand(&mut self, metrics: &Metrics) {
        loop {
            let started = Instant::now();
            let limit = self.terms.limit(self.left(started));
            let renewed = match timeout(limit, self.candidate.attempt()).await {
                Ok(Ok(holds)) => {
                    self.is_failing = false;
                    holds.then_some(started)
                }
                Ok(Err(error)) => self.failed(&format!("{:#}", anyhow::Error::from(error))),
                Err(_) => self.failed(SILENCE),
            };
            self.settle(renewed, metrics);
            let pause = self.terms.pause(started.elapsed());
            tokio::time::sleep(pause.min(self.left(Instant::now()))).await;
        }
    }

    /// How long this replica may still write without renewing; a whole term when it does not.
    fn left(&self, now: Instant) -> Duration {
        let since = self.renewed.map_or(Duration::ZERO, |renewed| now.duration_since(renewed));
        self.terms.deadline.saturating_sub(since)
    }

    /// The Lease could not be read or written: until when what was renewed holds.
    fn failed(&mut self, error: &str) -> Option<Instant> {
        if !self.is_failing {
            tracing::warn!(error, "the lease cannot be renewed or taken: tried again");
        }
        self.is_failing = true;
        self.renewed.filter(|_| !self.left(Instant::now()).is_zero())
    }

    /// Writes from now on, or no more.
    fn settle(&mut self, renewed: Option<Instant>, metrics: &Metrics) {
        self.renewed = renewed;
        let leads = renewed.is_some();
        if self.office.leads.send_replace(leads) != leads {
            tracing::info!(leads, "another replica writes, or this one");
        }
        metrics.leader.set(i64::from(leads));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_api_server_and_one_that_hangs_once_leave_the_leader_where_it_is() {
        let terms = Terms::default();
        for slow in (0..=4_900).step_by(100).map(Duration::from_millis) {
            let (mut now, mut renewed) = (Duration::ZERO, Duration::ZERO);
            for attempt in 0..20 {
                let left = terms.deadline.saturating_sub(now.saturating_sub(renewed));
                assert!(slow < terms.limit(left), "try {attempt} of {slow:?} has {left:?} left");
                renewed = now;
                now = now.saturating_add(slow).saturating_add(terms.pause(slow));
            }
        }
        // It renewed at once, then one try hangs: the next still has time.
        let hangs = terms.limit(terms.deadline.saturating_sub(terms.pace));
        let after = terms.pace.saturating_add(hangs).saturating_add(terms.pause(hangs));
        assert!(terms.limit(terms.deadline.saturating_sub(after)) >= Duration::from_secs(3));
        // Whoever waits begins after the last that could still be writing has ended.
        assert!(terms.deadline < terms.duration);
    }
}
