//! Clients that are slow, wrong, old or too many.

use std::{sync::Arc, time::Duration};

use tidegate::{settings::Limits, webhook::Phase};
use tokio::net::TcpStream;

use crate::support::{
    Connection, Scripted, Server, Service, admitted, client_config, connect, eventually, post,
    recorded, review_of, review_of_size,
};

const SHORT: Duration = Duration::from_millis(300);

/// Limits short enough to wait for; idle stays long.
fn short() -> Limits {
    Limits { handshake: SHORT, head: SHORT, body: SHORT, write: SHORT, ..Limits::default() }
}

#[tokio::test]
async fn a_connection_is_kept_between_requests() {
    let server = Server::start(short()).await;
    let mut connection = server.connect().await;
    let body = recorded("validate-create-job-argocd-migration");
    for _ in 0..3 {
        let reply = connection.post("/validate?timeout=5s", &body).await;
        assert_eq!((reply.status, reply.header("connection")), (200, None));
        // Longer than any limit on a slow client: an idle one is none.
        tokio::time::sleep(SHORT * 2).await;
    }
    assert_eq!(server.service.metric("tidegate_connections_total"), Some(1.0));
}

#[tokio::test]
async fn an_idle_connection_ends_after_the_idle_time_only() {
    let limits = Limits { idle: SHORT * 3, ..short() };
    let server = Server::start(limits).await;
    let mut connection = server.connect().await;
    connection.post("/validate", &review_of("{}")).await;
    let idle = connection.closed().await;
    assert!((SHORT * 2..SHORT * 12).contains(&idle), "{idle:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_cut_off_and_others_do_not_notice() {
    // Long enough for honest clients of a busy machine.
    let limit = Duration::from_secs(2);
    let limits = Limits { handshake: limit, head: limit, body: limit, ..Limits::default() };
    let server = Server::start(limits).await;
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (address, ca) = (server.address, server.ca.clone());
        // No TLS.
        slow.spawn(async move {
            Connection { stream: TcpStream::connect(address).await.unwrap() }.closed().await
        });
        for kind in 0..4 {
            let config = client_config(&ca);
            slow.spawn(async move {
                let mut connection = connect(address, config).await.unwrap();
                let whole = post("/validate", &review_of("{}"));
                match kind {
                    // Nothing after the handshake.
                    0 => {}
                    // A part of a head, and a byte now and then.
                    1 => {
                        for byte in &whole[..20] {
                            if connection.send([*byte]).await.is_err() {
                                break;
                            }
                            tokio::time::sleep(limit / 4).await;
                        }
                    }
                    // A head, and a body that comes byte by byte.
                    2 => {
                        let body = whole.len() - 30;
                        connection.send(&whole[..body]).await.unwrap();
                        for byte in &whole[body..body + 20] {
                            if connection.send([*byte]).await.is_err() {
                                break;
                            }
                            tokio::time::sleep(limit / 4).await;
                        }
                    }
                    // A second head that never ends.
                    _ => {
                        connection.post("/validate", &review_of("{}")).await;
                        connection.send(&whole[..20]).await.unwrap();
                    }
                }
                connection.closed().await
            });
        }
    }
    for _ in 0..5 {
        server.works().await;
    }
    for took in slow.join_all().await {
        assert!(took < limit * 5, "{took:?}");
    }
    eventually("all connections are closed", || {
        server.service.metric("tidegate_open_connections") == Some(0.0)
            && server.service.metric("tidegate_body_reserved_bytes") == Some(0.0)
    })
    .await;
    let timeouts = r#"tidegate_tls_handshake_failures_total{reason="timeout"}"#;
    assert_eq!(server.service.metric(timeouts), Some(10.0));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let server = Server::start(short()).await;
    let mut connection = server.connect().await;
    let requests = post("/validate", &review_of("{}")).repeat(2_000);
    // Written until the server stops reading, because nobody reads its answers.
    while let Ok(Ok(())) = tokio::time::timeout(SHORT * 4, connection.send(&requests)).await {}
    eventually("the connection is closed", || {
        server.service.metric("tidegate_open_connections") == Some(0.0)
    })
    .await;
}

#[tokio::test]
async fn hostile_requests_are_refused_without_a_word() {
    let server = Server::start(short()).await;
    let body = "Content-Type: application/json\r\n";
    let many: String = "X-A: y\r\n".repeat(80);
    for request in [
        "GET /validate HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        format!("POST /validate HTTP/1.0\r\nHost: a\r\n{body}Content-Length: 2\r\n\r\n{{}}"),
        format!(
            "POST /validate HTTP/1.1\r\nHost: a\r\n{body}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
        ),
        format!(
            "POST /validate HTTP/1.1\r\nHost: a\r\n{body}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        format!(
            "POST /validate HTTP/1.1\r\nHost: a\r\n{body}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"
        ),
        format!("POST /validate HTTP/1.1\r\nHost: a\r\n{body}Content-Length: +2\r\n\r\n{{}}"),
        format!("POST /validate HTTP/1.1\r\nHost: a\r\n{body}Content-Length: -2\r\n\r\n{{}}"),
        format!("POST /validate HTTP/1.1\r\nHost: a\r\n{body}Content-Length : 2\r\n\r\n{{}}"),
        format!(
            "POST /validate HTTP/1.1\r\nHost: a\r\n{body}Content-Length: 99999999999999999999\r\n\r\n{{}}"
        ),
        format!("POST /validate HTTP/1.1\r\nHost: a\r\n{body}\r\n{{}}"),
        format!("POST /validate HTTP/1.1\r\nHost: a\r\n{many}Content-Length: 2\r\n\r\n{{}}"),
        format!("POST /validate HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(70 << 10)),
        format!("POST /{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(70 << 10)),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0".to_owned(),
        "\0\0\0\0\r\n\r\n".to_owned(),
    ] {
        let mut connection = server.connect().await;
        // The server may close before all of it is written.
        drop(connection.send(&request).await);
        let note = &request[..request.len().min(120)];
        if let Some(reply) = connection.reply().await {
            assert!((400..500).contains(&reply.status), "{note}: {reply:?}");
            assert_eq!(reply.body, b"", "{note}");
        }
        connection.closed().await;
    }
    let mut plain = Connection { stream: TcpStream::connect(server.address).await.unwrap() };
    plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    plain.closed().await;
    server.works().await;
}

#[tokio::test]
async fn only_http_1_is_spoken() {
    let server = Server::start(short()).await;
    let connection = server.connect().await;
    let protocol = connection.stream.get_ref().1.alpn_protocol();
    assert_eq!(protocol, Some(&b"http/1.1"[..]), "although the client offers h2 first");
    let mut config = client_config(&server.ca);
    config.alpn_protocols = vec![b"h2".to_vec()];
    assert!(connect(server.address, config).await.is_err());
}

#[tokio::test]
async fn bodies_up_to_32_mebibytes_are_answered() {
    let server = Server::start(Limits::default()).await;
    let mut connection = server.connect().await;
    let mebibyte = 1 << 20;
    for size in [
        2 * mebibyte - 1,
        2 * mebibyte + 1,
        7 * mebibyte + 1,
        16 * mebibyte,
        32 * mebibyte - 1,
        32 * mebibyte,
    ] {
        let reply = connection.post("/validate?timeout=30s", &review_of_size(size)).await;
        assert_eq!(reply.response()["uid"], "the-uid", "{size}");
    }
    let reply = connection.post("/validate?timeout=30s", &review_of_size(32 * mebibyte + 1)).await;
    assert_eq!((reply.status, reply.body.len(), reply.closes()), (413, 0, true));
    let mut connection = server.connect().await;
    let empty = connection.post("/validate", "").await;
    assert_eq!(empty.status, 400);
    let mut connection = server.connect().await;
    assert_eq!(connection.post("/validate", "{").await.status, 400);
}

#[tokio::test]
async fn lies_about_the_length_hurt_only_the_liar() {
    let server = Server::start(short()).await;
    let body = review_of("{}");
    // Shorter than said: the rest never comes.
    let mut connection = server.connect().await;
    let request = String::from_utf8(post("/validate", &body)).unwrap();
    let longer = format!("Content-Length: {}", body.len() + 5);
    let honest = format!("Content-Length: {}", body.len());
    connection.send(request.replace(&honest, &longer)).await.unwrap();
    assert_eq!(connection.reply().await.map(|reply| reply.status), Some(408));
    // Longer than said: the rest is a request of its own, and no good one.
    let mut connection = server.connect().await;
    let shorter = format!("Content-Length: {}", body.len() - 5);
    connection.send(request.replace(&honest, &shorter)).await.unwrap();
    let reply = connection.reply().await.unwrap();
    assert_eq!(reply.response()["uid"], "the-uid");
    connection.closed().await;
    server.works().await;
}

#[tokio::test]
async fn an_old_connection_is_asked_to_close_and_not_cut() {
    let limits = Limits { connection_age: SHORT, ..short() };
    let server = Server::start(limits).await;
    let mut connection = server.connect().await;
    assert!(!connection.post("/validate", &review_of("{}")).await.closes());
    tokio::time::sleep(SHORT * 2).await;
    let reply = connection.post("/validate", &review_of("{}")).await;
    assert_eq!((reply.status, reply.closes()), (200, true));
    connection.closed().await;
}

#[tokio::test]
async fn too_many_connections_are_closed_at_once() {
    let server = Server::start(Limits { max_connections: 2, ..Limits::default() }).await;
    let first = server.connect().await;
    let _second = server.connect().await;
    assert!(connect(server.address, client_config(&server.ca)).await.is_err());
    assert_eq!(server.service.metric(r#"tidegate_shed_total{reason="connections"}"#), Some(1.0));
    drop(first);
    eventually("a place is free", || {
        server.service.metric("tidegate_open_connections") == Some(1.0)
    })
    .await;
    server.works().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_requests_are_told_to_come_back() {
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let engine = Scripted::new(move |_, _| {
        gate.lock().unwrap().recv().ok();
        admitted()
    });
    let limits = Limits { max_in_flight: 1, inline_body: 0, ..Limits::default() };
    let service = Service::new(Box::new(engine), limits.clone());
    let server = Arc::new(Server::with(service, limits, None).await);
    let held = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.post("/validate?timeout=20s", &review_of("{}")).await }
    });
    eventually("one is in flight", || {
        server.service.metric("tidegate_body_reserved_bytes").is_some_and(|bytes| bytes > 0.0)
    })
    .await;
    let reply = server.post("/validate?timeout=5s", &review_of("{}")).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert!(reply.closes() && reply.body.is_empty());
    drop(release);
    assert_eq!(held.await.unwrap().response()["allowed"], true);
    assert_eq!(server.post("/validate", &review_of("{}")).await.status, 200);
}

#[tokio::test]
async fn draining_serves_old_and_new_connections_and_closes_them() {
    let server = Server::start(Limits::default()).await;
    let mut old = server.connect().await;
    assert!(!old.post("/validate", &review_of("{}")).await.closes());
    let mut idle = server.connect().await;
    idle.post("/validate", &review_of("{}")).await;

    server.lifecycle.advance(Phase::Draining);
    assert!(old.post("/validate", &review_of("{}")).await.closes());
    old.closed().await;
    let reply = server.post("/validate", &review_of("{}")).await;
    assert_eq!((reply.status, reply.closes()), (200, true));

    // A request that has arrived is answered, whatever else stops.
    let mut half = server.connect().await;
    let request = post("/validate", &review_of("{}"));
    half.send(&request[..request.len() - 10]).await.unwrap();
    eventually("the half request is being read", || {
        server.service.metric("tidegate_requests_in_flight") == Some(1.0)
    })
    .await;
    server.lifecycle.advance(Phase::Stopping);
    idle.closed().await;
    eventually("nothing new is accepted", || std::net::TcpStream::connect(server.address).is_err())
        .await;
    half.send(&request[request.len() - 10..]).await.unwrap();
    let reply = half.reply().await.unwrap();
    assert_eq!((reply.status, reply.closes()), (200, true));
    tokio::time::timeout(crate::support::PATIENCE, server.task).await.unwrap().unwrap();
}
