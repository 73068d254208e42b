//! The way to the API server.

use std::{path::Path, time::Duration};

use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
};
use tower::util::MapResponseLayer;

use crate::{
    metrics::{Cache, Metrics},
    settings::KubeMode,
};

/// How long the API server may be silent. It ends every watch after less than 10 minutes, so a
/// longer silence is a dead connection.
const READ_TIMEOUT: Duration = Duration::from_mins(10);

/// The cluster cannot be reached as configured.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// There is no configuration.
    #[error("no configuration for a cluster: neither a Pod's nor a kubeconfig")]
    Config(#[source] kube::config::InferConfigError),
    /// The kubeconfig that was named cannot be used.
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[source] kube::config::KubeconfigError),
    /// The configuration does not make a client.
    #[error("cannot make a client for the cluster")]
    Client(#[source] kube::Error),
}

/// How to reach one cluster.
#[derive(Clone, Debug)]
pub struct Connection {
    config: Config,
}

impl Connection {
    /// To the cluster of this configuration.
    pub fn new(mut config: Config) -> Self {
        // Without it a connection that died without a word is waited on for ever.
        config.read_timeout = Some(READ_TIMEOUT);
        Self { config }
    }

    /// To the cluster that this process runs in, or that the kubeconfig names.
    ///
    /// # Errors
    ///
    /// When there is no configuration.
    pub async fn infer() -> Result<Self, ClusterError> {
        Ok(Self::new(Config::infer().await.map_err(ClusterError::Config)?))
    }

    /// To the cluster of a context of a kubeconfig; where neither is given, as [`Self::infer`].
    ///
    /// # Errors
    ///
    /// When there is no such configuration.
    pub async fn named(
        kubeconfig: Option<&Path>,
        context: Option<&str>,
    ) -> Result<Self, ClusterError> {
        if kubeconfig.is_none() && context.is_none() {
            return Self::infer().await;
        }
        let options = KubeConfigOptions {
            context: context.map(str::to_owned),
            ..KubeConfigOptions::default()
        };
        let config = match kubeconfig {
            Some(path) => match Kubeconfig::read_from(path) {
                Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await,
                Err(error) => Err(error),
            },
            None => Config::from_kubeconfig(&options).await,
        };
        Ok(Self::new(config.map_err(ClusterError::Kubeconfig)?))
    }

    /// As `mode` wants it: `None` for none.
    ///
    /// # Errors
    ///
    /// With [`KubeMode::On`], when there is no configuration. With [`KubeMode::Auto`] that is logged
    /// and `None`.
    pub async fn wanted(mode: KubeMode) -> Result<Option<Self>, ClusterError> {
        match mode {
            KubeMode::Off => Ok(None),
            KubeMode::On => Self::infer().await.map(Some),
            KubeMode::Auto if !crate::settings::kube_is_configured() => Ok(None),
            KubeMode::Auto => match Self::infer().await {
                Ok(connection) => Ok(Some(connection)),
                Err(error) => {
                    let error = format!("{:#}", anyhow::Error::from(error));
                    tracing::warn!(error, "no cluster: what it would know is unknown");
                    Ok(None)
                }
            },
        }
    }

    /// A client.
    ///
    /// # Errors
    ///
    /// When the configuration does not make one.
    pub fn client(&self) -> Result<Client, ClusterError> {
        Client::try_from(self.config.clone()).map_err(ClusterError::Client)
    }

    /// A client for one cache, which notes when the API server last answered it: a watch is renewed
    /// within 5 minutes even where nothing changes, so that an older time means that it cannot be
    /// reached.
    ///
    /// # Errors
    ///
    /// When the configuration does not make one.
    pub fn client_of(&self, cache: Cache, metrics: &Metrics) -> Result<Client, ClusterError> {
        let heard = metrics.cache(cache).heard;
        let layer = MapResponseLayer::new(move |response: hyper::Response<_>| {
            if response.status().is_success() {
                heard.set(unix_seconds());
            }
            response
        });
        let builder = ClientBuilder::try_from(self.config.clone()).map_err(ClusterError::Client)?;
        Ok(builder.with_layer(&layer).build())
    }
}

/// Shared by everything that writes to the cluster: who says what is written.
pub const FIELD_MANAGER: &str = "tidegate";

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit for 280,000 years")]
fn unix_seconds() -> f64 {
    jiff::Timestamp::now().as_millisecond() as f64 / 1_000.0
}
