//! What Argo CD is refused is told at its Application.

use std::time::Duration;

use serde_json::{Value, json};

use super::lifecycle::until_refused;
use crate::e2e::{
    cluster::Cluster,
    manifests,
    namespace::Namespace,
    process::poll,
    site::{NAMESPACE, Site},
    world::World,
};

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

/// Argo CD's namespace with an Application, and the one that it deploys to.
struct Shop<'c> {
    argocd: Namespace<'c>,
    shop: Namespace<'c>,
}

impl<'c> Shop<'c> {
    fn open(cluster: &'c Cluster) -> Self {
        cluster.kubectl_with(&["apply", "-f", "-"], &definition().to_string()).done();
        let wait = ["wait", "--for=condition=Established", "--timeout=60s"];
        cluster.kubectl(&[&wait[..], &["crd/applications.argoproj.io"]].concat()).done();
        let argocd = Namespace::create(cluster, "argocd", None);
        let shop = Namespace::create(cluster, "argocd-shop", None);
        let application = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "shop"}, "spec": {}});
        let made = poll("the kind is served", LIMIT, || {
            let answer = argocd.make(&application);
            if answer.success { Ok(()) } else { Err(answer.to_string()) }
        });
        made.unwrap();
        let account = "--serviceaccount=argocd:argocd-application-controller";
        shop.kubectl(&["create", "rolebinding", "argocd", "--clusterrole=admin", account]).done();
        Self { argocd, shop }
    }

    /// A Job of the Application that is refused.
    fn job(name: &str) -> Value {
        let mut job = manifests::migration_job(name);
        job["spec"]["template"]["spec"]["containers"][0]["securityContext"] =
            json!({"runAsUser": 0});
        job["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] =
            format!("shop:batch/Job:argocd-shop/{name}").into();
        job
    }

    fn refused_to_argocd(&self, job: &Value) {
        let controller = "--as=system:serviceaccount:argocd:argocd-application-controller";
        let answer = self.shop.kubectl_with(&[controller, "create", "-f", "-"], &job.to_string());
        answer.refused(&["root-migration"]);
    }

    /// The Event at the Application, once there is one.
    fn told(&self) -> Value {
        let events = poll("an Event at the Application", LIMIT, || {
            let found = refusals(&self.argocd);
            if found.is_empty() { Err("none".to_owned()) } else { Ok(found) }
        });
        let events = events.unwrap();
        assert_eq!(events.len(), 1, "{events:?}");
        let about = &events[0]["involvedObject"];
        assert_eq!((&about["kind"], &about["name"]), (&json!("Application"), &json!("shop")));
        assert_eq!(about["uid"], self.argocd.get("applications/shop")["metadata"]["uid"]);
        events[0].clone()
    }
}

pub(super) fn application(world: &World) {
    let here = Shop::open(&world.cluster);
    let mut job = Shop::job("root");
    // Whoever else writes the annotation writes nothing at the Application.
    here.shop.make(&job).refused(&["root-migration"]);
    job["spec"]["backoffLimit"] = 1.into();
    here.refused_to_argocd(&job);
    let event = here.told();
    let message = event["message"].as_str().unwrap();
    assert!(message.starts_with("root-migration: Job/root "), "{message}");
    assert!(!refusals(&here.shop).is_empty(), "it is told in the namespace of the Job as well");
}

/// The right to read Applications is in the role where a value asks for it, and is enough.
pub(super) fn rights(site: &Site) {
    let here = Shop::open(&site.cluster);
    let install = |values: &str| {
        site.upgrade("production", values);
        site.settled();
    };
    site.install("replicas=1");
    install("replicas=1");
    until_refused(&here.shop);
    assert!(may_read(site), "the value is there by default");
    here.refused_to_argocd(&Shop::job("first"));
    let event = here.told();
    assert_eq!(event["reportingComponent"], "tidegate", "{event}");

    install("replicas=1,events.argocdNamespace=");
    assert!(!may_read(site), "nobody asked for it");
    // One after the other is told: when the last is, what belongs to those before it is, too.
    for name in ["second", "third"] {
        here.refused_to_argocd(&Shop::job(name));
        let told = poll("an Event in the namespace of the Job", LIMIT, || {
            let about = format!("root-migration: Job/{name} ");
            let found = refusals(&here.shop);
            let is_it = |it: &Value| it["message"].as_str().unwrap().starts_with(&about);
            if found.iter().any(is_it) { Ok(()) } else { Err(format!("{found:?}")) }
        });
        told.unwrap();
    }
    assert_eq!(here.told(), event, "nothing more is told at the Application");
    let logs = site.node.logs();
    assert!(!logs.contains("orbidden"), "it asks for nothing that it may not:\n{logs}");
}

/// Whether the account of the servers may read Applications, as the API server sees it.
fn may_read(site: &Site) -> bool {
    let user = format!("--as=system:serviceaccount:{NAMESPACE}:tidegate");
    let may = |verb| {
        let args = ["auth", "can-i", verb, "applications.argoproj.io", &user, "-n=argocd"];
        site.cluster.kubectl(&args).stdout.trim() == "yes"
    };
    assert!(!may("list") && !may("patch"), "more than it needs");
    may("get")
}

fn refusals(namespace: &Namespace<'_>) -> Vec<Value> {
    let list = namespace.kubectl(&["get", "events", "-o", "json"]).json();
    let all = list["items"].as_array().unwrap().iter();
    all.filter(|it| it["reason"] == "MigrationRefused").cloned().collect()
}
