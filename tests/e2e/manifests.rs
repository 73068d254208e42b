//! What the cases create.

use std::{fs, path::Path};

use serde_json::{Value, json};

/// A reference manifest, as text.
pub(crate) fn reference(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests");
    let path = folder.join(format!("{name}.yaml"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A container that migrates.
pub(crate) fn migrating(name: &str) -> Value {
    json!({"name": name, "image": "flyway/flyway:11", "args": ["migrate"]})
}

/// A container that only serves.
pub(crate) fn serving() -> Value {
    json!({"name": "web", "image": "nginx:1.29"})
}

/// Deployment `shop` with these initContainers.
pub(crate) fn deployment(init: &[Value]) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "shop"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "shop"}},
            "template": {
                "metadata": {"labels": {"app": "shop"}},
                "spec": {"initContainers": init, "containers": [serving()]},
            },
        },
    })
}

/// A hook Job with one container, and nothing of what is filled in.
pub(crate) fn hook_job(name: &str, container: &Value) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "annotations": {
            "argocd.argoproj.io/hook": "PreSync",
            "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation",
        }},
        "spec": {
            "backoffLimit": 0,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    })
}

/// A hook Job that migrates.
pub(crate) fn migration_job(name: &str) -> Value {
    hook_job(name, &migrating("migrate"))
}

/// A hook Job that runs `sql`, after a backup that it names.
pub(crate) fn sql_job(name: &str, sql: &str) -> Value {
    let container = json!({"name": "sql", "image": "postgres:17", "command": ["psql", "-c", sql]});
    let mut job = hook_job(name, &container);
    job["metadata"]["annotations"]["tidegate.dev/backup"] = "nightly".into();
    job
}

/// A Job that tidegate has nothing to say about.
pub(crate) fn plain_job(name: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "report", "image": "busybox:1.37", "command": ["true"]}],
        }}},
    })
}

/// Pod `shop`, which only serves.
pub(crate) fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "shop"},
        "spec": {"containers": [serving()]},
    })
}

/// A `ConfigMap`, which is none of tidegate's business.
pub(crate) fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}})
}
