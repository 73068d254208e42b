//! T32: policies, namespaces and certificates change while requests are answered.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    certificates::{issue, swap},
    cluster::{POLICIES, migration, namespace, policy},
    process::following,
    report::Run,
    transport::Transport,
};
use crate::{
    fake_cluster::FakeCluster,
    support::{Folder, eventually},
};

const NAMESPACES: &str = "/api/v1/namespaces";
/// Two rules that the migration breaks. Each version of the policies enforces one of them alone.
const RULES: [&str; 2] = ["root-migration", "unlimited-migration"];

/// The policy of an environment in one of its two versions.
fn version(environment: &str, which: usize) -> Value {
    let level = |rule: usize| json!({"level": if rule == which { "Deny" } else { "Off" }});
    let quiet = tidegate::rules::ALL.iter().filter(|rule| !RULES.contains(&rule.id));
    let mut rules: BTreeMap<&str, Value> =
        quiet.map(|rule| (rule.id, json!({"level": "Off"}))).collect();
    rules.extend(RULES.iter().enumerate().map(|(rule, id)| (*id, level(rule))));
    policy(
        environment,
        &json!({"rules": rules,
            "match": {"namespaceSelector": {"matchLabels": {"environment": environment}}}}),
    )
}

/// What a request saw: the policy, and which rules refused.
async fn seen(transport: &Transport, request: &[u8]) -> Result<String, String> {
    let answer = transport.send(request).await?;
    let review: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let response = &review["response"];
    let causes = response["status"]["details"]["causes"].as_array().cloned().unwrap_or_default();
    let rules: Vec<_> = causes.iter().filter_map(|cause| cause["reason"].as_str()).collect();
    let policy = response["auditAnnotations"]["policy"].as_str().unwrap_or("none");
    Ok(format!("{policy}: {}", rules.join("+")))
}

/// T32.
pub(crate) async fn one_snapshot(run: Arc<Run>) {
    let cluster = FakeCluster::start().await;
    let folder = Folder::new("t32-tls");
    let mut pair = issue(&["localhost"], jiff::Timestamp::now());
    swap(&folder.0, 0, &pair);
    // "test" comes first among policies that both apply; only labels tell them apart.
    cluster.put(POLICIES, version("production", 0));
    cluster.put(POLICIES, version("test", 0));
    cluster.put(NAMESPACES, namespace("prod", "production"));
    let (program, _config) = following(
        "t32",
        &cluster,
        &[
            "--log-level",
            "error,tidegate::cli::serve=info",
            "--tls-dir",
            folder.0.to_str().unwrap(),
        ],
    );
    eventually("it is ready", || program.is_ready()).await;
    let transport = Arc::new(Transport::new(program.webhook, &pair.bundle));
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (transport, stop) = (Arc::clone(&transport), Arc::clone(&stop));
        clients.spawn(async move {
            let request = migration();
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            while !stop.load(Ordering::Relaxed) {
                let what = seen(&transport, &request).await.unwrap_or_else(|why| why);
                *counts.entry(what).or_default() += 1;
            }
            counts
        });
    }
    let (start, length) = (Instant::now(), Duration::from_secs(run.pick(12, 120)));
    let (mut changes, mut certificates) = (0, 0);
    while start.elapsed() < length {
        changes += 1;
        // Never both at once in the same direction, so that all four states are reached.
        cluster.put(POLICIES, version("production", changes % 2));
        cluster.put(POLICIES, version("test", changes % 2));
        if changes % 3 == 0 {
            let environment = if changes % 2 == 0 { "test" } else { "production" };
            cluster.put(NAMESPACES, namespace("prod", environment));
        }
        if start.elapsed().as_secs() / 6 > certificates {
            certificates += 1;
            let next = issue(&["localhost"], jiff::Timestamp::now());
            transport.trust(&format!("{}{}", pair.bundle, next.bundle));
            swap(&folder.0, certificates as usize, &next);
            pair = next;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for client in clients.join_all().await {
        for (what, count) in client {
            *counts.entry(what).or_default() += count;
        }
    }
    let whole: Vec<String> = ["production", "test"]
        .iter()
        .flat_map(|policy| RULES.map(|rule| format!("{policy}: {rule}")))
        .collect();
    run.note("changes", changes);
    run.note("certificates", certificates);
    run.note("requests", counts.values().sum::<usize>());
    let torn: Vec<_> = counts.iter().filter(|(what, _)| !whole.contains(what)).collect();
    run.note("torn", torn.len());
    assert!(torn.is_empty(), "{torn:?} beside {counts:?}");
    assert_eq!(counts.len(), whole.len(), "not every state was met: {counts:?}");
}
