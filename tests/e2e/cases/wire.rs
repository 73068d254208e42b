//! What the API server itself says about its calls to tidegate.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use crate::e2e::{manifests, namespace::Namespace, process::poll, world::World};

/// The sum of the API server's metric `name` over the series that have all of `labels`.
fn metric(world: &World, name: &str, labels: &[&str]) -> f64 {
    let metrics = world.cluster.kubectl(&["get", "--raw", "/metrics"]).done().stdout;
    let series = metrics.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    });
    series.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

/// Asserts that no match condition and no patch of ours failed in the API server.
fn no_errors(world: &World) {
    let conditions = "apiserver_admission_match_condition_evaluation_errors_total";
    assert!(metric(world, conditions, &[]).abs() < 0.5, "a match condition failed");
    let rejections = "apiserver_admission_webhook_rejection_count";
    let broken = metric(world, rejections, &["error_type=\"apiserver_internal_error\""]);
    assert!(broken.abs() < 0.5, "a patch could not be applied");
}

/// How often tidegate was asked about `operation`.
fn asked(world: &World, operation: &str) -> f64 {
    let name = "apiserver_admission_webhook_admission_duration_seconds_count";
    metric(world, name, &[".tidegate.dev\"", &format!("operation=\"{operation}\"")])
}

/// One clean object of every built-in kind that runs Pods, and where the Pod's spec stands in it.
fn kinds() -> Vec<(&'static str, &'static str, Value)> {
    let template = manifests::deployment(&[])["spec"]["template"].clone();
    let apps = |kind: &str| {
        let mut object = manifests::deployment(&[]);
        object["kind"] = kind.into();
        object
    };
    let mut daemon_set = apps("DaemonSet");
    daemon_set["spec"].as_object_mut().unwrap().remove("replicas");
    let job = manifests::plain_job("shop");
    let cron_job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "shop"},
        "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job["spec"]}},
    });
    let pod_template = json!({
        "apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "shop"},
        "template": template,
    });
    let replication = json!({
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "shop"},
        "spec": {"replicas": 0, "template": template},
    });
    vec![
        ("pod", "/spec", manifests::pod()),
        ("podtemplate", "/template/spec", pod_template),
        ("replicationcontroller", "/spec/template/spec", replication),
        ("deployment", "/spec/template/spec", apps("Deployment")),
        ("statefulset", "/spec/template/spec", apps("StatefulSet")),
        ("daemonset", "/spec/template/spec", daemon_set),
        ("replicaset", "/spec/template/spec", apps("ReplicaSet")),
        ("job", "/spec/template/spec", job),
        ("cronjob", "/spec/jobTemplate/spec/template/spec", cron_job),
    ]
}

/// What the audit log keeps of the verdicts in a namespace, by outcome.
fn audited(world: &World, namespace: &str) -> BTreeMap<String, Value> {
    let requests = world.cluster.audit().into_iter();
    requests
        .filter(|request| request["objectRef"]["namespace"] == namespace)
        .map(|request| request["annotations"].clone())
        .filter_map(|kept| Some((kept["validate.tidegate.dev/outcome"].as_str()?.to_owned(), kept)))
        .collect()
}

pub(super) fn every_kind(world: &World) {
    let drop_orders = json!([{
        "name": "drop", "image": "postgres:17", "command": ["psql", "-c", "DROP TABLE orders"],
    }]);
    for (kind, place, clean) in kinds() {
        // Apart, or one would adopt the Pods of another.
        let space = format!("every-kind-{kind}");
        let namespace = world.namespace(&space);
        let mut bad = clean.clone();
        bad.pointer_mut(place).unwrap()["initContainers"] = drop_orders.clone();
        namespace.make(&bad).refused_for("unapproved-destructive-migration");
        namespace.make(&clean).warned(&[]);
        // What these two run cannot be changed at all.
        if !matches!(kind, "pod" | "job") {
            let answer = namespace.kubectl_with(&["replace", "-f", "-"], &bad.to_string());
            answer.refused_for("unapproved-destructive-migration");
        }
        let name = format!("{kind}/shop");
        namespace.kubectl(&["annotate", &name, "example.com/owner=shop"]).warned(&[]);
        namespace.kubectl(&["delete", &name, "--wait=false"]).done();
        let told = poll("the audit log tells of both", Duration::from_secs(10), || {
            let kept = audited(world, &space);
            let both = ["refused", "admitted"].iter().all(|outcome| kept.contains_key(*outcome));
            if both { Ok(kept) } else { Err(format!("{kept:?}")) }
        });
        let told = told.unwrap_or_else(|error| panic!("{kind}: {error}"));
        let rules = told["refused"]["validate.tidegate.dev/denied-rules"].as_str();
        assert!(
            rules.is_some_and(|it| it.contains("unapproved-destructive-migration")),
            "{told:?}"
        );
        assert!(told.values().all(|it| it["validate.tidegate.dev/policy"].is_string()), "{told:?}");
    }
    let evaluated = "apiserver_admission_match_condition_evaluation_seconds_count";
    assert!(
        metric(world, evaluated, &[".tidegate.dev\""]) > 0.5,
        "no match condition was evaluated"
    );
    no_errors(world);
}

/// As much of Argo Rollouts as an API server needs.
fn rollouts() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "rollouts.argoproj.io"},
        "spec": {
            "group": "argoproj.io", "scope": "Namespaced",
            "names": {"kind": "Rollout", "plural": "rollouts", "singular": "rollout"},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                }},
            }],
        },
    })
}

pub(super) fn custom_resource(world: &World) {
    let namespace = world.namespace("custom-resource");
    namespace.make(&rollouts()).done();
    let name = "customresourcedefinition/rollouts.argoproj.io";
    namespace.kubectl(&["wait", "--for=condition=established", name, "--timeout=60s"]).done();
    let mut rollout = manifests::deployment(&[manifests::migrating("migrate")]);
    rollout["apiVersion"] = "argoproj.io/v1alpha1".into();
    rollout["kind"] = "Rollout".into();
    namespace.make(&rollout).refused(&["migration-in-init-container"]);
    rollout["spec"]["template"]["spec"]["initContainers"] = json!([]);
    namespace.make(&rollout).warned(&[]);
    no_errors(world);
}

/// Connecting to a Pod without a node fails, but not in admission.
fn connect(namespace: &Namespace<'_>) {
    let answer = namespace.kubectl(&["exec", "pod/shop", "--", "true"]);
    assert!(!answer.success && !answer.stderr.contains("admission"), "{answer}");
    assert!(answer.stderr.contains("does not have a host assigned"), "{answer}");
}

pub(super) fn unasked(world: &World) {
    let namespace = world.namespace("unasked");
    namespace.make(&manifests::pod()).done();
    connect(&namespace);
    namespace.kubectl(&["delete", "pod/shop", "--grace-period=0", "--force"]).done();
    for operation in ["DELETE", "CONNECT"] {
        assert!(asked(world, operation).abs() < 0.5, "{operation} was asked about");
    }
    assert!(asked(world, "CREATE") > 0.5, "the metric has another name");
    no_errors(world);
}
