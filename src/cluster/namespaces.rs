//! Labels of namespaces, from a watch of their metadata.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use futures_util::TryStreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config, ResourceExt as _,
    client::ClientBuilder,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt as _, watcher, watcher::Event},
};
use tokio::sync::Notify;
use tower::util::MapResponseLayer;

use crate::{metrics::Metrics, model::Labels, settings::KubeMode};

/// How long the API server may be silent. It ends every watch after less than 10 minutes, so a
/// longer silence is a dead connection.
const READ_TIMEOUT: Duration = Duration::from_mins(10);

type Map = BTreeMap<String, Arc<Labels>>;

/// The cluster cannot be reached as configured.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// There is no configuration.
    #[error("no configuration for a cluster (--kube on)")]
    Config(#[source] kube::config::InferConfigError),
    /// The configuration does not make a client.
    #[error("cannot make a client for the cluster")]
    Client(#[source] kube::Error),
}

/// What is known of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Its labels.
    Known(Arc<Labels>),
    /// All namespaces are known and it is none of them.
    Missing,
    /// Not all namespaces are known yet.
    NotSynced,
    /// Nobody will ever know, because of this.
    Off(&'static str),
}

/// The labels of every namespace, as last heard.
#[derive(Debug)]
pub struct Namespaces {
    off: Option<&'static str>,
    map: ArcSwap<Map>,
    synced: AtomicBool,
    changed: Notify,
}

impl Namespaces {
    /// To be filled by [`watch`].
    pub fn watched() -> Self {
        Self::new(None)
    }

    /// Never known, because of `why`.
    pub fn off(why: &'static str) -> Self {
        Self::new(Some(why))
    }

    fn new(off: Option<&'static str>) -> Self {
        Self {
            off,
            map: ArcSwap::default(),
            synced: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }

    /// What is known of `namespace`.
    pub fn labels(&self, namespace: &str) -> Lookup {
        if let Some(why) = self.off {
            return Lookup::Off(why);
        }
        if !self.synced.load(Ordering::Acquire) {
            return Lookup::NotSynced;
        }
        self.map.load().get(namespace).map_or(Lookup::Missing, |l| Lookup::Known(Arc::clone(l)))
    }

    /// True when nothing is waited for any more: all namespaces are known, or never will be.
    pub fn ready(&self) -> bool {
        self.off.is_some() || self.synced.load(Ordering::Acquire)
    }

    /// Waits until `namespace` is known, for at most `patience`.
    pub async fn wait_for(&self, namespace: &str, patience: Duration) {
        let known = async {
            loop {
                let changed = self.changed.notified();
                if matches!(self.labels(namespace), Lookup::Known(_) | Lookup::Off(_)) {
                    break;
                }
                changed.await;
            }
        };
        // Whether it came in time is seen by whoever looks next.
        let _ = tokio::time::timeout(patience, known).await;
    }

    fn replace(&self, map: Map) {
        self.map.store(Arc::new(map));
        self.synced.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    fn change(&self, change: impl FnOnce(&mut Map)) {
        // Labels are shared, so that this copies names only. There is one writer.
        let mut map = Map::clone(&self.map.load());
        change(&mut map);
        self.map.store(Arc::new(map));
        self.changed.notify_waiters();
    }
}

/// Makes a client as `mode` wants it: `None` for none.
///
/// # Errors
///
/// With [`KubeMode::On`], when there is no configuration or it does not make a client. With
/// [`KubeMode::Auto`] that is logged and `None`.
pub async fn connect(
    mode: KubeMode,
    metrics: &Arc<Metrics>,
) -> Result<Option<Client>, ClusterError> {
    let infer = async { client(Config::infer().await.map_err(ClusterError::Config)?, metrics) };
    match mode {
        KubeMode::Off => Ok(None),
        KubeMode::On => infer.await.map(Some),
        KubeMode::Auto if !crate::settings::kube_is_configured() => Ok(None),
        KubeMode::Auto => match infer.await {
            Ok(client) => Ok(Some(client)),
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::warn!(error, "no cluster: what it would know is unknown");
                Ok(None)
            }
        },
    }
}

/// Makes a client that notes when the API server was last heard of: a watch is renewed within 5
/// minutes even where nothing changes, so that an older time means that it cannot be reached.
///
/// # Errors
///
/// When the configuration does not make a client.
pub fn client(mut config: Config, metrics: &Arc<Metrics>) -> Result<Client, ClusterError> {
    // Without it a connection that died without a word is waited on for ever.
    config.read_timeout = Some(READ_TIMEOUT);
    let metrics = Arc::clone(metrics);
    let heard = MapResponseLayer::new(move |response: hyper::Response<_>| {
        if response.status().is_success() {
            metrics.namespaces_heard.set(unix_seconds());
        }
        response
    });
    let builder = ClientBuilder::try_from(config).map_err(ClusterError::Client)?;
    Ok(builder.with_layer(&heard).build())
}

/// Keeps `namespaces` as the API server has them. Never ends: what fails is tried again, ever more
/// slowly, and decisions go on with what was last heard.
pub async fn watch(client: Client, namespaces: Arc<Namespaces>, metrics: Arc<Metrics>) {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client);
    let mut fresh = Map::new();
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                apply(&namespaces, &mut fresh, event);
                metrics.namespaces_synced.set(i64::from(namespaces.ready()));
                let entries = namespaces.map.load().len();
                metrics.namespaces.set(i64::try_from(entries).unwrap_or(i64::MAX));
            }
            // The watcher's stream does not end; if it did, decisions would go on all the same.
            Ok(None) => std::future::pending().await,
            Err(error) => {
                metrics.namespace_watch_errors.inc();
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::warn!(error, "the watch on namespaces failed and is tried again");
            }
        }
    }
}

fn apply(namespaces: &Namespaces, fresh: &mut Map, event: Event<PartialObjectMeta<Namespace>>) {
    let entry = |namespace: PartialObjectMeta<Namespace>| {
        (namespace.name_any(), Arc::new(namespace.metadata.labels.unwrap_or_default()))
    };
    match event {
        Event::Init => fresh.clear(),
        Event::InitApply(namespace) => fresh.extend([entry(namespace)]),
        Event::InitDone => namespaces.replace(std::mem::take(fresh)),
        Event::Apply(namespace) => namespaces.change(|map| map.extend([entry(namespace)])),
        Event::Delete(namespace) => namespaces.change(|map| {
            map.remove(&namespace.name_any());
        }),
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit for 280,000 years")]
fn unix_seconds() -> f64 {
    jiff::Timestamp::now().as_millisecond() as f64 / 1_000.0
}
