//! A client that does what the API server's transport does: HTTP/1.1 over TLS 1.3, at most 25 idle
//! connections, each for at most 90 s, and no second try of a POST that may have been read.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use rustls::{ClientConfig, version::TLS13};
use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tokio_rustls::client::TlsStream;

use crate::{
    corpus::{Corpus, Mix, Review},
    program::Program,
    support::{Connection, Service, connect},
};

/// Idle connections that are kept.
pub(crate) const MOST_IDLE: usize = 25;
const LONGEST_IDLE: Duration = Duration::from_secs(90);
/// How many requests pass before the mix of the corpus begins anew.
const MIX: usize = 100;

type Socket = Connection<TlsStream<TcpStream>>;

/// Where the next connection goes.
type Choice = dyn Fn() -> SocketAddr + Send + Sync;

/// What the API server keeps for one webhook.
pub(crate) struct Transport {
    choose: Box<Choice>,
    config: Mutex<Arc<ClientConfig>>,
    idle: Mutex<Vec<(Socket, Instant)>>,
    /// How long an answer is waited for; the connection is given up with it.
    timeout: Duration,
    /// Connections that were opened.
    pub(crate) opened: AtomicU64,
    /// Requests that wait for their answer.
    pub(crate) under_way: AtomicUsize,
}

/// The head and the body of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn closes(&self) -> bool {
        self.head.contains("\nconnection: close")
    }

    /// Seconds after which a retry is wanted.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        let line = self.head.lines().find_map(|line| line.strip_prefix("retry-after: "));
        line.and_then(|value| value.trim().parse().ok())
    }
}

/// TLS 1.3 and nothing older, as the API server chooses it.
pub(crate) fn trusting(ca: &str) -> Arc<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in
        <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::pem_slice_iter(
            ca.as_bytes(),
        )
    {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

impl Transport {
    pub(crate) fn new(address: SocketAddr, ca: &str) -> Self {
        // The longest that a configuration can ask for.
        Self::among(move || address, ca, Duration::from_secs(30))
    }

    /// One that asks where each connection goes, and waits so long for an answer.
    pub(crate) fn among(
        choose: impl Fn() -> SocketAddr + Send + Sync + 'static,
        ca: &str,
        timeout: Duration,
    ) -> Self {
        Self {
            choose: Box::new(choose),
            config: Mutex::new(trusting(ca)),
            idle: Mutex::default(),
            timeout,
            opened: AtomicU64::new(0),
            under_way: AtomicUsize::new(0),
        }
    }

    pub(crate) fn to(program: &Program) -> Self {
        Self::new(program.webhook, &program.ca)
    }

    /// A changed bundle means new connections.
    pub(crate) fn trust(&self, ca: &str) {
        *self.config.lock().unwrap() = trusting(ca);
        self.idle.lock().unwrap().clear();
    }

    /// A connection that is idle and not yet closed, the last used first.
    fn reuse(&self) -> Option<Socket> {
        loop {
            let (mut socket, since) = self.idle.lock().unwrap().pop()?;
            let closed = socket.stream.read_u8().now_or_never().is_some();
            if !closed && since.elapsed() < LONGEST_IDLE {
                return Some(socket);
            }
        }
    }

    /// Idle connections to an address.
    pub(crate) fn idle_to(&self, address: SocketAddr) -> usize {
        let idle = self.idle.lock().unwrap();
        let to = |socket: &Socket| socket.stream.get_ref().0.peer_addr().ok();
        idle.iter().filter(|(socket, _)| to(socket) == Some(address)).count()
    }

    /// Sends one request, once.
    pub(crate) async fn send(&self, request: &[u8]) -> Result<Answer, String> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let answer = tokio::time::timeout(self.timeout, self.exchange(request)).await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        answer.unwrap_or_else(|_elapsed| Err(format!("no answer within {:?}", self.timeout)))
    }

    async fn exchange(&self, request: &[u8]) -> Result<Answer, String> {
        let mut socket = if let Some(socket) = self.reuse() {
            socket
        } else {
            self.opened.fetch_add(1, Ordering::Relaxed);
            let config = ClientConfig::clone(&self.config.lock().unwrap().clone());
            let socket = connect((self.choose)(), config).await;
            socket.map_err(|error| format!("connect: {error}"))?
        };
        let sent = socket.send(request).await;
        sent.map_err(|error| format!("write: {error}"))?;
        let answer = read(&mut socket).await?;
        if !answer.closes() {
            let mut idle = self.idle.lock().unwrap();
            idle.push((socket, Instant::now()));
            if idle.len() > MOST_IDLE {
                drop(idle.remove(0));
            }
        }
        Ok(answer)
    }

    /// Sends a request as client-go does: an answer with `Retry-After` is waited out, up to ten
    /// times within the webhook's timeout. Gives the answer and how often it was asked for.
    pub(crate) async fn insist(
        &self,
        request: &[u8],
        timeout: Duration,
    ) -> Result<(Answer, u32), String> {
        let start = Instant::now();
        for count in 1..=10 {
            let answer = self.send(request).await?;
            match answer.retry_after() {
                Some(seconds) if answer.status != 200 => {
                    let wait = Duration::from_secs(seconds);
                    if start.elapsed() + wait >= timeout {
                        return Err(format!("{} after {:?}", answer.status, start.elapsed()));
                    }
                    tokio::time::sleep(wait).await;
                }
                _ => return Ok((answer, count)),
            }
        }
        Err("ten attempts".to_owned())
    }
}

/// Reads one answer.
pub(crate) async fn read(socket: &mut Socket) -> Result<Answer, String> {
    let mut bytes = Vec::with_capacity(4_096);
    loop {
        let read = socket.stream.read_buf(&mut bytes).await;
        if read.map_err(|error| format!("read: {error}"))? == 0 {
            return Err(format!("EOF after {} bytes", bytes.len()));
        }
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
        if bytes.len() >= end + 4 + length {
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            return Ok(Answer { status, head, body: bytes[end + 4..].to_vec() });
        }
    }
}

/// Recorded reviews with the verdict that each must get.
pub(crate) struct Questions {
    corpus: Corpus,
    /// Empty where it depends on what else runs.
    admitted: Vec<bool>,
}

impl Questions {
    /// Verdicts are those of the same engine, asked without a socket.
    pub(crate) async fn new() -> Self {
        let corpus = Corpus::read(Mix::Judged).unwrap();
        let service = Service::built_in();
        let mut admitted = Vec::new();
        for number in 0..MIX {
            let mut request = Vec::new();
            corpus.get(number).write(0, &mut request);
            let text = String::from_utf8(request).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let path = head.split(' ').nth(1).unwrap();
            let reply = service.post(path, body.to_owned()).await;
            admitted.push(reply.response()["allowed"] == true);
        }
        assert!(admitted.contains(&false) && admitted.contains(&true), "the mix judges nothing");
        Self { corpus, admitted }
    }

    /// The same for a server that knows which Jobs run, so that a verdict depends on those before:
    /// every answer must be a verdict under its uid.
    pub(crate) fn of_any_verdict() -> Self {
        Self { corpus: Corpus::read(Mix::Judged).unwrap(), admitted: Vec::new() }
    }

    fn review(&self, number: usize) -> &Review {
        self.corpus.get(number)
    }

    /// Asks one; an answer that is not the one awaited is a failure.
    pub(crate) async fn ask(&self, transport: &Transport, number: usize) -> Result<(), String> {
        let mut request = Vec::new();
        let uid = self.review(number).write(number as u64, &mut request);
        let answer = transport.send(&request).await?;
        self.check(number, &uid, &answer)
    }

    /// The request with a number and the uid in it.
    pub(crate) fn request(&self, number: usize) -> (Vec<u8>, Vec<u8>) {
        let mut request = Vec::new();
        let uid = self.review(number).write(number as u64, &mut request);
        (request, uid.to_vec())
    }

    /// Compares an answer with the one awaited.
    pub(crate) fn check(&self, number: usize, uid: &[u8], answer: &Answer) -> Result<(), String> {
        let has = |part: &[u8]| answer.body.windows(part.len()).any(|window| window == part);
        let wanted: &[u8] = match self.admitted.get(number % MIX) {
            Some(true) => br#""allowed":true"#,
            Some(false) => br#""allowed":false"#,
            None => br#""allowed":"#,
        };
        match answer.status {
            200 if !has(uid) => Err("another uid".to_owned()),
            200 if !has(wanted) => Err(format!("another verdict for {}", number % MIX)),
            200 => Ok(()),
            status => Err(format!("status {status}")),
        }
    }
}
