//! `tidegate approve` against a cluster.

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};
use tidegate::{model::Object, policy};

use crate::{fake_cluster::FakeCluster, support::Folder};

const APPROVALS: &str = "/apis/tidegate.dev/v1alpha1/migrationapprovals";
const EVENTS: &str = "/apis/events.k8s.io/v1/events";
const JOBS: &str = "/apis/batch/v1/jobs";

fn kubeconfig(folder: &Folder, server: &FakeCluster) -> std::path::PathBuf {
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server.uri}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}]});
    folder.write("kubeconfig", config.to_string())
}

async fn approve(kubeconfig: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("approve").args(args).env("KUBECONFIG", kubeconfig).env("NO_PROXY", "*");
    let run = tokio::task::spawn_blocking(move || command.output().unwrap());
    let Output { status, stdout, stderr } = run.await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn digest(digit: &str) -> String {
    format!("sha256:{}", digit.repeat(64))
}

fn event(name: &str, job: &str, digest: &str, at: &str) -> Value {
    json!({"apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": name, "namespace": "shop"}, "eventTime": at,
        "reason": "MigrationRefused", "type": "Warning", "action": "Admit",
        "note": format!("unapproved-rollback: Job/{job} spec: x; have it approved for {digest}")})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_refused_is_approved_by_its_event() {
    let server = FakeCluster::start().await;
    let folder = Folder::new("approve-refused");
    let config = kubeconfig(&folder, &server);
    let given = ["job/drop", "--ticket", "DB-1", "--for", "2h", "--reason", "unused since May"];
    let (code, _, errors) = approve(&config, &given).await;
    assert_eq!(code, Some(2));
    assert!(errors.contains("there is no Job drop in namespace shop, and no Event"), "{errors}");

    server.put(EVENTS, event("e-1", "drop", &digest("a"), "2026-06-01T12:00:00.000000Z"));
    server.put(EVENTS, event("e-2", "drop-2", &digest("b"), "2026-06-01T12:00:00.000000Z"));
    let dry = [&given[..], &["--output", "yaml"]].concat();
    let (code, printed, errors) = approve(&config, &dry).await;
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let granted = policy::read_approval(&printed, "printed").unwrap();
    assert_eq!((granted.digest, granted.namespace.as_str()), (digest("a"), "shop"));
    assert!(server.all(APPROVALS).is_empty(), "nothing was made yet");

    let (code, printed, errors) = approve(&config, &given).await;
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{printed}");
    let made = server.all(APPROVALS).remove(0);
    let spec = &made["spec"];
    assert_eq!((&spec["ticket"], &spec["reason"]), (&json!("DB-1"), &json!("unused since May")));
    assert_eq!(spec["digest"], digest("a"));
    assert_eq!(spec.get("approver"), None, "the API server says who approves");
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("drop-") && printed.contains(name), "{printed}");

    server.put(EVENTS, event("e-3", "drop", &digest("c"), "2026-06-01T13:00:00.000000Z"));
    let (code, _, errors) = approve(&config, &given).await;
    assert_eq!(code, Some(2));
    for says in ["several Jobs drop were refused", &digest("a"), &digest("c"), "T13:00:00Z"] {
        assert!(errors.contains(says), "{says}: {errors}");
    }
    let (code, _, errors) = approve(&config, &[&given[..], &["-n", "other"]].concat()).await;
    assert_eq!(code, Some(2));
    assert!(errors.contains("in namespace other"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_there_says_itself_what_it_runs() {
    let server = FakeCluster::start().await;
    let folder = Folder::new("approve-live");
    let config = kubeconfig(&folder, &server);
    let job = json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "drop", "namespace": "shop"},
        "spec": {"suspend": true, "template": {"spec": {"containers": [
            {"name": "sql", "image": "postgres", "command": ["psql", "-c", "DROP TABLE a"]}]}}}});
    server.put(JOBS, job.clone());
    server.put(EVENTS, event("e-1", "drop", &digest("a"), "2026-06-01T12:00:00.000000Z"));
    let args = ["job.batch/drop", "--namespace", "shop", "--ticket", "DB-1"];
    let (code, _, errors) = approve(&config, &args).await;
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let text = job.to_string();
    let want = policy::digest(&Object::parse(&text).unwrap()).to_string();
    let spec = server.all(APPROVALS).remove(0)["spec"].clone();
    assert_eq!((&spec["digest"], &spec["job"]), (&json!(want), &json!("drop")));
    server.set_forbidden(JOBS, true);
    let (code, _, errors) = approve(&config, &args).await;
    assert_eq!(code, Some(2));
    assert!(
        errors.contains("cannot look for Job drop") && errors.contains("Forbidden"),
        "{errors}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_printed_without_a_cluster() {
    let folder = Folder::new("approve-resource");
    let nowhere = folder.write("kubeconfig", "");
    let want = digest("a");
    let args = ["--digest", &want, "-n", "shop", "--ticket", "DB-1", "--backup-waiver", "unused"];
    let (code, printed, errors) = approve(&nowhere, &args).await;
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let granted = policy::read_approval(&printed, "printed").unwrap();
    assert_eq!(
        (granted.digest.as_str(), granted.backup_waiver.as_deref()),
        (&*want, Some("unused"))
    );

    let job = "tests/rules/unapproved-destructive-migration/fail-example.yaml";
    let file = [job, "--ticket", "DB-1", "-n", "shop", "--output", "resource"];
    let (code, printed, errors) = approve(&nowhere, &file).await;
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let granted = policy::read_approval(&printed, "printed").unwrap();
    let listed = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(["digest", job]).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    assert!(listed.starts_with(&granted.digest), "{listed}");
    assert!(listed.trim_end().ends_with(granted.job.as_deref().unwrap()), "{listed}");

    for (args, says) in [
        (&["--digest", "sha256:00", "--ticket", "DB-1"][..], "spec.digest: must be"),
        (&["--digest", &want, "--by", "alice"], "--by cannot be used with --digest"),
        (&["--digest", &want, "--output", "kubectl"], "--output can only be yaml or resource"),
        (&["job/drop", "--sign-agent"], "--sign-agent cannot be used with job/NAME"),
        (&[job, "--output", "resource"], "`spec.ticket` of MigrationApproval"),
        (&[job, "--ticket", "DB-1", "--for", "999h", "--output", "resource"], "further away"),
        (&[job, "--ticket", "DB-1", "-n", "shop"], "say who approves with --by"),
    ] {
        let (code, printed, errors) = approve(&nowhere, args).await;
        assert_eq!((code, printed.as_str()), (Some(2), ""), "{args:?}");
        assert!(errors.contains(says), "{args:?}: {errors}");
    }
}
