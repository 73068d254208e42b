//! Any bytes as a request to the webhook: a verdict under the right uid, or a 4xx without a body.

#![no_main]

use std::sync::{Arc, LazyLock};

use axum::{Router, body::Body, http::Request};
use http_body_util::BodyExt as _;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tidegate::{
    cluster::Cluster,
    metrics::Metrics,
    policy::{PolicySet, built_in},
    settings::Limits,
    webhook::{App, Engines, router},
};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
});

static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    let engines = Arc::new(Engines::new(Box::new(PolicySet::new(vec![built_in()]))));
    let cluster = Cluster::off("there is no cluster here");
    router(Arc::new(App::new(engines, cluster, Arc::new(Metrics::default()), Limits::default())))
});

fuzz_target!(|body: &[u8]| {
    let wanted = uid(body);
    for path in ["/validate", "/mutate"] {
        let (status, answer) = RUNTIME.block_on(ask(path, body));
        if status != 200 {
            assert_eq!((status, wanted.as_deref(), answer.len()), (400, None, 0), "{path}");
            continue;
        }
        let answer: Value = serde_json::from_slice(&answer).expect("an answer is JSON");
        let response = &answer["response"];
        assert_eq!(answer["kind"], "AdmissionReview");
        assert!(response["uid"].as_str().is_some_and(|uid| !uid.is_empty()), "{path}");
        if let Some(uid) = &wanted {
            assert_eq!(response["uid"], uid.as_str(), "{path}");
        }
        let allowed = response["allowed"].as_bool().expect("a verdict");
        assert!(allowed || path == "/validate", "{path} refuses");
        assert!(allowed || response["status"]["code"] == 403, "{path} refuses with another code");
    }
});

async fn ask(path: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .header("content-length", body.len())
        .body(Body::from(body.to_vec()))
        .expect("a request");
    let response = ROUTER.clone().oneshot(request).await.expect("an answer");
    let status = response.status().as_u16();
    (status, response.into_body().collect().await.expect("a body").to_bytes().to_vec())
}

/// The uid under which a body must be answered, where the body is JSON all through: then the last
/// of several counts.
fn uid(body: &[u8]) -> Option<String> {
    let review: Value = serde_json::from_slice(body).ok()?;
    let uid = review["request"]["uid"].as_str()?;
    (!uid.is_empty() && uid.len() <= 1_024).then(|| uid.to_owned())
}
