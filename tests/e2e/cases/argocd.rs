//! What Argo CD is refused is told at its Application.

use std::time::Duration;

use serde_json::{Value, json};

use crate::e2e::{manifests, namespace::Namespace, process::poll, world::World};

/// How long an Event may take.
const LIMIT: Duration = Duration::from_mins(1);

/// As much of the definition as anybody here needs.
fn definition() -> Value {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "applications.argoproj.io"},
        "spec": {"group": "argoproj.io", "scope": "Namespaced",
            "names": {"kind": "Application", "plural": "applications"},
            "versions": [{"name": "v1alpha1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema}}]}})
}

pub(super) fn application(world: &World) {
    let cluster = &world.cluster;
    cluster.kubectl_with(&["apply", "-f", "-"], &definition().to_string()).done();
    let wait = ["wait", "--for=condition=Established", "--timeout=60s"];
    cluster.kubectl(&[&wait[..], &["crd/applications.argoproj.io"]].concat()).done();
    let (argocd, shop) = (world.namespace("argocd"), world.namespace("argocd-shop"));
    let application = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "shop"}, "spec": {}});
    let made = poll("the kind is served", LIMIT, || {
        let answer = argocd.make(&application);
        if answer.success { Ok(()) } else { Err(answer.to_string()) }
    });
    made.unwrap();
    let account = "--serviceaccount=argocd:argocd-application-controller";
    shop.kubectl(&["create", "rolebinding", "argocd", "--clusterrole=admin", account]).done();

    let mut job = manifests::migration_job("root");
    job["spec"]["template"]["spec"]["containers"][0]["securityContext"] = json!({"runAsUser": 0});
    job["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] =
        "shop:batch/Job:argocd-shop/root".into();
    // Whoever else writes the annotation writes nothing at the Application.
    shop.make(&job).refused(&["root-migration"]);
    let controller = "--as=system:serviceaccount:argocd:argocd-application-controller";
    job["spec"]["backoffLimit"] = 1.into();
    let by_argocd = shop.kubectl_with(&[controller, "create", "-f", "-"], &job.to_string());
    by_argocd.refused(&["root-migration"]);

    let events = poll("an Event at the Application", LIMIT, || {
        let found = refusals(&argocd);
        if found.is_empty() { Err("none".to_owned()) } else { Ok(found) }
    });
    let events = events.unwrap();
    assert_eq!(events.len(), 1, "{events:?}");
    let about = &events[0]["involvedObject"];
    assert_eq!((&about["kind"], &about["name"]), (&json!("Application"), &json!("shop")));
    assert_eq!(about["uid"], argocd.get("applications/shop")["metadata"]["uid"]);
    let message = events[0]["message"].as_str().unwrap();
    assert!(message.starts_with("root-migration: Job/root "), "{message}");
    assert!(!refusals(&shop).is_empty(), "it is told in the namespace of the Job as well");
}

fn refusals(namespace: &Namespace<'_>) -> Vec<Value> {
    let list = namespace.kubectl(&["get", "events", "-o", "json"]).json();
    let all = list["items"].as_array().unwrap().iter();
    all.filter(|it| it["reason"] == "MigrationRefused").cloned().collect()
}
