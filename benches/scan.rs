//! What a large cluster costs `tidegate scan` and `tidegate serve`: time, memory and requests, against
//! an API server that makes up its objects page by page.
//!
//! A cluster of 10,000 namespaces and 50,000 workloads. A scan reads the `ReplicaSet`s that
//! Deployments make too; every fifth Deployment migrates in an initContainer. A server watches
//! Deployments and twice as many Jobs in the place of `CronJob`s, of which one in a hundred is a
//! migration that runs; then every watch ends as one does that is too old, and all is listed again.
//!
//! `scan` or `serve` as an argument asks for one of the two alone. Under `cargo test --benches` it is
//! small. What takes more than 128 MiB fails.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a benchmark ends by panicking, calculates with what it measures, and prints it"
)]

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{StatusCode, Uri, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

/// Most memory that either may take, in MiB.
const MOST: u64 = 128;
/// What a server watches.
const WATCHED: [&str; 8] = [
    "/api/v1/namespaces",
    "/apis/batch/v1/jobs",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/statefulsets",
    "/apis/apps/v1/daemonsets",
    "/apis/tidegate.dev/v1alpha1/migrationpolicies",
    "/apis/tidegate.dev/v1alpha1/migrationexceptions",
    "/apis/tidegate.dev/v1alpha1/migrationapprovals",
];
/// How long a server may take for anything.
const PATIENCE: Duration = Duration::from_mins(5);

/// How large the cluster is.
#[derive(Clone, Copy, Debug)]
struct Size {
    namespaces: usize,
    workloads: usize,
}

#[derive(Debug)]
struct Server {
    size: Size,
    requests: AtomicUsize,
    /// Whether it is watched, not scanned.
    is_watched: AtomicBool,
    /// Watches that were begun.
    watches: AtomicUsize,
    /// How often every watch was ended.
    ends: watch::Sender<usize>,
}

fn main() {
    // Cargo gives `--bench`; a test run gives nothing of the kind.
    let is_test = !env::args().any(|arg| arg == "--bench");
    let size = if is_test {
        Size { namespaces: 20, workloads: 200 }
    } else {
        Size { namespaces: 10_000, workloads: 50_000 }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = Arc::new(Server {
        size,
        requests: AtomicUsize::new(0),
        is_watched: AtomicBool::new(false),
        watches: AtomicUsize::new(0),
        ends: watch::Sender::new(0),
    });
    let router = Router::new().fallback(answer).with_state(Arc::clone(&server));
    let socket = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = socket.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(socket, router).await });

    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let text = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]});
    fs::write(&kubeconfig, text.to_string()).unwrap();
    let only = env::args().skip(1).find(|arg| !arg.starts_with('-'));
    if only.as_deref() != Some("serve") {
        scan_all(&server, &kubeconfig);
    }
    if only.as_deref() != Some("scan") {
        serve_all(&server, &kubeconfig);
    }
}

fn scan_all(server: &Server, kubeconfig: &Path) {
    println!("namespaces  workloads  format  time     memory   requests  findings");
    for format in ["human", "json"] {
        server.requests.store(0, Ordering::Relaxed);
        let start = Instant::now();
        let (memory, output) = scan(kubeconfig, format);
        let Size { namespaces, workloads } = server.size;
        let findings = workloads * 3 / 5 / 5;
        println!(
            "{namespaces:>10}  {workloads:>9}  {format:<6}  {:>5.1} s  {memory:>3} MiB  {:>8}  {findings:>8}",
            start.elapsed().as_secs_f64(),
            server.requests.load(Ordering::Relaxed),
        );
        assert!(memory <= MOST, "{memory} MiB");
        let told = match format {
            "json" => format!(r#""wouldBeRefused": {findings},"#),
            _ => format!("{findings} refused now"),
        };
        assert!(output.contains(&told), "{told}");
    }
}

fn serve_all(server: &Server, kubeconfig: &Path) {
    println!(
        "rollouts  namespaces  workloads  ready    listed   resident  peak     requests  again    resident  peak     requests"
    );
    let Size { namespaces, workloads } = server.size;
    server.is_watched.store(true, Ordering::Relaxed);
    for rollouts in ["off", "on"] {
        server.requests.store(0, Ordering::Relaxed);
        server.watches.store(0, Ordering::Relaxed);
        let start = Instant::now();
        let serving = Serving::start(kubeconfig, rollouts);
        let ready = serving.until_ready(start);
        let kinds = if rollouts == "on" { WATCHED.len() } else { WATCHED.len() - 3 };
        let first = serving.listed(server, kinds, start);
        let again = Instant::now();
        server.ends.send_modify(|number| *number += 1);
        let second = serving.listed(server, 2 * kinds, again);
        println!(
            "{rollouts:<8}  {namespaces:>10}  {workloads:>9}  {:>5.2} s  {first}  {second}",
            ready.as_secs_f64(),
        );
        let kept = |cache| serving.entries(cache);
        assert_eq!(kept("namespaces"), Some(namespaces));
        assert_eq!(kept("jobs"), Some(running(server.size)));
        // Those that migrate in an initContainer all roll out.
        let rolling = (rollouts == "on").then_some(workloads * 3 / 5 / 5);
        assert_eq!(kept("deployments").filter(|number| *number > 0), rolling);
        assert!(first.peak.max(second.peak) <= MOST, "{} MiB", first.peak.max(second.peak));
    }
}

/// What reading the whole cluster took.
struct Listed {
    time: Duration,
    resident: u64,
    peak: u64,
    requests: usize,
}

impl std::fmt::Display for Listed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { time, resident, peak, requests } = self;
        write!(f, "{:>5.1} s  {resident:>4} MiB  {peak:>3} MiB  {requests:>8}", time.as_secs_f64())
    }
}

/// A `tidegate serve`, ended when dropped.
struct Serving {
    child: Child,
    health: String,
}

impl Serving {
    fn start(kubeconfig: &Path, rollouts: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["serve", "--kube", "on", "--reports", "off", "--rollouts", rollouts])
            .args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--log", "json"])
            .env("KUBECONFIG", kubeconfig)
            .env("NO_PROXY", "*")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let health = lines.find_map(|line| {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            line["health"].as_str().map(str::to_owned)
        });
        // It ends with the server.
        thread::spawn(move || lines.for_each(drop));
        Self { child, health: health.unwrap() }
    }

    fn until_ready(&self, start: Instant) -> Duration {
        until(|| self.get("/readyz").starts_with("HTTP/1.1 200"));
        start.elapsed()
    }

    /// Waits until so many watches were begun: each begins when its list has been read.
    fn listed(&self, server: &Server, watches: usize, start: Instant) -> Listed {
        until(|| server.watches.load(Ordering::Relaxed) >= watches);
        let time = start.elapsed();
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let mib = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            kib.unwrap_or(0).div_ceil(1_024)
        };
        let requests = server.requests.load(Ordering::Relaxed);
        Listed { time, resident: mib("VmRSS:"), peak: mib("VmHWM:"), requests }
    }

    /// How many entries a cache has.
    fn entries(&self, cache: &str) -> Option<usize> {
        let series = format!("tidegate_cache_entries{{cache=\"{cache}\"}} ");
        let metrics = self.get("/metrics");
        metrics.lines().find_map(|line| line.strip_prefix(&series))?.parse().ok()
    }

    /// An answer of the plain port.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.health).unwrap();
        let host = &self.health;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "it takes too long");
        thread::sleep(Duration::from_millis(5));
    }
}

/// How many of the Jobs are migrations that run.
fn running(size: Size) -> usize {
    jobs(size).div_ceil(100)
}

/// How many Jobs a server sees.
fn jobs(size: Size) -> usize {
    size.workloads * 2 / 5
}

/// A watch in which nothing happens until it is ended, as too old.
fn watched(server: &Server) -> Response {
    server.watches.fetch_add(1, Ordering::Relaxed);
    let mut ends = server.ends.subscribe();
    let told = futures_util::stream::once(async move {
        let ended = ends.changed().await;
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410,
            "reason": "Expired", "message": "too old resource version", "metadata": {}});
        ended.map(|()| format!("{}\n", json!({"type": "ERROR", "object": status})))
    });
    Body::from_stream(told).into_response()
}

/// Scans; the most memory that it took, in MiB, where the system tells, and what it wrote.
fn scan(kubeconfig: &Path, format: &str) -> (u64, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["scan", "--format", format, "--kubeconfig"])
        .arg(kubeconfig)
        .env("NO_PROXY", "*")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It is looked at while it runs: what has ended tells nothing any more.
    let peak = Arc::new(AtomicUsize::new(0));
    let (id, seen) = (child.id(), Arc::clone(&peak));
    let watcher = thread::spawn(move || {
        while let Ok(status) = fs::read_to_string(format!("/proc/{id}/status")) {
            let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) else {
                break;
            };
            let kib = line.split_whitespace().next().and_then(|text| text.parse().ok());
            seen.fetch_max(kib.unwrap_or(0), Ordering::Relaxed);
            thread::sleep(Duration::from_millis(5));
        }
    });
    let mut output = String::new();
    child.stdout.as_mut().unwrap().read_to_string(&mut output).unwrap();
    let code = child.wait().unwrap().code();
    watcher.join().unwrap();
    assert_eq!(code, Some(1), "something would be refused");
    (u64::try_from(peak.load(Ordering::Relaxed)).unwrap() / 1_024, output)
}

async fn answer(State(server): State<Arc<Server>>, uri: Uri) -> Response {
    server.requests.fetch_add(1, Ordering::Relaxed);
    let query = uri.query().unwrap_or_default();
    if query.contains("watch=") {
        return watched(&server);
    }
    let Size { namespaces, workloads } = server.size;
    let is_watched = server.is_watched.load(Ordering::Relaxed);
    let group = |group: &str, version: &str| {
        let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
        json!({"name": group, "versions": [version], "preferredVersion": version})
    };
    let kinds = |kinds: &[(&str, &str)]| {
        let all = kinds.iter().map(|(name, kind)| {
            json!({"name": name, "singularName": "", "namespaced": true, "kind": kind,
                "verbs": ["list"]})
        });
        json!({"kind": "APIResourceList", "groupVersion": "", "resources": all.collect::<Vec<_>>()})
    };
    let body = match uri.path() {
        "/apis" => json!({"groups": [group("apps", "v1"), group("batch", "v1")]}),
        "/apis/apps/v1" => kinds(&[("deployments", "Deployment"), ("replicasets", "ReplicaSet")]),
        "/apis/batch/v1" => kinds(&[("jobs", "Job"), ("cronjobs", "CronJob")]),
        "/api/v1" => kinds(&[("namespaces", "Namespace")]),
        "/api/v1/namespaces" => page(&uri, namespaces, &|number| {
            json!({"metadata": {"name": format!("team-{number}"),
                "labels": {"app.kubernetes.io/part-of": format!("part-{}", number % 100)}}})
        }),
        "/apis/apps/v1/deployments" => {
            page(&uri, workloads * 3 / 5, &|number| workload(namespaces, number, "web", None))
        }
        "/apis/apps/v1/replicasets" => page(&uri, workloads * 3 / 5, &|number| {
            workload(namespaces, number, "web-1", Some(format!("uid-web-{number}")))
        }),
        "/apis/batch/v1/cronjobs" => {
            page(&uri, workloads / 5, &|number| cron_job(namespaces, number))
        }
        "/apis/batch/v1/jobs" if is_watched => page(&uri, jobs(server.size), &|number| {
            job(namespaces, number, number.is_multiple_of(100))
        }),
        path if is_watched && WATCHED[3..].contains(&path) => page(&uri, 0, &|_| Value::Null),
        "/apis/batch/v1/jobs" => {
            page(&uri, workloads / 5, &|number| job(namespaces, number, false))
        }
        _ => {
            let body = json!({"kind": "Status", "status": "Failure", "reason": "NotFound",
                "message": "not found", "code": 404, "metadata": {}});
            let head = [(CONTENT_TYPE, "application/json")];
            return (StatusCode::NOT_FOUND, head, body.to_string()).into_response();
        }
    };
    ([(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn page(uri: &Uri, count: usize, object: &dyn Fn(usize) -> Value) -> Value {
    let number = |key: &str| -> Option<usize> {
        uri.query()?.split('&').find_map(|it| it.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
    };
    let from = number("continue").unwrap_or(0);
    let end = (from + number("limit").unwrap_or(count)).min(count);
    let next = if end < count { end.to_string() } else { String::new() };
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1", "continue": next},
        "items": (from..end).map(object).collect::<Vec<_>>()})
}

/// A Job that is complete, or a migration that runs.
fn job(namespaces: usize, number: usize, runs: bool) -> Value {
    let mut object = workload(namespaces, number, "once", None);
    let pod = &mut object["spec"]["template"]["spec"];
    pod["initContainers"] = json!([]);
    object["status"] = if runs {
        pod["containers"][0]["command"] = json!(["alembic", "upgrade", "head"]);
        json!({"active": 1, "startTime": "2026-01-01T00:00:00Z"})
    } else {
        json!({"conditions": [{"type": "Complete", "status": "True"}]})
    };
    object
}

fn cron_job(namespaces: usize, number: usize) -> Value {
    let pod = workload(namespaces, number + 1, "nightly", None)["spec"]["template"].clone();
    let mut object = workload(namespaces, number, "nightly", None);
    object["spec"] = json!({"schedule": "@daily", "jobTemplate": {"spec": {"template": pod}}});
    object["spec"]["jobTemplate"]["spec"]["template"]["spec"]["initContainers"] = json!([]);
    object
}

/// A workload as clusters hold them, with what its managers have written about it.
fn workload(namespaces: usize, number: usize, name: &str, owner: Option<String>) -> Value {
    let migrates = number.is_multiple_of(5);
    let init: &[&str] =
        if migrates { &["alembic", "upgrade", "head"] } else { &["sh", "-c", "true"] };
    let env: Vec<_> = (0..20)
        .map(|it| json!({"name": format!("SETTING_{it}"), "value": format!("value {it} of the application")}))
        .collect();
    let fields: Vec<_> = (0..60)
        .map(|it| (format!("f:field-{it}"), json!({"f:a": {}, "f:b": {}, "f:c": {}})))
        .collect();
    let fields: serde_json::Map<String, Value> = fields.into_iter().collect();
    let owners: Vec<_> = owner
        .map(|uid| {
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid, "controller": true})
        })
        .into_iter()
        .collect();
    json!({
        "metadata": {
            "name": format!("{name}-{number}"),
            "namespace": format!("team-{}", number % namespaces),
            "uid": format!("uid-{name}-{number}"),
            "ownerReferences": owners,
            "managedFields": [{"manager": "argocd-controller", "operation": "Apply",
                "fieldsType": "FieldsV1", "fieldsV1": fields}],
        },
        "spec": {"replicas": 3, "template": {"spec": {
            "initContainers": [{"name": "prepare", "image": "registry.example.com/web:1.2.3", "command": init,
                "env": [{"name": "DB_HOST", "value": "db"}, {"name": "DB_NAME", "value": "shop"}]}],
            "containers": [{"name": "web", "image": "registry.example.com/web:1.2.3",
                "command": ["gunicorn", "shop.wsgi"], "env": env}],
        }}},
    })
}
