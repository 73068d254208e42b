//! What a cluster knows, from an API server that comes and goes.

mod election;
mod events;
mod rollouts;

use std::{sync::Arc, time::Instant};

use axum::http::Method;
use serde_json::{Value, json};
use tidegate::{
    cluster::{Cluster, Jobs, Lookup, Namespaces},
    model::Fact,
    settings::Limits,
};

use crate::{
    fake_cluster::{FakeCluster, Write},
    support::{Scripted, Service, admitted, eventually, review_of},
};

const NAMESPACES: &str = "/api/v1/namespaces";
const POLICIES: &str = "/apis/tidegate.dev/v1alpha1/migrationpolicies";
const EXCEPTIONS: &str = "/apis/tidegate.dev/v1alpha1/migrationexceptions";
const APPROVALS: &str = "/apis/tidegate.dev/v1alpha1/migrationapprovals";
const JOBS: &str = "/apis/batch/v1/jobs";
const EVENTS: &str = "/apis/events.k8s.io/v1/events";

fn namespace(name: &str, environment: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {"environment": environment}}})
}

fn environment(namespaces: &Namespaces, name: &str) -> Option<String> {
    match namespaces.labels(name) {
        Lookup::Known(labels) => labels.get("environment").cloned(),
        Lookup::Missing | Lookup::NotSynced | Lookup::Off(_) => None,
    }
}

async fn cluster() -> FakeCluster {
    let cluster = FakeCluster::start().await;
    cluster.put(NAMESPACES, namespace("prod", "production"));
    cluster.put(NAMESPACES, namespace("dev", "test"));
    cluster
}

/// A service that says what it knows of the namespace.
fn telling_labels() -> Service {
    let engine = Scripted {
        needs_labels: true,
        judge: Box::new(|_, facts| {
            let mut judgement = admitted();
            judgement.warnings.push(match facts.namespace_labels {
                Fact::Known(labels) => labels.get("environment").cloned().unwrap_or_default(),
                _ => "unknown".to_owned(),
            });
            judgement
        }),
    };
    let cluster = Cluster {
        namespaces: Namespaces::watched().into(),
        ..Cluster::off("this test watches namespaces alone")
    };
    Service::with_cluster(Box::new(engine), Limits::default(), cluster)
}

#[tokio::test]
async fn labels_follow_the_cluster_and_outlive_it() {
    let server = cluster().await;
    let service = telling_labels();
    assert_eq!(service.post("/validate", review_of("{}")).await.status, 503);
    service.watch(server.connection());
    let namespaces = &service.cluster.namespaces;
    eventually("all namespaces are known", || namespaces.ready()).await;
    let response = service.post("/validate", review_of("{}")).await.response();
    assert_eq!(response["warnings"], json!(["production"]));
    assert_eq!(environment(namespaces, "dev").as_deref(), Some("test"));
    assert_eq!(namespaces.labels("other"), Lookup::Missing);

    server.put(NAMESPACES, namespace("prod", "staging"));
    let is = |name: &'static str, wanted: &'static str| {
        move || environment(namespaces, name).as_deref() == Some(wanted)
    };
    eventually("a change is seen", is("prod", "staging")).await;
    server.delete(NAMESPACES, "", "dev");
    eventually("a removal is seen", || namespaces.labels("dev") == Lookup::Missing).await;

    // Gone: decisions go on with what was last heard.
    server.set_down(true);
    eventually("the failure is counted", || {
        service.metric(r#"tidegate_cache_errors_total{cache="namespaces"}"#) > Some(0.0)
    })
    .await;
    let response = service.post("/validate", review_of("{}")).await.response();
    assert_eq!(response["warnings"], json!(["staging"]));

    // Back: what it now says counts.
    server.put(NAMESPACES, namespace("prod", "again"));
    server.set_down(false);
    eventually("it is watched again", is("prod", "again")).await;
    assert_eq!(service.metric(r#"tidegate_cache_synced{cache="namespaces"}"#), Some(1.0));
    assert_eq!(service.metric(r#"tidegate_cache_entries{cache="namespaces"}"#), Some(1.0));
    let contact =
        service.metric(r#"tidegate_cache_last_contact_timestamp_seconds{cache="namespaces"}"#);
    assert!(contact > Some(1_700_000_000.0), "{contact:?}");
}

#[tokio::test]
async fn a_namespace_made_a_moment_ago_is_waited_for() {
    let server = cluster().await;
    let service = telling_labels();
    service.watch(server.connection());
    eventually("all namespaces are known", || service.cluster.namespaces.ready()).await;
    let body = review_of("{}").replace("prod", "new");
    let (reply, ()) = tokio::join!(service.post("/validate?timeout=10s", body.clone()), async {
        server.put(NAMESPACES, namespace("new", "test"));
    });
    assert_eq!(reply.response()["warnings"], json!(["test"]));
    // One that never comes is an unknown fact, and no failure.
    let reply = service.post("/validate", body.replace("new", "never")).await;
    assert_eq!(reply.response()["warnings"], json!(["unknown"]));
}

fn policy(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationPolicy",
        "metadata": {"name": name, "generation": 1}, "spec": spec})
}

/// A Job that migrates with alembic; rules that are not at stake are satisfied.
fn job(name: &str, database: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "namespace": "prod", "annotations": {
            "argocd.argoproj.io/hook": "PreSync",
            "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation",
            "tidegate.dev/database": database}},
        "spec": {"activeDeadlineSeconds": 600, "backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "migrate", "image": "registry.example.com/shop:1.2.3",
                "command": ["alembic", "upgrade", "head"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
            }]}}}
    })
}

fn review(job: &Value) -> String {
    let name = job["metadata"]["name"].as_str().unwrap();
    review_of(&job.to_string()).replace(r#""name":"a""#, &format!(r#""name":"{name}""#))
}

async fn in_cluster(server: &FakeCluster) -> Service {
    filled(Service::in_cluster(), server).await
}

async fn filled(service: Service, server: &FakeCluster) -> Service {
    service.watch(server.connection());
    let is_ready = || service.cluster.waits_for().is_empty();
    eventually("the caches that decide are filled", is_ready).await;
    eventually("Jobs are known", || {
        service.metric(r#"tidegate_cache_synced{cache="jobs"}"#) == Some(1.0)
    })
    .await;
    service
}

async fn message(service: &Service, job: &Value) -> String {
    let response = service.post("/validate", review(job)).await.response();
    response["status"]["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn policies_and_exceptions_follow_the_cluster_and_a_wrong_one_changes_nothing() {
    let server = cluster().await;
    let service = in_cluster(&server).await;
    let root = {
        let mut job = job("m", "orders");
        let container = &mut job["spec"]["template"]["spec"]["containers"][0];
        container["securityContext"]["runAsUser"] = json!(0);
        job
    };
    let first = async |job| message(&service, job).await.split(':').next().unwrap().to_owned();
    assert_eq!(first(&root).await, "root-migration", "the built-in policy");

    let names = || service.engines.current().policies().join(",");
    let audit = json!({"level": "Audit",
        "match": {"namespaceSelector": {"matchLabels": {"environment": "production"}}}});
    server.put(POLICIES, policy("production", &audit));
    eventually("the policy is in force", || names() == "production,default").await;
    assert_eq!(first(&root).await, "", "its level is Audit");

    // A wrong change leaves what was in force, and is told.
    let mut wrong = policy("production", &json!({"level": "Audit", "onUndecidd": "Warn"}));
    wrong["metadata"]["uid"] =
        server.get(POLICIES, "", "production").unwrap()["metadata"]["uid"].clone();
    server.put(POLICIES, wrong);
    let rejected = r#"tidegate_documents_rejected{kind="MigrationPolicy"}"#;
    eventually("it is refused", || service.metric(rejected) == Some(1.0)).await;
    assert_eq!((names().as_str(), first(&root).await.as_str()), ("production,default", ""));

    // A right one swaps.
    let mut deny = policy("production", &json!({"level": "Deny"}));
    deny["metadata"]["uid"] =
        server.get(POLICIES, "", "production").unwrap()["metadata"]["uid"].clone();
    server.put(POLICIES, deny);
    eventually("it is right again", || service.metric(rejected) == Some(0.0)).await;
    assert_eq!(first(&root).await, "root-migration");

    let exception = json!({"apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationException",
        "metadata": {"name": "old", "namespace": "prod"},
        "spec": {"rules": ["root-migration"], "match": {"names": ["m"]}, "reason": "an old image",
            "ticket": "SHOP-1", "expires": (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24)).to_string()}});
    server.put(EXCEPTIONS, exception);
    let entries = r#"tidegate_cache_entries{cache="exceptions"}"#;
    eventually("the exception is known", || service.metric(entries) == Some(1.0)).await;
    assert_eq!(first(&root).await, "");
    assert_eq!(
        service.metric(r#"tidegate_exceptions_used_total{rule="root-migration"}"#),
        Some(1.0)
    );

    // Deleted: the base of files applies again.
    server.delete(EXCEPTIONS, "prod", "old");
    server.delete(POLICIES, "", "production");
    eventually("the policy is gone", || names() == "default").await;
    eventually("the exception is gone", || service.metric(entries) == Some(0.0)).await;
    assert_eq!(first(&root).await, "root-migration");
}

#[tokio::test]
async fn nothing_is_decided_before_policies_and_exceptions_are_known() {
    let server = cluster().await;
    let service = Service::in_cluster();
    let reply = service.post("/validate", review(&job("m", "orders"))).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert_eq!(service.post("/mutate", review(&job("m", "orders"))).await.status, 503);
    server.set_slow(std::time::Duration::from_millis(20));
    let service = filled(service, &server).await;
    assert_eq!(message(&service, &job("m", "orders")).await, "");
}

#[tokio::test]
async fn kinds_that_are_not_installed_are_kinds_of_which_there_is_nothing() {
    let server = cluster().await;
    server.set_absent(POLICIES, true);
    server.set_absent(EXCEPTIONS, true);
    server.set_absent(APPROVALS, true);
    let service = in_cluster(&server).await;
    assert_eq!(service.engines.current().policies(), ["default"]);
    assert_eq!(message(&service, &job("m", "orders")).await, "");
    assert_eq!(server.lists(), 2, "namespaces and Jobs were listed once");
}

#[tokio::test]
async fn jobs_that_cannot_be_read_leave_the_rule_undecided_and_the_server_ready() {
    let server = cluster().await;
    server.set_forbidden(JOBS, true);
    let service = Service::in_cluster();
    service.watch(server.connection());
    eventually("the rest is known", || service.cluster.waits_for().is_empty()).await;
    eventually("the failure is counted", || {
        service.metric(r#"tidegate_cache_errors_total{cache="jobs"}"#) > Some(0.0)
    })
    .await;
    let response = service.post("/validate", review(&job("m", "orders"))).await.response();
    assert_eq!(response["allowed"], true);
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("concurrent-migration: "), "{warning}");
    assert_eq!(
        service.metric(r#"tidegate_undecided_total{rule="concurrent-migration"}"#),
        Some(1.0)
    );
}

#[tokio::test]
async fn one_migration_of_a_database_runs_at_a_time() {
    let server = cluster().await;
    server.put(JOBS, job("first", "orders"));
    let service = in_cluster(&server).await;
    let said = message(&service, &job("second", "orders")).await;
    assert!(said.starts_with("concurrent-migration: "), "{said}");
    assert!(said.contains("prod/first"), "{said}");
    assert_eq!(message(&service, &job("other", "users")).await, "");
    assert_eq!(message(&service, &job("first", "orders")).await, "", "it is the same Job");

    // Finished: its turn is over, and its outcome is counted.
    let mut done = job("first", "orders");
    done["metadata"]["uid"] = server.get(JOBS, "prod", "first").unwrap()["metadata"]["uid"].clone();
    done["status"] = json!({"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:42Z",
        "conditions": [{"type": "Complete", "status": "True"}]});
    server.put(JOBS, done);
    let ended = r#"tidegate_migrations_total{tool="alembic",operation="apply",result="succeeded"}"#;
    eventually("it has ended", || service.metric(ended) == Some(1.0)).await;
    assert_eq!(message(&service, &job("second", "orders")).await, "");
    let sum = r#"tidegate_migration_duration_seconds_sum{tool="alembic",operation="apply",result="succeeded"}"#;
    assert_eq!(service.metric(sum), Some(42.0));
}

#[tokio::test]
async fn of_two_migrations_that_are_judged_at_once_one_is_let_in() {
    let server = cluster().await;
    let service = in_cluster(&server).await;
    // Neither Job is in the cluster: the answer to the first is all that the second can see.
    let (one, other) = (job("one", "orders"), job("other", "orders"));
    let (first, second) = tokio::join!(message(&service, &one), message(&service, &other));
    let mut said = [first, second];
    said.sort();
    assert_eq!(said[0], "");
    assert!(said[1].starts_with("concurrent-migration: "), "{said:?}");
    // A dry run leaves no trace.
    let dry = review(&job("dry", "users")).replace(r#""dryRun":false"#, r#""dryRun":true"#);
    assert_eq!(service.post("/validate", dry).await.response()["allowed"], true);
    assert_eq!(message(&service, &job("wet", "users")).await, "");
}

const MAPS: &str = "/api/v1/configmaps";
const UNSAVED: &str = "destructive-without-backup";

fn ready(server: &FakeCluster, collection: &str, namespace: &str, name: &str) -> Option<Value> {
    let object = server.get(collection, namespace, name)?;
    object["status"]["conditions"].as_array()?.iter().find(|it| it["type"] == "Ready").cloned()
}

#[tokio::test]
async fn what_becomes_of_a_document_stands_in_its_status_and_is_written_once() {
    let server = cluster().await;
    server.put(POLICIES, policy("good", &json!({"level": "Audit"})));
    server.put(POLICIES, policy("bad", &json!({"level": "Audits"})));
    let exception = json!({"apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationException",
        "metadata": {"name": "old", "namespace": "prod", "generation": 3},
        "spec": {"rules": ["root-migratoin"], "match": {"names": ["m"]}, "reason": "an old image",
            "ticket": "SHOP-1", "expires": "2030-01-01T00:00:00Z"}});
    server.put(EXCEPTIONS, exception);
    let service = filled(Service::writing(&server.connection()), &server).await;
    eventually("all are judged", || {
        ["good", "bad"].iter().all(|name| ready(&server, POLICIES, "", name).is_some())
            && ready(&server, EXCEPTIONS, "prod", "old").is_some()
    })
    .await;
    let good = ready(&server, POLICIES, "", "good").unwrap();
    assert_eq!((&good["status"], &good["reason"]), (&json!("True"), &json!("InForce")));
    assert_eq!(good["observedGeneration"], 1);
    let bad = ready(&server, POLICIES, "", "bad").unwrap();
    assert_eq!((&bad["status"], &bad["reason"]), (&json!("False"), &json!("Invalid")));
    assert!(bad["message"].as_str().unwrap().contains("(did you mean `Audit`?)"), "{bad}");
    let old = ready(&server, EXCEPTIONS, "prod", "old").unwrap();
    assert!(old["message"].as_str().unwrap().contains("(did you mean `root-migration`?)"), "{old}");
    eventually("two Events", || server.all(EVENTS).len() == 2).await;

    // The watch tells of what was written; that is no reason to write again.
    let is_status = |it: &Write| it.method == Method::PATCH && it.path.ends_with("/status");
    let statuses = || server.writes().iter().filter(|it| is_status(it)).count();
    assert_eq!(statuses(), 3);
    let entries = || service.metric(r#"tidegate_cache_entries{cache="policies"}"#);
    server.put(POLICIES, policy("later", &json!({"level": "Audit"})));
    eventually("a later one", || ready(&server, POLICIES, "", "later").is_some()).await;
    assert_eq!((statuses(), entries()), (4, Some(3.0)));
    assert!(
        server
            .writes()
            .iter()
            .all(|it| it.query.contains("fieldManager=tidegate") || it.body["kind"] == "Event")
    );
}

/// The rules that refuse a Job.
async fn refusals(service: &Service, job: &Value) -> Vec<String> {
    let said = message(service, job).await;
    said.lines().filter_map(|line| line.split_once(':')).map(|(rule, _)| rule.to_owned()).collect()
}

fn destructive(backup: &str) -> Value {
    let mut job = job("m", "orders");
    job["metadata"]["annotations"]["tidegate.dev/backup"] = json!(backup);
    job["spec"]["template"]["spec"]["containers"][0]["command"] =
        json!(["psql", "-c", "DROP TABLE orders"]);
    job
}

fn ago(hours: i64) -> String {
    (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours)).to_string()
}

#[tokio::test]
async fn a_backup_that_is_named_by_reference_is_looked_up() {
    let server = cluster().await;
    let service = filled(Service::writing(&server.connection()), &server).await;
    let unsaved = async |backup: &str| {
        refusals(&service, &destructive(backup)).await.iter().any(|rule| rule == UNSAVED)
    };
    assert!(unsaved("job/dump").await, "there is no such Job");
    let mut dump = json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "dump", "namespace": "prod"}, "status": {"active": 1}});
    server.put(JOBS, dump.clone());
    assert!(unsaved("job/dump").await, "it is not complete");
    let complete = |at: String| {
        json!({"conditions": [{"type": "Complete", "status": "True"}],
        "completionTime": at})
    };
    dump["status"] = complete(ago(30));
    server.put(JOBS, dump.clone());
    assert!(unsaved("job/dump").await, "it is older than a day");
    dump["status"] = complete(ago(1));
    server.put(JOBS, dump);
    assert!(!unsaved("job/dump").await);
    assert!(!unsaved("s3://dumps/orders").await, "other words are taken as they are");

    server.put(
        "/apis/velero.io/v1/backups",
        json!({"apiVersion": "velero.io/v1", "kind": "Backup",
        "metadata": {"name": "nightly", "namespace": "velero"},
        "status": {"phase": "Completed", "completionTimestamp": ago(2)}}),
    );
    assert!(!unsaved("backup.velero.io/nightly").await);
    server.set_forbidden("/apis/velero.io/v1/backups", true);
    let response =
        service.post("/validate", review(&destructive("velero/nightly"))).await.response();
    let warnings = response["warnings"].as_array().unwrap();
    let undecided = warnings.iter().filter_map(Value::as_str).any(|it| it.starts_with(UNSAVED));
    assert!(undecided, "what cannot be read is no answer: {warnings:?}");
}

#[tokio::test]
async fn statements_in_a_mounted_config_map_are_read_from_the_cluster() {
    let server = cluster().await;
    let service = filled(Service::writing(&server.connection()), &server).await;
    let mut job = job("m", "orders");
    let pod = &mut job["spec"]["template"]["spec"];
    pod["volumes"] = json!([{"name": "sql", "configMap": {"name": "sql"}}]);
    pod["containers"][0]["command"] = json!(["psql", "-f", "/sql/up.sql"]);
    pod["containers"][0]["volumeMounts"] = json!([{"name": "sql", "mountPath": "/sql"}]);
    let map = |text: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "sql", "namespace": "prod"}, "data": {"up.sql": text}})
    };
    assert_eq!(refusals(&service, &job).await, [""; 0], "what it does is not known");
    server.put(MAPS, map("CREATE TABLE a (b int);"));
    assert_eq!(refusals(&service, &job).await, [""; 0]);
    server.put(MAPS, map("DROP TABLE orders;"));
    let refused = refusals(&service, &job).await;
    assert_eq!(refused, ["destructive-without-backup", "unapproved-destructive-migration"]);
    assert!(!message(&service, &job).await.contains("orders;"), "no SQL is repeated");
}
