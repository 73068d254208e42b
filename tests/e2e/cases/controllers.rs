//! What Kubernetes' own controllers make of what was admitted.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::e2e::{manifests, namespace::Namespace, process::poll, world::World};

const LIMIT: Duration = Duration::from_mins(1);

/// Waits until there are `count` objects of `kind` with the label `selector`.
#[track_caller]
fn wait_for(namespace: &Namespace<'_>, kind: &str, selector: &str, count: usize) -> Vec<Value> {
    let what = format!("{count} {kind} with {selector} in {}", namespace.name());
    let found = poll(&what, LIMIT, || {
        let list = namespace.kubectl(&["get", kind, "-l", selector, "-o", "json"]).json();
        let items = list["items"].as_array().unwrap().clone();
        if items.len() == count {
            return Ok(items);
        }
        let events = namespace.kubectl(&["get", "events"]).stdout;
        Err(format!("{} are there\n{events}", items.len()))
    });
    found.unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn deployment(world: &World) {
    let namespace = world.namespace("controllers-deployment");
    namespace.make(&manifests::deployment(&[])).done();
    wait_for(&namespace, "pods", "app=shop", 2);
    namespace.kubectl(&["scale", "deployment/shop", "--replicas=3"]).done();
    wait_for(&namespace, "pods", "app=shop", 3);
}

pub(super) fn existing_violation(world: &World) {
    let namespace = world.watched_namespace("controllers-existing");
    namespace.make(&manifests::deployment(&[manifests::migrating("migrate")])).done();
    wait_for(&namespace, "replicasets", "app=shop", 1);
    namespace.enforce();
    namespace.kubectl(&["rollout", "restart", "deployment/shop"]).done();
    let sets = wait_for(&namespace, "replicasets", "app=shop", 2);
    for set in sets {
        let hash = set["metadata"]["labels"]["pod-template-hash"].as_str().unwrap();
        let selector = format!("pod-template-hash={hash}");
        poll("its Pods", LIMIT, || {
            let pods = namespace.kubectl(&["get", "pods", "-l", &selector, "-o", "name"]).done();
            if pods.stdout.is_empty() { Err("none".to_owned()) } else { Ok(()) }
        })
        .unwrap();
    }
}

pub(super) fn cron_job(world: &World) {
    let namespace = world.namespace("controllers-cron-job");
    let backfill = json!({
        "name": "backfill", "image": "postgres:17",
        "command": ["psql", "-c", "UPDATE orders SET note = '' WHERE note IS NULL"],
    });
    let mut job = manifests::hook_job("backfill", &backfill);
    job["spec"]["activeDeadlineSeconds"] = 600.into();
    job["spec"]["template"]["metadata"] = json!({"labels": {"app": "backfill"}});
    job["spec"]["template"]["spec"]["securityContext"] =
        json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    job["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({
        "requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"},
    });
    let cron_job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "backfill"},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": job["spec"]}},
    });
    namespace.make(&cron_job).done();
    // It last ran two minutes ago, so that it is due now.
    let before = Timestamp::now() - SignedDuration::from_mins(2);
    let before = before.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let status = json!({"status": {"lastScheduleTime": before}}).to_string();
    let args = ["patch", "cronjob/backfill", "--subresource=status", "-p", &status];
    namespace.kubectl(&args).done();
    let pods = wait_for(&namespace, "pods", "app=backfill", 1);
    assert_eq!(pods[0]["metadata"]["ownerReferences"][0]["kind"], "Job");
}

pub(super) fn hook_job(world: &World) {
    let namespace = world.namespace("controllers-hook-job");
    namespace.make(&manifests::migration_job("migrate")).done();
    let pods = wait_for(&namespace, "pods", "tidegate.dev/migration=true", 1);
    assert_eq!(pods[0]["spec"]["automountServiceAccountToken"], false);
    // There is no kubelet to run it.
    let pod = format!("pod/{}", pods[0]["metadata"]["name"].as_str().unwrap());
    let status = json!({"status": {"phase": "Succeeded"}}).to_string();
    namespace.kubectl(&["patch", &pod, "--subresource=status", "-p", &status]).done();
    namespace.kubectl(&["wait", "--for=condition=complete", "job/migrate", "--timeout=60s"]).done();
}

pub(super) fn deletion(world: &World) {
    let namespace = world.watched_namespace("controllers-deletion");
    namespace.make(&manifests::deployment(&[manifests::migrating("migrate")])).done();
    namespace.make(&manifests::sql_job("drop", "DROP TABLE orders")).done();
    wait_for(&namespace, "pods", "app=shop", 2);
    namespace.enforce();
    let foreground = ["delete", "deployment/shop", "--cascade=foreground", "--timeout=60s"];
    namespace.kubectl(&foreground).done();
    let name = namespace.name();
    world.cluster.kubectl(&["delete", "namespace", name, "--timeout=90s"]).done();
}
