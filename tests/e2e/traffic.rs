//! People who deploy all the time.

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

use super::{cluster::Cluster, manifests, process::poll};

/// What nobody waits longer for. The webhooks' own timeouts are shorter.
const LIMIT: Duration = Duration::from_secs(15);
/// Between two requests of one team.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a round of all teams may take.
const ROUND: Duration = Duration::from_mins(1);

/// What is to become of a Deployment that migrates in an initContainer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is made.
    Admitted,
    /// It is refused, for that rule.
    Refused,
    /// One or the other, while something changes.
    Either,
}

/// Teams that create, change and delete Deployments and Jobs until they are told to stop.
pub(crate) struct Traffic {
    teams: Vec<Arc<Team>>,
    tasks: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
    runtime: Runtime,
}

struct Shared {
    stop: AtomicBool,
    /// What is expected, and how often that has changed.
    expected: Mutex<(usize, Verdict)>,
    faults: Mutex<Vec<String>>,
    slowest: Mutex<Duration>,
    asked: AtomicUsize,
    refused: AtomicUsize,
}

struct Team {
    namespace: String,
    /// True where nobody is asked.
    excluded: bool,
    rounds: AtomicUsize,
    deployments: Api<Deployment>,
    jobs: Api<Job>,
    shared: Arc<Shared>,
}

/// What was seen in all.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Requests.
    pub(crate) asked: usize,
    /// Of these, refused by a rule.
    pub(crate) refused: usize,
    /// The longest.
    pub(crate) slowest: Duration,
    /// What nobody should have seen.
    pub(crate) faults: Vec<String>,
}

impl Traffic {
    /// Two teams in namespaces of their own, and one in an excluded one.
    pub(crate) fn start(cluster: &Cluster, expected: Verdict) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let client = runtime.block_on(cluster.client());
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            expected: Mutex::new((0, expected)),
            faults: Mutex::default(),
            slowest: Mutex::default(),
            asked: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        });
        let teams: Vec<_> = [("orders", false), ("billing", false), ("kube-system", true)]
            .into_iter()
            .map(|(namespace, excluded)| {
                if !excluded {
                    cluster.kubectl(&["create", "namespace", namespace]).done();
                }
                Arc::new(Team::new(&client, namespace, excluded, &shared))
            })
            .collect();
        let tasks = teams.iter().map(|team| runtime.spawn(Arc::clone(team).work())).collect();
        Self { teams, tasks, shared, runtime }
    }

    /// From now on.
    pub(crate) fn expect(&self, verdict: Verdict) {
        let mut expected = self.shared.expected.lock().unwrap();
        *expected = (expected.0 + 1, verdict);
    }

    /// Waits until every team has gone through everything as often as this.
    pub(crate) fn rounds(&self, count: usize) {
        for team in &self.teams {
            let before = team.rounds.load(Ordering::Relaxed);
            let went = poll("the teams go on", ROUND, || {
                let now = team.rounds.load(Ordering::Relaxed);
                if now > before + count { Ok(()) } else { Err(format!("{now} rounds")) }
            });
            went.unwrap_or_else(|error| panic!("{}: {error}", team.namespace));
        }
    }

    /// What has gone wrong so far.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.shared.faults.lock().unwrap().clone()
    }

    /// Lets the teams finish what they do.
    pub(crate) fn finish(self) -> Sample {
        self.shared.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            self.runtime.block_on(task).unwrap();
        }
        let shared = &self.shared;
        Sample {
            asked: shared.asked.load(Ordering::Relaxed),
            refused: shared.refused.load(Ordering::Relaxed),
            slowest: *shared.slowest.lock().unwrap(),
            faults: shared.faults.lock().unwrap().clone(),
        }
    }
}

impl Team {
    fn new(client: &Client, namespace: &str, excluded: bool, shared: &Arc<Shared>) -> Self {
        Self {
            namespace: namespace.to_owned(),
            excluded,
            rounds: AtomicUsize::new(0),
            deployments: Api::namespaced(client.clone(), namespace),
            jobs: Api::namespaced(client.clone(), namespace),
            shared: Arc::clone(shared),
        }
    }

    async fn work(self: Arc<Self>) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let number = self.rounds.load(Ordering::Relaxed);
            self.round(number).await;
            self.rounds.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A release of a good application, an attempt with a bad one, and everything is taken away.
    async fn round(&self, number: usize) {
        let (create, patch) = (PostParams::default(), PatchParams::default());
        let name = format!("shop-{number}");
        let mut good = manifests::deployment(&[]);
        good["spec"]["replicas"] = 1.into();
        let good = typed::<Deployment>(good, &name);
        self.expect_success("create a Deployment", self.deployments.create(&create, &good)).await;
        let image = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "web", "image": "nginx:1.30"}]}}}});
        let image = Patch::Strategic(image);
        let changed = self.deployments.patch(&name, &patch, &image);
        self.expect_success("change a Deployment", changed).await;

        let mut hook = manifests::migration_job(&name);
        hook["metadata"]["annotations"]["tidegate.dev/database"] =
            format!("{}-{number}", self.namespace).into();
        let hook = typed::<Job>(hook, &name);
        self.expect_success("create a Job", self.jobs.create(&create, &hook)).await;
        let label = Patch::Merge(json!({"metadata": {"labels": {"seen": "yes"}}}));
        self.expect_success("change a Job", self.jobs.patch(&name, &patch, &label)).await;

        let mut bad = manifests::deployment(&[manifests::migrating("migrate")]);
        bad["spec"]["replicas"] = 0.into();
        let bad = typed::<Deployment>(bad, &format!("bad-{number}"));
        let made = self.attempt(self.deployments.create(&create, &bad)).await;

        let delete = DeleteParams::background();
        self.expect_success("delete a Deployment", self.deployments.delete(&name, &delete)).await;
        self.expect_success("delete a Job", self.jobs.delete(&name, &delete)).await;
        if made {
            let name = format!("bad-{number}");
            let deleted = self.deployments.delete(&name, &delete);
            self.expect_success("delete what migrates", deleted).await;
        }
    }

    async fn asked<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, String> {
        tokio::time::sleep(PAUSE).await;
        self.shared.asked.fetch_add(1, Ordering::Relaxed);
        let start = Instant::now();
        let answer = tokio::time::timeout(LIMIT, request).await;
        let took = start.elapsed();
        let mut slowest = self.shared.slowest.lock().unwrap();
        *slowest = took.max(*slowest);
        match answer {
            Err(_elapsed) => Err(format!("no answer within {LIMIT:?}")),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(error.to_string()),
        }
    }

    async fn expect_success<T>(&self, what: &str, request: impl Future<Output = kube::Result<T>>) {
        if let Err(error) = self.asked(request).await {
            self.fault(&format!("{what}: {error}"));
        }
    }

    /// True when it was made.
    async fn attempt<T>(&self, request: impl Future<Output = kube::Result<T>>) -> bool {
        let before = *self.shared.expected.lock().unwrap();
        let answer = self.asked(request).await;
        let after = *self.shared.expected.lock().unwrap();
        let expected = if self.excluded {
            Verdict::Admitted
        } else if before == after {
            before.1
        } else {
            Verdict::Either
        };
        let refusal = "denied the request: migration-in-init-container: ";
        match &answer {
            Ok(_) if expected != Verdict::Refused => {}
            Err(error) if error.contains(refusal) && expected != Verdict::Admitted => {
                self.shared.refused.fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) => self.fault("what migrates was let in"),
            Err(error) => self.fault(&format!("{expected:?} is expected: {error}")),
        }
        answer.is_ok()
    }

    fn fault(&self, what: &str) {
        let now = jiff::Timestamp::now();
        let text = format!("{now} {}: {what}", self.namespace);
        self.shared.faults.lock().unwrap().push(text);
    }
}

fn typed<K: serde::de::DeserializeOwned>(mut object: Value, name: &str) -> K {
    object["metadata"]["name"] = name.into();
    serde_json::from_value(object).unwrap()
}
