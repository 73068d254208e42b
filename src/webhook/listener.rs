//! Accepting connections and serving HTTP/1.1 on them.
//!
//! Not `axum::serve`, which sets no timer and so waits for a slow client for ever.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, body::Body};
use hyper::{
    Request, Response,
    body::Incoming,
    header::{CONNECTION, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

use super::{
    connection::{Guarded, Progress},
    deadline::share,
    lifecycle::{Lifecycle, Phase},
    tls::TlsStore,
};
use crate::{
    metrics::{Counted, Metrics, ReasonLabels},
    settings::Limits,
};

/// Most header fields of a request. The API server sends about ten.
const MAX_HEADERS: usize = 64;
/// Longest request head, in bytes.
const MAX_HEAD: usize = 64 << 10;
/// How long to wait when no connection can be accepted, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One port.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// TLS, or none for a plain port.
    pub tls: Option<Arc<TlsStore>>,
    /// What answers.
    pub router: Router,
    /// Its limits.
    pub limits: Limits,
    /// The stage in which it stops accepting.
    pub until: Phase,
    /// The server's life.
    pub lifecycle: Lifecycle,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// What every connection of a port shares.
#[derive(Debug)]
struct Shared {
    tls: Option<Arc<TlsStore>>,
    router: Router,
    limits: Limits,
    until: Phase,
    lifecycle: Lifecycle,
    metrics: Arc<Metrics>,
}

impl Listener {
    /// Serves until its stage comes, then finishes what is in flight, within the grace time.
    pub async fn run(self) {
        let Self { socket, tls, router, limits, until, lifecycle, metrics } = self;
        let slots = Arc::new(Semaphore::new(limits.max_connections));
        let grace = limits.grace;
        let shared = Arc::new(Shared { tls, router, limits, until, lifecycle, metrics });
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(shared.lifecycle.reached(until));
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
                accepted = socket.accept() => match accepted {
                    Ok((stream, _peer)) => match Arc::clone(&slots).try_acquire_owned() {
                        Ok(slot) => {
                            let shared = Arc::clone(&shared);
                            connections.spawn(async move {
                                shared.connection(stream).await;
                                drop(slot);
                            });
                        }
                        // At once, so that the client knows: a backlog would look like a hang.
                        Err(_full) => shared.metrics.shed("connections"),
                    },
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        tracing::error!(%error, "cannot accept connections");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(socket);
        let finish = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, finish).await.is_err() {
            tracing::warn!(open = connections.len(), "connections cut off after the grace time");
        }
    }
}

/// True for failures of the connection that was being accepted, not of accepting.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

impl Shared {
    async fn connection(&self, stream: TcpStream) {
        self.metrics.connections.inc();
        let _open = Counted::new(&self.metrics.open_connections);
        // An answer is one small write, which must not wait for more.
        drop(stream.set_nodelay(true));
        let Some(tls) = &self.tls else { return self.http(stream).await };
        let handshake = TlsAcceptor::from(tls.config()).accept(stream);
        match tokio::time::timeout(self.limits.handshake, handshake).await {
            Ok(Ok(stream)) => self.http(stream).await,
            Ok(Err(error)) => {
                self.handshake_failed("error");
                tracing::debug!(%error, "TLS handshake failed");
            }
            Err(_elapsed) => self.handshake_failed("timeout"),
        }
    }

    fn handshake_failed(&self, reason: &'static str) {
        self.metrics.handshake_failures.get_or_create(&ReasonLabels { reason }).inc();
    }

    async fn http<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) {
        let Limits { head, write, idle, connection_age, .. } = self.limits;
        let progress = Progress::new();
        let stream = Guarded::new(stream, progress.clone(), head, write);
        let expires = Instant::now().checked_add(jitter(connection_age));
        let service = service_fn(move |request| self.call(request, progress.clone(), expires));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // hyper counts it from the last answer on, so it is the idle time as well.
            .header_read_timeout(idle)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = self.lifecycle.reached(self.until) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "connection ended");
        }
    }

    async fn call(
        &self,
        request: Request<Incoming>,
        progress: Progress,
        expires: Option<Instant>,
    ) -> Result<Response<Body>, std::convert::Infallible> {
        progress.busy();
        let mut response = self.router.clone().call(request).await?;
        let old = expires.is_some_and(|expires| Instant::now() >= expires);
        if old || self.lifecycle.phase() > Phase::Serving {
            // The only way to close that costs no request: the client does it.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        progress.idle();
        Ok(response)
    }
}

/// `age`, give or take a fifth, so that connections made together do not end together.
fn jitter(age: Duration) -> Duration {
    use std::hash::{BuildHasher as _, RandomState};
    let random = RandomState::new().hash_one(0_u8) % 1_000;
    let random = u32::try_from(random).unwrap_or_default();
    let spread = share(share(age, 2, 5), random, 1_000);
    age.saturating_sub(share(age, 1, 5)).saturating_add(spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_differ_by_a_fifth_at_most() {
        let age = Duration::from_mins(10);
        let ages: Vec<Duration> = (0..1_000).map(|_| jitter(age)).collect();
        assert!(ages.iter().all(|a| (480..=720).contains(&a.as_secs())));
        assert!(ages.iter().any(|a| a.as_secs() < 540) && ages.iter().any(|a| a.as_secs() > 660));
    }
}
