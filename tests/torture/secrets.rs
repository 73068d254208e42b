//! T18 and T21: what must leave no trace.

use std::{fs, path::Path, sync::Arc, time::Duration};

use serde_json::Value;

use super::{cluster::namespace, process::following, report::Run, transport::Transport};
use crate::{
    fake_cluster::FakeCluster,
    program::tidegate,
    support::{Folder, eventually, post, recorded, review_of, reviews},
};

const NAMESPACES: &str = "/api/v1/namespaces";
const JOBS: &str = "/apis/batch/v1/jobs";
const REPORTS: &str = "/apis/openreports.io/v1alpha1/reports";

fn told(cluster: &FakeCluster) -> Vec<String> {
    let writes = cluster.writes().into_iter();
    writes
        .filter(|write| write.path.ends_with("/events"))
        .map(|write| write.body.to_string())
        .collect()
}

/// T18.
pub(crate) async fn dry_run(run: Arc<Run>) {
    let cluster = FakeCluster::start().await;
    let (program, _folder) = following("t18", &cluster, &[]);
    eventually("it is ready", || program.is_ready()).await;
    let transport = Transport::to(&program);
    let mut asked = 0;
    let mut refused = 0;
    // Dry runs alone first, so that an Event could only be theirs.
    for (_, text) in reviews() {
        let mut review: Value = serde_json::from_str(&text).unwrap();
        review["request"]["dryRun"] = true.into();
        transport.send(&post("/validate", &review.to_string())).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(told(&cluster), [""; 0], "an Event for a dry run");
    for (name, text) in reviews() {
        let path = if name.starts_with("mutate") { "/mutate" } else { "/validate" };
        let mut review: Value = serde_json::from_str(&text).unwrap();
        let mut answers = Vec::new();
        // The dry run first: what it left behind would show in the other.
        for dry in [true, false] {
            review["request"]["dryRun"] = dry.into();
            let before = program.sum("tidegate_findings_total");
            let answer = transport.send(&post(path, &review.to_string())).await.unwrap();
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            let denied = body["response"]["allowed"] == false;
            if dry {
                let after = program.sum("tidegate_findings_total");
                assert!((after - before).abs() < 0.5, "{name}: a dry run is counted");
            }
            refused += usize::from(denied && !dry);
            answers.push(body);
        }
        // Jobs are judged among those that run, and the first of two was never let in.
        assert_eq!(answers[0]["response"], answers[1]["response"], "{name}");
        asked += 1;
    }
    eventually("refusals are told", || !told(&cluster).is_empty()).await;
    assert!(told(&cluster).len() <= refused, "an Event for a dry run");
    run.note("reviews, each dry and in earnest", asked);
    run.note("different verdicts", 0);
    run.note("Events of dry runs", 0);
}

/// What no reader may see. Where it stands is told by the number behind it.
const CANARY: &str = "canary91c4";

/// A Job that holds it in every place that holds a secret.
fn job() -> String {
    format!(
        r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"name":"a","namespace":"prod","annotations":{{
        "argocd.argoproj.io/hook":"PreSync","tidegate.dev/approval-reason":"{CANARY}-1",
        "kubectl.kubernetes.io/last-applied-configuration":"{CANARY}-2"}}}},
        "spec":{{"template":{{"spec":{{"restartPolicy":"Never","containers":[{{"name":"m",
        "image":"flyway/flyway:10","command":["sh","-c","flyway -password={CANARY}-3 migrate; psql postgres://u:{CANARY}-4@db/x -c 'DROP TABLE {CANARY}_5'"],
        "args":["--token={CANARY}-6"],"env":[{{"name":"PGPASSWORD","value":"{CANARY}-7"}},
        {{"name":"URL","value":"postgres://u:{CANARY}-8@db/x"}},
        {{"name":"SQL","value":"UPDATE a SET b = '{CANARY}-9'"}}]}}]}}}}}}}}"#
    )
}

/// The requests that hold it, whole and cut off.
fn requests(cut_off: usize) -> Vec<String> {
    let job = job();
    let named = review_of(&job)
        .replace(r#""name":"a","namespace""#, r#""name":"a\r\n\u001b[31m{\"x\"","namespace""#);
    let mut requests = vec![
        review_of(&job),
        named,
        review_of(&job).replace("CREATE", CANARY),
        review_of(&format!("{job},{CANARY}")),
        review_of(&job.replace("containers", "initContainers")),
        CANARY.to_owned(),
    ];
    requests.extend((0..cut_off).map(|cut| {
        let text = review_of(&job);
        text[..text.len() - cut * 7 % text.len()].to_owned()
    }));
    requests
}

/// What every command prints of the Job, in every format, but for those that show what somebody wrote
/// for readers: `verify` the reason of an approval, `fix` the lines around a change.
fn printed(folder: &Folder, kubeconfig: &Path) -> String {
    let file = folder.write("job.json", job());
    let file = file.to_str().unwrap();
    let check = "human json jsonl sarif junit markdown github gitlab html".split(' ');
    let plan = "human json markdown html".split(' ');
    let scan = "human json sarif html".split(' ');
    let mut commands: Vec<Vec<&str>> =
        vec![vec!["digest", file], vec!["detect", file], vec!["detect", file, "--format", "jsonl"]];
    commands.extend(check.map(|format| vec!["check", file, "--format", format]));
    commands.extend(plan.map(|format| vec!["plan", file, "--format", format]));
    commands.extend(scan.map(|format| vec!["scan", "--format", format]));
    let mut printed = String::new();
    for arguments in commands {
        let mut command = tidegate();
        let output = command.args(&arguments).env("KUBECONFIG", kubeconfig).output().unwrap();
        assert!(output.stdout.len() > 20, "{arguments:?} says nothing: {output:?}");
        for text in [output.stdout, output.stderr] {
            let text = String::from_utf8(text).unwrap();
            assert!(!text.contains(CANARY), "{arguments:?} shows it: {text}");
            printed.push_str(&text);
        }
    }
    printed
}

/// The reports that the server wrote.
fn reports(cluster: &FakeCluster) -> String {
    cluster.all(REPORTS).iter().map(Value::to_string).collect()
}

/// T21. The Job is asked for, and another of its kind is in the cluster, is scanned and is in a file.
pub(crate) async fn secrets(run: Arc<Run>) {
    let cluster = FakeCluster::start().await;
    cluster.put(NAMESPACES, namespace("prod", "production"));
    cluster.install(REPORTS, "Report");
    let mut there: Value = serde_json::from_str(&job()).unwrap();
    there["metadata"]["uid"] = "there".into();
    cluster.put(JOBS, there);
    let folder = Folder::new("t21-files");
    let kubeconfig = folder.write("kubeconfig", cluster.kubeconfig());
    let decisions = folder.0.join("decisions");
    let decision_log = decisions.to_str().unwrap();
    let arguments = [
        "--log-level",
        "trace",
        "--drain",
        "0s",
        "--reports",
        "on",
        "--decision-log",
        decision_log,
    ];
    let (mut program, _config) = following("t21", &cluster, &arguments);
    eventually("it is ready", || program.is_ready()).await;
    let requests = requests(run.pick(20, 500));
    let transport = Transport::to(&program);
    let mut answers = String::new();
    for request in &requests {
        for path in ["/validate", "/mutate", &format!("/{CANARY}")] {
            let answer = transport.send(&post(path, request)).await.unwrap();
            answers.push_str(&answer.head);
            answers.push_str(&String::from_utf8_lossy(&answer.body));
        }
    }
    let refused = post("/validate", &recorded("validate-create-pod-bare-migration"));
    transport.send(&refused).await.unwrap();
    eventually("refusals are told", || !told(&cluster).is_empty()).await;
    eventually("the scan and the history are written", || {
        let reports = reports(&cluster);
        reports.contains("tidegate-history") && reports.contains("tidegate-0")
    })
    .await;
    let printed = printed(&folder, &kubeconfig);
    let metrics = program.get("/metrics").unwrap();
    program.terminate();
    assert_eq!(program.exit().await, 0);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let log = program.log.lock().unwrap().clone();
    let decisions = fs::read_to_string(&decisions).unwrap();
    let events = told(&cluster).join("\n");
    let reports = reports(&cluster);
    let places = [
        ("log", &log, "decided"),
        ("metrics", &metrics, "tidegate_reviews_total"),
        ("answers", &answers, "\"allowed\":false"),
        ("decision log", &decisions, "\"findings\""),
        ("Events", &events, "MigrationRefused"),
        ("reports", &reports, "inline-credentials"),
        ("commands", &printed, "inline-credentials"),
        ("pages", &printed, "<!doctype html>"),
    ];
    for (what, text, proof) in places {
        assert!(text.contains(proof), "nothing to look at in the {what}: {text}");
        let at = text
            .find(CANARY)
            .map(|at| text[at.saturating_sub(200)..].chars().take(300).collect::<String>());
        assert_eq!(at, None, "in the {what}");
    }
    for line in log.lines().chain(decisions.lines()) {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()), "{line}");
        assert!(!line.contains('\u{1b}'), "{line}");
    }
    run.note("requests with secrets", requests.len() * 3);
    run.note("secrets in each", 9);
    let searched = [&log, &metrics, &answers, &decisions, &events, &reports, &printed];
    run.note("bytes searched", searched.map(String::len).iter().sum::<usize>());
    run.note("secrets found", 0);
}
