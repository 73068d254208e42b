//! What is served over TLS, and its replacement while serving.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    server::{
        NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier, danger::ClientCertVerifier,
    },
    sign::SingleCertAndKey,
};

use super::certificate::{self, CertificateError, Issued};
use crate::{
    metrics::{CertificateLabels, Metrics},
    pki::Pair,
};

/// How often files are compared with what is in use. kubelet updates a mounted Secret within a
/// minute or two of its change, so that this adds little.
const POLL: Duration = Duration::from_secs(5);
/// The same for what is in memory, which costs nothing to look at.
const POLL_KEPT: Duration = Duration::from_millis(500);

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was read cannot be served.
    #[error("cannot serve the certificate in {}", path.display())]
    Certificate {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: CertificateError,
    },
    /// The in-memory certificate could not be made.
    #[error("cannot make a certificate for `{name}`: neither a DNS name nor an IP address")]
    Name {
        /// The name.
        name: String,
    },
    /// The in-memory certificate could not be made.
    #[error("cannot make a certificate")]
    Issue(#[source] CertificateError),
    /// The authorities of clients cannot be used.
    #[error("cannot use the client authorities in {}: {why}", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// rustls refused what we ask of it.
    #[error("cannot set up TLS")]
    Config(#[source] rustls::Error),
}

/// Where the serving certificate is read from.
#[derive(Debug)]
pub enum Identity {
    /// A folder with `tls.crt`, `tls.key` and perhaps `ca.crt`.
    Directory(PathBuf),
    /// Made in memory.
    Issued(Issued),
    /// Kept by tidegate for all its replicas; it is replaced while we serve.
    Kept(Arc<ArcSwap<Pair>>),
}

impl Identity {
    /// Makes one in memory.
    ///
    /// # Errors
    ///
    /// When a name is neither a DNS name nor an IP address.
    pub fn issue(names: &[String], now: Timestamp) -> Result<Self, TlsError> {
        if let Some(name) = names.iter().find(|name| !certificate::is_name(name)) {
            return Err(TlsError::Name { name: name.clone() });
        }
        Issued::new(names, now).map(Self::Issued).map_err(TlsError::Issue)
    }

    fn read(&self) -> Result<Files, TlsError> {
        match self {
            Self::Issued(issued) => Ok(Files {
                chain: issued.chain.clone().into_bytes(),
                key: issued.key.clone().into_bytes(),
                ca: Some(issued.ca.clone().into_bytes()),
                client_ca: None,
            }),
            Self::Kept(pair) => {
                let pair = pair.load();
                Ok(Files {
                    chain: pair.chain.clone().into_bytes(),
                    key: pair.key.clone().into_bytes(),
                    ca: Some(pair.bundle.clone().into_bytes()),
                    client_ca: None,
                })
            }
            Self::Directory(folder) => {
                // A mounted Secret changes by one switch of the link `..data`. Followed once, all
                // files come from the same side of the switch.
                let linked = folder.join("..data").canonicalize();
                let folder = linked.as_deref().unwrap_or(folder);
                let ca = folder.join("ca.crt");
                Ok(Files {
                    chain: read(&folder.join("tls.crt"))?,
                    key: read(&folder.join("tls.key"))?,
                    ca: if ca.exists() { Some(read(&ca)?) } else { None },
                    client_ca: None,
                })
            }
        }
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Directory(folder) => folder.clone(),
            Self::Issued(_) => PathBuf::from("memory"),
            Self::Kept(_) => PathBuf::from("the Secret"),
        }
    }
}

/// Authorities whose client certificates are let in.
#[derive(Clone, Debug)]
pub struct ClientCa(pub PathBuf);

/// What is on disk, byte for byte.
#[derive(PartialEq, Eq)]
struct Files {
    chain: Vec<u8>,
    key: Vec<u8>,
    ca: Option<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

/// The TLS configuration in use. New connections get the newest; open ones keep theirs.
pub struct TlsStore {
    identity: Identity,
    client_ca: Option<ClientCa>,
    provider: Arc<CryptoProvider>,
    /// One for all configurations, so that sessions resume across a change of the leaf.
    ticketer: Arc<dyn ProducesTickets>,
    config: ArcSwap<ServerConfig>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for TlsStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsStore").field("path", &self.identity.path()).finish_non_exhaustive()
    }
}

impl TlsStore {
    /// Reads and checks everything once.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or what is in it could not be served.
    pub fn new(
        identity: Identity,
        client_ca: Option<ClientCa>,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Loaded), TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let ticketer = rustls::crypto::ring::Ticketer::new().map_err(TlsError::Config)?;
        let files = read_all(&identity, client_ca.as_ref())?;
        let source = Source { identity: &identity, client_ca: client_ca.as_ref() };
        let (config, ends) = source.build(&files, &provider, &ticketer)?;
        let config = ArcSwap::from(config);
        let store = Self { identity, client_ca, provider, ticketer, config, metrics };
        store.tell(&ends);
        Ok((store, Loaded { served: files, refused: None }))
    }

    /// The configuration for a new connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// How often to look for something new.
    pub fn pace(&self) -> Duration {
        if matches!(self.identity, Identity::Kept(_)) { POLL_KEPT } else { POLL }
    }

    /// Compares the files with what is in use, for ever, and takes over what is new and good. What
    /// is new and bad is logged and counted once, and what is in use stays.
    pub async fn keep_current(self: Arc<Self>, mut loaded: Loaded, every: Duration) {
        if matches!(self.identity, Identity::Issued(_)) && self.client_ca.is_none() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(every).await;
            self.reload(&mut loaded);
        }
    }

    fn reload(&self, loaded: &mut Loaded) {
        if loaded.turn(read_all(&self.identity, self.client_ca.as_ref()), self) {
            self.metrics.certificate_reloads.inc();
            tracing::info!("certificate replaced");
        }
    }
}

/// Where what is read is put into use.
trait Place {
    /// What a handshake takes.
    type Served;

    /// Checks what was read.
    fn build(&self, files: &Files) -> Result<(Self::Served, Ends), TlsError>;

    /// Gives it to every handshake that begins from now on.
    fn serve(&self, served: Self::Served);

    /// Says when what is served ends.
    fn tell(&self, ends: &Ends);

    /// Says that what was read is not served.
    fn refuse(&self, error: &TlsError);
}

impl Place for TlsStore {
    type Served = Arc<ServerConfig>;

    fn build(&self, files: &Files) -> Result<(Self::Served, Ends), TlsError> {
        let source = Source { identity: &self.identity, client_ca: self.client_ca.as_ref() };
        source.build(files, &self.provider, &self.ticketer)
    }

    fn serve(&self, served: Self::Served) {
        self.config.store(served);
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds until the year 9999 fit exactly")]
    fn tell(&self, ends: &Ends) {
        for (kind, end) in
            [("leaf", Some(ends.leaf)), ("ca", ends.ca), ("client-ca", ends.client_ca)]
        {
            let Some(end) = end else { continue };
            let labels = CertificateLabels { kind };
            self.metrics.certificate_not_after.get_or_create(&labels).set(end.as_second() as f64);
        }
    }

    fn refuse(&self, error: &TlsError) {
        self.metrics.certificate_reload_failures.inc();
        let error = chain(error);
        tracing::error!(error, "the new certificate cannot be served; the old one stays in use");
    }
}

/// When validity ends, as far as it is known.
struct Ends {
    leaf: Timestamp,
    ca: Option<Timestamp>,
    client_ca: Option<Timestamp>,
}

/// What was read last, to see changes by.
#[expect(missing_debug_implementations, reason = "it holds a private key")]
pub struct Loaded {
    served: Files,
    refused: Option<Files>,
}

impl Loaded {
    /// Puts what was read into use if it is new and good; true when it did.
    fn turn(&mut self, read: Result<Files, TlsError>, place: &impl Place) -> bool {
        let files = match read {
            Ok(files) => files,
            Err(error) => {
                place.refuse(&error);
                return false;
            }
        };
        if files == self.served {
            return false;
        }
        // What was refused is looked at again: its time may have come.
        match place.build(&files) {
            Ok((served, ends)) => {
                place.serve(served);
                // Only then, so that nobody is told of a certificate that no handshake can get.
                place.tell(&ends);
                *self = Self { served: files, refused: None };
                return true;
            }
            Err(_) if self.refused.as_ref() == Some(&files) => {}
            Err(error) => {
                place.refuse(&error);
                self.refused = Some(files);
            }
        }
        false
    }
}

struct Source<'s> {
    identity: &'s Identity,
    client_ca: Option<&'s ClientCa>,
}

impl Source<'_> {
    fn build(
        &self,
        files: &Files,
        provider: &Arc<CryptoProvider>,
        ticketer: &Arc<dyn ProducesTickets>,
    ) -> Result<(Arc<ServerConfig>, Ends), TlsError> {
        let Files { chain, key, ca, client_ca } = files;
        let checked = certificate::check(chain, key, ca.as_deref(), provider, Timestamp::now())
            .map_err(|source| TlsError::Certificate { path: self.identity.path(), source })?;
        if !checked.chained {
            tracing::warn!(
                "ca.crt did not issue tls.crt: clients that trust only ca.crt refuse us"
            );
        }
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(TlsError::Config)?;
        let resolver = Arc::new(SingleCertAndKey::from(checked.key));
        let mut ends = Ends { leaf: checked.leaf_until, ca: checked.ca_until, client_ca: None };
        let mut config = if let (Some(ClientCa(path)), Some(pem)) = (self.client_ca, client_ca) {
            let (verifier, end) = client_verifier(path, pem, provider)?;
            ends.client_ca = end;
            let mut config =
                builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver);
            // A resumed session would skip the check against a changed authority.
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config
        } else {
            let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
            config.ticketer = Arc::clone(ticketer);
            config
        };
        // What the API server speaks to a Service; with one protocol there is one set of limits.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok((Arc::new(config), ends))
    }
}

/// What checks the certificates of clients, and when the first of its authorities ends.
type ClientVerifier = (Arc<dyn ClientCertVerifier>, Option<Timestamp>);

fn client_verifier(
    path: &Path,
    pem: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<ClientVerifier, TlsError> {
    let bad = |why: String| TlsError::ClientCa { path: path.to_owned(), why };
    let authorities =
        certificate::certificates(pem, "the file").map_err(|error| bad(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for authority in &authorities {
        roots.add(authority.clone()).map_err(|error| bad(error.to_string()))?;
    }
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| bad(error.to_string()))?;
    Ok((verifier, certificate::first_end(&authorities)))
}

fn read_all(identity: &Identity, client_ca: Option<&ClientCa>) -> Result<Files, TlsError> {
    let mut files = identity.read()?;
    files.client_ca = client_ca.map(|ClientCa(path)| read(path)).transpose()?;
    Ok(files)
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod model;
