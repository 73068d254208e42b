//! What a cluster knows: gathered by watching, never asked for while a request waits.
//!
//! ```text
//! API server -> follow (list, watch, back-off) -> namespaces  labels
//!                                                 documents   policies and exceptions in force
//!                                                 approvals   what may run, and which Job did
//!                                                 jobs        migrations that run, in Jobs and
//!                                                             in workloads that roll out
//! ```
//!
//! Beside the caches stands the scan: [`scan()`] lists everything once, page by page, and
//! [`Reports`] writes what it found. Whoever serves does so on the replica that leads.
//!
//! Every cache goes on with what it last heard while the API server is away, and its metrics say how
//! old that is.

mod approvals;
mod background;
mod certificate;
mod client;
mod discovery;
mod documents;
mod events;
mod evidence;
mod follow;
mod happened;
mod jobs;
mod leader;
mod lease;
mod namespaces;
mod pages;
mod raw;
pub mod rbac;
mod reports;
mod rollouts;
mod scan;
mod status;

use std::sync::Arc;

use kube::core::ApiResource;
use tokio::task::JoinSet;

pub use approvals::Approvals;
pub use background::{Pace, Reporting};
pub use certificate::{Certificate, CertificateError, INJECT, Place};
pub use client::{ClusterError, Connection, FIELD_MANAGER};
pub use documents::{Documents, Key, Kind, Standing};
pub use events::{Application, Events, NOTE, Regarding, Told, Writer};
pub use evidence::{Evidence, Inquiry};
pub use happened::{Happened, Waiting};
use jobs::Around;
pub use jobs::{Active, Claim, Jobs};
pub use leader::{Election, Leader, Terms};
pub use lease::LEASE;
pub use namespaces::{Lookup, Namespaces};
pub use raw::Raw;
pub use reports::{Published, Reports};
use rollouts::Rolling;
pub use scan::{OnProgress, Request, ScanError, documents, scan};

use crate::metrics::{Cache, Metrics};

/// What is known of the cluster around a change.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Labels of namespaces.
    pub namespaces: Arc<Namespaces>,
    /// Migrations that run.
    pub jobs: Arc<Jobs>,
    /// Approvals that are objects of the cluster.
    pub approvals: Arc<Approvals>,
    /// Policies and exceptions of the cluster; none where there is no cluster to ask.
    pub documents: Option<Arc<Documents>>,
    /// Where to leave what users are to see; none where nobody writes it.
    pub events: Option<Arc<Events>>,
    /// Where to leave what reports are to tell; none where nobody writes it.
    pub happened: Option<Arc<Happened>>,
    /// Looks up what few objects need; none where there is nobody to ask.
    pub inquiry: Option<Inquiry>,
}

/// What writes to the cluster.
#[derive(Debug)]
pub struct Writers {
    /// Writes Events.
    pub events: Writer,
    /// Whether this replica writes the rest.
    pub leader: Leader,
    /// What decides that; none where there is no other replica.
    pub election: Option<Election>,
    /// The certificate that is kept in a Secret, if one is.
    pub certificate: Option<Certificate>,
    /// Writes reports; none where nobody wants them.
    pub reporting: Option<Reporting>,
}

impl Cluster {
    /// No cluster, because of `why`: a clause that reads on after "because".
    pub fn off(why: &'static str) -> Self {
        Self {
            namespaces: Arc::new(Namespaces::off(why)),
            jobs: Arc::default(),
            approvals: Arc::default(),
            documents: None,
            events: None,
            happened: None,
            inquiry: None,
        }
    }

    /// A cluster, to be filled by [`Self::watch`].
    pub fn watched(documents: Arc<Documents>) -> Self {
        Self {
            namespaces: Arc::new(Namespaces::watched()),
            jobs: Arc::new(Jobs::watched()),
            approvals: Arc::new(Approvals::watched()),
            documents: Some(documents),
            events: None,
            happened: None,
            inquiry: None,
        }
    }

    /// The caches without which nothing can be decided and that are not filled yet. Without the
    /// Jobs much can: what depends on them is undecided.
    pub fn waits_for(&self) -> Vec<Cache> {
        let mut waits = Vec::new();
        if !self.namespaces.ready() {
            waits.push(Cache::Namespaces);
        }
        if let Some(documents) = &self.documents {
            waits.extend(documents.waits_for());
        }
        if self.approvals.is_awaited() {
            waits.push(Cache::Approvals);
        }
        waits
    }

    /// Writes what there is to write. Never ends.
    ///
    /// # Errors
    ///
    /// When the connection's configuration makes no client.
    pub async fn write(
        self,
        connection: Connection,
        writers: Writers,
        metrics: Arc<Metrics>,
    ) -> Result<(), ClusterError> {
        let Writers { events: writer, leader, election, certificate, reporting } = writers;
        let client = connection.client()?;
        let approvals = approvals::status::keep(client.clone(), &self.approvals, leader.clone());
        let certificate = {
            let leader = leader.clone();
            async move {
                if let Some(certificate) = certificate {
                    tokio::join!(certificate.follow(), certificate.keep(leader));
                }
            }
        };
        let reports = async {
            if let Some(reporting) = reporting {
                let (client, leader) = (client.clone(), leader.clone());
                Box::pin(reporting.keep(&self, client, leader, &metrics)).await;
            }
        };
        let status = async {
            if let (Some(documents), Some(events)) = (&self.documents, &self.events) {
                status::keep(client.clone(), documents, leader.clone(), events).await;
            }
        };
        // In a task of its own: a long report must not keep the Lease from being renewed.
        let mut standing = JoinSet::new();
        if let Some(election) = election {
            let metrics = Arc::clone(&metrics);
            standing.spawn(async move { election.run(&metrics).await });
        }
        let written =
            async { tokio::join!(writer.run(&metrics), status, approvals, certificate, reports) };
        tokio::select! {
            _ = written => {}
            Some(_) = standing.join_next() => {}
        }
        Ok(())
    }

    /// Fills every cache and keeps it as the API server has it. Never ends.
    ///
    /// # Errors
    ///
    /// When the connection's configuration makes no client.
    pub async fn watch(
        self,
        connection: Connection,
        metrics: Arc<Metrics>,
    ) -> Result<(), ClusterError> {
        let client = |cache| connection.client_of(cache, &metrics);
        let namespaces = namespaces::watch(client(Cache::Namespaces)?, &self.namespaces, &metrics);
        let Some(documents) = &self.documents else {
            namespaces.await;
            return Ok(());
        };
        let policies = documents.watch_policies(client(Cache::Policies)?, &metrics);
        let exceptions = documents.watch_exceptions(client(Cache::Exceptions)?, &metrics);
        let approvals = self.approvals.watch(client(Cache::Approvals)?, &metrics);
        let around = Around {
            documents,
            namespaces: &self.namespaces,
            approvals: &self.approvals,
            happened: self.happened.as_deref(),
            metrics: &metrics,
        };
        let jobs = self.jobs.watch(client(Cache::Jobs)?, around);
        let mut rollouts = Vec::new();
        if self.jobs.has_rollouts() {
            for kind in Rolling::ALL {
                rollouts.push(self.jobs.watch_rollouts(kind, client(kind.cache())?, around));
            }
        }
        let rollouts = futures_util::future::join_all(rollouts);
        tokio::join!(namespaces, policies, exceptions, approvals, jobs, rollouts);
        Ok(())
    }
}

/// `MigrationApproval`, as in a URL.
pub fn approval_kind() -> ApiResource {
    own_kind("MigrationApproval", "migrationapprovals")
}

/// A kind of ours.
fn own_kind(kind: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: "tidegate.dev".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "tidegate.dev/v1alpha1".to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}
