//! Policies and exceptions as custom resources: a real API server takes what the files say.

use std::{fs, path::Path, time::Duration};

use crate::e2e::{process::poll, world::World};

/// The definitions are structural, every offered document is taken, and what is wrong is refused.
pub(super) fn custom_resources(world: &World) {
    let cluster = &world.cluster;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for plural in ["migrationpolicies", "migrationexceptions"] {
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
