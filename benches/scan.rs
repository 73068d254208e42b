//! What `tidegate scan` costs: time, memory and requests, against an API server that makes up its
//! objects page by page.
//!
//! A cluster of 10,000 namespaces and 50,000 workloads, with the `ReplicaSet`s that Deployments make;
//! every fifth Deployment migrates in an initContainer. With `--test`, as under
//! `cargo test --benches`, it is small. A scan that takes more than 128 MiB fails.

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
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Most memory that a scan may take, in MiB.
const MOST: u64 = 128;

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
    let server = Arc::new(Server { size, requests: AtomicUsize::new(0) });
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
    println!("namespaces  workloads  format  time     memory   requests  findings");
    for format in ["human", "json"] {
        server.requests.store(0, Ordering::Relaxed);
        let start = Instant::now();
        let (memory, output) = scan(&kubeconfig, format);
        let Size { namespaces, workloads } = size;
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

/// Scans; the most memory that it took, in MiB, where the system tells, and what it wrote.
fn scan(kubeconfig: &std::path::Path, format: &str) -> (u64, String) {
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
    let watcher = std::thread::spawn(move || {
        while let Ok(status) = fs::read_to_string(format!("/proc/{id}/status")) {
            let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) else {
                break;
            };
            let kib = line.split_whitespace().next().and_then(|text| text.parse().ok());
            seen.fetch_max(kib.unwrap_or(0), Ordering::Relaxed);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
    let mut output = String::new();
    std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut output).unwrap();
    let code = child.wait().unwrap().code();
    watcher.join().unwrap();
    assert_eq!(code, Some(1), "something would be refused");
    (u64::try_from(peak.load(Ordering::Relaxed)).unwrap() / 1_024, output)
}

async fn answer(State(server): State<Arc<Server>>, uri: Uri) -> Response {
    server.requests.fetch_add(1, Ordering::Relaxed);
    let Size { namespaces, workloads } = server.size;
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
        "/apis/batch/v1/cronjobs" => page(&uri, workloads / 5, &|number| {
            let pod = workload(namespaces, number + 1, "nightly", None)["spec"]["template"].clone();
            let mut object = workload(namespaces, number, "nightly", None);
            object["spec"] =
                json!({"schedule": "@daily", "jobTemplate": {"spec": {"template": pod}}});
            object["spec"]["jobTemplate"]["spec"]["template"]["spec"]["initContainers"] = json!([]);
            object
        }),
        "/apis/batch/v1/jobs" => page(&uri, workloads / 5, &|number| {
            let mut object = workload(namespaces, number, "once", None);
            object["spec"]["template"]["spec"]["initContainers"] = json!([]);
            object["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
            object
        }),
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
            "initContainers": [{"name": "prepare", "image": "registry.example.com/web:1.2.3", "command": init}],
            "containers": [{"name": "web", "image": "registry.example.com/web:1.2.3",
                "command": ["gunicorn", "shop.wsgi"], "env": env}],
        }}},
    })
}
