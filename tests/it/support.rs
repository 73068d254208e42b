//! A server in this process, and a client that can misbehave.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, http};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use serde_json::Value;
use tidegate::{
    cluster::{self, Cluster, Documents, Events, Inquiry, Leader, Writers},
    decision::Granting,
    metrics::Metrics,
    model::{Change, Facts, GrantedApproval},
    policy::{PolicySet, built_in},
    settings::Limits,
    webhook::{
        App, ClientCa, Defaulted, Engine, Engines, Identity, Judgement, Lifecycle, Listener, Phase,
        TlsStore, router,
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::ServiceExt as _;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The recorded reviews: name and text.
pub fn reviews() -> Vec<(String, String)> {
    let mut reviews = Vec::new();
    for entry in fs::read_dir("tests/reviews").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            reviews.push((name, fs::read_to_string(path).unwrap()));
        }
    }
    reviews.sort();
    assert!(reviews.len() > 20, "the recorded reviews are gone");
    reviews
}

/// One recorded review.
pub fn recorded(name: &str) -> String {
    fs::read_to_string(format!("tests/reviews/{name}.json")).unwrap()
}

/// A review of this object.
pub fn review_of(object: &str) -> String {
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"the-uid",
        "kind":{{"group":"batch","version":"v1","kind":"Job"}},"operation":"CREATE","name":"a",
        "namespace":"prod","userInfo":{{"username":"bob"}},"dryRun":false,"object":{object},
        "oldObject":null}}}}"#
    )
}

/// A review of exactly this many bytes.
pub fn review_of_size(bytes: usize) -> String {
    let empty = review_of(r#"{"a":""}"#).len();
    review_of(&format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - empty)))
}

pub fn uid(text: &str) -> String {
    let review: Value = serde_json::from_str(text).unwrap();
    review["request"]["uid"].as_str().unwrap().to_owned()
}

type Judge = dyn Fn(&Change<'_>, &Facts<'_>) -> Judgement + Send + Sync;

/// An engine that does what a test says.
pub struct Scripted {
    pub needs_labels: bool,
    pub judge: Box<Judge>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

impl Scripted {
    pub fn new(
        judge: impl Fn(&Change<'_>, &Facts<'_>) -> Judgement + Send + Sync + 'static,
    ) -> Self {
        Self { needs_labels: false, judge: Box::new(judge) }
    }
}

impl Engine for Scripted {
    fn policies(&self) -> Vec<String> {
        vec!["scripted".to_owned()]
    }

    fn needs_labels(&self) -> bool {
        self.needs_labels
    }

    fn validate(&self, change: &Change<'_>, facts: &Facts<'_>, _now: Timestamp) -> Judgement {
        (self.judge)(change, facts)
    }

    fn mutate(&self, change: &Change<'_>, facts: &Facts<'_>) -> Defaulted {
        let judgement = (self.judge)(change, facts);
        Defaulted { outcome: judgement.outcome, patch: None }
    }

    fn grant(&self, _granted: &GrantedApproval, _facts: &Facts<'_>, _now: Timestamp) -> Granting {
        Granting::default()
    }
}

pub fn admitted() -> Judgement {
    Judgement { allowed: true, outcome: "admitted", ..Judgement::default() }
}

pub fn built_in_engine() -> Box<dyn Engine> {
    Box::new(PolicySet::new(vec![built_in()]))
}

/// What answers requests, without a socket.
pub struct Service {
    pub router: Router,
    pub metrics: Arc<Metrics>,
    pub cluster: Cluster,
    pub engines: Arc<Engines>,
}

impl Service {
    pub fn new(engine: Box<dyn Engine>, limits: Limits) -> Self {
        Self::with_cluster(engine, limits, Cluster::off("there is no cluster in this test"))
    }

    pub fn with_cluster(engine: Box<dyn Engine>, limits: Limits, cluster: Cluster) -> Self {
        let engines = Arc::new(Engines::new(engine));
        Self::with_engines(engines, limits, cluster)
    }

    pub fn with_engines(engines: Arc<Engines>, limits: Limits, cluster: Cluster) -> Self {
        let metrics = Arc::new(Metrics::default());
        let app = App::new(Arc::clone(&engines), cluster.clone(), Arc::clone(&metrics), limits);
        Self { router: router(Arc::new(app)), metrics, cluster, engines }
    }

    /// One whose policies come from a cluster, before the built-in one.
    pub fn in_cluster() -> Self {
        let base = PolicySet::new(vec![built_in()]);
        let engines = Arc::new(Engines::new(Box::new(base.clone())));
        let published = Arc::clone(&engines);
        let documents = Documents::new(base, move |set| published.replace(Box::new(set)));
        Self::with_engines(engines, Limits::default(), Cluster::watched(Arc::new(documents)))
    }

    /// The same, and it writes to the cluster.
    pub fn writing(connection: &cluster::Connection) -> Self {
        let mut service = Self::in_cluster();
        let metrics = Arc::clone(&service.metrics);
        let (events, writer) = Events::new(connection.client().unwrap(), Arc::clone(&metrics));
        service.cluster.events = Some(Arc::new(events.with_argocd("argocd")));
        service.cluster.inquiry = Some(Inquiry::new(connection.client().unwrap()));
        let app = App::new(
            Arc::clone(&service.engines),
            service.cluster.clone(),
            Arc::clone(&metrics),
            Limits::default(),
        );
        service.router = router(Arc::new(app));
        let writers = Writers {
            events: writer,
            leader: Leader::alone(),
            election: None,
            certificate: None,
            reporting: None,
        };
        let (cluster, connection) = (service.cluster.clone(), connection.clone());
        tokio::spawn(async { cluster.write(connection, writers, metrics).await.unwrap() });
        service
    }

    /// The same, and it writes reports at this pace.
    pub fn reporting(connection: &cluster::Connection, pace: cluster::Pace) -> Self {
        let mut service = Self::in_cluster();
        let metrics = Arc::clone(&service.metrics);
        let (happened, waiting) = cluster::Happened::new(Arc::clone(&metrics));
        let (_, writer) = Events::new(connection.client().unwrap(), Arc::clone(&metrics));
        service.cluster.happened = Some(Arc::new(happened));
        let (engines, limits) = (Arc::clone(&service.engines), Limits::default());
        let app = App::new(engines, service.cluster.clone(), Arc::clone(&metrics), limits);
        service.router = router(Arc::new(app));
        let writers = Writers {
            events: writer,
            leader: Leader::alone(),
            election: None,
            certificate: None,
            reporting: Some(cluster::Reporting { waiting, pace }),
        };
        let (cluster, connection) = (service.cluster.clone(), connection.clone());
        tokio::spawn(async { cluster.write(connection, writers, metrics).await.unwrap() });
        service
    }

    /// Fills its caches, and keeps them filled.
    pub fn watch(&self, connection: cluster::Connection) {
        let (cluster, metrics) = (self.cluster.clone(), Arc::clone(&self.metrics));
        tokio::spawn(async { cluster.watch(connection, metrics).await.unwrap() });
    }

    pub fn built_in() -> Self {
        Self::new(built_in_engine(), Limits::default())
    }

    pub async fn send(&self, request: http::Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()))
            .collect();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Reply { status: head.status.as_u16(), headers, body }
    }

    pub async fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> Reply {
        let body = body.into();
        let request = http::Request::post(path)
            .header("content-type", "application/json")
            .header("content-length", body.len())
            .body(Body::from(body))
            .unwrap();
        self.send(request).await
    }

    pub fn metric(&self, line: &str) -> Option<f64> {
        metric(&self.metrics.encode().unwrap(), line)
    }
}

/// The value of one series, by its text up to the value.
pub fn metric(text: &str, series: &str) -> Option<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(value.parse().unwrap())
}

/// An answer.
#[derive(Debug, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    pub fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }

    /// The response of the review that this must be.
    #[track_caller]
    pub fn response(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        let review: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(review["kind"], "AdmissionReview");
        review["response"].clone()
    }
}

/// A server with its sockets, in this process.
pub struct Server {
    pub address: SocketAddr,
    pub ca: String,
    pub service: Service,
    pub lifecycle: Lifecycle,
    pub task: JoinHandle<()>,
}

impl Server {
    pub async fn start(limits: Limits) -> Self {
        Self::with(Service::new(built_in_engine(), limits.clone()), limits, None).await
    }

    pub async fn with(service: Service, limits: Limits, client_ca: Option<&Path>) -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let identity = Identity::issue(&names, Timestamp::now()).unwrap();
        let Identity::Issued(issued) = &identity else { panic!("issued") };
        let ca = issued.ca.clone();
        let client_ca = client_ca.map(|path| ClientCa(path.to_owned()));
        let (tls, _loaded) =
            TlsStore::new(identity, client_ca, Arc::clone(&service.metrics)).unwrap();
        Self::listen(service, limits, Arc::new(tls), ca).await
    }

    pub async fn listen(service: Service, limits: Limits, tls: Arc<TlsStore>, ca: String) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let lifecycle = Lifecycle::default();
        let listener = Listener {
            socket,
            tls: Some(tls),
            router: service.router.clone(),
            limits,
            until: Phase::Stopping,
            lifecycle: lifecycle.clone(),
            metrics: Arc::clone(&service.metrics),
        };
        let task = tokio::spawn(listener.run());
        Self { address, ca, service, lifecycle, task }
    }

    pub async fn connect(&self) -> Connection<TlsStream<TcpStream>> {
        connect(self.address, client_config(&self.ca)).await.unwrap()
    }

    /// One request on a connection of its own.
    pub async fn post(&self, path: &str, body: &str) -> Reply {
        self.connect().await.post(path, body).await
    }

    pub async fn works(&self) {
        let body = recorded("validate-create-job-argocd-migration");
        let response = self.post("/validate?timeout=5s", &body).await.response();
        assert_eq!(response["uid"], uid(&body).as_str());
    }
}

/// A client's configuration that trusts `ca` and speaks as the API server does.
pub fn client_config(ca: &str) -> ClientConfig {
    let mut config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots(ca))
            .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

pub fn client_config_with_certificate(ca: &str, chain: &str, key: &str) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(ca))
        .with_client_auth_cert(
            CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect(),
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap()
}

fn roots(ca: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    roots
}

pub async fn connect(
    address: SocketAddr,
    config: ClientConfig,
) -> std::io::Result<Connection<TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(Connection { stream })
}

/// A connection that writes whatever it is told to.
pub struct Connection<S> {
    pub stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await?;
        self.stream.flush().await
    }

    /// Reads one answer; `None` when the server closed instead.
    pub async fn reply(&mut self) -> Option<Reply> {
        tokio::time::timeout(PATIENCE, self.read_reply()).await.expect("an answer or a close")
    }

    async fn read_reply(&mut self) -> Option<Reply> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut reply = Reply { status, headers, body: Vec::new() };
        let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        reply.body.resize(length, 0);
        self.stream.read_exact(&mut reply.body).await.ok()?;
        Some(reply)
    }

    pub async fn post(&mut self, path: &str, body: &str) -> Reply {
        self.send(post(path, body)).await.unwrap();
        self.reply().await.expect("an answer")
    }

    /// Waits until the server closes; how long it took.
    pub async fn closed(&mut self) -> Duration {
        let start = Instant::now();
        let mut scratch = vec![0; 65_536];
        let read = async { while matches!(self.stream.read(&mut scratch).await, Ok(1..)) {} };
        tokio::time::timeout(PATIENCE, read).await.expect("the server closes");
        start.elapsed()
    }
}

/// A request as the API server writes it.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: tidegate\r\nUser-Agent: kube-apiserver-admission\r\n\
         Content-Length: {}\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\n\
         Accept-Encoding: gzip\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body.as_bytes());
    request
}

/// A folder of this test's own, removed when dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tidegate-{}-{name}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
