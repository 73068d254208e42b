//! What a user reads who creates something.

use serde_json::{Value, json};

use crate::e2e::{manifests, namespace::Namespace, world::World};

const INIT: &str = "migration-in-init-container";

/// A workload of `kind` from `apps/v1` with a migrating initContainer, named `shop`.
fn workload(kind: &str) -> Value {
    let mut object = manifests::deployment(&[manifests::migrating("migrate")]);
    object["kind"] = kind.into();
    match kind {
        "DaemonSet" => drop(object["spec"].as_object_mut().unwrap().remove("replicas")),
        "StatefulSet" => object["spec"]["serviceName"] = "shop".into(),
        _ => {}
    }
    object
}

pub(super) fn init_container(world: &World) {
    let namespace = world.namespace("init-container");
    for kind in ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"] {
        let answer = namespace.make(&workload(kind));
        let start =
            "Error from server (Forbidden): error when creating \"STDIN\": admission webhook ";
        assert!(answer.stderr.starts_with(start), "{answer}");
        let text = answer.refused(&[INIT]);
        let place = format!("{INIT}: {kind}/shop spec.template.spec.initContainers[0]");
        assert!(text.starts_with(&place), "{text}");
        namespace.has_no(&format!("{kind}/shop"));
    }
}

pub(super) fn all_findings(world: &World) {
    let namespace = world.namespace("all-findings");
    let mut job = manifests::sql_job("drop", "DROP TABLE orders");
    job["metadata"]["annotations"] = json!({});
    // Nothing is filled in on a Job that is no hook.
    namespace.make(&job).refused(&[
        "destructive-without-backup",
        "root-migration",
        "unapproved-destructive-migration",
        "unbounded-migration-job",
        "unlimited-migration",
    ]);
    namespace.has_no("job/drop");
}

pub(super) fn dry_run(world: &World) {
    let namespace = world.namespace("dry-run");
    let bad = manifests::deployment(&[manifests::migrating("migrate")]);
    let dry = namespace.dry_run(&bad).refused(&[INIT]);
    assert_eq!(dry, namespace.make(&bad).refused(&[INIT]));

    let dry = namespace.dry_run(&manifests::migration_job("migrate")).json();
    assert_eq!(dry["spec"]["activeDeadlineSeconds"], 1_800, "{dry:#}");
    namespace.has_no("deployment/shop");
    namespace.has_no("job/migrate");
}

pub(super) fn warnings(world: &World) {
    let namespace = world.namespace("warnings");
    let mut retried = manifests::migration_job("retried");
    retried["spec"]["backoffLimit"] = 6.into();
    namespace.make(&retried).warned(&["retried-migration"]);
    namespace.get("job/retried");

    let mut serving = manifests::deployment(&[]);
    serving["spec"]["template"]["spec"]["containers"][0]["command"] =
        json!(["sh", "-c", "flyway migrate && exec nginx"]);
    namespace.make(&serving).warned(&["migration-in-app-container"]);
    namespace.get("deployment/shop");

    namespace.make(&manifests::migration_job("quiet")).warned(&[]);
}

fn debug(namespace: &Namespace<'_>, name: &str, command: &[&str]) -> crate::e2e::cluster::Answer {
    let container = format!("--container={name}");
    let args = ["debug", "pod/shop", "--image=postgres:17", "--attach=false", &container, "--"];
    namespace.kubectl(&[&args, command].concat())
}

pub(super) fn debug_container(world: &World) {
    let namespace = world.namespace("debug-container");
    namespace.make(&manifests::pod()).done();
    debug(&namespace, "drop", &["psql", "-c", "DROP TABLE orders"]).refused(&[
        "destructive-without-backup",
        "migration-in-ephemeral-container",
        "unapproved-destructive-migration",
    ]);
    debug(&namespace, "look", &["psql", "-c", "SELECT 1"]).done();
    let pod = namespace.get("pod/shop");
    let containers = pod["spec"]["ephemeralContainers"].as_array().unwrap();
    let names: Vec<&Value> = containers.iter().map(|container| &container["name"]).collect();
    assert_eq!(names, ["look"]);
}

pub(super) fn kube_system(world: &World) {
    let namespace = Namespace::existing(&world.cluster, "kube-system");
    let mut bad = manifests::deployment(&[manifests::migrating("migrate")]);
    bad["metadata"]["name"] = "left-alone".into();
    namespace.make(&bad).warned(&[]);
    namespace.make(&manifests::sql_job("left-alone", "DROP TABLE orders")).warned(&[]);
    let job = namespace.get("job/left-alone").to_string();
    assert!(!job.contains("tidegate.dev/defaulted"), "{job}");
}
