//! The recommended layout, as it is applied by Argo CD and Helm.

use serde_json::{Value, json};

use crate::e2e::{manifests, world::World};

/// File, object, operation label, and whether it counts as a migration.
const HOOKS: [(&str, &str, &str, bool); 4] = [
    ("argocd-backup-job", "job/app-db-backup", "backup", false),
    ("argocd-migration-job", "job/app-db-migrate", "apply", true),
    ("argocd-verification-job", "job/app-db-verify", "read-only", false),
    ("helm-hook-job", "job/app-db-migrate", "apply", true),
];

pub(super) fn layout(world: &World) {
    for (file, name, operation, migrates) in HOOKS {
        let space = format!("layout-{file}");
        let namespace = world.namespace(&space);
        namespace.apply(&manifests::reference(file)).done();
        let job = namespace.get(name);
        filled_in(&job);
        labelled(&job["metadata"], operation, migrates);
        labelled(&job["spec"]["template"]["metadata"], operation, migrates);
        recorded(&job);
    }
    let namespace = world.namespace("layout-app");
    namespace.apply(&manifests::reference("app-deployment")).warned(&[]);
    let text = namespace.get("deployment/app").to_string();
    assert!(!text.contains("tidegate.dev"), "a Deployment was changed: {text}");
}

fn filled_in(job: &Value) {
    assert_eq!(job["spec"]["activeDeadlineSeconds"], 1_800, "{job:#}");
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false, "{pod:#}");
    let security = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    assert_eq!(pod["securityContext"], security, "{pod:#}");
    let containers = pod["containers"].as_array().unwrap();
    assert!(!containers.is_empty());
    for container in containers {
        let security =
            json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
        assert_eq!(container["securityContext"], security, "{container:#}");
        let resources = json!({
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"memory": "1Gi"},
        });
        assert_eq!(container["resources"], resources, "{container:#}");
    }
}

fn labelled(metadata: &Value, operation: &str, migrates: bool) {
    let labels = &metadata["labels"];
    assert_eq!(labels["tidegate.dev/operation"], operation, "{metadata:#}");
    assert!(labels["tidegate.dev/tool"].is_string(), "{metadata:#}");
    let migration = if migrates { json!("true") } else { Value::Null };
    assert_eq!(labels["tidegate.dev/migration"], migration, "{metadata:#}");
}

/// What the annotation says was filled in is there.
fn recorded(job: &Value) {
    let record = &job["metadata"]["annotations"]["tidegate.dev/defaulted"];
    let paths: Vec<&str> = record.as_str().unwrap().split(',').collect();
    assert!(paths.contains(&"spec.activeDeadlineSeconds"), "{paths:?}");
    for path in paths {
        let pointer = format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
        assert!(job.pointer(&pointer).is_some(), "{path} is recorded, and not there");
    }
}

pub(super) fn second_apply(world: &World) {
    for (file, name, ..) in HOOKS {
        let space = format!("second-apply-{file}");
        let namespace = world.namespace(&space);
        namespace.apply(&manifests::reference(file)).done();
        let before = namespace.get(name);
        namespace.apply(&manifests::reference(file)).done();
        let mut after = namespace.get(name);
        // The status belongs to the controllers, where there are any.
        after["status"] = before["status"].clone();
        after["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
        assert_eq!(after, before);
    }
}
