//! T3 and T5: being stopped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tidegate::webhook::Issued;
use tokio::{io::AsyncReadExt as _, io::AsyncWriteExt as _, net::TcpStream};

use super::{
    balancer::Balancer,
    certificates::swap,
    load::drive,
    report::Run,
    transport::{Questions, Transport},
};
use crate::{
    program::{Program, tidegate},
    support::{Folder, post, review_of},
};

fn replica(folder: &Folder, number: usize) -> Program {
    let mut command = tidegate();
    command.args(["serve", "--kube", "off", "--drain", "1s", "--tls-dir"]).arg(&folder.0);
    Program::run(&format!("t03-{number}"), command)
}

/// T3. A Service goes on sending new connections for half a second after a replica was told to stop.
pub(crate) async fn rolling_restart(run: Arc<Run>) {
    let folder = Folder::new("t03-tls");
    let issued = Issued::new(&["localhost".to_owned()], jiff::Timestamp::now()).unwrap();
    let pair = tidegate::pki::Pair {
        chain: issued.chain.clone(),
        key: issued.key.clone(),
        bundle: issued.ca.clone(),
    };
    swap(&folder.0, 0, &pair);
    let mut replicas: Vec<_> = (0..3).map(|number| replica(&folder, number)).collect();
    let balancer = Balancer::new(replicas.iter().map(|replica| replica.webhook).collect()).await;
    let questions = Arc::new(Questions::new().await);
    let transport = Arc::new(Transport::new(balancer.address, &issued.ca));
    let stop = Arc::new(AtomicBool::new(false));
    let (ends, rate) = (Arc::clone(&stop), run.pick(40, 500));
    let restarts = 3 * run.pick(1, 20);
    let mut longest = Duration::ZERO;
    let restart = async {
        for number in 0..restarts {
            let new = replica(&folder, 3 + number);
            balancer.add(new.webhook);
            replicas.push(new);
            let mut old = replicas.remove(0);
            let start = Instant::now();
            old.terminate();
            tokio::time::sleep(Duration::from_millis(500)).await;
            let answer = Transport::new(old.webhook, &issued.ca)
                .send(&post("/validate", &review_of("{}")))
                .await
                .unwrap();
            assert!(answer.status == 200 && answer.closes(), "while draining: {}", answer.head);
            balancer.remove(old.webhook);
            assert_eq!(old.exit_within(Duration::from_mins(1)).await, 0);
            longest = longest.max(start.elapsed());
        }
        ends.store(true, Ordering::Relaxed);
    };
    let (sample, ()) = tokio::join!(drive(&questions, &transport, rate, stop), restart);
    run.note("restarts", restarts);
    run.note("requests", sample.asked);
    run.note("connections", transport.opened.load(Ordering::Relaxed));
    run.note("failures", sample.failures.len());
    run.note("longest stop, s", format!("{:.1}", longest.as_secs_f64()));
    sample.is_clean(rate as usize * 3);
    assert!(longest <= Duration::from_mins(1));
}

/// A review that takes a while: very many containers.
fn heavy() -> String {
    let container = r#"{"name":"c","image":"a","command":["sh","-c","flyway migrate"]}"#;
    let containers = vec![container; 2_000].join(",");
    review_of(&format!(
        r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"name":"a"}},
        "spec":{{"template":{{"spec":{{"containers":[{containers}]}}}}}}}}"#
    ))
}

/// One round: a connection at each point, then SIGTERM, then all go on.
async fn killed_and_answered(round: u64) {
    let mut program = Program::start("t05", &["--drain", "2s"]);
    let whole = post("/validate?timeout=30s", &review_of("{}"));
    let head = whole.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let mut points = Vec::new();
    for (point, sent) in [
        ("before the head", 0),
        ("within the head", 30),
        ("after the head", head),
        ("within the body", whole.len() - 9),
        ("complete", whole.len()),
    ] {
        let mut connection = program.connect().await;
        connection.send(&whole[..sent]).await.unwrap();
        points.push((point, sent, connection));
    }
    let handshake = TcpStream::connect(program.webhook).await.unwrap();
    let mut evaluating = program.connect().await;
    evaluating.send(post("/validate?timeout=30s", &heavy())).await.unwrap();
    let mut answered = program.connect().await;
    answered.send(&whole).await.unwrap();
    answered.stream.read_u8().await.unwrap();
    tokio::time::sleep(Duration::from_millis(round * 17 % 60)).await;
    program.terminate();
    tokio::time::sleep(Duration::from_millis(100)).await;
    for (point, sent, mut connection) in points {
        connection.send(&whole[sent..]).await.unwrap();
        let reply = connection.reply().await.unwrap_or_else(|| panic!("{point}: no answer"));
        assert_eq!(reply.response()["uid"], "the-uid", "{point}");
        assert!(reply.closes() || sent == whole.len(), "{point}: it stays open");
    }
    let mut late = crate::support::Connection {
        stream: tokio_rustls::TlsConnector::from(super::transport::trusting(&program.ca))
            .connect("localhost".try_into().unwrap(), handshake)
            .await
            .expect("a handshake that began before"),
    };
    assert_eq!(late.post("/validate", &review_of("{}")).await.status, 200);
    let reply = evaluating.reply().await.expect("what was being evaluated is answered");
    assert_eq!(reply.response()["uid"], "the-uid");
    let mut rest = Vec::new();
    answered.stream.write_all(b"").await.unwrap();
    drop(answered.stream.read_to_end(&mut rest).await);
    assert!(rest.ends_with(b"}"), "an answer that had begun is cut off");
    assert_eq!(program.exit().await, 0);
}

/// Nobody goes on: it ends all the same.
async fn killed_and_left_alone() -> Duration {
    let mut program = Program::start("t05-alone", &["--drain", "500ms"]);
    let whole = post("/validate?timeout=30s", &review_of("{}"));
    let mut held = Vec::new();
    for sent in [0, 30, whole.len() - 9] {
        let mut connection = program.connect().await;
        connection.send(&whole[..sent]).await.unwrap();
        held.push(connection);
    }
    let _silent = TcpStream::connect(program.webhook).await.unwrap();
    let start = Instant::now();
    program.terminate();
    assert_eq!(program.exit_within(Duration::from_secs(45)).await, 0);
    start.elapsed()
}

/// T5.
pub(crate) async fn kill_matrix(run: Arc<Run>) {
    let rounds = run.pick(2, 50);
    let alone = tokio::spawn(killed_and_left_alone());
    for round in 0..rounds {
        killed_and_answered(round).await;
    }
    let alone = alone.await.unwrap();
    run.note("kills", rounds + 1);
    run.note("points", 8);
    run.note("answers missing", 0);
    run.note("exit with dead clients, s", format!("{:.1}", alone.as_secs_f64()));
}
