//! What a client may hold on to: a socket with timers.
//!
//! hyper's only timer is both its limit on slow heads and its limit on idle connections. The second
//! must be longer than the 90 s of the API server, which is far too long for the first. So the
//! socket itself watches heads, and writes too, which hyper does not time at all.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// How long a connection that we close is read on, so that a client still writing its body sees
/// our answer and not a reset.
const LINGER: Duration = Duration::from_secs(1);

const HEAD: u8 = 0;
const BUSY: u8 = 1;
const IDLE: u8 = 2;

/// Where a connection is between head and answer; shared by the socket and the service.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<AtomicU8>);

impl Progress {
    /// A new connection: its first head is awaited.
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU8::new(HEAD)))
    }

    /// A head is complete; its request is being answered.
    pub(super) fn busy(&self) {
        self.0.store(BUSY, Ordering::Relaxed);
    }

    /// The answer is made; the next byte starts a new head.
    pub(super) fn idle(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }

    /// True while the client owes us a head.
    fn awaits_head(&self) -> bool {
        self.0.load(Ordering::Relaxed) == HEAD
    }

    /// Notes that bytes came; true when they start a new head.
    fn first_byte(&self) -> bool {
        self.0.compare_exchange(IDLE, HEAD, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// A deadline that is only looked at when there is something to wait for.
#[derive(Debug)]
struct Timer {
    deadline: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    fn new(deadline: Option<Instant>) -> Self {
        Self { deadline, sleep: None }
    }

    fn arm(&mut self, after: Duration) {
        self.deadline = Instant::now().checked_add(after);
    }

    fn disarm(&mut self) {
        self.deadline = None;
    }

    /// Ready when the deadline has passed; pending for ever when there is none.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    }
}

use std::future::Future as _;

/// A socket that fails when its client is too slow.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    socket: S,
    progress: Progress,
    head: Timer,
    head_limit: Duration,
    write: Timer,
    write_limit: Duration,
    linger: Timer,
}

impl<S> Guarded<S> {
    /// Guards `socket`. The first head is due `head_limit` from now.
    pub(super) fn new(
        socket: S,
        progress: Progress,
        head_limit: Duration,
        write_limit: Duration,
    ) -> Self {
        Self {
            socket,
            progress,
            head: Timer::new(Instant::now().checked_add(head_limit)),
            head_limit,
            write: Timer::new(None),
            write_limit,
            linger: Timer::new(None),
        }
    }

    /// Passes on the result of a write, or fails when it has been stuck for too long.
    fn written<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.write.disarm();
            return result;
        }
        if self.write.deadline.is_none() {
            self.write.arm(self.write_limit);
        }
        ready!(self.write.poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = Pin::new(&mut this.socket).poll_read(cx, buf);
        if result.is_ready() {
            if buf.filled().len() > before && this.progress.first_byte() {
                this.head.arm(this.head_limit);
            }
            return result;
        }
        if this.progress.awaits_head() {
            ready!(this.head.poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.socket).poll_write(cx, buf);
        this.written(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.socket).poll_write_vectored(cx, bufs);
        this.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.socket).poll_flush(cx);
        this.written(cx, result)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.deadline.is_none() {
            let result = Pin::new(&mut this.socket).poll_shutdown(cx);
            ready!(this.written(cx, result))?;
            this.linger.arm(LINGER);
        }
        let mut scratch = [0; 4_096];
        loop {
            if this.linger.poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut this.socket).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn pair() -> (tokio::io::DuplexStream, Guarded<tokio::io::DuplexStream>, Progress) {
        let (client, server) = tokio::io::duplex(64);
        let progress = Progress::new();
        (client, Guarded::new(server, progress.clone(), LIMIT, LIMIT), progress)
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_cut_off_and_so_is_one_that_trickles() {
        let (mut client, mut server, _progress) = pair();
        let start = Instant::now();
        let trickle = async {
            for _ in 0..60 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if client.write_all(b"x").await.is_err() {
                    break;
                }
            }
        };
        let read = async {
            let mut byte = [0];
            loop {
                if let Err(error) = server.read_exact(&mut byte).await {
                    break error;
                }
            }
        };
        let error = tokio::select! { error = read => error, () = trickle => panic!("not cut off") };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_left_alone_until_the_next_head_starts() {
        let (mut client, mut server, progress) = pair();
        progress.busy();
        progress.idle();
        let mut byte = [0];
        let wait = tokio::time::timeout(Duration::from_secs(100), server.read_exact(&mut byte));
        assert!(wait.await.is_err(), "the socket closed an idle connection");
        client.write_all(b"P").await.unwrap();
        server.read_exact(&mut byte).await.unwrap();
        let start = Instant::now();
        let error = server.read_exact(&mut byte).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_cut_off() {
        let (_client, mut server, _progress) = pair();
        let error = server.write_all(&[0; 1_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
