//! Reports, and the scan that goes on while the server serves.

use std::{collections::BTreeSet, time::Duration};

use axum::http::Method;
use serde_json::{Value, json};
use tidegate::cluster::{Pace, Published, Reports, Request, rbac};

use super::{
    DEPLOYMENTS, JOBS, POLICIES, POLICY_REPORTS, REPORTS, WEBHOOKS, cluster, everything, job,
    migrating, namespace, policy, scanned,
};
use crate::{
    fake_cluster::FakeCluster,
    support::{Service, eventually, review_of},
};

async fn published(server: &FakeCluster) -> Published {
    let scan = scanned(server, &everything()).await;
    let client = server.connection().client().unwrap();
    let reports = Reports::find(&client).await.unwrap().unwrap();
    reports.publish(&scan, None, jiff::Timestamp::now()).await.unwrap()
}

#[tokio::test]
async fn reports_are_written_when_they_change_and_go_when_nothing_is_left() {
    let server = cluster().await;
    server.install(POLICY_REPORTS, "PolicyReport");
    server.put(DEPLOYMENTS, migrating("Deployment", "shop", "web", None));
    let of = |written, unchanged, deleted| Published { written, unchanged, deleted, failed: 0 };
    assert_eq!(published(&server).await, of(1, 0, 0));
    let report = server.get(POLICY_REPORTS, "shop", "tidegate-00").unwrap();
    assert_eq!(report["kind"], "PolicyReport");
    assert_eq!(report["summary"]["fail"], 1);
    let result = &report["results"][0];
    assert_eq!(result["policy"], "default");
    assert_eq!(result["rule"], "migration-in-init-container");
    assert_eq!((&result["result"], &result["severity"]), (&json!("fail"), &json!("high")));
    assert_eq!(result["resources"][0]["uid"], "Deployment-shop-web");
    assert_eq!(result["properties"]["team"], "team-shop");
    assert_eq!(report["metadata"]["ownerReferences"], Value::Null, "there is no owner yet");
    assert_eq!(published(&server).await, of(0, 1, 0), "nothing has changed");

    // Another scan of a single namespace leaves the reports of the others.
    let request = Request { namespace: Some("other".to_owned()), ..everything() };
    let scan = scanned(&server, &request).await;
    let client = server.connection().client().unwrap();
    let reports = Reports::find(&client).await.unwrap().unwrap();
    let done = reports.publish(&scan, Some("other"), jiff::Timestamp::now()).await.unwrap();
    assert_eq!(done, Published::default());

    // Once the installation has an object of its own, that owns the reports.
    server.put(WEBHOOKS, json!({"metadata": {"name": "tidegate", "uid": "w-1"}}));
    assert_eq!(published(&server).await, of(1, 0, 0));
    let report = server.get(POLICY_REPORTS, "shop", "tidegate-00").unwrap();
    assert_eq!(report["metadata"]["ownerReferences"][0]["uid"], "w-1");

    // Openreports come first, where the cluster has both.
    server.install(REPORTS, "Report");
    assert_eq!(published(&server).await, of(1, 0, 0));
    assert_eq!(server.get(REPORTS, "shop", "tidegate-00").unwrap()["source"], "tidegate");

    server.put(REPORTS, json!({"metadata": {"name": "of-others", "namespace": "shop"}}));
    server.delete(DEPLOYMENTS, "shop", "web");
    server.set_forbidden(DEPLOYMENTS, true);
    assert_eq!(published(&server).await, of(0, 0, 0), "what cannot be listed is not absent");
    server.set_forbidden(DEPLOYMENTS, false);
    assert_eq!(published(&server).await, of(0, 0, 1));
    let left: Vec<_> =
        server.all(REPORTS).iter().map(|it| it["metadata"]["name"].clone()).collect();
    assert_eq!(left, ["of-others"], "what others wrote stays");
}

#[tokio::test]
async fn nothing_is_asked_for_that_the_list_of_rights_does_not_name() {
    let server = cluster().await;
    server.install(REPORTS, "Report");
    server.install("/apis/openreports.io/v1alpha1/clusterreports", "ClusterReport");
    server.put(WEBHOOKS, json!({"metadata": {"name": "tidegate", "uid": "w-1"}}));
    server.put(DEPLOYMENTS, migrating("Deployment", "shop", "web", None));
    published(&server).await;
    server.delete(DEPLOYMENTS, "shop", "web");
    published(&server).await;
    let rights: Vec<_> = [rbac::scanning(), rbac::reporting()].concat();
    let mut used = BTreeSet::new();
    for (method, path, _) in server.requests() {
        let (group, resource, name) = asked(&path);
        let verb = match (method, name) {
            (Method::GET, true) => "get",
            (Method::GET, false) => "list",
            (Method::PATCH, _) => "patch",
            (Method::DELETE, _) => "delete",
            (Method::POST, _) => "create",
            (other, _) => panic!("{other} {path}"),
        };
        let is_named = rights.iter().any(|right| {
            right.group == group
                && right.resources.contains(&resource.as_str())
                && right.verbs.contains(&verb)
        });
        assert!(is_named, "{verb} {group}/{resource}");
        used.insert(verb);
    }
    assert_eq!(used, BTreeSet::from(["delete", "get", "list", "patch"]));
}

/// Group, resource and whether a name is given.
fn asked(path: &str) -> (String, String, bool) {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match segments[..] {
        ["api", _, ref rest @ ..] => ("", rest),
        ["apis", group, _, ref rest @ ..] => (group, rest),
        _ => panic!("{path}"),
    };
    let rest = match rest {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
        rest => rest,
    };
    (group.to_owned(), rest[0].to_owned(), rest.len() > 1)
}

/// As fast as a test can be; the scan after the first comes when policies change.
pub(super) fn pace() -> Pace {
    Pace {
        interval: Duration::from_hours(1),
        settle: Duration::ZERO,
        retry: Duration::from_millis(20),
        history: Duration::from_millis(5),
    }
}

fn history(server: &FakeCluster) -> Vec<Value> {
    let report = server.get(REPORTS, "prod", "tidegate-history");
    report.map(|it| it["results"].as_array().unwrap().clone()).unwrap_or_default()
}

#[tokio::test]
async fn the_server_scans_when_it_starts_and_when_policies_change_and_keeps_a_history() {
    let server = cluster().await;
    server.install(REPORTS, "Report");
    namespace(&server, "prod", &json!({}));
    server.put(DEPLOYMENTS, migrating("Deployment", "shop", "web", None));
    server.set_absent(REPORTS, true);
    let service = Service::reporting(&server.connection(), pace());
    service.watch(server.connection());
    eventually("it knows the cluster", || service.cluster.waits_for().is_empty()).await;
    // The kind comes later, and is noticed.
    server.set_absent(REPORTS, false);
    let effect = |server: &FakeCluster| {
        let report = server.get(REPORTS, "shop", "tidegate-00")?;
        Some(report["results"][0]["properties"]["effect"].as_str()?.to_owned())
    };
    eventually("it has scanned", || effect(&server).as_deref() == Some("deny")).await;
    server.put(POLICIES, policy("audit", &json!({"level": "Audit"})));
    eventually("it has scanned again", || effect(&server).as_deref() == Some("audit")).await;
    server.delete(POLICIES, "", "audit");
    eventually("and again", || effect(&server).as_deref() == Some("deny")).await;
    assert!(service.metric(r#"tidegate_scans_total{result="complete"}"#) >= Some(2.0));

    // A refusal, twice; and a dry run, which leaves no trace.
    let mut root = job("prod", "m", "orders");
    root["spec"]["template"]["spec"]["containers"][0]["securityContext"]["runAsUser"] = json!(0);
    let review = review_of(&root.to_string()).replace(r#""name":"a""#, r#""name":"m""#);
    let dry = review.replace(r#""dryRun":false"#, r#""dryRun":true"#);
    for body in [&dry, &review] {
        assert_eq!(service.post("/validate", body.as_str()).await.response()["allowed"], false);
    }
    eventually("it is in the history", || history(&server).len() == 1).await;
    let told = history(&server).remove(0);
    assert_eq!((&told["rule"], &told["result"]), (&json!("root-migration"), &json!("fail")));
    assert_eq!(told["resources"][0]["name"], "m");
    assert_eq!(told["properties"].get("count"), None);

    // A migration that ends, and whose Job goes.
    server.put(JOBS, job("prod", "ran", "orders"));
    eventually("it runs", || {
        service.metric(r#"tidegate_migrations_active{tool="alembic",operation="apply"}"#)
            == Some(1.0)
    })
    .await;
    let mut done = job("prod", "ran", "orders");
    done["metadata"]["uid"] = server.get(JOBS, "prod", "ran").unwrap()["metadata"]["uid"].clone();
    done["status"] = json!({"startTime": "2026-11-01T00:00:00Z",
        "completionTime": jiff::Timestamp::now().to_string(),
        "conditions": [{"type": "Complete", "status": "True"}]});
    server.put(JOBS, done);
    eventually("its end is in the history", || history(&server).len() == 2).await;
    server.delete(JOBS, "prod", "ran");

    // Another replica takes over: what was there is read back, not lost.
    let other = Service::reporting(&server.connection(), pace());
    other.watch(server.connection());
    eventually("it knows the cluster", || other.cluster.waits_for().is_empty()).await;
    let again = review.replace(r#""name":"m""#, r#""name":"n""#).replace("\"m\"", "\"n\"");
    assert_eq!(other.post("/validate", again).await.response()["allowed"], false);
    eventually("the history goes on", || history(&server).len() == 3).await;
    let mut names: Vec<_> =
        history(&server).iter().map(|it| it["resources"][0]["name"].clone()).collect();
    names.sort_by_key(Value::to_string);
    assert_eq!(names, ["m", "n", "ran"]);
    let posts = server.writes().into_iter().filter(|it| it.method == Method::POST).count();
    assert_eq!(posts, 1, "one object, never one for every refusal");
}

#[tokio::test]
async fn a_server_that_cannot_scan_serves_all_the_same() {
    let server = cluster().await;
    server.install(REPORTS, "Report");
    server.set_forbidden(REPORTS, true);
    let service = Service::reporting(&server.connection(), pace());
    service.watch(server.connection());
    eventually("it has tried, and again", || {
        service.metric(r#"tidegate_scans_total{result="failed"}"#) > Some(1.0)
    })
    .await;
    let body = review_of(&job("prod", "m", "orders").to_string());
    assert_eq!(service.post("/validate", body).await.response()["allowed"], true);
    server.set_forbidden(REPORTS, false);
    eventually("it scans once it may", || {
        service.metric(r#"tidegate_scans_total{result="complete"}"#) == Some(1.0)
    })
    .await;
}
