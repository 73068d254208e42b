//! Which of several replicas writes, and how one gives that to the next.

use std::{process::Command, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tidegate::{
    cluster::{Cluster, Election, Events, Leader, Terms, Writers},
    metrics::Metrics,
};
use tokio::task::JoinHandle;

use crate::{
    fake_cluster::{FakeCluster, Write},
    program::{Program, tidegate},
    support::{Folder, eventually, metric},
};

const LEASES: &str = "/apis/coordination.k8s.io/v1/leases";
const TERMS: Terms = Terms {
    duration: Duration::from_secs(1),
    deadline: Duration::from_millis(800),
    pace: Duration::from_millis(20),
};

/// A server that stands for election.
struct Replica {
    leader: Leader,
    metrics: Arc<Metrics>,
    task: JoinHandle<()>,
}

impl Replica {
    fn start(server: &FakeCluster, name: &str, terms: Terms) -> Self {
        let connection = server.connection();
        let metrics = Arc::new(Metrics::default());
        let client = connection.client().unwrap();
        let (_, writer) = Events::new(client.clone(), Arc::clone(&metrics));
        let (election, leader) = Election::new(client, "tidegate", name.to_owned(), terms);
        let writers = Writers {
            events: writer,
            leader: leader.clone(),
            election: Some(election),
            certificate: None,
            reporting: None,
        };
        let (cluster, counted) = (Cluster::off("nothing is watched here"), Arc::clone(&metrics));
        let task = tokio::spawn(async {
            cluster.write(connection, writers, counted).await.unwrap();
        });
        Self { leader, metrics, task }
    }

    async fn leads(&self) {
        eventually("it leads", || self.leader.leads()).await;
    }

    fn metric(&self) -> Option<f64> {
        metric(&self.metrics.encode().unwrap(), "tidegate_leader")
    }
}

fn spec(server: &FakeCluster) -> Value {
    server.get(LEASES, "tidegate", "tidegate").unwrap()["spec"].clone()
}

fn moment(value: &Value) -> jiff::Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_clean_stop_leaves_the_lease_free_and_the_next_takes_it_at_once() {
    let server = FakeCluster::start().await;
    // Its end is so far away that nobody who waits for it would lead in this test.
    let terms = Terms { duration: Duration::from_hours(1), ..TERMS };
    let first = Replica::start(&server, "a", terms);
    first.leads().await;
    assert_eq!(spec(&server)["holderIdentity"], "a");
    assert_eq!(spec(&server)["leaseDurationSeconds"], 3_600);
    assert_eq!(first.metric(), Some(1.0));

    first.leader.resign().await;
    assert!(!first.leader.leads());
    let free = spec(&server);
    assert_eq!((&free["holderIdentity"], &free["leaseDurationSeconds"]), (&json!(""), &json!(1)));
    assert_eq!(first.metric(), Some(0.0));

    let second = Replica::start(&server, "b", terms);
    second.leads().await;
    let third = Replica::start(&server, "c", terms);
    let looks = || server.requests().iter().filter(|it| it.1.ends_with("/leases/tidegate")).count();
    let before = looks();
    eventually("the third has looked", || looks() > before + 5).await;
    assert!(!third.leader.leads(), "it is held");
    second.leader.resign().await;
    third.leads().await;
    assert!(!first.leader.leads(), "who has resigned stands no more");
    assert_eq!(spec(&server)["leaseTransitions"], 2);
    // A server that was never elected has nothing to give up.
    let taken = spec(&server);
    let fourth = Replica::start(&server, "d", terms);
    fourth.leader.resign().await;
    assert_eq!(spec(&server)["holderIdentity"], taken["holderIdentity"]);
}

#[tokio::test]
async fn after_a_crash_the_next_waits_for_the_end_of_the_lease() {
    let server = FakeCluster::start().await;
    let first = Replica::start(&server, "a", TERMS);
    first.leads().await;
    let second = Replica::start(&server, "b", TERMS);
    first.task.abort();
    second.leads().await;
    let told = |it: &Write, by: &str| (it.body["spec"]["holderIdentity"] == by).then(|| it.clone());
    let writes = server.writes();
    let last = writes.iter().rev().find_map(|it| told(it, "a")).unwrap();
    let taken = writes.iter().find_map(|it| told(it, "b")).unwrap();
    let waited = moment(&taken.body["spec"]["renewTime"])
        .duration_since(moment(&last.body["spec"]["renewTime"]));
    assert!(waited >= jiff::SignedDuration::from_secs(1), "{waited}");
    assert_eq!(spec(&server)["leaseTransitions"], 1);
    // Every write is of one version, so that of two who are as fast one gets it.
    let patches = writes.iter().filter(|it| it.method == axum::http::Method::PATCH);
    assert!(patches.clone().count() > 0);
    for patch in patches {
        assert!(patch.body["metadata"]["resourceVersion"].is_string(), "{patch:?}");
    }
}

#[tokio::test]
async fn who_cannot_renew_writes_no_more_before_another_may() {
    let server = FakeCluster::start().await;
    let only = Replica::start(&server, "a", TERMS);
    only.leads().await;
    server.set_down(true);
    eventually("it stops", || !only.leader.leads()).await;
    assert_eq!(only.metric(), Some(0.0));
    let renewed = moment(&spec(&server)["renewTime"]);
    server.set_down(false);
    only.leads().await;
    assert!(moment(&spec(&server)["renewTime"]) > renewed);
}

#[tokio::test]
async fn of_many_who_want_it_one_leads() {
    let server = FakeCluster::start().await;
    let terms = Terms { duration: Duration::from_hours(1), ..TERMS };
    let all: Vec<_> =
        ["a", "b", "c", "d"].iter().map(|name| Replica::start(&server, name, terms)).collect();
    let looks = || server.requests().iter().filter(|it| it.1.ends_with("/leases/tidegate")).count();
    eventually("all have looked", || looks() > 40).await;
    assert_eq!(all.iter().filter(|it| it.leader.leads()).count(), 1);
    assert_eq!(spec(&server)["leaseTransitions"], 0);
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_gives_the_lease_up() {
    let server = FakeCluster::start().await;
    let folder = Folder::new("election");
    let kubeconfig = folder.write("kubeconfig", server.kubeconfig());
    let holder = || {
        let lease = server.get(LEASES, "tidegate", "tidegate");
        lease.map(|it| it["spec"]["holderIdentity"].as_str().unwrap().to_owned())
    };
    for (name, stop, left) in [("stopped", "-TERM", ""), ("killed", "-KILL", "killed")] {
        let mut command = tidegate();
        command
            .args(["serve", "--kube", "on", "--reports", "off", "--drain", "0s"])
            .env("KUBECONFIG", &kubeconfig)
            .env("NO_PROXY", "*")
            .env("POD_NAMESPACE", "tidegate")
            .env("POD_NAME", name);
        let mut program = Program::run(&format!("election-{name}"), command);
        eventually("it leads", || holder().as_deref() == Some(name)).await;
        let process = program.child.id().to_string();
        assert!(Command::new("kill").args([stop, &process]).status().unwrap().success());
        eventually("it ends", || program.child.try_wait().unwrap().is_some()).await;
        assert_eq!(holder().as_deref(), Some(left), "{}", program.log.lock().unwrap());
    }
}
