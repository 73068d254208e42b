//! `tidegate scan` and policy reports, against an API server without a cluster.

use std::{collections::BTreeSet, time::Duration};

use axum::http::Method;
use serde_json::{Value, json};
use tidegate::{
    cluster::{self, Pace, Published, Reports, Request, rbac},
    decision::{Effect, Outcome},
    policy::{PolicySet, built_in},
    scan::{Limits, Options, Scan, Scanned},
};

use crate::{
    command::Folder,
    fake_cluster::FakeCluster,
    support::{Service, eventually, review_of},
};

const NAMESPACES: &str = "/api/v1/namespaces";
const CONFIG_MAPS: &str = "/api/v1/configmaps";
const PODS: &str = "/api/v1/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";
const REPLICA_SETS: &str = "/apis/apps/v1/replicasets";
const JOBS: &str = "/apis/batch/v1/jobs";
const NETWORK_POLICIES: &str = "/apis/networking.k8s.io/v1/networkpolicies";
const POLICIES: &str = "/apis/tidegate.dev/v1alpha1/migrationpolicies";
const EXCEPTIONS: &str = "/apis/tidegate.dev/v1alpha1/migrationexceptions";
const REPORTS: &str = "/apis/openreports.io/v1alpha1/reports";
const POLICY_REPORTS: &str = "/apis/wgpolicyk8s.io/v1alpha2/policyreports";
const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

fn namespace(server: &FakeCluster, name: &str, labels: &Value) {
    let metadata = json!({"name": name, "labels": labels});
    server.put(NAMESPACES, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}));
}

/// An object that runs a Pod whose initContainer migrates.
fn migrating(kind: &str, namespace: &str, name: &str, owner: Option<(&str, &str)>) -> Value {
    let pod = json!({
        "initContainers": [{"name": "migrate", "image": "registry.example.com/shop:1.2.3",
            "command": ["alembic", "upgrade", "head"],
            "env": [{"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "db", "key": "url"}}}]}],
        "containers": [{"name": "web", "image": "registry.example.com/shop:1.2.3",
            "env": [{"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "db", "key": "url"}}}]}],
    });
    let api_version = if kind == "Pod" { "v1" } else { "apps/v1" };
    let spec = if kind == "Pod" { pod } else { json!({"replicas": 2, "template": {"spec": pod}}) };
    let owners: Vec<_> = owner
        .map(|(kind, uid)| {
            json!({"apiVersion": "apps/v1", "kind": kind, "name": "x", "uid": uid, "controller": true})
        })
        .into_iter()
        .collect();
    json!({"apiVersion": api_version, "kind": kind, "spec": spec, "metadata": {
        "name": name, "namespace": namespace, "uid": format!("{kind}-{namespace}-{name}"),
        "ownerReferences": owners}})
}

/// A hook Job that migrates, and that only the rules over a cluster find something in.
fn job(namespace: &str, name: &str, database: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "annotations": {
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

fn policy(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationPolicy",
        "metadata": {"name": name, "generation": 1}, "spec": spec})
}

fn exception(name: &str, object: &str, expires: &str) -> Value {
    json!({"apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationException",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"rules": ["migration-in-init-container"], "match": {"names": [object]},
            "reason": "an old chart", "ticket": "SHOP-1", "expires": expires}})
}

async fn cluster() -> FakeCluster {
    let server = FakeCluster::start().await;
    namespace(&server, "shop", &json!({"app.kubernetes.io/part-of": "team-shop"}));
    namespace(&server, "other", &json!({}));
    server
}

async fn scanned(server: &FakeCluster, request: &Request) -> Scan {
    let client = server.connection().client().unwrap();
    let base = PolicySet::new(vec![built_in()]);
    let namespace = request.namespace.as_deref();
    let (policies, wrong) = cluster::documents(&client, base, true, namespace).await.unwrap();
    assert_eq!(wrong, Vec::<String>::new());
    cluster::scan(&client, request, policies, None, &|_, _| {}).await.unwrap()
}

fn everything() -> Request {
    Request { config_maps: true, ..Request::default() }
}

fn subjects(scan: &Scan) -> Vec<String> {
    scan.objects.iter().map(|it| format!("{} {}", it.namespace, it.subject())).collect()
}

/// The rules that found something in an object, with what they do now.
fn found<'s>(scan: &'s Scan, subject: &str) -> Vec<(&'s str, Option<Effect>)> {
    let is = |it: &&Scanned| it.subject() == subject;
    let object = scan.objects.iter().find(is).unwrap_or_else(|| panic!("{subject}: {scan:#?}"));
    object.findings.iter().map(|found| (found.rule, found.effect)).collect()
}

fn rules<'s>(scan: &'s Scan, subject: &str) -> BTreeSet<&'s str> {
    found(scan, subject).into_iter().map(|(rule, _)| rule).collect()
}

#[tokio::test]
async fn what_an_owner_made_is_not_judged_again_and_a_forged_owner_hides_nothing() {
    let server = cluster().await;
    server.put(DEPLOYMENTS, migrating("Deployment", "shop", "web", None));
    let owner = ("Deployment", "Deployment-shop-web");
    server.put(REPLICA_SETS, migrating("ReplicaSet", "shop", "web-1", Some(owner)));
    let owner = ("ReplicaSet", "ReplicaSet-shop-web-1");
    server.put(PODS, migrating("Pod", "shop", "web-1-a", Some(owner)));
    // None of these has an owner that was judged.
    for (name, namespace, owner) in [
        ("of-nothing", "shop", ("ReplicaSet", "no-such-uid")),
        ("of-another-kind", "shop", ("StatefulSet", "ReplicaSet-shop-web-1")),
        ("of-another-namespace", "other", ("ReplicaSet", "ReplicaSet-shop-web-1")),
    ] {
        server.put(PODS, migrating("Pod", namespace, name, Some(owner)));
    }
    let scan = scanned(&server, &everything()).await;
    assert_eq!(
        subjects(&scan),
        [
            "other Pod/of-another-namespace",
            "shop Deployment/web",
            "shop Pod/of-another-kind",
            "shop Pod/of-nothing"
        ]
    );
    assert_eq!((scan.counts.judged, scan.counts.children), (4, 2));
    assert_eq!(scan.objects[1].team.as_deref(), Some("team-shop"), "by its namespace");
    assert_eq!(scan.refused(), 4);
    assert_eq!(scan.safe_to_enforce().count(), 0, "they enforce already");
}

#[tokio::test]
async fn what_would_be_refused_is_told_apart_from_what_is() {
    let server = cluster().await;
    namespace(&server, "calm", &json!({"environment": "test"}));
    namespace(&server, "prod", &json!({"environment": "production"}));
    server.put(POLICIES, policy("audit", &json!({"level": "Audit"})));
    let production =
        json!({"match": {"namespaceSelector": {"matchLabels": {"environment": "production"}}}});
    server.put(POLICIES, policy("production", &production));
    server.put(
        POLICIES,
        policy("nothing", &json!({"level": "Off", "match": {"namespaces": ["other"]}})),
    );
    for home in ["shop", "prod", "other"] {
        let mut object = migrating("Deployment", home, "web", None);
        object["metadata"]["labels"] = json!({"app.kubernetes.io/part-of": "web"});
        server.put(DEPLOYMENTS, object);
    }
    let scan = scanned(&server, &everything()).await;
    let of = |home: &str| &scan.namespaces[home];
    assert_eq!((of("shop").refused, of("shop").would_be_refused), (0, 1));
    assert_eq!((of("prod").refused, of("prod").would_be_refused), (1, 1));
    assert_eq!((of("other").refused, of("other").would_be_refused), (0, 1));
    assert_eq!(of("shop").policy.as_deref(), Some("audit"));
    assert!(of("prod").enforces && !of("shop").enforces);
    assert_eq!(scan.safe_to_enforce().collect::<Vec<_>>(), ["calm"]);
    let effects: Vec<_> = scan
        .objects
        .iter()
        .map(|it| (&*it.namespace, it.findings[0].effect, it.findings[0].enforced, it.outcome))
        .collect();
    assert_eq!(
        effects,
        [
            ("other", None, Effect::Refuses, Outcome::Admitted),
            ("prod", Some(Effect::Refuses), Effect::Refuses, Outcome::Refused),
            ("shop", Some(Effect::Audits), Effect::Refuses, Outcome::Admitted),
        ]
    );
    let rule = &scan.rules["migration-in-init-container"];
    assert_eq!((rule.refuses, rule.denials, rule.namespaces.len()), (1, 3, 3));
    let team = &scan.teams[&Some("web".into())];
    assert_eq!((team.refused, team.would_be_refused), (1, 3), "by the label of the object");
}

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
async fn a_finished_job_says_that_it_has_finished() {
    let server = cluster().await;
    let mut done = job("shop", "done", "orders");
    done["spec"]["template"]["spec"]["containers"][0]["securityContext"]["runAsUser"] = json!(0);
    done["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    server.put(JOBS, done);
    let scan = scanned(&server, &everything()).await;
    assert!(rules(&scan, "Job/done").contains("root-migration"));
    assert_eq!(scan.objects[0].finished, Some("succeeded"));
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
async fn exceptions_count_and_those_that_excuse_nothing_are_told() {
    let server = cluster().await;
    server.put(DEPLOYMENTS, migrating("Deployment", "shop", "web", None));
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24)).to_string();
    server.put(EXCEPTIONS, exception("used", "web", &soon));
    server.put(EXCEPTIONS, exception("unused", "gone", &soon));
    server.put(EXCEPTIONS, exception("expired", "web", "2026-01-01T00:00:00Z"));
    let scan = scanned(&server, &everything()).await;
    assert_eq!(
        found(&scan, "Deployment/web"),
        [("migration-in-init-container", Some(Effect::Excepted))]
    );
    assert_eq!((scan.refused(), scan.would_be_refused()), (0, 0));
    let told: Vec<_> = scan.exceptions.iter().map(|it| (it.name.as_str(), it.warns)).collect();
    assert_eq!(told, [("expired", true), ("unused", false)]);
    assert!(scan.exceptions[0].message.contains("expired at 2026-01-01"), "{:?}", scan.exceptions);
}

#[tokio::test]
async fn what_cannot_be_listed_is_told_and_the_rest_is_judged() {
    let server = cluster().await;
    server.put(POLICIES, policy("audit", &json!({"level": "Audit"})));
    server.put(DEPLOYMENTS, migrating("Deployment", "shop", "web", None));
    server.set_forbidden("/apis/apps/v1/statefulsets", true);
    let scan = scanned(&server, &everything()).await;
    assert_eq!(scan.would_be_refused(), 1);
    assert_eq!(scan.errors, ["statefulsets.apps: Forbidden"]);
    assert_eq!(scan.safe_to_enforce().count(), 0, "nobody knows what is not seen");
    assert!(scan.absent.contains(&"rollouts.argoproj.io".to_owned()), "{:?}", scan.absent);
    assert!(!scan.absent.contains(&"deployments.apps".to_owned()));
}

#[tokio::test]
async fn a_part_of_a_cluster_is_a_part() {
    let server = cluster().await;
    server.put(POLICIES, policy("audit", &json!({"level": "Audit"})));
    for home in ["shop", "other"] {
        server.put(DEPLOYMENTS, migrating("Deployment", home, "web", None));
    }
    let one = Request { namespace: Some("shop".to_owned()), ..everything() };
    let scan = scanned(&server, &one).await;
    assert_eq!(subjects(&scan), ["shop Deployment/web"]);
    let outside = server.requests().into_iter().map(|(_, path, _)| path);
    let outside: Vec<_> = outside.filter(|path| !path.contains("/namespaces/shop")).collect();
    assert_eq!(outside, [POLICIES], "nothing else of the cluster is asked for");

    let mut labelled = migrating("Deployment", "other", "labelled", None);
    labelled["metadata"]["labels"] = json!({"app": "web"});
    server.put(DEPLOYMENTS, labelled);
    let some = Request { selector: Some("app=web".to_owned()), ..everything() };
    let scan = scanned(&server, &some).await;
    assert_eq!(subjects(&scan), ["other Deployment/labelled"]);
    assert!(scan.partial);
    assert_eq!(scan.safe_to_enforce().count(), 0);
    let client = server.connection().client().unwrap();
    let gone = Request { namespace: Some("gone".to_owned()), ..everything() };
    let policies = PolicySet::new(vec![built_in()]);
    let error = cluster::scan(&client, &gone, policies, None, &|_, _| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no namespace `gone`");
}

#[tokio::test]
async fn more_than_a_page_is_listed_and_more_than_the_limit_is_counted() {
    let server = cluster().await;
    for number in 0..600 {
        let name = format!("web-{number}");
        server.put(DEPLOYMENTS, migrating("Deployment", "shop", &name, None));
    }
    let options =
        Options { limits: Limits { per_namespace: 100, total: 1_000 }, ..Options::default() };
    let scan = scanned(&server, &Request { options, ..everything() }).await;
    assert_eq!((scan.counts.judged, scan.refused()), (600, 600));
    assert_eq!((scan.objects.len(), scan.counts.left_out), (100, 500));
    assert_eq!(scan.namespaces["shop"].denials, 600);
    let pages = server.requests().into_iter().filter(|(_, path, _)| path == DEPLOYMENTS).count();
    assert_eq!(pages, 3);
}

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
fn pace() -> Pace {
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

/// Runs the binary against the cluster.
async fn run(server: &FakeCluster, name: &str, args: &[&str]) -> (i32, String, String, Folder) {
    let folder = Folder::new("scan", name).with("kubeconfig", server.kubeconfig());
    let args: Vec<String> = ["scan", "--kubeconfig", "kubeconfig"]
        .iter()
        .chain(args)
        .map(|arg| (*arg).to_owned())
        .collect();
    tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = folder.run_with(&args, "", &[("NO_PROXY", "*")]);
        (output.code, output.out, output.err, folder)
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn the_command_tells_people_and_machines_and_its_exit_code() {
    let server = cluster().await;
    server.put(POLICIES, policy("audit", &json!({"level": "Audit"})));
    server.put(DEPLOYMENTS, migrating("Deployment", "shop", "web", None));
    let (code, text, errors, _) = run(&server, "human", &["--color", "never"]).await;
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(
        text.contains("would be refused[migration-in-init-container] shop: Deployment/web"),
        "{text}"
    );
    assert!(text.contains("safe to enforce now: other\n"), "{text}");
    assert!(text.contains("team-shop"), "{text}");
    assert!(
        text.ends_with(
            "1 object judged in 2 namespaces: 0 refused now, 1 if every policy enforced\n"
        ),
        "{text}"
    );

    let outputs = ["json=a.json", "sarif=a.sarif", "html=a.html"];
    let outputs = outputs.map(|output| ["--output", output]).concat();
    let (code, text, _, folder) =
        run(&server, "files", &[&outputs[..], &["--enforced", "--quiet"]].concat()).await;
    assert_eq!(code, 1);
    assert_eq!(text.lines().count(), 1, "{text}");
    let json: Value = serde_json::from_str(&folder.text("a.json")).unwrap();
    let schema: Value =
        serde_json::from_str(&std::fs::read_to_string("docs/scan-schema.json").unwrap()).unwrap();
    assert!(jsonschema::is_valid(&schema, &json));
    assert_eq!(json["safeToEnforce"], json!(["other"]));
    assert_eq!(json["objects"][0]["findings"][0]["effect"], "audit");
    let sarif: Value = serde_json::from_str(&folder.text("a.sarif")).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["level"], "error");
    let html = folder.text("a.html");
    assert!(html.contains("<h1>1 object would be refused</h1>"), "{html}");

    let policy =
        "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationPolicy\nmetadata: {name: mine}\n";
    let folder = Folder::new("scan", "policy-file").with("policy.yaml", policy);
    let file = folder.0.join("policy.yaml").display().to_string();
    let (code, _, _, _) = run(&server, "policy", &["--policy", &file]).await;
    assert_eq!(code, 1, "the file replaces the policy that only audits");
}

#[tokio::test]
async fn the_command_says_what_it_could_not_do() {
    let server = cluster().await;
    let (code, _, errors, _) = run(&server, "publish", &["--publish"]).await;
    assert_eq!(code, 2);
    assert!(
        errors.contains("neither openreports.io/v1alpha1 nor wgpolicyk8s.io/v1alpha2"),
        "{errors}"
    );
    server.put(POLICIES, policy("bad", &json!({"level": "Audits"})));
    let (code, text, _, _) = run(&server, "bad", &[]).await;
    assert_eq!(code, 2);
    assert!(text.contains("MigrationPolicy bad is not in force: spec.level"), "{text}");
    server.set_forbidden(POLICIES, true);
    let (code, _, errors, _) = run(&server, "forbidden", &[]).await;
    assert_eq!(code, 2);
    assert!(errors.contains("the policies of the cluster cannot be read"), "{errors}");
    let (code, _, errors, _) = run(&server, "context", &["--context", "gone"]).await;
    assert_eq!(code, 2);
    assert!(errors.contains("the kubeconfig cannot be used"), "{errors}");
}

#[tokio::test]
async fn the_command_publishes_what_it_found() {
    let server = cluster().await;
    server.install(REPORTS, "Report");
    server.put(DEPLOYMENTS, migrating("Deployment", "shop", "web", None));
    let (code, text, _, _) = run(&server, "published", &["--publish"]).await;
    assert_eq!(code, 1);
    assert!(text.ends_with("reports: 1 written, 0 unchanged, 0 deleted, 0 failed\n"), "{text}");
    assert!(server.get(REPORTS, "shop", "tidegate-00").is_some());
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
    let digest = tidegate::policy::digest(&tidegate::model::Object::parse(&object).unwrap());
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
