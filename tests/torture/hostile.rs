//! T7, T9, T30: clients that are slow or worse.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsConnector;

use super::{
    load::drive_for,
    process::is_optimised,
    report::Run,
    transport::{Questions, Transport, trusting},
};
use crate::{
    program::Program,
    support::{Connection, client_config, connect, post, review_of},
};

/// How long a server may hold on to a client that does nothing.
const PATIENCE: Duration = Duration::from_secs(15);

/// Writes a byte a second until the server has enough; gives how long that took.
async fn trickle(mut connection: Slow, bytes: &[u8]) -> Duration {
    let start = Instant::now();
    for byte in bytes.iter().cycle() {
        if connection.send([*byte]).await.is_err() || start.elapsed() > PATIENCE * 2 {
            break;
        }
        let rest = tokio::time::timeout(Duration::from_secs(1), connection.closed());
        if rest.await.is_ok() {
            break;
        }
    }
    start.elapsed()
}

type Slow = Connection<tokio_rustls::client::TlsStream<TcpStream>>;

async fn closed(
    mut connection: Connection<impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>,
) -> Duration {
    let start = Instant::now();
    connection.closed().await;
    start.elapsed()
}

/// Asks and never reads; how long the server puts up with that once it cannot write any more.
async fn unread(program: std::net::SocketAddr, ca: String) -> Duration {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let stream = socket.connect(program).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let stream = TlsConnector::from(trusting(&ca)).connect(name, stream).await.unwrap();
    let mut connection = Connection { stream };
    // What is no review is cheap to ask, and a long uid comes back.
    let uid = "u".repeat(200);
    let request = post("/validate", &format!(r#"{{"request":{{"uid":"{uid}"}}}}"#)).repeat(50);
    let mut progress = Instant::now();
    loop {
        match tokio::time::timeout(PATIENCE, connection.send(&request)).await {
            Ok(Ok(())) => progress = Instant::now(),
            Ok(Err(_)) | Err(_) => return progress.elapsed(),
        }
    }
}

/// How long it takes until all slow clients have come. Handshakes of hundreds in one moment take a processor
/// that the others' clients use as well, which says nothing about slowness.
const ARRIVAL: Duration = Duration::from_secs(2);

fn slow_clients(program: &Program, each: usize, deaf: usize) -> JoinSet<(&'static str, Duration)> {
    let begun = tokio::time::Instant::now();
    let clients = each * 4 + deaf;
    let whole = Arc::new(post("/validate?timeout=30s", &review_of("{}")));
    let mut slow = JoinSet::new();
    for index in 0..clients {
        let (address, ca, whole) = (program.webhook, program.ca.clone(), Arc::clone(&whole));
        let due = begun + ARRIVAL.mul_f64(index as f64 / clients as f64);
        slow.spawn(async move {
            tokio::time::sleep_until(due).await;
            if index % 4 == 0 && index < each * 4 {
                let stream = TcpStream::connect(address).await.unwrap();
                return ("no TLS", closed(Connection { stream }).await);
            }
            if index >= each * 4 {
                return ("no reading", unread(address, ca).await);
            }
            let mut connection = connect(address, client_config(&ca)).await.unwrap();
            match index % 4 {
                1 => ("no request", closed(connection).await),
                2 => ("a byte of the head a second", trickle(connection, &whole[..40]).await),
                _ => {
                    let body = whole.len() - 40;
                    connection.send(&whole[..body]).await.unwrap();
                    ("a byte of the body a second", trickle(connection, &whole[body..]).await)
                }
            }
        });
    }
    slow
}

/// T7.
pub(crate) async fn slow(run: Arc<Run>) {
    let program = Program::start("t07", &["--log-level", "error,tidegate::cli::serve=info"]);
    let questions = Arc::new(Questions::new().await);
    let transport = Arc::new(Transport::to(&program));
    let rate = run.pick(20, 200);
    let mut before = drive_for(&questions, &transport, rate, Duration::from_secs(3)).await;
    let (descriptors, resident) = (program.descriptors(), program.resident());
    let deaf = run.pick(2, 20);
    let clients = 500;
    let mut slow = slow_clients(&program, (clients - deaf) / 4, deaf);
    let mut during = drive_for(&questions, &transport, rate, Duration::from_secs(10)).await;
    let mut longest = Duration::ZERO;
    while let Some(ended) = slow.join_next().await {
        let (what, took) = ended.unwrap();
        assert!(took <= PATIENCE, "{what}: closed after {took:?}");
        longest = longest.max(took);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    run.note("slow clients", clients);
    run.note("longest held, s", format!("{:.1}", longest.as_secs_f64()));
    run.note("failures of others", before.failures.len() + during.failures.len());
    let (quiet, busy) = (before.quantile(0.99), during.quantile(0.99));
    run.note("p99 of others, ms", format!("{quiet:.1} then {busy:.1}"));
    let now = program.descriptors();
    run.note("file descriptors", format!("{descriptors} then {now}"));
    run.note("resident, MiB", format!("{resident:.0} then {:.0}", program.resident()));
    before.is_clean(10);
    during.is_clean(10);
    assert!(now <= descriptors + 25, "{descriptors} became {now}");
    assert!(program.resident() <= resident + 64.0);
    assert_eq!(program.metric("tidegate_body_reserved_bytes"), Some(0.0));
    if is_optimised() {
        assert!(busy <= (quiet * 2.0).max(20.0), "{quiet} ms became {busy} ms");
    }
}

const CANARY: &str = "canary5e1f";

/// What is no request of an API server. All of it carries the canary.
fn requests() -> Vec<String> {
    let json = format!("X: {CANARY}\r\nContent-Type: application/json\r\n");
    let to = |line: &str, headers: &str| format!("{line}\r\nHost: {CANARY}\r\n{headers}\r\n");
    let post = |headers: &str| to("POST /validate HTTP/1.1", &format!("{json}{headers}"));
    let smuggled = format!("GET /{CANARY} HTTP/1.1\r\n\r\n");
    // Nothing but the head keeps these from an answer.
    let review = review_of("{}");
    let length = format!("Content-Length: {}\r\n", review.len());
    let whole = |line: &str, headers: &str| to(line, &format!("{headers}{length}")) + &review;
    vec![
        whole("POST /validate HTTP/1.1", "Content-Type: text/plain\r\n"),
        whole("POST /validate HTTP/1.1", "Content-Type: application/yaml\r\n"),
        whole("POST /validate HTTP/1.1", ""),
        whole("POST /validate HTTP/1.0", &json),
        whole("PUT /validate HTTP/1.1", &json),
        whole("GET /validate HTTP/1.1", &json),
        whole("POST /validate/ HTTP/1.1", &json),
        whole("POST //validate HTTP/1.1", &json),
        post("Transfer-Encoding: chunked\r\n")
            + &format!("{:x}\r\n{review}\r\n0\r\n\r\n", review.len()),
        to("GET /validate HTTP/1.1", ""),
        to("GET /metrics HTTP/1.1", ""),
        to("GET /debug/pprof/ HTTP/1.1", ""),
        to(&format!("POST /{CANARY} HTTP/1.1"), &json),
        to("POST /validate HTTP/1.0", &format!("{json}Content-Length: 2\r\n")),
        to("POST /validate HTTP/1.1", "Content-Type: text/plain\r\nContent-Length: 2\r\n"),
        post(""),
        post("Transfer-Encoding: chunked\r\n") + "2\r\n{}\r\n0\r\n\r\n",
        post("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n" + &smuggled,
        post("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n") + "0\r\n\r\n" + &smuggled,
        post("Transfer-Encoding: xchunked\r\n") + &smuggled,
        post("Transfer-Encoding : chunked\r\n") + &smuggled,
        post("Content-Length: 2\r\nContent-Length: 3\r\n") + "{}" + &smuggled,
        post("Content-Length: +2\r\n") + "{}",
        post("Content-Length: 0x2\r\n") + "{}",
        post("Content-Length: -2\r\n") + "{}",
        post("Content-Length: 99999999999999999999\r\n") + "{}",
        post(&"X-A: y\r\n".repeat(80)),
        post(&format!("X: {}\r\n", "y".repeat(70 << 10))),
        post("X: a\r\n b\r\n"),
        to(&format!("POST /{} HTTP/1.1", "y".repeat(70 << 10)), ""),
        format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0{CANARY}"),
        format!("\0\0{CANARY}\r\n\r\n"),
        format!("{CANARY}\n\n\n"),
    ]
}

/// T9.
pub(crate) async fn listener(run: Arc<Run>) {
    let program = Program::start("t09", &["--log-level", "debug"]);
    let requests = requests();
    let rounds = run.pick(1, 20);
    for request in requests.iter().cycle().take(requests.len() * rounds) {
        let mut connection = program.connect().await;
        // The server may close before all of it is written.
        drop(connection.send(request).await);
        let note = &request[..request.len().min(120)];
        if let Some(reply) = connection.reply().await {
            assert!((400..500).contains(&reply.status), "{note}: {reply:?}");
            assert_eq!(reply.body, b"", "{note}");
        }
        // Nothing more comes: what was smuggled in is not answered.
        assert_eq!(connection.reply().await, None, "{note}");
    }
    let mut plain = Connection { stream: TcpStream::connect(program.webhook).await.unwrap() };
    plain.send(format!("GET / HTTP/1.1\r\nHost: {CANARY}\r\n\r\n")).await.unwrap();
    plain.closed().await;
    run.note("hostile requests", requests.len() * rounds + 1);
    let log = program.log.lock().unwrap().clone();
    assert!(!log.contains(CANARY), "{log}");
    assert!(!program.get("/metrics").unwrap().contains(CANARY));
    assert_eq!(program.metric("tidegate_panics_total"), Some(0.0));
    let questions = Questions::new().await;
    questions.ask(&Transport::to(&program), 0).await.unwrap();
}

/// T30.
pub(crate) async fn http2(run: Arc<Run>) {
    let program = Program::start("t30", &["--log-level", "error,tidegate::cli::serve=info"]);
    let mut only = client_config(&program.ca);
    only.alpn_protocols = vec![b"h2".to_vec()];
    assert!(connect(program.webhook, only).await.is_err(), "h2 is refused");
    let both = connect(program.webhook, client_config(&program.ca)).await.unwrap();
    assert_eq!(both.stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    // Frames all the same: streams that are opened and reset, and heads that never end.
    let mut frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for stream in 0..1_000_u32 {
        let id = (stream * 2 + 1).to_be_bytes();
        frames.extend_from_slice(b"\0\0\x01\x01\0");
        frames.extend_from_slice(&id);
        frames.push(0x82);
        frames.extend_from_slice(b"\0\0\x04\x03\0");
        frames.extend_from_slice(&id);
        frames.extend_from_slice(&[0, 0, 0, 8]);
        frames.extend_from_slice(b"\0\0\x01\x09\0");
        frames.extend_from_slice(&id);
        frames.push(0x82);
    }
    let floods = run.pick(20, 500);
    let frames = Arc::new(frames);
    let mut clients = JoinSet::new();
    for _ in 0..floods {
        let (frames, address, ca) = (Arc::clone(&frames), program.webhook, program.ca.clone());
        clients.spawn(async move {
            let mut connection = connect(address, client_config(&ca)).await.unwrap();
            drop(connection.send(&*frames).await);
            if let Some(reply) = connection.reply().await {
                assert!((400..500).contains(&reply.status), "{reply:?}");
            }
            connection.closed().await;
        });
    }
    drop(clients.join_all().await);
    let questions = Questions::new().await;
    questions.ask(&Transport::to(&program), 0).await.unwrap();
    run.note("floods", floods);
    run.note("frames in each", 3_000);
    assert_eq!(program.metric("tidegate_panics_total"), Some(0.0));
}
