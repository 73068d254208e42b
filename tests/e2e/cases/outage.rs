//! tidegate is down, and its webhook fails closed.

use std::time::Duration;

use serde_json::json;

use crate::e2e::{
    manifests, namespace::Namespace, process::poll, tidegate::Tidegate, world::World,
};

pub(super) fn outage(world: &World, tidegate: &mut Tidegate) {
    let namespace = world.namespace("outage");
    namespace.make(&manifests::deployment(&[])).done();
    namespace.make(&manifests::migration_job("before")).done();
    tidegate.stop();

    let answer = namespace.make(&manifests::migration_job("during"));
    let failed = "failed calling webhook \"validate.tidegate.dev\"";
    assert!(!answer.success && answer.stderr.contains(failed), "{answer}");
    namespace.has_no("job/during");
    everything_else_works(world, &namespace);

    *tidegate = Tidegate::start(&world.cluster).unwrap();
    tidegate.register(&world.cluster).unwrap();
    namespace.make(&manifests::migration_job("after")).done();
    let bad = manifests::sql_job("drop", "DROP TABLE orders");
    namespace.make(&bad).refused(&["unapproved-destructive-migration"]);
}

fn everything_else_works(world: &World, namespace: &Namespace<'_>) {
    namespace.kubectl(&["delete", "job/before", "--wait=false"]).done();
    namespace.make(&manifests::config_map("during")).done();
    namespace.kubectl(&["scale", "deployment/shop", "--replicas=3"]).done();
    world.cluster.kubectl(&["create", "namespace", "outage-new"]).done();
    let system = Namespace::existing(&world.cluster, "kube-system");
    system.make(&manifests::plain_job("during-outage")).done();
    system.kubectl(&["delete", "job/during-outage", "--wait=false"]).done();
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "during"},
    });
    namespace.make(&lease).done();
    if world.cluster.has_controllers() {
        let limit = Duration::from_mins(1);
        poll("a Pod for each replica", limit, || {
            let pods = namespace.kubectl(&["get", "pods", "-l", "app=shop", "-o", "name"]).done();
            if pods.stdout.lines().count() == 3 { Ok(()) } else { Err(pods.stdout) }
        })
        .unwrap();
    }
}
