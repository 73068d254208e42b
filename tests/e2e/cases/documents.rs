//! Policies and exceptions as custom resources: a real API server takes what the files say.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::e2e::{namespace::Namespace, process::poll, world::World};

/// The definitions are structural, every offered document is taken, and what is wrong is refused.
pub(super) fn custom_resources(world: &World) {
    let cluster = &world.cluster;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for plural in ["migrationpolicies", "migrationexceptions", "migrationapprovals"] {
        let name = format!("crd/{plural}.tidegate.dev");
        let conditions = "jsonpath={range .status.conditions[*]}{.type}={.status} {end}";
        let ready = poll("the definition is established", Duration::from_secs(30), || {
            let printed = cluster.kubectl(&["get", &name, "-o", conditions]).done().stdout;
            if printed.contains("Established=True") { Ok(printed) } else { Err(printed) }
        });
        let printed = ready.unwrap();
        assert!(!printed.contains("NonStructuralSchema=True"), "{printed}");
    }
    let namespace = world.namespace("documents");
    for folder in [
        "default",
        "strict",
        "audit-only",
        "production-and-staging",
        "examples/single-replica-dev",
        "examples/job-per-tenant",
        "examples/atlas-operator",
        "examples/helm-only",
        "examples/exceptions",
    ] {
        let file = root.join("policies").join(folder).join("policy.yaml");
        // In force they would be for the other cases too.
        let file = file.to_str().unwrap();
        let dry = ["apply", "--dry-run=server", "--validate=strict", "-f", file];
        cluster.kubectl(&dry).done();
    }
    let exception = root.join("policies/examples/exceptions/exception.yaml");
    let exception = fs::read_to_string(exception).unwrap();
    let exception =
        exception.replace("namespace: shop", &format!("namespace: {}", namespace.name()));
    namespace.kubectl_with(&["apply", "--validate=strict", "-f", "-"], &exception).done();
    let shown = namespace.kubectl(&["get", "mexc"]).done().stdout;
    assert!(shown.contains("SHOP-214") && shown.contains("2027-01-31T00:00:00Z"), "{shown}");
    told_at_once(world, &namespace);
    for (from, to, says) in [
        ("reason:", "reson:", "unknown field"),
        ("rules: [migration-in-init-container]", "rules: []", "spec.rules"),
        ("2027-01-31T00:00:00Z", "soon", "spec.expires"),
    ] {
        let wrong = exception.replace(from, to).replace("name: legacy-shop", "name: wrong");
        assert_ne!(wrong, exception);
        let answer = namespace.kubectl_with(&["apply", "--validate=strict", "-f", "-"], &wrong);
        assert!(answer.stderr.contains(says), "{says}: {answer:?}");
    }
}

/// A policy is listed with what matters of it, and a wrong one is refused when it is written.
fn told_at_once(world: &World, namespace: &Namespace<'_>) {
    let cluster = &world.cluster;
    let policy = |spec: &Value| {
        json!({"apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationPolicy",
            "metadata": {"name": "documents"}, "spec": spec})
        .to_string()
    };
    let own = json!({"match": {"namespaces": [namespace.name()]}, "level": "Audit"});
    cluster.kubectl_with(&["create", "-f", "-"], &policy(&own)).done();
    let shown = cluster.kubectl(&["get", "mpol", "documents"]).done().stdout;
    assert!(shown.contains("LEVEL") && shown.contains("Audit"), "{shown}");
    // What the schema cannot know, the server says, all of it at once.
    let wrong = json!({"rules": {"root-migratoin": {}, "unknown-hok": {}}});
    let answer = cluster.kubectl_with(&["replace", "-f", "-"], &policy(&wrong));
    for says in ["documents.validate.tidegate.dev", "`root-migration`", "`unknown-hook`"] {
        assert!(!answer.success && answer.stderr.contains(says), "{says}: {answer}");
    }
    let wrong = json!({"approvals": {"singleUse": true}});
    let answer = cluster.kubectl_with(&["replace", "-f", "-"], &policy(&wrong));
    assert!(answer.stderr.contains("singleUse needs resources: Require"), "{answer}");
}
