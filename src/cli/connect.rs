//! The cluster that a server is connected to: what it watches there, and what writes.

use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::task::JoinSet;

use crate::{
    cluster::{
        Certificate, Cluster, Connection, Documents, Election, Events, Happened, Inquiry, Jobs,
        Leader, Pace, Reporting, Terms, Writers,
    },
    metrics::Metrics,
    pki::Pair,
    policy::PolicySet,
    settings::{self, KubeMode, Serve, Switch, TlsSource},
    webhook::Engines,
};

/// What is served where a certificate is kept in a Secret.
pub(super) type Kept = Option<Arc<ArcSwap<Pair>>>;

/// What a server has of the cluster that it is connected to, or not.
pub(super) struct Connected {
    pub(super) cluster: Cluster,
    pub(super) kept: Kept,
    /// Whether this replica writes to it.
    pub(super) leader: Leader,
}

impl Connected {
    /// To none, because of `why`.
    fn off(why: &'static str) -> Self {
        Self { cluster: Cluster::off(why), kept: None, leader: Leader::alone() }
    }
}

/// Connects to a cluster, if there is to be one, and starts to watch it.
pub(super) async fn connect(
    settings: &Serve,
    policies: PolicySet,
    engines: &Arc<Engines>,
    metrics: &Arc<Metrics>,
    essential: &mut JoinSet<&'static str>,
) -> anyhow::Result<Connected> {
    let off = match settings.kube {
        KubeMode::Off => Some("the server runs without a cluster connection (--kube off)"),
        // On a desk the cluster of the kubeconfig is none of our business until a policy asks.
        KubeMode::Auto if !settings::in_a_pod() && !policies.needs_labels() => {
            Some("the server does not run in a Pod (--kube auto)")
        }
        KubeMode::Auto | KubeMode::On => None,
    };
    if let Some(why) = off {
        return Ok(Connected::off(why));
    }
    let Some(connection) = Connection::wanted(settings.kube).await? else {
        let why = "the server found no configuration for a cluster (--kube auto)";
        return Ok(Connected::off(why));
    };
    let certificate = certificate(settings, &connection).await?;
    let kept = certificate.as_ref().map(Certificate::served);
    let engines = Arc::clone(engines);
    let documents = Documents::new(policies, move |set| engines.replace(Box::new(set)));
    let (events, writer) = Events::new(connection.client()?, Arc::clone(metrics));
    let (happened, reporting) = reporting(settings, metrics).unzip();
    let jobs = match settings.rollouts {
        Switch::On => Jobs::watched_with_rollouts(),
        Switch::Off => Jobs::watched(),
    };
    let cluster = Cluster {
        jobs: Arc::new(jobs),
        events: Some(Arc::new(events.with_argocd(settings.argocd_namespace.as_str()))),
        happened: happened.map(Arc::new),
        inquiry: Some(Inquiry::new(connection.client()?)),
        ..Cluster::watched(Arc::new(documents))
    };
    let (leader, election) = election(&connection)?;
    let writers =
        Writers { events: writer, leader: leader.clone(), election, certificate, reporting };
    let (written, to, counted) = (cluster.clone(), connection.clone(), Arc::clone(metrics));
    essential.spawn(async {
        if let Err(error) = Box::pin(written.write(to, writers, counted)).await {
            let error = format!("{:#}", anyhow::Error::from(error));
            tracing::error!(error, "the cluster cannot be written to");
        }
        "writing to the cluster"
    });
    let (watched, metrics) = (cluster.clone(), Arc::clone(metrics));
    essential.spawn(async {
        if let Err(error) = Box::pin(watched.watch(connection, metrics)).await {
            let error = format!("{:#}", anyhow::Error::from(error));
            tracing::error!(error, "the cluster cannot be watched");
        }
        "cluster watch"
    });
    Ok(Connected { cluster, kept, leader })
}

/// Who settles which replica writes.
fn election(connection: &Connection) -> anyhow::Result<(Leader, Option<Election>)> {
    // Outside a Pod there is no other replica.
    let Some(namespace) = settings::own_namespace() else { return Ok((Leader::alone(), None)) };
    let name = settings::own_name().unwrap_or_else(|| "tidegate".to_owned());
    let (election, leader) =
        Election::new(connection.client()?, &namespace, name, Terms::default());
    Ok((leader, Some(election)))
}

/// The certificate that is kept in a Secret, if one is wanted.
async fn certificate(
    settings: &Serve,
    connection: &Connection,
) -> anyhow::Result<Option<Certificate>> {
    let TlsSource::Secret(place, lifetimes) = &settings.tls else { return Ok(None) };
    let client = connection.client()?;
    let obtained = Certificate::obtain(client, place.clone(), *lifetimes).await;
    obtained.context("cannot keep a certificate (--tls-secret)").map(Some)
}

/// Where to leave what reports are to tell, and what writes them, if somebody wants them.
fn reporting(settings: &Serve, metrics: &Arc<Metrics>) -> Option<(Happened, Reporting)> {
    if !settings.reports.is_wanted() {
        return None;
    }
    let (happened, waiting) = Happened::new(Arc::clone(metrics));
    let pace = Pace { interval: settings.scan_interval, ..Pace::default() };
    Some((happened, Reporting { waiting, pace }))
}
