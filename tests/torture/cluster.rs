//! T23, T24, T34: an API server that is slow, gone or of another version.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{process::following, report::Run, transport::Transport};
use crate::{
    fake_cluster::FakeCluster,
    program::tidegate,
    support::{Folder, eventually, post, review_of},
};

const NAMESPACES: &str = "/api/v1/namespaces";
pub(crate) const POLICIES: &str = "/apis/tidegate.dev/v1alpha1/migrationpolicies";
const EXCEPTIONS: &str = "/apis/tidegate.dev/v1alpha1/migrationexceptions";

pub(crate) fn namespace(name: &str, environment: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {"environment": environment}}})
}

pub(crate) fn policy(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationPolicy",
        "metadata": {"name": name, "uid": name, "generation": 1}, "spec": spec})
}

/// Lets in what the built-in policy refuses, in one environment.
fn lenient(environment: &str) -> Value {
    json!({"level": "Audit",
        "match": {"namespaceSelector": {"matchLabels": {"environment": environment}}}})
}

/// A migration that the built-in policy refuses.
pub(crate) fn migration() -> Vec<u8> {
    post(
        "/validate?timeout=5s",
        &review_of(
            r#"{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"a"},"spec":{"template":{"spec":{
            "restartPolicy":"Never","containers":[{"name":"m","image":"a:1","command":["alembic","upgrade","head"],
            "securityContext":{"runAsUser":0}}]}}}}"#,
        ),
    )
}

async fn verdict(transport: &Transport) -> Option<bool> {
    let answer = transport.send(&migration()).await.unwrap();
    if answer.status == 503 {
        assert_eq!((answer.retry_after(), answer.closes()), (Some(1), true), "{}", answer.head);
        return None;
    }
    assert_eq!(answer.status, 200);
    let review: Value = serde_json::from_slice(&answer.body).unwrap();
    Some(review["response"]["allowed"] == true)
}

/// T23. A policy of the cluster lets the migration in; before it is known, nothing may be said.
pub(crate) async fn cold_start(run: Arc<Run>) {
    let cluster = FakeCluster::start().await;
    cluster.put(NAMESPACES, namespace("prod", "production"));
    cluster.put(POLICIES, policy("lenient", &lenient("production")));
    cluster.set_slow(Duration::from_millis(700));
    let (program, _folder) = following("t23", &cluster, &[]);
    let transport = Transport::to(&program);
    let mut before = 0;
    let start = Instant::now();
    loop {
        let was_ready = program.is_ready();
        match verdict(&transport).await {
            None => {
                assert!(!was_ready, "ready, and a request is sent away");
                before += 1;
            }
            Some(allowed) => {
                assert!(allowed, "a verdict without the policy of the cluster");
                break;
            }
        }
        assert!(start.elapsed() < Duration::from_secs(20), "it never answers");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eventually("it is ready", || program.is_ready()).await;
    run.note("told to come back before it knew", before);
    run.note("wrong verdicts", 0);
    assert!(before > 0, "it answered at once");
    drop(program);

    let cluster = FakeCluster::start().await;
    let namespaces = 10_000;
    for number in 0..namespaces {
        cluster.put(NAMESPACES, namespace(&format!("n{number}"), "production"));
    }
    cluster.set_absent(POLICIES, true);
    cluster.set_absent(EXCEPTIONS, true);
    let start = Instant::now();
    let (program, _folder) = following("t23-large", &cluster, &[]);
    eventually("it is ready", || program.is_ready()).await;
    let took = start.elapsed();
    run.note("ready with 10,000 namespaces and no CRDs, s", format!("{:.1}", took.as_secs_f64()));
    // An unoptimised build, and an unoptimised API server.
    let most = if cfg!(debug_assertions) { 15 } else { 5 };
    assert!(took <= Duration::from_secs(most), "{took:?}");
    assert_eq!(verdict(&Transport::to(&program)).await, Some(false));
    // The watch is reset: everything is listed again.
    let before = program.resident();
    cluster.set_down(true);
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.set_down(false);
    cluster.put(NAMESPACES, namespace("after", "production"));
    eventually("it follows again", || {
        program.metric(r#"tidegate_cache_entries{cache="namespaces"}"#) == Some(10_001.0)
    })
    .await;
    run.note(
        "resident, MiB",
        format!("{before:.0}, and {:.0} after the watch was reset", program.resident()),
    );
    assert!(program.resident() <= 128.0);
}

/// T24.
pub(crate) async fn api_server_gone(run: Arc<Run>) {
    let cluster = FakeCluster::start().await;
    cluster.put(NAMESPACES, namespace("prod", "production"));
    cluster.put(POLICIES, policy("lenient", &lenient("production")));
    let (program, _folder) = following("t24", &cluster, &[]);
    let transport = Transport::to(&program);
    eventually("it is ready", || program.is_ready()).await;
    assert_eq!(verdict(&transport).await, Some(true));
    let contact = r#"tidegate_cache_last_contact_timestamp_seconds{cache="namespaces"}"#;

    cluster.set_down(true);
    let lists = cluster.lists();
    cluster.put(NAMESPACES, namespace("prod", "test"));
    let start = Instant::now();
    let gone = Duration::from_secs(run.pick(6, 300));
    let heard = program.metric(contact).unwrap();
    let mut decided = 0;
    while start.elapsed() < gone {
        assert_eq!(verdict(&transport).await, Some(true), "after {:?}", start.elapsed());
        assert!(program.is_ready(), "decisions go on, and so does being asked");
        decided += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let now = program.metric(contact).unwrap();
    assert!(now - heard < 1.0, "the gauge moved by {} s without an answer", now - heard);
    assert!(program.sum("tidegate_cache_errors_total") > 0.0);

    cluster.set_down(false);
    let back = Instant::now();
    while verdict(&transport).await != Some(false) {
        assert!(back.elapsed() < Duration::from_secs(90), "what changed is never seen");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let back = back.elapsed();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let lists = cluster.lists() - lists;
    run.note("gone for, s", gone.as_secs());
    run.note("decisions meanwhile", decided);
    run.note("failures", 0);
    run.note("followed again after, s", format!("{:.1}", back.as_secs_f64()));
    run.note("lists at the return", lists);
    assert!(lists <= 12, "{lists} lists of four kinds");
}

/// T34: what a newer version may have written.
pub(crate) async fn unknown_fields(run: Arc<Run>) {
    let folder = Folder::new("t34");
    let base = tidegate::policy::BUILT_IN;
    let fields = [
        "level: Deny\n  levelz: Deny",
        "level: Deny\n  match: {namespace: prod}",
        "level: Deny\n  approvals: {keyz: []}",
        "level: Deny\n  rules: {no-such-rule: {level: Deny}}",
    ];
    for field in fields {
        let text = base.replacen("level: Deny", field, 1);
        assert_ne!(text, base, "the built-in policy has another form");
        let path = folder.write("policy.yaml", text);
        let output = tidegate()
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--metrics-listen",
                "127.0.0.1:0",
                "--policy",
            ])
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{field}: {said}");
        assert!(said.contains("policy.yaml:"), "{said}");
    }
    // In the cluster: what was in force stays, and it is told.
    let cluster = FakeCluster::start().await;
    cluster.put(NAMESPACES, namespace("prod", "production"));
    cluster.put(POLICIES, policy("lenient", &lenient("production")));
    let (program, _config) = following("t34", &cluster, &[]);
    let transport = Transport::to(&program);
    eventually("it is ready", || program.is_ready()).await;
    assert_eq!(verdict(&transport).await, Some(true));
    let mut newer = lenient("staging");
    newer["enforceHarder"] = json!(true);
    cluster.put(POLICIES, policy("lenient", &newer));
    eventually("it is refused", || {
        program.metric(r#"tidegate_documents_rejected{kind="MigrationPolicy"}"#) == Some(1.0)
    })
    .await;
    assert_eq!(verdict(&transport).await, Some(true), "the last good one is in force");
    eventually("its status says so", || {
        let status = cluster.get(POLICIES, "", "lenient").unwrap()["status"].to_string();
        status.contains("enforceHarder") && status.contains("False")
    })
    .await;
    run.note("policies with unknown fields", fields.len() + 1);
    run.note("taken", 0);
}
