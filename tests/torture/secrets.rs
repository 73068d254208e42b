//! T18 and T21: what must leave no trace.

use std::{fs, sync::Arc, time::Duration};

use serde_json::Value;

use super::{process::following, report::Run, transport::Transport};
use crate::{
    fake_cluster::FakeCluster,
    support::{Folder, eventually, post, recorded, review_of, reviews},
};

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

/// T21.
pub(crate) async fn secrets(run: Arc<Run>) {
    let canary = "canary91c4";
    let cluster = FakeCluster::start().await;
    let folder = Folder::new("t21");
    let decisions = folder.0.join("decisions");
    let (mut program, _config) = following(
        "t21",
        &cluster,
        &["--log-level", "trace", "--drain", "0s", "--decision-log", decisions.to_str().unwrap()],
    );
    eventually("it is ready", || program.is_ready()).await;
    let job = format!(
        r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"name":"a","annotations":{{
        "argocd.argoproj.io/hook":"PreSync","tidegate.dev/approval-reason":"{canary}-1",
        "kubectl.kubernetes.io/last-applied-configuration":"{canary}-2"}}}},
        "spec":{{"template":{{"spec":{{"restartPolicy":"Never","containers":[{{"name":"m",
        "image":"flyway/flyway:10","command":["sh","-c","flyway -password={canary}-3 migrate; psql postgres://u:{canary}-4@db/x -c 'DROP TABLE {canary}_5'"],
        "args":["--token={canary}-6"],"env":[{{"name":"PGPASSWORD","value":"{canary}-7"}},
        {{"name":"URL","value":"postgres://u:{canary}-8@db/x"}},
        {{"name":"SQL","value":"UPDATE a SET b = '{canary}-9'"}}]}}]}}}}}}}}"#
    );
    let named = review_of(&job)
        .replace(r#""name":"a","namespace""#, r#""name":"a\r\n\u001b[31m{\"x\"","namespace""#);
    let mut requests = vec![
        review_of(&job),
        named,
        review_of(&job).replace("CREATE", canary),
        review_of(&format!("{job},{canary}")),
        review_of(&job.replace("containers", "initContainers")),
        canary.to_owned(),
    ];
    requests.extend((0..run.pick(20, 500)).map(|cut| {
        let text = review_of(&job);
        text[..text.len() - cut * 7 % text.len()].to_owned()
    }));
    let transport = Transport::to(&program);
    let mut answers = String::new();
    for request in &requests {
        for path in ["/validate", "/mutate", &format!("/{canary}")] {
            let answer = transport.send(&post(path, request)).await.unwrap();
            answers.push_str(&answer.head);
            answers.push_str(&String::from_utf8_lossy(&answer.body));
        }
    }
    let refused = post("/validate", &recorded("validate-create-pod-bare-migration"));
    transport.send(&refused).await.unwrap();
    eventually("refusals are told", || !told(&cluster).is_empty()).await;
    let metrics = program.get("/metrics").unwrap();
    program.terminate();
    assert_eq!(program.exit().await, 0);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let log = program.log.lock().unwrap().clone();
    let decisions = fs::read_to_string(&decisions).unwrap();
    let events = told(&cluster).join("\n");
    for (what, text, proof) in [
        ("log", &log, "decided"),
        ("metrics", &metrics, "tidegate_reviews_total"),
        ("answers", &answers, "\"allowed\":false"),
        ("decision log", &decisions, "\"findings\""),
        ("Events", &events, "MigrationRefused"),
    ] {
        assert!(text.contains(proof), "nothing to look at in the {what}: {text}");
        let at = text
            .find(canary)
            .map(|at| text[at.saturating_sub(200)..].chars().take(300).collect::<String>());
        assert_eq!(at, None, "in the {what}");
    }
    for line in log.lines().chain(decisions.lines()) {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()), "{line}");
        assert!(!line.contains('\u{1b}'), "{line}");
    }
    run.note("requests with secrets", requests.len() * 3);
    run.note("secrets in each", 9);
    run.note(
        "bytes searched",
        log.len() + metrics.len() + answers.len() + decisions.len() + events.len(),
    );
    run.note("secrets found", 0);
}
