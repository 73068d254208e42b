//! `tidegate serve`

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use tokio::{
    net::TcpListener,
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    task::{AbortHandle, JoinSet},
};

use super::{
    connect::{Connected, Kept, connect},
    exit::Exit,
    policies,
};
use crate::{
    cluster::{Leader, Place},
    metrics::Metrics,
    pki::Lifetimes,
    settings::{
        self, ByteSize, KubeMode, Limits, LogFormat, ReportMode, Serve, SettingsError, Switch,
        Text, TlsSource,
    },
    telemetry,
    webhook::{
        App, ClientCa, DecisionLog, Engines, Identity, Lifecycle, Listener, Phase, TlsStore,
        health_router, router,
    },
};

/// Stack of every thread. What is unused of it is never touched; the parsers of shell and SQL
/// recurse.
const STACK: usize = 8 << 20;
/// Shortest time between two scans: more often would be a load without a use.
const SHORTEST_SCAN: std::time::Duration = std::time::Duration::from_secs(10);
/// Longest drain that can be asked for.
const LONGEST_DRAIN: std::time::Duration = std::time::Duration::from_hours(1);
/// How long a server that does not drain gives another replica what it holds.
const RESIGN: std::time::Duration = std::time::Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  # Try it: the built-in policy, and a certificate made in memory
  tidegate serve --ca-out ca.pem
  curl --cacert ca.pem https://localhost:8443/validate --json @review.json

  # In a cluster: policies from a ConfigMap, the certificate from a Secret
  tidegate serve --policy /etc/tidegate/policies --tls-dir /etc/tidegate/tls \\
    --listen 0.0.0.0:8443 --metrics-listen 0.0.0.0:8080

  # Only the API server may connect
  tidegate serve --tls-dir /etc/tidegate/tls --client-ca /etc/tidegate/client-ca.crt

Health and metrics, plain HTTP on --metrics-listen: /livez, /readyz, /metrics.
Policies are read at start; certificates whenever their files change.
SIGTERM: not ready, keep serving for --drain, finish what is in flight, exit 0. A second one exits
at once.";

/// Run the admission webhook.
///
/// Answers AdmissionReviews at /validate and /mutate over TLS. `tidegate webhook-config` prints what
/// registers it with a cluster.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Policy file, or folder of them (*.yaml, *.yml, *.json). Repeatable. [default: built-in]
    #[arg(long, value_name = "PATH")]
    policy: Vec<PathBuf>,

    /// Address of the webhook. Port 0 takes a free one and logs it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,

    /// Address of health and metrics
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    metrics_listen: SocketAddr,

    /// Folder with tls.crt, tls.key and perhaps ca.crt; re-read when they change
    #[arg(long, value_name = "DIR", conflicts_with = "tls_self_signed")]
    tls_dir: Option<PathBuf>,

    /// Keep a certificate in this Secret of our own namespace: made, renewed and put into the webhook
    /// configurations by tidegate itself, for all replicas
    #[arg(long, value_name = "NAME", conflicts_with_all = ["tls_dir", "tls_self_signed", "ca_out"])]
    tls_secret: Option<String>,

    /// The Service that the certificate of --tls-secret is for
    #[arg(long, value_name = "NAME", default_value = "tidegate", requires = "tls_secret")]
    tls_service: String,

    /// The webhook configurations that get the authority of --tls-secret, both of this name
    #[arg(long, value_name = "NAME", default_value = "tidegate", requires = "tls_secret")]
    inject_ca: String,

    /// How long a certificate of --tls-secret lasts; it is renewed when two thirds are over
    #[arg(long, value_name = "DURATION", default_value = "2160h", requires = "tls_secret")]
    tls_lifetime: Text,

    /// How long its authority lasts
    #[arg(long, value_name = "DURATION", default_value = "8760h", requires = "tls_secret")]
    tls_ca_lifetime: Text,

    /// Make a certificate in memory for these DNS names and IP addresses
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "localhost,127.0.0.1",
        hide_default_value = true,
        long_help = "Make a certificate in memory for these DNS names and IP addresses. \
                     [default without --tls-dir: localhost,127.0.0.1]"
    )]
    tls_self_signed: Vec<String>,

    /// Write the authority of the in-memory certificate here, in PEM
    #[arg(long, value_name = "FILE", conflicts_with = "tls_dir")]
    ca_out: Option<PathBuf>,

    /// Let in only clients with a certificate of these authorities (PEM); re-read when it changes
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,

    /// Watch a cluster, its namespaces, policies, exceptions and Jobs: auto connects in a Pod, and
    /// elsewhere when a policy selects namespaces by label and a kubeconfig is there
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    kube: KubeMode,

    /// Watch workloads that roll out too: one that migrates before it serves counts as a migration of
    /// its database until it is rolled out
    #[arg(long, value_name = "WHEN", default_value = "on")]
    rollouts: Switch,

    /// Write policy reports of what is wrong in the cluster: auto writes them in a Pod, where the
    /// cluster has a kind for them
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    reports: ReportMode,

    /// How often the cluster is scanned for them, by the replica that leads
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    scan_interval: Text,

    /// Namespace of Argo CD: what it is refused is told at its Application too. Empty: it is not
    #[arg(long, value_name = "NAMESPACE", default_value = "argocd")]
    argocd_namespace: String,

    /// Append a line of JSON for each decision to this file; - for standard output
    #[arg(long, value_name = "FILE")]
    decision_log: Option<PathBuf>,

    /// Form of log lines [default: human at a terminal, else json]
    #[arg(long, value_name = "FORMAT")]
    log: Option<LogFormat>,

    /// Which log lines: error, warn, info, debug, or a filter such as info,kube=debug. At debug
    /// every decision has a line, at info only refusals, warnings and patches
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "info",
        env = "TIDEGATE_LOG",
        hide_env_values = true
    )]
    log_level: String,

    #[command(flatten)]
    limits: LimitArgs,
}

/// Limits with defaults that rarely need changing.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// How long to go on serving after SIGTERM, for the rest of the cluster to notice
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    drain: Text,

    /// How long a connection may wait between requests; above the API server's 90s
    #[arg(long, value_name = "DURATION", default_value = "120s")]
    idle_timeout: Text,

    /// Largest body
    #[arg(long, value_name = "SIZE", default_value = "32Mi")]
    max_body: ByteSize,

    /// Memory for all bodies together
    #[arg(long, value_name = "SIZE", default_value = "128Mi")]
    body_budget: ByteSize,

    /// Most connections at a time
    #[arg(long, value_name = "N", default_value_t = 2_048)]
    max_connections: usize,

    /// Most requests at a time; more are told to come back in a second
    #[arg(long, value_name = "N", default_value_t = 1_024)]
    max_in_flight: usize,

    /// Serving threads [default: one a CPU, at least 2]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
}

impl Args {
    /// Settles what was typed.
    ///
    /// # Errors
    ///
    /// When values contradict each other or cannot be.
    pub fn resolve(self) -> Result<Serve, SettingsError> {
        let limits = Limits {
            idle: self.limits.idle_timeout.0,
            max_body: self.limits.max_body.0,
            body_budget: self.limits.body_budget.0,
            max_connections: self.limits.max_connections,
            max_in_flight: self.limits.max_in_flight,
            ..Limits::default()
        };
        limits.check()?;
        let workers = self.limits.workers.unwrap_or_else(|| settings::cpus().max(2));
        for (flag, value, least) in [
            ("--workers", workers, 2),
            ("--max-connections", limits.max_connections, 1),
            ("--max-in-flight", limits.max_in_flight, 1),
        ] {
            if value < least {
                return Err(SettingsError::TooSmall { flag, least });
            }
        }
        let tls = match (self.tls_dir, self.tls_secret) {
            (Some(folder), _) => TlsSource::Directory(folder),
            (None, Some(secret)) => {
                let place = Place {
                    namespace: settings::own_namespace().ok_or(SettingsError::NoNamespace)?,
                    secret,
                    service: self.tls_service,
                    configurations: self.inject_ca,
                };
                let [leaf, authority] =
                    [self.tls_lifetime, self.tls_ca_lifetime].map(|it| it.0.try_into());
                let lifetimes = Lifetimes::of(
                    leaf.map_err(|_error| SettingsError::Lifetime)?,
                    authority.map_err(|_error| SettingsError::Lifetime)?,
                );
                TlsSource::Secret(place, lifetimes.ok_or(SettingsError::Lifetime)?)
            }
            (None, None) if self.tls_self_signed.iter().any(String::is_empty) => {
                return Err(SettingsError::EmptyName);
            }
            (None, None) => TlsSource::SelfSigned(self.tls_self_signed),
        };
        Ok(Serve {
            policies: self.policy,
            listen: self.listen,
            metrics_listen: self.metrics_listen,
            tls,
            ca_out: self.ca_out,
            client_ca: self.client_ca,
            kube: self.kube,
            rollouts: self.rollouts,
            reports: self.reports,
            scan_interval: self.scan_interval.0.max(SHORTEST_SCAN),
            argocd_namespace: self.argocd_namespace,
            decision_log: self.decision_log,
            workers,
            drain: self.limits.drain.0.min(LONGEST_DRAIN),
            limits,
        })
    }
}

/// Serves until it is told to stop.
///
/// # Errors
///
/// When it cannot start: settings, policies, certificates, addresses.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    telemetry::init(args.log, &args.log_level)?;
    let settings = args.resolve()?;
    // Before anything makes a TLS configuration, kube's client too. That it is there already can
    // only be our own doing.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(settings.workers)
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let exit = runtime.block_on(serve(settings));
    // Whatever still runs was given its time.
    runtime.shutdown_background();
    exit
}

async fn serve(settings: Serve) -> anyhow::Result<Exit> {
    let mut signals = Signals::new()?;
    let server = Server::start(settings).await?;
    server.run(&mut signals).await
}

/// What asks us to stop. Installed first: as process 1 we would be deaf without it.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
        Ok(Self { terminate, interrupt })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A running server: its tasks, and what stops them.
struct Server {
    /// Tasks that must not end before their time.
    essential: JoinSet<&'static str>,
    /// That of them which finishes what is in flight.
    webhook: AbortHandle,
    lifecycle: Lifecycle,
    metrics: Arc<Metrics>,
    /// Whether this replica writes to the cluster.
    leader: Leader,
    drain: std::time::Duration,
}

impl Server {
    async fn start(settings: Serve) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::default());
        let lifecycle = Lifecycle::default();
        let mut essential = JoinSet::new();

        let policies = policies::load(&settings.policies)?;
        let engines = Arc::new(Engines::new(Box::new(policies.clone())));
        let Connected { cluster, kept, leader } =
            connect(&settings, policies, &engines, &metrics, &mut essential).await?;
        let tls = start_tls(&settings, kept, &metrics, &mut essential)?;

        let webhook = bind(settings.listen, "--listen").await?;
        let health = bind(settings.metrics_listen, "--metrics-listen").await?;
        tracing::info!(
            webhook = %webhook.local_addr()?,
            health = %health.local_addr()?,
            policies = engines.current().policies().join(","),
            "listening"
        );
        let plain = health_router(Arc::clone(&metrics), cluster.clone(), lifecycle.clone());
        let decisions = settings.decision_log.as_deref().map(open_decision_log).transpose()?;
        let app = App::new(engines, cluster, Arc::clone(&metrics), settings.limits.clone())
            .logging_to(decisions);
        let webhook = Listener {
            socket: webhook,
            tls: Some(tls),
            router: router(Arc::new(app)),
            limits: settings.limits.clone(),
            until: Phase::Stopping,
            lifecycle: lifecycle.clone(),
            metrics: Arc::clone(&metrics),
        };
        let health = Listener {
            socket: health,
            tls: None,
            router: plain,
            // Nobody waits for what a probe or a scrape was asking.
            limits: Limits { grace: std::time::Duration::from_secs(1), ..settings.limits },
            until: Phase::Stopped,
            lifecycle: lifecycle.clone(),
            // Probes are not what the numbers of connections are about.
            metrics: Arc::default(),
        };
        let webhook = essential.spawn(async {
            webhook.run().await;
            "webhook listener"
        });
        essential.spawn(async {
            health.run().await;
            "health listener"
        });
        Ok(Self { essential, webhook, lifecycle, metrics, leader, drain: settings.drain })
    }

    /// Runs until a signal, or until an essential task ends, which it must not.
    async fn run(mut self, signals: &mut Signals) -> anyhow::Result<Exit> {
        let exit = tokio::select! {
            () = signals.next() => Exit::Clean,
            ended = self.essential.join_next() => {
                let task = match ended {
                    Some(Ok(task)) => task,
                    Some(Err(_)) | None => "a task that panicked",
                };
                tracing::error!(task, "an essential task ended: stopping");
                Exit::CouldNotRun
            }
        };
        tokio::select! {
            () = self.stop() => Ok(exit),
            () = signals.next() => {
                tracing::warn!("second signal: exiting at once");
                Ok(Exit::CouldNotRun)
            }
        }
    }

    /// Lets the cluster notice, then finishes what is in flight.
    async fn stop(&mut self) {
        tracing::info!(drain = ?self.drain, "draining: not ready, still serving");
        self.metrics.draining.set(1);
        self.lifecycle.advance(Phase::Draining);
        // What only one replica does goes on elsewhere while this one still answers.
        let resigned = tokio::time::timeout(self.drain.max(RESIGN), self.leader.resign());
        let (resigned, ()) = tokio::join!(resigned, tokio::time::sleep(self.drain));
        if resigned.is_err() {
            tracing::warn!("the lease was not given up in time: another replica waits for its end");
        }
        tracing::info!("stopping: accepting nothing new");
        self.lifecycle.advance(Phase::Stopping);
        // It may be the one that ended, and why we stop.
        while !self.webhook.is_finished() && self.essential.join_next().await.is_some() {}
        self.lifecycle.advance(Phase::Stopped);
        self.essential.abort_all();
        tracing::info!("stopped");
    }
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {flag} {address}"))
}

fn open_decision_log(path: &Path) -> anyhow::Result<DecisionLog> {
    DecisionLog::open(path)
        .with_context(|| format!("cannot write --decision-log {}", path.display()))
}

fn start_tls(
    settings: &Serve,
    kept: Kept,
    metrics: &Arc<Metrics>,
    essential: &mut JoinSet<&'static str>,
) -> anyhow::Result<Arc<TlsStore>> {
    let identity = match (&settings.tls, kept) {
        (_, Some(kept)) => Identity::Kept(kept),
        (TlsSource::Directory(folder), None) => Identity::Directory(folder.clone()),
        (TlsSource::SelfSigned(names), None) => Identity::issue(names, Timestamp::now())?,
        (TlsSource::Secret(..), None) => bail!("--tls-secret needs a cluster: use --kube on"),
    };
    if let Identity::Issued(issued) = &identity {
        publish(&issued.ca, settings)?;
    }
    let client_ca = settings.client_ca.clone().map(ClientCa);
    let (store, loaded) = TlsStore::new(identity, client_ca, Arc::clone(metrics))?;
    let store = Arc::new(store);
    let kept = Arc::clone(&store);
    essential.spawn(async {
        let pace = kept.pace();
        kept.keep_current(loaded, pace).await;
        "certificate reload"
    });
    Ok(store)
}

/// Tells whoever connects which authority to trust.
fn publish(ca: &str, settings: &Serve) -> anyhow::Result<()> {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    if let Some(path) = &settings.ca_out {
        fs::write(path, ca).with_context(|| format!("cannot write --ca-out {}", path.display()))?;
    }
    tracing::info!(ca_bundle = BASE64_STANDARD.encode(ca), "certificate made in memory");
    Ok(())
}
