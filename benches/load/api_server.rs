//! What a request of a real API server waits for: without admission control, with a
//! `ValidatingAdmissionPolicy`, and with tidegate.
//!
//! All three are there at once, each for a namespace of its own, and the requests take turns. They are
//! dry runs: the API server does everything but write to etcd, and asks webhooks as always.

use std::{env, path::PathBuf, thread, time::Instant};

use anyhow::{Context as _, anyhow, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate::source;

use super::{
    client::{Client, Endpoint, trust_as},
    options::Options,
    process::{Server, run},
    report,
    results::{ApiServer, ApiServerLine, machine},
};
use crate::{cluster::Cluster, process::poll};

/// The namespaces, and what is in force in each.
const CASES: [(&str, &str); 3] = [
    ("none", "no admission control"),
    ("policy", "ValidatingAdmissionPolicy"),
    ("tidegate", "tidegate, verdict and defaults"),
];
const POLICY: &str = include_str!("peers/validating-admission-policy.yaml");
/// How long a configuration may take to be in force.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

/// An object, and the path under which it is created.
struct Subject {
    name: &'static str,
    path: &'static str,
    object: Value,
}

/// Measures and prints.
///
/// # Errors
///
/// When there is no API server, or an answer is neither an admission nor a refusal.
pub(crate) fn measure(options: &Options) -> anyhow::Result<ApiServer> {
    let assets = env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let assets = assets.context("KUBEBUILDER_ASSETS names no folder with a kube-apiserver")?;
    let cluster = Cluster::start(&assets).map_err(|error| anyhow!(error))?;
    let folder = TempDir::with_prefix("tidegate-load-")?;
    let (tidegate, _) = Server::tidegate(&options.tidegate, folder.path())?;
    let subjects = subjects()?;
    let endpoint = endpoint(&cluster)?;
    configure(options, &cluster, &tidegate, &folder)?;
    wait(&endpoint, &subjects[1])?;
    let version = cluster.kubectl(&["version", "-o", "json"]).json();
    let version = version["serverVersion"]["gitVersion"].as_str().unwrap_or("unknown").to_owned();
    println!("\nAPI server {version}, dry runs\n\n{HEADER}");
    let requests = if options.quick { 60 } else { 2_000 };
    let mut lines = Vec::new();
    for connections in [1, 8] {
        for subject in &subjects {
            let line = turns(&endpoint, subject, connections, requests)?;
            print!("{}", rows(&line));
            lines.push(line);
        }
    }
    Ok(ApiServer { machine: machine(), version, lines })
}

/// Objects of `tests/manifests`, and the application with an initContainer that migrates.
fn subjects() -> anyhow::Result<Vec<Subject>> {
    let read = |text: &str| -> anyhow::Result<Value> {
        let mut document = source::documents(text).swap_remove(0)?;
        let mut object = document.take_value();
        let metadata = object["metadata"].as_object_mut().context("it has no metadata")?;
        metadata.remove("namespace");
        Ok(object)
    };
    let application = read(include_str!("../../tests/manifests/app-deployment.yaml"))?;
    let mut migrating = application.clone();
    migrating["spec"]["template"]["spec"]["initContainers"] = json!([
        {"name": "migrate", "image": "example.com/app:1", "command": ["alembic", "upgrade", "head"]}
    ]);
    let deployments = "apis/apps/v1/namespaces/NAMESPACE/deployments";
    Ok(vec![
        Subject { name: "Deployment", path: deployments, object: application },
        Subject {
            name: "Deployment with an initContainer that migrates",
            path: deployments,
            object: migrating,
        },
        Subject {
            name: "migration Job of Argo CD",
            path: "apis/batch/v1/namespaces/NAMESPACE/jobs",
            object: read(include_str!("../../tests/manifests/argocd-migration-job.yaml"))?,
        },
    ])
}

fn endpoint(cluster: &Cluster) -> anyhow::Result<Endpoint> {
    let file = |name: &str| cluster.folder().join(name);
    let answer = cluster.kubectl(&["config", "view", "--raw", "-o", "json"]).json();
    let url = answer["clusters"][0]["cluster"]["server"].as_str().context("it has no URL")?;
    let address = url.trim_start_matches("https://").trim_end_matches('/').parse()?;
    let trust = trust_as(&file("ca.crt"), &file("admin.crt"), &file("admin.key"))?;
    Ok(Endpoint { trust, ..Endpoint::local(address, &file("ca.crt"))? })
}

fn configure(
    options: &Options,
    cluster: &Cluster,
    tidegate: &Server,
    folder: &TempDir,
) -> anyhow::Result<()> {
    for (namespace, _) in CASES {
        cluster.kubectl(&["create", "namespace", namespace]).done();
    }
    cluster.kubectl_with(&["apply", "-f", "-"], POLICY).done();
    let mut command = std::process::Command::new(&options.tidegate);
    command
        .args(["webhook-config", "--url", &format!("https://{}", tidegate.endpoint.address)])
        .args(["--exclude-namespace", "none", "--exclude-namespace", "policy", "--ca-bundle"])
        .arg(folder.path().join("tidegate.pem"));
    cluster.kubectl_with(&["apply", "-f", "-"], &run(&mut command)?).done();
    Ok(())
}

/// Waits until both refuse what the first namespace admits.
fn wait(endpoint: &Endpoint, bad: &Subject) -> anyhow::Result<()> {
    let mut client = Client::connect(endpoint)?;
    for (namespace, what) in CASES {
        let wanted = namespace == "none";
        let look = || match ask(&mut client, &request(bad, namespace)) {
            Ok(admitted) if admitted == wanted => Ok(()),
            other => Err(format!("{other:?}")),
        };
        poll(what, LIMIT, look).map_err(|error| anyhow!(error))?;
    }
    Ok(())
}

/// A dry run of its creation.
fn request(Subject { path, object, .. }: &Subject, namespace: &str) -> Vec<u8> {
    let (path, body) = (path.replace("NAMESPACE", namespace), object.to_string());
    format!(
        "POST /{path}?dryRun=All&fieldManager=bench HTTP/1.1\r\nHost: kubernetes\r\n\
         Content-Type: application/json\r\nAccept: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// True when the object is admitted.
fn ask(client: &mut Client, request: &[u8]) -> anyhow::Result<bool> {
    let (status, body) = client.send(request)?;
    let text = String::from_utf8_lossy(body);
    let refused = matches!(status, 403 | 422) && text.contains("denied");
    ensure!(status == 201 || refused, "the API server answered {status}: {text}");
    Ok(status == 201)
}

/// Each connection asks in the three namespaces in turn.
fn turns(
    endpoint: &Endpoint,
    subject: &Subject,
    connections: usize,
    requests: usize,
) -> anyhow::Result<ApiServerLine> {
    let ways = CASES.map(|(namespace, _)| request(subject, namespace));
    let one = || -> anyhow::Result<[(Vec<u64>, bool); 3]> {
        let mut client = Client::connect(endpoint)?;
        let mut seen: [(Vec<u64>, bool); 3] = Default::default();
        for _ in 0..(requests / connections).max(1) {
            for (way, (times, admitted)) in ways.iter().zip(&mut seen) {
                let start = Instant::now();
                *admitted = ask(&mut client, way)?;
                times.push(start.elapsed().as_nanos() as u64);
            }
        }
        Ok(seen)
    };
    let mut all: [(Vec<u64>, bool); 3] = Default::default();
    thread::scope(|scope| -> anyhow::Result<()> {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(one)).collect();
        for thread in threads {
            let seen = thread.join().map_err(|_panic| anyhow!("a thread panicked"))??;
            for ((times, admitted), (more, last)) in all.iter_mut().zip(seen) {
                times.extend(more);
                *admitted = last;
            }
        }
        Ok(())
    })?;
    let cases = all.into_iter().zip(CASES).map(|((mut times, admitted), (_, name))| {
        times.sort_unstable();
        let [p50, p99] = [0.5, 0.99].map(|share| report::quantile(&times, share));
        (name.to_owned(), p50, p99, admitted)
    });
    Ok(ApiServerLine { object: subject.name.to_owned(), connections, cases: cases.collect() })
}

/// The columns of [`rows`].
pub(crate) const HEADER: &str = "\
| object | connections | in force | verdict | p50 | p99 | added to p50 |\n|---|---:|---|---|---:|---:|---:|";

/// A line of the table for each case.
pub(crate) fn rows(ApiServerLine { object, connections, cases }: &ApiServerLine) -> String {
    let without = cases.first().map_or(0, |(_, p50, ..)| *p50);
    let row = |(name, p50, p99, admitted): &(String, u64, u64, bool)| {
        let verdict = if *admitted { "admitted" } else { "refused" };
        let sign = if *p50 < without { "-" } else { "" };
        let added = report::time(p50.abs_diff(without));
        let (p50, p99) = (report::time(*p50), report::time(*p99));
        format!(
            "| {object} | {connections} | {name} | {verdict} | {p50} | {p99} | {sign}{added} |\n"
        )
    };
    cases.iter().map(row).collect()
}
