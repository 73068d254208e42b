//! No server is left, and the registration is still there: what a cluster needs to come back is let in,
//! and there is a way out.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    lifecycle::until_refused,
    registration::{KINDS, injected},
};
use crate::e2e::{
    manifests,
    namespace::Namespace,
    process::poll,
    site::{NAMESPACE, Site},
};

const LIMIT: Duration = Duration::from_mins(2);
const VALUES: &str = "replicas=2";
const DEPLOYMENT: &str = "deployment/tidegate";

fn in_release(site: &Site, args: &[&str]) {
    site.cluster.kubectl(&[&["-n", NAMESPACE], args].concat()).done();
}

fn scaled(site: &Site, replicas: usize) {
    in_release(site, &["scale", DEPLOYMENT, &format!("--replicas={replicas}")]);
    let there = poll("the Pods of the release", LIMIT, || {
        let pods = site.pods().len();
        if pods == replicas { Ok(()) } else { Err(format!("{pods} Pods")) }
    });
    there.unwrap_or_else(|error| panic!("{error}\n{}", site.node.logs()));
}

/// That the registration fails closed, and nobody is there to ask.
fn is_locked(namespace: &Namespace<'_>) {
    let answer = namespace.dry_run(&manifests::migration_job("locked"));
    let failed = "failed calling webhook \"validate.tidegate.dev\"";
    assert!(!answer.success && answer.stderr.contains(failed), "{answer}");
}

fn is_open(namespace: &Namespace<'_>) {
    let mut bad = manifests::deployment(&[manifests::migrating("migrate")]);
    bad["metadata"]["name"] = "open".into();
    let open = poll("everything is let in", LIMIT, || {
        let answer = namespace.dry_run(&bad);
        if answer.success { Ok(()) } else { Err(answer.to_string()) }
    });
    open.unwrap();
    namespace.dry_run(&manifests::migration_job("open")).done();
}

fn is_registered(site: &Site) -> bool {
    KINDS.iter().any(|kind| {
        let args = ["get", kind, "tidegate", "--ignore-not-found", "-o", "name"];
        !site.cluster.kubectl(&args).done().stdout.is_empty()
    })
}

fn registered(site: &Site, namespace: &Namespace<'_>) {
    site.upgrade("production", VALUES);
    for kind in KINDS {
        injected(site, kind);
    }
    site.settled();
    until_refused(namespace);
}

/// A request for a certificate, as a kubelet makes one that starts.
fn signing_request() -> Value {
    use base64::Engine as _;
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(rcgen::DnType::CommonName, "system:node:new");
    let key = rcgen::KeyPair::generate().unwrap();
    let text = params.serialize_request(&key).unwrap().pem().unwrap();
    json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": "node-new"},
        "spec": {
            "request": base64::prelude::BASE64_STANDARD.encode(text),
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "usages": ["digital signature", "client auth"],
        },
    })
}

/// What nodes and the parts of a cluster do when they start.
fn a_cluster_starts(site: &Site, round: &str) {
    let make = |object: &Value| {
        site.cluster.kubectl_with(&["create", "-f", "-"], &object.to_string()).done();
    };
    let name = format!("new-{round}");
    make(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}));
    let status = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    let (node, status) = (format!("node/{name}"), status.to_string());
    site.cluster.kubectl(&["patch", &node, "--subresource=status", "-p", &status]).done();
    make(&json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"}}));
    let mut request = signing_request();
    request["metadata"]["name"] = name.clone().into();
    make(&request);
    site.cluster.kubectl(&["certificate", "approve", &name]).done();
    for object in [manifests::plain_job(&name), manifests::migration_job(&format!("hook-{round}"))]
    {
        Namespace::existing(&site.cluster, "kube-system").make(&object).done();
    }
    let mut agent = manifests::deployment(&[]);
    agent["kind"] = "DaemonSet".into();
    agent["metadata"]["name"] = name.clone().into();
    agent["spec"].as_object_mut().unwrap().remove("replicas");
    Namespace::existing(&site.cluster, "kube-system").make(&agent).done();
    let namespace = Namespace::create(&site.cluster, &name, None);
    namespace.make(&manifests::config_map("during")).done();
}

/// The Pods of an application that was let in before are made anew.
fn pods_come_back(namespace: &Namespace<'_>) {
    let names = || -> Vec<String> {
        let pods = namespace.kubectl(&["get", "pods", "-l", "app=shop", "-o", "name"]).done();
        pods.stdout.lines().map(str::to_owned).collect()
    };
    let old = names();
    namespace.kubectl(&["delete", "pods", "-l", "app=shop", "--force", "--grace-period=0"]).done();
    let back = poll("Pods in the place of those that are gone", LIMIT, || {
        let new = names();
        let fresh = new.iter().all(|name| !old.contains(name));
        if fresh && new.len() == 2 { Ok(()) } else { Err(format!("{new:?}")) }
    });
    back.unwrap();
}

pub(super) fn lockout(site: &Site) {
    site.install(VALUES);
    site.upgrade("production", VALUES);
    site.settled();
    let namespace = Namespace::create(&site.cluster, "probe", None);
    until_refused(&namespace);
    let mut admitted = manifests::deployment(&[]);
    admitted["metadata"]["name"] = "admitted".into();
    namespace.make(&admitted).done();
    let ready = poll("its Pods", LIMIT, || {
        let pods = namespace.kubectl(&["get", "pods", "-l", "app=shop", "-o", "name"]).done();
        if pods.stdout.lines().count() == 2 { Ok(()) } else { Err(pods.stdout) }
    });
    ready.unwrap();

    // Every replica is gone, and the API server starts anew, as after a power cut.
    scaled(site, 0);
    is_locked(&namespace);
    a_cluster_starts(site, "first");
    pods_come_back(&namespace);
    site.cluster.restart_apiserver();
    is_locked(&namespace);
    a_cluster_starts(site, "second");
    // Its own objects can be changed, and its own Pods are let in: the way back needs nobody's help.
    in_release(site, &["patch", DEPLOYMENT, "-p", r#"{"spec":{"minReadySeconds":1}}"#]);
    in_release(site, &["patch", DEPLOYMENT, "-p", r#"{"spec":{"minReadySeconds":0}}"#]);
    scaled(site, 2);
    site.settled();
    until_refused(&namespace);

    break_glass(site, &namespace);
    either_order(site, &namespace);
}

/// The one-line way out with nobody there; and the servers that come back do not undo it.
fn break_glass(site: &Site, namespace: &Namespace<'_>) {
    scaled(site, 0);
    is_locked(namespace);
    site.break_glass();
    is_open(namespace);
    scaled(site, 2);
    site.settled();
    assert!(!is_registered(site), "they came back with the servers");
    is_open(namespace);
    registered(site, namespace);
}

/// Uninstalled in the order of the page, and in the one that everybody warns of.
fn either_order(site: &Site, namespace: &Namespace<'_>) {
    let nothing_left = || {
        assert!(!is_registered(site));
        is_open(namespace);
        let gone = poll("the namespace of the release is gone", LIMIT, || {
            let args = ["get", "namespace", NAMESPACE, "--ignore-not-found", "-o", "name"];
            let found = site.cluster.kubectl(&args).done().stdout;
            if found.is_empty() { Ok(()) } else { Err(found) }
        });
        gone.unwrap_or_else(|error| panic!("{error}\n{}", site.node.logs()));
    };
    // The namespace goes first, with the servers in it, and the registration stays behind.
    site.cluster.kubectl(&["delete", "namespace", NAMESPACE]).done();
    is_locked(namespace);
    site.break_glass();
    nothing_left();
    // What is left of the release is taken over by the next.
    site.install(VALUES);
    registered(site, namespace);
    site.helm(&["uninstall", "tidegate"]).done();
    site.cluster.kubectl(&["delete", "namespace", NAMESPACE]).done();
    nothing_left();
}
