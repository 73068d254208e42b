//! Violations that are older than the policy.

use serde_json::json;

use crate::e2e::{manifests, world::World};

pub(super) fn lived_with(world: &World) {
    let namespace = world.watched_namespace("lived-with");
    let old = manifests::deployment(&[manifests::migrating("migrate")]);
    namespace.make(&old).warned(&[]);
    namespace.enforce();

    namespace.kubectl(&["annotate", "deployment/shop", "example.com/owner=shop"]).done();
    namespace.kubectl(&["label", "deployment/shop", "team=shop"]).done();
    namespace.kubectl(&["scale", "deployment/shop", "--replicas=5"]).done();
    namespace.kubectl(&["rollout", "restart", "deployment/shop"]).done();
    namespace.kubectl(&["set", "image", "deployment/shop", "web=nginx:1.30"]).done();
    let live = namespace.get("deployment/shop");
    assert_eq!(live["spec"]["replicas"], 5);
    assert_eq!(live["spec"]["template"]["spec"]["containers"][0]["image"], "nginx:1.30");

    // The same thing again is not old, whatever its name.
    let mut again = old;
    again["metadata"]["name"] = "again".into();
    namespace.make(&again).refused(&["migration-in-init-container"]);
}

pub(super) fn company(world: &World) {
    let namespace = world.watched_namespace("company");
    namespace.make(&manifests::deployment(&[manifests::migrating("migrate")])).warned(&[]);
    namespace.enforce();
    let more = json!({"spec": {"template": {"spec": {"initContainers": [
        manifests::migrating("another"),
    ]}}}});
    let text = namespace.patch("deployment/shop", &more).refused(&["migration-in-init-container"]);
    assert!(text.contains("`another`"), "{text}");
    let live = namespace.get("deployment/shop");
    assert_eq!(live["spec"]["template"]["spec"]["initContainers"].as_array().unwrap().len(), 1);
}
