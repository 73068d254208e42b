//! The certificate that tidegate keeps for itself: in a Secret, for all replicas, and its authority in the
//! webhook configurations.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::{
    ByteString,
    api::{
        admissionregistration::v1::{
            MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
        },
        core::v1::Secret,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client,
    api::PostParams,
    runtime::{WatchStreamExt as _, watcher, watcher::Event},
};
use tokio::sync::Mutex;

use super::{FIELD_MANAGER, Leader};
use crate::pki::{Kept, Lifetimes, Pair, PkiError, split};

/// Keys of the Secret; the first two as of every TLS Secret.
const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";
const BUNDLE: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
/// Since when every webhook configuration holds the bundle.
const TRUSTED_SINCE: &str = "tidegate.dev/trusted-since";
/// Since when the leaf is there.
const SERVED_SINCE: &str = "tidegate.dev/served-since";
/// On a webhook configuration: `false` keeps our hands off it.
pub const INJECT: &str = "tidegate.dev/inject-ca";

/// How often everything is compared with what it should be, if nothing is heard before.
const TURN: Duration = Duration::from_secs(30);
/// How long to wait after a failure.
const RETRY: Duration = Duration::from_secs(5);

/// The Secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The API server refuses or is away.
    #[error("Secret {namespace}/{name} cannot be read or written")]
    Secret {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// It holds something else.
    #[error("Secret {namespace}/{name} has no {key}: delete it, and a new one is made")]
    Content {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The key.
        key: &'static str,
    },
    /// No certificate can be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
}

/// A certificate in a Secret.
#[derive(Clone)]
pub struct Certificate {
    client: Client,
    namespace: String,
    name: String,
    /// DNS names of the Service.
    names: Vec<String>,
    /// The webhook configurations, both of this name.
    configurations: String,
    lifetimes: Lifetimes,
    served: Arc<ArcSwap<Pair>>,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { namespace, name, names, configurations, .. } = self;
        f.debug_struct("Certificate")
            .field("secret", &format!("{namespace}/{name}"))
            .field("names", names)
            .field("configurations", configurations)
            .finish_non_exhaustive()
    }
}

/// Where a certificate is kept, and for what.
#[derive(Clone, Debug)]
pub struct Place {
    /// Namespace of the Secret and of the Service.
    pub namespace: String,
    /// Name of the Secret.
    pub secret: String,
    /// Name of the Service.
    pub service: String,
    /// Name of the webhook configurations.
    pub configurations: String,
}

impl Place {
    /// The names that the API server may call the Service by.
    fn names(&self) -> Vec<String> {
        let Self { namespace, service, .. } = self;
        vec![
            service.clone(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
        ]
    }
}

impl Certificate {
    /// The certificate in the Secret of `place`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// When the Secret cannot be read or made, or holds something else.
    pub async fn obtain(
        client: Client,
        place: Place,
        lifetimes: Lifetimes,
    ) -> Result<Self, CertificateError> {
        let names = place.names();
        let Place { namespace, secret: name, configurations, .. } = place;
        let nothing = Pair { chain: String::new(), key: String::new(), bundle: String::new() };
        let served = Arc::new(ArcSwap::from_pointee(nothing));
        let this = Self { client, namespace, name, names, configurations, lifetimes, served };
        let (kept, _version) = this.read_or_make(None, Timestamp::now()).await?;
        this.served.store(Arc::new(kept.pair()));
        Ok(this)
    }

    /// What is to be served, now and after every change.
    pub fn served(&self) -> Arc<ArcSwap<Pair>> {
        Arc::clone(&self.served)
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn failed(&self, source: kube::Error) -> CertificateError {
        CertificateError::Secret {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            source: Box::new(source),
        }
    }

    /// What is kept and its version. Where the Secret is gone, what was `last` kept is put back: its
    /// leaf may still be served, and its authority trusted.
    async fn read_or_make(
        &self,
        last: Option<&Kept>,
        now: Timestamp,
    ) -> Result<(Kept, Option<String>), CertificateError> {
        loop {
            let found = self.secrets().get_opt(&self.name).await;
            if let Some(secret) = found.map_err(|error| self.failed(error))? {
                let version = secret.metadata.resource_version.clone();
                return Ok((self.kept(&secret)?, version));
            }
            let kept = match last {
                Some(last) => last.clone(),
                None => Kept::new(&self.names, &self.lifetimes, now)?,
            };
            let made =
                self.secrets().create(&PostParams::default(), &self.secret(&kept, None)).await;
            match made {
                Ok(secret) => return Ok((kept, secret.metadata.resource_version)),
                // Another replica was faster.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    fn kept(&self, secret: &Secret) -> Result<Kept, CertificateError> {
        let missing = |key| CertificateError::Content {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            key,
        };
        let text = |key: &'static str| {
            let data = secret.data.as_ref().and_then(|data| data.get(key));
            let text = data.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
            text.filter(|text| !text.trim().is_empty()).ok_or_else(|| missing(key))
        };
        let annotations = secret.metadata.annotations.as_ref();
        let moment = |key: &str| annotations?.get(key)?.parse::<Timestamp>().ok();
        Ok(Kept {
            leaf: text(CHAIN)?,
            leaf_key: text(KEY)?,
            authorities: split(&text(BUNDLE)?),
            authority_key: text(AUTHORITY_KEY)?,
            trusted_since: moment(TRUSTED_SINCE),
            served_since: moment(SERVED_SINCE).unwrap_or(Timestamp::UNIX_EPOCH),
        })
    }

    fn secret(&self, kept: &Kept, version: Option<String>) -> Secret {
        let mut annotations =
            BTreeMap::from([(SERVED_SINCE.to_owned(), kept.served_since.to_string())]);
        if let Some(since) = kept.trusted_since {
            annotations.insert(TRUSTED_SINCE.to_owned(), since.to_string());
        }
        let data = [
            (CHAIN, kept.leaf.clone()),
            (KEY, kept.leaf_key.clone()),
            (BUNDLE, kept.authorities.concat()),
            (AUTHORITY_KEY, kept.authority_key.clone()),
        ];
        let managed = ("app.kubernetes.io/managed-by".to_owned(), FIELD_MANAGER.to_owned());
        Secret {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                resource_version: version,
                labels: Some(BTreeMap::from([managed])),
                annotations: Some(annotations),
                ..ObjectMeta::default()
            },
            data: Some(
                data.into_iter()
                    .map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes())))
                    .collect(),
            ),
            type_: Some("kubernetes.io/tls".to_owned()),
            ..Secret::default()
        }
    }

    /// Takes every change of the Secret into use. Never ends.
    pub async fn follow(&self) {
        let config = watcher::Config::default().fields(&format!("metadata.name={}", self.name));
        let mut events = std::pin::pin!(watcher(self.secrets(), config).default_backoff());
        loop {
            match events.try_next().await {
                Ok(Some(Event::Apply(secret) | Event::InitApply(secret))) => {
                    match self.kept(&secret) {
                        Ok(kept) => self.served.store(Arc::new(kept.pair())),
                        Err(error) => told(&error),
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => std::future::pending().await,
                Err(error) => {
                    let error = format!("{:#}", anyhow::Error::from(error));
                    tracing::warn!(error, "the watch on the certificate's Secret failed");
                }
            }
        }
    }

    /// Replaces what is due, on the replica that leads. Never ends.
    pub async fn keep(&self, leader: Leader) {
        // What was last kept outlives a term: a Secret that is deleted later is put back as it was.
        let last = &Mutex::new(None);
        leader.while_leading(|| async move { self.turns(&mut *last.lock().await).await }).await;
    }

    async fn turns(&self, last: &mut Option<Kept>) {
        let name = format!("metadata.name={}", self.configurations);
        let config = || watcher::Config::default().fields(&name);
        let validating = Api::<ValidatingWebhookConfiguration>::all(self.client.clone());
        let mutating = Api::<MutatingWebhookConfiguration>::all(self.client.clone());
        // What they tell does not matter, only that something changed.
        let validating = watcher(validating, config()).default_backoff().map(drop);
        let mutating = watcher(mutating, config()).default_backoff().map(drop);
        let mut changed = std::pin::pin!(stream::select(validating, mutating));
        // No step of a short life is missed.
        let settle = Duration::try_from(self.lifetimes.settle).unwrap_or(TURN);
        loop {
            let pause = match self.turn(last, Timestamp::now()).await {
                Ok(true) => continue,
                Ok(false) => TURN.min(settle),
                Err(error) => {
                    told(&error);
                    RETRY.min(settle)
                }
            };
            // Whichever comes first: both lead to the same comparison.
            let _ = tokio::time::timeout(pause, changed.next()).await;
        }
    }

    /// Compares everything once; true when something was done, so that more may be due.
    ///
    /// # Errors
    ///
    /// When the Secret or a configuration cannot be read or written; nothing is done half.
    pub async fn turn(
        &self,
        last: &mut Option<Kept>,
        now: Timestamp,
    ) -> Result<bool, CertificateError> {
        let (mut kept, mut version) = self.read_or_make(last.as_ref(), now).await?;
        self.inject(&kept.authorities.concat()).await.map_err(|error| self.failed(error))?;
        *last = Some(kept.clone());
        if kept.trusted_since.is_none() {
            kept.trusted_since = Some(now);
            version = self.write(&kept, version).await?;
            *last = Some(kept.clone());
        }
        let Some(next) = kept.next(&self.names, &self.lifetimes, now)? else { return Ok(false) };
        self.write(&next, version).await?;
        tracing::info!(
            authorities = next.authorities.len(),
            "the certificate's next step is taken"
        );
        *last = Some(next);
        Ok(true)
    }

    async fn write(
        &self,
        kept: &Kept,
        version: Option<String>,
    ) -> Result<Option<String>, CertificateError> {
        let secret = self.secret(kept, version);
        // With its version: of two that write at once one fails and looks again.
        let written = self.secrets().replace(&self.name, &PostParams::default(), &secret).await;
        Ok(written.map_err(|error| self.failed(error))?.metadata.resource_version)
    }

    /// Puts the bundle into the webhook configurations that are there and want it. One that somebody
    /// deleted stays deleted: it is the way out in an emergency.
    async fn inject(&self, bundle: &str) -> kube::Result<()> {
        let parameters =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let validating = Api::<ValidatingWebhookConfiguration>::all(self.client.clone());
        if let Some(mut found) = validating.get_opt(&self.configurations).await? {
            let webhooks = found.webhooks.iter_mut().flatten();
            let clients = webhooks.map(|webhook| &mut webhook.client_config);
            if wants(&found.metadata) && fill_in(clients, bundle) {
                validating.replace(&self.configurations, &parameters, &found).await?;
            }
        }
        let mutating = Api::<MutatingWebhookConfiguration>::all(self.client.clone());
        if let Some(mut found) = mutating.get_opt(&self.configurations).await? {
            let webhooks = found.webhooks.iter_mut().flatten();
            let clients = webhooks.map(|webhook| &mut webhook.client_config);
            if wants(&found.metadata) && fill_in(clients, bundle) {
                mutating.replace(&self.configurations, &parameters, &found).await?;
            }
        }
        Ok(())
    }
}

/// False where an administrator has switched us off.
fn wants(metadata: &ObjectMeta) -> bool {
    let annotation = metadata.annotations.as_ref().and_then(|all| all.get(INJECT));
    annotation.is_none_or(|value| value != "false")
}

/// Fills in the bundle; true when anything changed.
fn fill_in<'w>(clients: impl Iterator<Item = &'w mut WebhookClientConfig>, bundle: &str) -> bool {
    let bundle = ByteString(bundle.as_bytes().to_vec());
    let mut changed = false;
    for client in clients.filter(|client| client.ca_bundle.as_ref() != Some(&bundle)) {
        client.ca_bundle = Some(bundle.clone());
        changed = true;
    }
    changed
}

fn told(error: &CertificateError) {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    tracing::error!(error = text, "the certificate is not kept");
}
