//! The webhook configurations belong to whoever runs the cluster: what others change in them stays, and
//! what is taken away stays away.

use std::time::Duration;

use serde_json::{Value, json};

use super::{certificates, lifecycle::until_refused};
use crate::e2e::{
    manifests,
    namespace::Namespace,
    process::poll,
    site::{NAMESPACE, Site},
};

pub(super) const KINDS: [&str; 2] =
    ["validatingwebhookconfiguration", "mutatingwebhookconfiguration"];
const LIMIT: Duration = Duration::from_mins(2);

pub(super) fn configuration(site: &Site, kind: &str) -> Value {
    site.cluster.kubectl(&["get", kind, "tidegate", "-o", "json"]).json()
}

pub(super) fn patch(site: &Site, kind: &str, manager: &str, patch: &Value) {
    let manager = format!("--field-manager={manager}");
    let args = ["patch", kind, "tidegate", &manager, "--type=json", "-p", &patch.to_string()];
    site.cluster.kubectl(&args).done();
}

/// What AKS's admission enforcer writes into webhook configurations.
fn edited_by_the_platform(site: &Site) {
    let expression = |key: &str| json!({"key": key, "operator": "DoesNotExist"});
    for kind in KINDS {
        let at = "/webhooks/0/namespaceSelector/matchExpressions/-";
        let edit = json!([
            {"op": "add", "path": at, "value": expression("control-plane")},
            {"op": "add", "path": at, "value": {"key": "kubernetes.azure.com/managedby",
                "operator": "NotIn", "values": ["aks"]}},
            {"op": "add", "path": "/metadata/labels/kubernetes.azure.com~1managedby", "value": "aks"},
            {"op": "add", "path": "/metadata/annotations/admissionsenforcer", "value": "done"},
        ]);
        patch(site, kind, "admissionsenforcer", &edit);
    }
}

fn has_the_edits(configuration: &Value) -> bool {
    let expressions =
        configuration["webhooks"][0]["namespaceSelector"]["matchExpressions"].to_string();
    expressions.contains("control-plane")
        && expressions.contains("kubernetes.azure.com/managedby")
        && configuration["metadata"]["annotations"]["admissionsenforcer"] == "done"
}

/// Waits until the certificate was replaced so often; every time everything was compared before.
pub(super) fn turns(site: &Site, count: usize) {
    let mut seen = std::collections::BTreeSet::new();
    let turned = poll("certificates are replaced", LIMIT, || {
        seen.insert(certificates::kept(site).0);
        if seen.len() > count { Ok(()) } else { Err(format!("{} certificates", seen.len())) }
    });
    turned.unwrap_or_else(|error| panic!("{error}\n{}", site.node.logs()));
}

pub(super) fn bundles(configuration: &Value) -> Vec<&str> {
    let webhooks = configuration["webhooks"].as_array().unwrap().iter();
    webhooks.map(|it| it["clientConfig"]["caBundle"].as_str().unwrap_or_default()).collect()
}

pub(super) fn injected(site: &Site, kind: &str) {
    let there = poll("the authority is there", LIMIT, || {
        let now = configuration(site, kind);
        if bundles(&now).iter().all(|bundle| !bundle.is_empty()) {
            Ok(())
        } else {
            Err(now.to_string())
        }
    });
    there.unwrap();
}

pub(super) fn registration(site: &Site) {
    // An authority that outlives the case: only the certificate is replaced.
    let values = "replicas=2,extraArgs={--tls-lifetime=90s,--tls-ca-lifetime=1h}";
    site.install(values);
    site.upgrade("production", values);
    site.settled();
    let namespace = Namespace::create(&site.cluster, "probe", None);
    until_refused(&namespace);
    edits(site, &namespace, values);
    switched_off(site);
    way_out(site, &namespace, values);
    assert!(site.node.ended_well() >= 2, "the way out replaced them all");
}

fn edits(site: &Site, namespace: &Namespace<'_>, values: &str) {
    edited_by_the_platform(site);
    let before = KINDS.map(|kind| configuration(site, kind));
    assert!(before.iter().all(has_the_edits), "{before:?}");
    turns(site, 1);
    for (kind, before) in KINDS.iter().zip(&before) {
        let after = configuration(site, kind);
        assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
    }
    // What is of the platform is let alone, as it wants; everything else is not.
    let platform = Namespace::create(&site.cluster, "platform", Some("control-plane=true"));
    platform.make(&manifests::deployment(&[manifests::migrating("migrate")])).done();
    until_refused(namespace);
    // Injection, where it has to write, writes nothing else.
    for kind in KINDS {
        let gone: Vec<Value> = (0..2)
            .map(|at| json!({"op": "remove", "path": format!("/webhooks/{at}/clientConfig/caBundle")}))
            .collect();
        patch(site, kind, "somebody", &gone.into());
        injected(site, kind);
        assert!(has_the_edits(&configuration(site, kind)));
    }
    until_refused(namespace);
    // docs/upgrade.md: Helm 4 does not write over what somebody else has changed until it is told to,
    // Helm 3 does.
    if site.helm(&["version", "--short"]).done().stdout.contains("v4.") {
        let refused = site.try_upgrade("production", values, &[]);
        assert!(!refused.success && refused.stderr.contains("conflict with"), "{refused}");
        assert!(KINDS.iter().all(|kind| has_the_edits(&configuration(site, kind))));
        site.try_upgrade("production", values, &["--force-conflicts"]).done();
    } else {
        site.upgrade("production", values);
    }
    assert!(!KINDS.iter().any(|kind| has_the_edits(&configuration(site, kind))));
    site.settled();
    until_refused(namespace);
}

/// `tidegate.dev/inject-ca: "false"`: hands off.
fn switched_off(site: &Site) {
    let kind = KINDS[0];
    let switch = |value: &str| {
        let value = format!("tidegate.dev/inject-ca{value}");
        site.cluster.kubectl(&["annotate", kind, "tidegate", &value]).done();
    };
    switch("=false");
    let other =
        json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": "LS0t"}]);
    patch(site, kind, "somebody", &other);
    turns(site, 1);
    assert_eq!(bundles(&configuration(site, kind))[0], "LS0t");
    switch("-");
    let back = poll("the authority is back", LIMIT, || {
        let now = configuration(site, kind);
        if bundles(&now)[0] == "LS0t" { Err(now.to_string()) } else { Ok(()) }
    });
    back.unwrap();
}

fn way_out(site: &Site, namespace: &Namespace<'_>, values: &str) {
    site.break_glass();
    let bad = manifests::deployment(&[manifests::migrating("migrate")]);
    let open = poll("everything is let in", Duration::from_secs(10), || {
        let answer = namespace.dry_run(&bad);
        if answer.success { Ok(()) } else { Err(answer.to_string()) }
    });
    open.unwrap();
    let absent = || {
        for kind in KINDS {
            let found = site.cluster.kubectl(&["get", kind, "--ignore-not-found", "-o", "name"]);
            assert_eq!(found.done().stdout, "", "{kind} is back");
        }
    };
    absent();
    // Another leader, new processes, a new certificate: still nothing.
    site.cluster.kubectl(&["rollout", "restart", "deployment/tidegate", "-n", NAMESPACE]).done();
    let status = ["rollout", "status", "deployment/tidegate", "-n", NAMESPACE, "--timeout=120s"];
    site.cluster.kubectl(&status).done();
    site.settled();
    turns(site, 1);
    absent();
    namespace.dry_run(&bad).done();
    // docs/runbook.md: back by `helm upgrade` with the values.
    site.upgrade("production", values);
    for kind in KINDS {
        injected(site, kind);
    }
    until_refused(namespace);
}
