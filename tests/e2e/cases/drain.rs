//! Replicas are evicted one after the other, as `kubectl drain` and those who replace nodes do it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::lifecycle::until_refused;
use crate::e2e::{
    namespace::Namespace,
    process::poll,
    site::{NAMESPACE, Site},
    traffic::{Traffic, Verdict},
};

/// How long an eviction may be put off.
const LIMIT: Duration = Duration::from_mins(2);

fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap()
}

/// Whether a Pod serves and goes on serving.
fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    pod["metadata"]["deletionTimestamp"].is_null()
        && conditions
            .is_some_and(|all| all.iter().any(|it| it["type"] == "Ready" && it["status"] == "True"))
}

/// Evicts a Pod. How often that was put off by the `PodDisruptionBudget`.
fn evict(site: &Site, pod: &str) -> usize {
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": pod, "namespace": NAMESPACE}});
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction");
    let mut put_off = 0;
    let evicted = poll("an eviction", LIMIT, || {
        let args = ["create", "--raw", &path, "-f", "-"];
        let answer = site.cluster.kubectl_with(&args, &eviction.to_string());
        if answer.success {
            return Ok(());
        }
        assert!(answer.stderr.contains("disruption budget"), "{answer}");
        put_off += 1;
        Err(answer.to_string())
    });
    evicted.unwrap_or_else(|error| panic!("{error}\n{}", site.node.logs()));
    put_off
}

/// Two replicas that are not ready leave the budget fewer than it wants, and are evicted all the same.
fn unready(site: &Site) {
    let pods = site.pods();
    let status = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    let (of, status) = ("--subresource=status", status.to_string());
    for pod in &pods[..2] {
        let args = ["patch", "pod", name(pod), "-n", NAMESPACE, of, "-p", &status];
        site.cluster.kubectl(&args).done();
    }
    let spent = poll("the budget knows", LIMIT, || {
        let healthy = "-o=jsonpath={.status.currentHealthy}";
        let budget = ["get", "poddisruptionbudget/tidegate", "-n", NAMESPACE, healthy];
        let left = site.cluster.kubectl(&budget).done().stdout;
        if left == "1" { Ok(()) } else { Err(left) }
    });
    spent.unwrap();
    let put_off: usize = pods[..2].iter().map(|pod| evict(site, name(pod))).sum();
    assert_eq!(put_off, 0, "they held up the drain");
    site.settled();
}

pub(super) fn drain(site: &Site) {
    site.install("");
    site.upgrade("production", "");
    site.settled();
    let namespace = Namespace::create(&site.cluster, "probe", None);
    until_refused(&namespace);
    let before = site.node.ended_well();
    let traffic = Traffic::start(&site.cluster, Verdict::Refused);
    traffic.rounds(1);

    let (stop, least) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(usize::MAX)));
    let old = site.pods();
    assert_eq!(old.iter().filter(|pod| is_ready(pod)).count(), 3);
    let start = Instant::now();
    let (put_off, slowest) = thread::scope(|scope| {
        let watched = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let ready = site.pods().iter().filter(|pod| is_ready(pod)).count();
                least.fetch_min(ready, Ordering::Relaxed);
            }
        });
        let (mut put_off, mut slowest) = (0, Duration::ZERO);
        for pod in &old {
            let start = Instant::now();
            put_off += evict(site, name(pod));
            slowest = slowest.max(start.elapsed());
        }
        site.settled();
        let back = poll("three replicas", LIMIT, || {
            let ready = site.pods().iter().filter(|pod| is_ready(pod)).count();
            if ready == 3 { Ok(()) } else { Err(format!("{ready} are ready")) }
        });
        stop.store(true, Ordering::Relaxed);
        watched.join().unwrap();
        back.unwrap();
        (put_off, slowest)
    });
    let took = start.elapsed();
    unready(site);
    traffic.rounds(1);
    let sample = traffic.finish();
    let least = least.load(Ordering::Relaxed);
    eprintln!(
        "e2e: drain: 3 evicted in {took:?}, the slowest after {slowest:?}, put off {put_off} times, at least {least} ready: {sample:?}"
    );
    assert!(sample.faults.is_empty(), "{sample:#?}\n{}", site.node.logs());
    assert!(sample.refused >= 2 && sample.asked > 30, "{sample:?}");
    assert!(sample.slowest < Duration::from_secs(10), "{sample:?}");
    assert!(least >= 2, "only {least} were ready");
    assert!(put_off > 0, "the budget was never asked for");
    assert_eq!(site.node.ended_well(), before + 5, "three, and the two that were not ready");
    assert!(!site.pods().iter().any(|pod| old.iter().any(|gone| name(gone) == name(pod))));
    until_refused(&namespace);
}
