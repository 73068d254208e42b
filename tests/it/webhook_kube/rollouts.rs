//! Workloads that migrate while they roll out.

use super::*;

const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";

/// A Deployment of a generation, as far as it is rolled out: of the same database as `job`'s.
fn deployment(name: &str, database: &str, generation: i64, available: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "prod", "uid": format!("uid-of-{name}"),
            "generation": generation, "annotations": {"tidegate.dev/database": database}},
        "spec": {"replicas": 2, "template": {"spec": {
            "initContainers": [{"name": "migrate", "image": "registry.example.com/shop:1.2.3",
                "command": ["alembic", "upgrade", "head"]}],
            "containers": [{"name": "web", "image": "registry.example.com/shop:1.2.3",
                "command": ["gunicorn", "shop.wsgi"]}]}}},
        "status": {"observedGeneration": generation, "updatedReplicas": 2,
            "availableReplicas": available}
    })
}

async fn with_rollouts(server: &FakeCluster) -> Service {
    let mut service = Service::in_cluster();
    service.cluster.jobs = Arc::new(Jobs::watched_with_rollouts());
    let service = Service::with_engines(
        Arc::clone(&service.engines),
        Limits::default(),
        service.cluster.clone(),
    );
    filled(service, server).await
}

#[tokio::test]
async fn a_workload_that_migrates_counts_while_it_rolls_out() {
    let server = cluster().await;
    server.put(DEPLOYMENTS, deployment("rolling", "orders", 3, 1));
    server.put(DEPLOYMENTS, deployment("done", "users", 3, 2));
    let mut serving = deployment("serving", "carts", 3, 1);
    serving["spec"]["template"]["spec"]["initContainers"] = json!([]);
    server.put(DEPLOYMENTS, serving);
    let service = with_rollouts(&server).await;
    let synced =
        |cache: &str| service.metric(&format!("tidegate_cache_synced{{cache=\"{cache}\"}}"));
    eventually("they were read", || {
        ["deployments", "stateful-sets", "daemon-sets"].iter().all(|it| synced(it) == Some(1.0))
    })
    .await;
    let entries = || service.metric(r#"tidegate_cache_entries{cache="deployments"}"#);
    assert_eq!(entries(), Some(1.0), "what is rolled out or does not migrate is not kept");
    let said = message(&service, &job("m", "orders")).await;
    assert!(said.starts_with("concurrent-migration: "), "{said}");
    assert!(said.contains("beside Deployment prod/rolling"), "{said}");
    assert!(said.contains("wait until it is rolled out"), "{said}");
    // A Job of the same name is another object.
    let said = message(&service, &job("rolling", "orders")).await;
    assert!(said.starts_with("concurrent-migration: "), "{said}");
    assert_eq!(message(&service, &job("m", "users")).await, "");
    assert_eq!(message(&service, &job("m", "carts")).await, "");

    server.put(DEPLOYMENTS, deployment("rolling", "orders", 3, 2));
    server.put(DEPLOYMENTS, deployment("done", "payments", 4, 0));
    let active = || {
        let Fact::Known(active) = service.cluster.jobs.active(Instant::now()) else {
            return vec![];
        };
        active.migrations.iter().map(|it| format!("{} {}", it.kind, it.name)).collect()
    };
    eventually("one is rolled out and another begins", || {
        let active: Vec<String> = active();
        active.contains(&"Deployment done".to_owned())
            && !active.contains(&"Deployment rolling".to_owned())
    })
    .await;
    assert_eq!(message(&service, &job("next", "orders")).await, "");
    server.delete(DEPLOYMENTS, "prod", "done");
    eventually("it is gone", || !active().contains(&"Deployment done".to_owned())).await;
}

#[tokio::test]
async fn workloads_that_cannot_be_read_leave_the_rule_undecided() {
    let server = cluster().await;
    server.set_forbidden("/apis/apps/v1/statefulsets", true);
    let service = with_rollouts(&server).await;
    let warned = async || {
        let response = service.post("/validate", review(&job("m", "orders"))).await.response();
        let warning = response["warnings"][0].as_str().unwrap_or_default().to_owned();
        warning.contains("the workloads of the cluster have not been read yet")
    };
    assert!(warned().await);
    server.set_forbidden("/apis/apps/v1/statefulsets", false);
    let is_known = || matches!(service.cluster.jobs.active(Instant::now()), Fact::Known(_));
    eventually("they were read", is_known).await;
    assert!(!warned().await);
}
