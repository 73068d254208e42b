//! Namespaces, from an API server that comes and goes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    body::Body,
    http::{StatusCode, Uri},
    response::IntoResponse as _,
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tidegate::{
    cluster::{self, Lookup, Namespaces},
    metrics::Metrics,
    model::Fact,
    settings::Limits,
};
use tokio::{net::TcpListener, sync::broadcast};

use crate::support::{Scripted, Service, admitted, eventually, review_of};

/// An API server that knows namespaces.
struct ApiServer {
    uri: String,
    events: broadcast::Sender<Value>,
    down: Arc<AtomicBool>,
}

fn namespace(name: &str, environment: &str) -> Value {
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {
        "name": name, "resourceVersion": "1", "labels": {"environment": environment}}})
}

impl ApiServer {
    async fn start() -> Self {
        let (events, _) = broadcast::channel::<Value>(16);
        let down = Arc::new(AtomicBool::new(false));
        let (send, is_down) = (events.clone(), Arc::clone(&down));
        let handler = move |uri: Uri| {
            let (send, is_down) = (send.clone(), Arc::clone(&is_down));
            async move {
                if is_down.load(Ordering::Relaxed) {
                    return StatusCode::INTERNAL_SERVER_ERROR.into_response();
                }
                if !uri.query().unwrap_or_default().contains("watch=") {
                    let list = json!({"apiVersion": "meta.k8s.io/v1",
                        "kind": "PartialObjectMetadataList", "metadata": {"resourceVersion": "1"},
                        "items": [namespace("prod", "production"), namespace("dev", "test")]});
                    return list.to_string().into_response();
                }
                let stream = futures_util::stream::unfold(send.subscribe(), |mut events| async {
                    let event = events.recv().await.ok().filter(|event| !event.is_null())?;
                    Some((Ok::<_, std::io::Error>(format!("{event}\n")), events))
                });
                Body::from_stream(stream.boxed()).into_response()
            }
        };
        let router = Router::new().route("/api/v1/namespaces", axum::routing::get(handler));
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", socket.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(socket, router).await });
        Self { uri, events, down }
    }

    fn client(&self, metrics: &Arc<Metrics>) -> kube::Client {
        cluster::client(kube::Config::new(self.uri.parse().unwrap()), metrics).unwrap()
    }

    /// Sends an event to whoever watches, once somebody does.
    async fn event(&self, kind: &str, object: Value) {
        eventually("somebody watches", || self.events.receiver_count() > 0).await;
        self.events.send(json!({"type": kind, "object": object})).unwrap();
    }
}

fn environment(namespaces: &Namespaces, name: &str) -> Option<String> {
    match namespaces.labels(name) {
        Lookup::Known(labels) => labels.get("environment").cloned(),
        Lookup::Missing | Lookup::NotSynced | Lookup::Off(_) => None,
    }
}

#[tokio::test]
async fn labels_follow_the_cluster_and_outlive_it() {
    let server = ApiServer::start().await;
    let engine = Scripted {
        needs_labels: true,
        judge: Box::new(|_, facts| {
            let mut judgement = admitted();
            if let Fact::Known(labels) = facts.namespace_labels {
                judgement.warnings.extend(labels.get("environment").cloned());
            }
            judgement
        }),
    };
    let service =
        Service::with_namespaces(Box::new(engine), Limits::default(), Namespaces::watched());
    let namespaces = &service.namespaces;
    assert_eq!(service.post("/validate", review_of("{}")).await.status, 503);
    let (client, metrics) = (server.client(&service.metrics), Arc::clone(&service.metrics));
    tokio::spawn(cluster::watch(client, Arc::clone(namespaces), metrics));

    eventually("all namespaces are known", || namespaces.ready()).await;
    let response = service.post("/validate", review_of("{}")).await.response();
    assert_eq!(response["warnings"], json!(["production"]));
    assert_eq!(environment(namespaces, "dev").as_deref(), Some("test"));
    assert_eq!(namespaces.labels("other"), Lookup::Missing);

    server.event("MODIFIED", namespace("prod", "staging")).await;
    eventually("a change is seen", || {
        environment(namespaces, "prod").as_deref() == Some("staging")
    })
    .await;
    server.event("DELETED", namespace("dev", "test")).await;
    eventually("a removal is seen", || namespaces.labels("dev") == Lookup::Missing).await;

    // Gone: decisions go on with what was last heard.
    server.down.store(true, Ordering::Relaxed);
    server.events.send(Value::Null).unwrap();
    eventually("the failure is counted", || {
        service.metric("tidegate_namespace_watch_errors_total").is_some_and(|errors| errors > 0.0)
    })
    .await;
    let response = service.post("/validate", review_of("{}")).await.response();
    assert_eq!(response["warnings"], json!(["staging"]));

    // Back: what it now says counts.
    server.down.store(false, Ordering::Relaxed);
    server.event("MODIFIED", namespace("prod", "again")).await;
    eventually("it is watched again", || {
        environment(namespaces, "prod").as_deref() == Some("again")
    })
    .await;
    assert_eq!(service.metric("tidegate_namespace_cache_synced"), Some(1.0));
    let contact = service.metric("tidegate_namespace_cache_last_contact_timestamp_seconds");
    assert!(contact.unwrap() > 1_700_000_000.0, "{contact:?}");
}

#[tokio::test]
async fn a_namespace_made_a_moment_ago_is_waited_for() {
    let server = ApiServer::start().await;
    let engine = Scripted {
        needs_labels: true,
        judge: Box::new(|_, facts| {
            let mut judgement = admitted();
            judgement
                .warnings
                .push(format!("{}", matches!(facts.namespace_labels, Fact::Known(_))));
            judgement
        }),
    };
    let service =
        Service::with_namespaces(Box::new(engine), Limits::default(), Namespaces::watched());
    let (client, metrics) = (server.client(&service.metrics), Arc::clone(&service.metrics));
    tokio::spawn(cluster::watch(client, Arc::clone(&service.namespaces), metrics));
    eventually("all namespaces are known", || service.namespaces.ready()).await;
    let body = review_of("{}").replace("prod", "new");
    let (reply, ()) = tokio::join!(
        service.post("/validate?timeout=10s", body.clone()),
        server.event("ADDED", namespace("new", "test"))
    );
    assert_eq!(reply.response()["warnings"], json!(["true"]));
    // One that never comes is an unknown fact, and no failure.
    let reply = service.post("/validate", body.replace("new", "never")).await;
    assert_eq!(reply.response()["warnings"], json!(["false"]));
}
