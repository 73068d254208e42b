//! What rules ask for that stands around an object.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use tidegate::{
    cluster::{Pace, Request},
    decision::Effect,
    model::{ConfigMap, ConfigMapSet, Object},
    policy,
    scan::Scan,
};

use super::{
    CONFIG_MAPS, DEPLOYMENTS, JOBS, NETWORK_POLICIES, REPORTS, cluster, everything, found, job,
    migrating, reports::pace, rules, scanned, subjects,
};
use crate::{
    fake_cluster::FakeCluster,
    support::{Service, eventually},
};

#[tokio::test]
async fn rules_over_a_cluster_know_the_cluster() {
    let server = cluster().await;
    server.put(DEPLOYMENTS, {
        let mut web = migrating("Deployment", "shop", "web", None);
        web["spec"]["template"]["spec"]["initContainers"] = json!([]);
        web
    });
    let with_secret = |mut job: Value| {
        job["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "DATABASE_URL",
            "valueFrom": {"secretKeyRef": {"name": "db", "key": "url"}}}]);
        job
    };
    server.put(JOBS, with_secret(job("shop", "one", "orders")));
    server.put(JOBS, job("other", "two", "orders"));
    let mut done = job("other", "done", "orders");
    done["status"] = json!({"conditions": [{"type": "Failed", "status": "True"}]});
    server.put(JOBS, done);
    let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": "other"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"]}});
    server.put(NETWORK_POLICIES, policy);

    let scan = scanned(&server, &everything()).await;
    let one = rules(&scan, "Job/one");
    assert!(one.contains("shared-database-role"), "{one:?}");
    assert!(one.contains("unrestricted-egress"), "{one:?}");
    assert!(one.contains("concurrent-migration"), "{one:?}");
    // Its egress is limited, and it shares no Secret.
    assert_eq!(rules(&scan, "Job/two"), BTreeSet::from(["concurrent-migration"]));
    // What has finished runs beside nothing, and is judged all the same.
    assert!(!subjects(&scan).contains(&"other Job/done".to_owned()), "{:?}", subjects(&scan));
    assert_eq!(scan.counts.finished, 1);

    // What cannot be listed is unknown, and not absent.
    server.set_forbidden(NETWORK_POLICIES, true);
    let scan = scanned(&server, &everything()).await;
    let undecided = scan.objects.iter().flat_map(|it| &it.findings).filter(|it| it.undecided);
    let undecided: BTreeSet<_> = undecided.map(|it| it.rule).collect();
    assert_eq!(undecided, BTreeSet::from(["unrestricted-egress"]));
}

#[tokio::test]
async fn only_config_maps_that_a_migration_refers_to_are_read_and_they_count() {
    let server = cluster().await;
    for (name, sql) in [("sql", "DROP TABLE orders;"), ("settings", "DROP TABLE other;")] {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "shop"}, "data": {"up.sql": sql}});
        server.put(CONFIG_MAPS, map);
    }
    let mut with_file = job("shop", "m", "orders");
    let spec = &mut with_file["spec"]["template"]["spec"];
    spec["volumes"] = json!([{"name": "sql", "configMap": {"name": "sql"}}]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "sql", "mountPath": "/sql"}]);
    spec["containers"][0]["command"] =
        json!(["psql", "-v", "ON_ERROR_STOP=1", "-f", "/sql/up.sql"]);
    server.put(JOBS, with_file);
    let mut web = migrating("Deployment", "shop", "web", None);
    let spec = &mut web["spec"]["template"]["spec"];
    spec["initContainers"] = json!([]);
    spec["volumes"] = json!([{"name": "settings", "configMap": {"name": "settings"}}]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "settings", "mountPath": "/etc/web"}]);
    server.put(DEPLOYMENTS, web);

    let asked = |server: &FakeCluster| -> Vec<String> {
        let requests = server.requests().into_iter().map(|(_, path, _)| path);
        requests.filter(|path| path.contains("configmaps")).collect()
    };
    let scan = scanned(&server, &Request::default()).await;
    assert_eq!(asked(&server), Vec::<String>::new(), "--no-config-maps");
    let seen = |scan: &Scan| {
        let mut objects = scan.objects.iter().filter(|it| it.name == "m");
        objects.any(|it| it.findings.iter().any(|it| it.rule == "unapproved-destructive-migration"))
    };
    assert!(!seen(&scan));
    let scan = scanned(&server, &everything()).await;
    assert_eq!(asked(&server), ["/api/v1/namespaces/shop/configmaps/sql"]);
    assert!(seen(&scan), "{:?}", rules(&scan, "Job/m"));
    let text = tidegate::render::scan::json(&scan);
    assert!(!text.contains("DROP TABLE"), "nothing of a ConfigMap is written: {text}");
}

#[tokio::test]
async fn a_backup_that_a_migration_names_is_looked_up() {
    let server = cluster().await;
    let mut drop = job("shop", "drop", "orders");
    drop["metadata"]["annotations"]["tidegate.dev/backup"] = "job/nightly".into();
    drop["spec"]["template"]["spec"]["containers"][0]["command"] =
        json!(["psql", "-c", "DROP TABLE orders"]);
    server.put(JOBS, drop);
    let rule = "destructive-without-backup";
    assert!(rules(&scanned(&server, &everything()).await, "Job/drop").contains(rule));
    let mut nightly = job("shop", "nightly", "orders");
    nightly["spec"]["template"]["spec"]["containers"][0]["command"] =
        json!(["pg_dump", "-f", "/b"]);
    nightly["status"] = json!({"completionTime": jiff::Timestamp::now().to_string(),
        "conditions": [{"type": "Complete", "status": "True"}]});
    server.put(JOBS, nightly);
    assert!(!rules(&scanned(&server, &everything()).await, "Job/drop").contains(rule));
}

#[tokio::test]
async fn an_approval_of_the_cluster_counts() {
    const RULE: &str = "unapproved-destructive-migration";
    const APPROVALS: &str = "/apis/tidegate.dev/v1alpha1/migrationapprovals";
    let server = cluster().await;
    let job = json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "drop", "namespace": "shop", "uid": "u-1"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [
            {"name": "sql", "image": "postgres:17", "command": ["psql", "-c", "DROP TABLE a"]}]}}}});
    server.put(JOBS, job.clone());
    let effect = async || {
        let scan = scanned(&server, &everything()).await;
        found(&scan, "Job/drop").into_iter().find(|(rule, _)| *rule == RULE).unwrap().1
    };
    server.set_absent(APPROVALS, true);
    let refused = Some(Effect::Refuses);
    assert_eq!(effect().await, refused, "a cluster without the kind has no approvals");
    server.set_absent(APPROVALS, false);
    let object = job.to_string();
    let digest = policy::digest(&Object::parse(&object).unwrap());
    let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let approval = |digest: String| {
        json!({"apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationApproval",
            "metadata": {"name": "a", "namespace": "shop"},
            "spec": {"digest": digest, "ticket": "DB-1", "expires": ends.to_string(),
                "approver": "alice@example.com"}})
    };
    server.put(APPROVALS, approval(format!("sha256:{}", "0".repeat(64))));
    assert_eq!(effect().await, refused, "it is for something else");
    server.put(APPROVALS, approval(digest.to_string()));
    // Who asked for a Job is not written in it, and who approved may not be the one.
    assert_eq!(effect().await, Some(Effect::Warns), "undecided");
}

/// A hook Job whose statements stand in ConfigMap `sql`, approved with what `map` holds.
fn approved_with(map: &Value) -> Value {
    let mut job = job("shop", "m", "orders");
    job["metadata"]["uid"] = "m-1".into();
    let pod = &mut job["spec"]["template"]["spec"];
    pod["volumes"] = json!([{"name": "sql", "configMap": {"name": "sql"}}]);
    pod["containers"][0]["volumeMounts"] = json!([{"name": "sql", "mountPath": "/sql"}]);
    pod["containers"][0]["command"] = json!(["psql", "-v", "ON_ERROR_STOP=1", "-f", "/sql/up.sql"]);
    let text = job.to_string();
    let object = Object::parse(&text).unwrap();
    let mut maps = ConfigMapSet::default();
    maps.add("shop", "sql", 0, ConfigMap::parse(&map.to_string()).unwrap());
    let content = policy::content(&object, maps.seen_from("shop", 0)).unwrap();
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let digest = policy::digest(&object).to_string();
    for (key, value) in [
        ("approved-by", "alice@example.com".to_owned()),
        ("approval-ticket", "DB-1".to_owned()),
        ("approved-namespace", "shop".to_owned()),
        ("approved-until", until.to_string()),
        ("approved-digest", digest),
        ("approved-content", content.to_string()),
        ("backup", "nightly".to_owned()),
    ] {
        job["metadata"]["annotations"][format!("tidegate.dev/{key}")] = value.into();
    }
    job
}

fn sql(text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "sql", "namespace": "shop"}, "data": {"up.sql": text}})
}

/// Admission sees what a ConfigMap holds when the Job is created. What it is changed to afterwards
/// is seen by whoever looks again.
#[tokio::test]
async fn a_config_map_that_is_changed_after_the_approval_shows_in_scan_and_report() {
    const RULE: &str = "unapproved-destructive-migration";
    let server = cluster().await;
    server.install(REPORTS, "Report");
    server.put(CONFIG_MAPS, sql("DROP TABLE orders;"));
    server.put(JOBS, approved_with(&sql("DROP TABLE orders;")));
    let unapproved = async || {
        let scan = scanned(&server, &everything()).await;
        let mut objects = scan.objects.into_iter().filter(|it| it.name == "m");
        let findings = objects.next().map(|it| it.findings).unwrap_or_default();
        findings.into_iter().find(|found| found.rule == RULE).map(|found| found.what.into_owned())
    };
    assert_eq!(unapproved().await, None, "it holds what the approver saw");

    let pace = Pace { interval: Duration::from_millis(20), ..pace() };
    let service = Service::reporting(&server.connection(), pace);
    service.watch(server.connection());
    let scans = || service.metric(r#"tidegate_scans_total{result="complete"}"#);
    eventually("it has scanned", || scans() >= Some(1.0)).await;
    let reported = || {
        let report = server.get(REPORTS, "shop", "tidegate-00");
        let results = report.and_then(|it| it["results"].as_array().cloned()).unwrap_or_default();
        let mut own = results.into_iter().filter(|it| it["rule"] == RULE);
        own.next().map(|it| it["resources"][0]["name"].as_str().unwrap().to_owned())
    };
    assert_eq!(reported(), None);

    server.put(CONFIG_MAPS, sql("DROP TABLE customers;"));
    eventually("it is reported", || reported().as_deref() == Some("m")).await;
    let what = unapproved().await.unwrap();
    assert!(what.contains("for something else than what its ConfigMaps hold"), "{what}");

    server.put(CONFIG_MAPS, sql("DROP TABLE orders;"));
    eventually("it is as it was approved again", || reported().is_none()).await;
}
