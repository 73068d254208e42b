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
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    version::TLS13,
};

use super::corpus::Review;

/// What a client of the servers trusts.
pub(crate) fn trust(ca: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    let pem = fs::read(ca).with_context(|| format!("cannot read {}", ca.display()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate?)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr, trust: Arc<ClientConfig>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let name = ServerName::IpAddress(address.ip().into());
        let connection = ClientConnection::new(trust, name)?;
        let stream = StreamOwned::new(connection, stream);
        Ok(Self { stream, request: Vec::new(), answer: vec![0; 64 << 10] })
    }

    /// Sends a review under the uid `number`; true when it is admitted.
    ///
    /// # Errors
    ///
    /// When the answer is not a 200 with that uid.
    pub(crate) fn ask(&mut self, review: &Review, number: u64) -> anyhow::Result<bool> {
        let uid = review.write(number, &mut self.request);
        self.stream.write_all(&self.request)?;
        self.stream.flush()?;
        let mut filled = 0;
        let (head, end) = loop {
            ensure!(filled < self.answer.len(), "an answer is too long");
            let read = self.stream.read(&mut self.answer[filled..])?;
            ensure!(read > 0, "the server closed the connection");
            filled += read;
            if let Some(ends) = ends(&self.answer[..filled])?
                && filled >= ends.1
            {
                break ends;
            }
        };
        ensure!(filled == end, "there is more than one answer");
        let body = &self.answer[head..end];
        ensure!(contains(body, &uid), "the answer has another uid");
        let admitted = contains(body, br#""allowed":true"#);
        ensure!(admitted || contains(body, br#""allowed":false"#), "the answer has no verdict");
        Ok(admitted)
    }
}

/// Where the head of an answer ends, and where its body does; `None` as long as the head is not
/// complete.
fn ends(answer: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&answer[..head])?;
    if !text.starts_with("HTTP/1.1 200 ") {
        bail!("the answer is no 200: {text}");
    }
    let length = text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("the answer has no length")?;
    let head = head + 4;
    Ok(Some((head, head + length.1.trim().parse::<usize>()?)))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
