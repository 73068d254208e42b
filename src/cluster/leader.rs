//! Which replica writes to the cluster. Serving does not depend on it.

use std::time::Duration;

use kube::Client;
use kube_lease_manager::LeaseManagerBuilder;
use tokio::sync::watch;

use super::FIELD_MANAGER;
use crate::metrics::Metrics;

/// Name of the Lease.
pub const LEASE: &str = "tidegate";
/// How long another replica waits for one that went away without a word, in seconds.
const DURATION: u64 = 15;
/// How long before its end a lease is renewed, in seconds.
const GRACE: u64 = 5;
/// How long to wait before asking again for a lease that could not be read at all.
const RETRY: Duration = Duration::from_secs(10);

/// Whether this replica writes: true while it does.
#[derive(Clone, Debug)]
pub struct Leader(watch::Receiver<bool>);

impl Leader {
    /// The only one there is.
    pub fn alone() -> Self {
        // The value outlives its sender.
        Self(watch::channel(true).1)
    }

    /// True while this replica writes.
    pub fn leads(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until this replica writes.
    pub async fn elected(&mut self) {
        if self.0.wait_for(|leads| *leads).await.is_err() {
            // Nobody elects any more, and it was another replica.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until another replica may write.
    pub async fn deposed(&mut self) {
        if self.0.wait_for(|leads| !*leads).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Someone who stands for election until it is dropped.
pub struct Election {
    client: Client,
    namespace: String,
    identity: String,
    state: watch::Sender<bool>,
}

impl std::fmt::Debug for Election {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Election").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Election {
    /// An election by the Lease of `namespace`, in which this process is `identity`.
    pub fn new(client: Client, namespace: String, identity: String) -> (Self, Leader) {
        let (state, leader) = watch::channel(false);
        (Self { client, namespace, identity, state }, Leader(leader))
    }

    /// Stands for election. Never ends: a lease that cannot be read is asked for again.
    pub(super) async fn run(self, metrics: &Metrics) {
        loop {
            let manager = LeaseManagerBuilder::new(self.client.clone(), LEASE)
                .with_namespace(&self.namespace)
                .with_identity(&self.identity)
                .with_duration(DURATION)
                .with_grace(GRACE)
                .with_field_manager(FIELD_MANAGER)
                .build()
                .await;
            match manager {
                Ok(manager) => {
                    let (mut leads, _task) = manager.watch().await;
                    loop {
                        let now = *leads.borrow_and_update();
                        if self.state.send_replace(now) != now {
                            metrics.leader.set(i64::from(now));
                            tracing::info!(leads = now, "another replica writes, or this one");
                        }
                        if leads.changed().await.is_err() {
                            break;
                        }
                    }
                }
                Err(error) => {
                    let error = format!("{:#}", anyhow::Error::from(error));
                    tracing::warn!(error, "the lease cannot be read: this replica writes nothing");
                }
            }
            self.state.send_replace(false);
            metrics.leader.set(0);
            tokio::time::sleep(RETRY).await;
        }
    }
}
