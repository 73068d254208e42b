//! The plain port: health, readiness, metrics. Nothing of it is on the webhook's port.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing,
};
use hyper::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};

use super::lifecycle::{Lifecycle, Phase};
use crate::{cluster::Cluster, metrics::Metrics};

#[derive(Clone, Debug)]
struct Health {
    metrics: Arc<Metrics>,
    cluster: Cluster,
    lifecycle: Lifecycle,
}

/// `/livez`, `/readyz` and `/metrics`.
///
/// Policies and the certificate are loaded before anything listens, so what readiness waits for is
/// the caches that decide which policy applies, and that nobody asked us to stop. An old
/// certificate is never a reason: taking every replica away would not make it newer.
pub fn router(metrics: Arc<Metrics>, cluster: Cluster, lifecycle: Lifecycle) -> Router {
    Router::new()
        .route("/livez", routing::get(|| async { "ok\n" }))
        .route("/readyz", routing::get(ready))
        .route("/metrics", routing::get(metrics_text))
        .with_state(Health { metrics, cluster, lifecycle })
}

async fn ready(State(health): State<Health>) -> Response {
    let draining = health.lifecycle.phase() > Phase::Serving;
    let mut text = String::new();
    if draining {
        text.push_str("shutting-down\n");
    }
    for cache in health.cluster.waits_for() {
        let _ = writeln!(text, "{}-not-synced", cache.as_str());
    }
    if text.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn metrics_text(State(health): State<Health>) -> Response {
    let Ok(text) = health.metrics.encode() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = Response::new(Body::from(text));
    let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(open_metrics));
    response
}
