//! Nothing that is there is ever kept from going away.

use std::time::Duration;

use serde_json::json;

use crate::e2e::{manifests, process::poll, world::World};

pub(super) fn finalizer(world: &World) {
    let namespace = world.watched_namespace("finalizer");
    let mut old = manifests::deployment(&[manifests::migrating("migrate")]);
    old["metadata"]["finalizers"] = json!(["example.com/hold"]);
    namespace.make(&old).done();
    namespace.make(&manifests::sql_job("drop", "DROP TABLE orders")).done();
    namespace.enforce();

    namespace.kubectl(&["delete", "job/drop", "--wait=false"]).done();
    namespace.kubectl(&["delete", "deployment/shop", "--wait=false"]).done();
    let held = namespace.get("deployment/shop");
    assert!(held["metadata"]["deletionTimestamp"].is_string(), "{held:#}");
    namespace.patch("deployment/shop", &json!({"metadata": {"finalizers": null}})).done();
    let gone = poll("both are gone", Duration::from_secs(30), || {
        let names = ["get", "deployment/shop", "job/drop", "--ignore-not-found", "-o", "name"];
        let answer = namespace.kubectl(&names).done();
        if answer.stdout.is_empty() { Ok(()) } else { Err(answer.stdout) }
    });
    gone.unwrap();
}
