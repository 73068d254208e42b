//! What the ConfigMaps of a migration hold, against what was approved.

use std::process::{Command, Stdio};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidegate::{
    model::{ConfigMap, ConfigMapSet, Object},
    policy,
};

use crate::e2e::{manifests, namespace::Namespace, world::World};

const RULE: &str = "unapproved-destructive-migration";

fn statements(sql: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sql"},
        "data": {"up.sql": sql}})
}

/// A hook Job that runs what ConfigMap `sql` holds, approved with what `map` holds.
fn approved(name: &str, namespace: &Namespace<'_>, map: &Value) -> Value {
    let container = json!({"name": "sql", "image": "postgres:17",
        "command": ["psql", "-v", "ON_ERROR_STOP=1", "-f", "/sql/up.sql"],
        "volumeMounts": [{"name": "sql", "mountPath": "/sql"}]});
    let mut job = manifests::hook_job(name, &container);
    job["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "sql", "configMap": {"name": "sql"}}]);
    let text = job.to_string();
    let object = Object::parse(&text).unwrap();
    let mut maps = ConfigMapSet::default();
    maps.add(namespace.name(), "sql", 0, ConfigMap::parse(&map.to_string()).unwrap());
    let content = policy::content(&object, maps.seen_from(namespace.name(), 0)).unwrap();
    let digest = policy::digest(&object).to_string();
    let until = Timestamp::now() + SignedDuration::from_hours(1);
    for (key, value) in [
        ("approved-by", "alice@example.com".to_owned()),
        ("approval-ticket", "DB-1".to_owned()),
        ("approved-namespace", namespace.name().to_owned()),
        ("approved-until", until.to_string()),
        ("approved-digest", digest),
        ("approved-content", content.to_string()),
        ("backup", "nightly".to_owned()),
    ] {
        job["metadata"]["annotations"][format!("tidegate.dev/{key}")] = value.into();
    }
    job
}

/// The Job is let in with what was approved; what the ConfigMap comes to hold is told by a scan.
pub(super) fn changed_later(world: &World) {
    let namespace = world.namespace("content-changed");
    let seen = statements("DROP TABLE orders;");
    namespace.apply(&seen.to_string()).done();
    namespace.make(&approved("drop", &namespace, &seen)).done();
    assert_eq!(unapproved(world, &namespace), [""; 0]);

    namespace.apply(&statements("DROP TABLE customers;").to_string()).done();
    let what = unapproved(world, &namespace);
    assert_eq!(what.len(), 1, "{what:?}");
    assert!(what[0].contains("for something else than what its ConfigMaps hold"), "{what:?}");
    let text = namespace.make(&approved("again", &namespace, &seen)).refused(&[RULE]);
    assert!(text.contains("for something else than what its ConfigMaps hold"), "{text}");
}

/// What a scan of the namespace says of what nobody approved.
fn unapproved(world: &World, namespace: &Namespace<'_>) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["scan", "--format", "json", "-n", namespace.name(), "--kubeconfig"])
        .arg(world.cluster.kubeconfig())
        .env("NO_PROXY", "*")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let scan: Value = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let objects = scan["objects"].as_array().unwrap().iter();
    let findings = objects.flat_map(|it| it["findings"].as_array().unwrap());
    let own = findings.filter(|it| it["rule"] == RULE);
    own.map(|it| it["what"].as_str().unwrap().to_owned()).collect()
}
