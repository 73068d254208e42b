//! One connection, as the API server uses it: HTTP/1.1 with keep-alive over TLS 1.3.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, StreamOwned, WantsVerifier,
    client::WantsClientCert,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    version::TLS13,
};

use super::corpus::Review;

/// The longest answer that is read: a hundred containers with something wrong in each.
const LONGEST: usize = 8 << 20;

/// Where a server is, and what its clients trust.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// The name that its certificate must have.
    pub(crate) name: ServerName<'static>,
    /// What is trusted, and perhaps the client's own certificate.
    pub(crate) trust: Arc<ClientConfig>,
}

impl Endpoint {
    /// A server on this machine whose authority is in a file.
    pub(crate) fn local(address: SocketAddr, ca: &Path) -> anyhow::Result<Self> {
        Ok(Self { address, name: ServerName::IpAddress(address.ip().into()), trust: trust(ca)? })
    }
}

/// What a client of the servers trusts.
pub(crate) fn trust(ca: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    let mut config = trusting(ca)?.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The same for a client with a certificate of its own.
pub(crate) fn trust_as(
    ca: &Path,
    certificate: &Path,
    key: &Path,
) -> anyhow::Result<Arc<ClientConfig>> {
    let certificate = CertificateDer::from_pem_file(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let mut config = trusting(ca)?.with_client_auth_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn trusting(ca: &Path) -> anyhow::Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let pem = fs::read(ca).with_context(|| format!("cannot read {}", ca.display()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate?)?;
    }
    let builder: ConfigBuilder<ClientConfig, WantsVerifier> =
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])?;
    Ok(builder.with_root_certificates(roots))
}

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(to: &Endpoint) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(to.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_mins(1)))?;
        let connection = ClientConnection::new(Arc::clone(&to.trust), to.name.clone())?;
        let stream = StreamOwned::new(connection, stream);
        Ok(Self { stream, request: Vec::new(), answer: vec![0; 64 << 10] })
    }

    /// Sends a review under the uid `number`; true when it is admitted.
    ///
    /// # Errors
    ///
    /// When the answer is not a 200 with that uid, or not the one that is expected.
    pub(crate) fn ask(&mut self, review: &Review, number: u64) -> anyhow::Result<bool> {
        let uid = review.write(number, &mut self.request);
        let (status, body) = exchange(&mut self.stream, &mut self.answer, &self.request)?;
        ensure!(status == 200, "{}: the answer is a {status}", review.name);
        ensure!(contains(body, &uid), "{}: the answer has another uid", review.name);
        let admitted = contains(body, br#""allowed":true"#);
        let refused = contains(body, br#""allowed":false"#);
        ensure!(admitted != refused, "{}: the answer has no verdict", review.name);
        let late = refused && contains(body, b"could not be judged in time");
        ensure!(!late, "{}: it took too long", review.name);
        if let Some(expected) = review.expected {
            ensure!(admitted == expected, "{}: allowed is {admitted}", review.name);
        }
        Ok(admitted)
    }

    /// Sends a request, and gives the status and the body of its answer.
    ///
    /// # Errors
    ///
    /// When the connection ends, or what comes is no answer. The body of one that came in chunks is
    /// given as it came.
    pub(crate) fn send(&mut self, request: &[u8]) -> anyhow::Result<(u16, &[u8])> {
        exchange(&mut self.stream, &mut self.answer, request)
    }
}

/// Sends a request, and reads its answer into a buffer.
fn exchange<'a>(
    stream: &mut StreamOwned<ClientConnection, TcpStream>,
    answer: &'a mut Vec<u8>,
    request: &[u8],
) -> anyhow::Result<(u16, &'a [u8])> {
    stream.write_all(request)?;
    stream.flush()?;
    let mut filled = 0;
    let head = loop {
        if filled == answer.len() {
            ensure!(filled < LONGEST, "an answer is too long");
            answer.resize(filled * 2, 0);
        }
        let read = stream.read(&mut answer[filled..])?;
        ensure!(read > 0, "the server closed the connection");
        filled += read;
        if let Some(head) = Head::read(&answer[..filled])?
            && filled >= head.end
        {
            break head;
        }
    };
    ensure!(filled == head.end, "there is more than one answer");
    Ok((head.status, &answer[head.length..filled]))
}

/// What the head of an answer says.
struct Head {
    status: u16,
    /// Where it ends.
    length: usize,
    /// Where the body ends.
    end: usize,
}

impl Head {
    /// `None` as long as it is not complete.
    fn read(answer: &[u8]) -> anyhow::Result<Option<Self>> {
        let Some(length) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&answer[..length])?;
        let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let Some(status) = status.and_then(|status| status.parse().ok()) else {
            bail!("this is no answer: {text}");
        };
        let field = |wanted: &str| {
            let mut fields = text.lines().filter_map(|line| line.split_once(": "));
            fields
                .find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then_some(value.trim()))
        };
        let length = length + 4;
        if field("transfer-encoding") == Some("chunked") {
            // The last chunk is empty. JSON holds no bare end of a line, so that no other looks like it.
            let ended = answer[length..].ends_with(LAST_CHUNK);
            return Ok(ended.then_some(Self { status, length, end: answer.len() }));
        }
        let body = field("content-length").context("the answer has no length")?;
        Ok(Some(Self { status, length, end: length + body.parse::<usize>()? }))
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
