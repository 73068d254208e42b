//! `tidegate scan` and policy reports, against an API server without a cluster.

mod around;
mod command;
mod objects;
mod reports;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tidegate::{
    cluster::{self, Request},
    decision::Effect,
    policy::{PolicySet, built_in},
    scan::{Scan, Scanned},
};

use crate::fake_cluster::FakeCluster;

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
