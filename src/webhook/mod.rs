//! The admission webhook: HTTP/1.1 over TLS, as the API server speaks it.
//!
//! ```text
//! accept -> handshake -> head -> gate -> memory -> body -> envelope -> facts -> decide -> answer
//! listener  tls          |       handler.rs               review.rs    cluster  engine    answer.rs
//!                        connection.rs
//! ```
//!
//! Every arrow has a limit in [`settings::Limits`](crate::settings::Limits). Two rules hold
//! throughout:
//!
//! - Once a uid is known the answer is `200` with that uid. Any other status is a failure of the
//!   webhook to the API server, and what `failurePolicy: Ignore` lets pass.
//! - Any other answer has an empty body, because the API server shows bodies to users.

mod answer;
mod argocd;
mod body;
mod budget;
mod certificate;
mod connection;
mod deadline;
mod decide;
mod decision_log;
mod engine;
mod handler;
mod health;
mod lifecycle;
mod listener;
mod own;
mod refusal;
mod review;
mod spend;
mod tls;

use std::sync::Arc;

use axum::{Router, routing};
use tokio::sync::Semaphore;

use self::budget::Budget;
pub use self::{
    certificate::{CertificateError, Issued},
    decision_log::{Decision, DecisionFinding, DecisionLog, decision_schema},
    engine::{Defaulted, Engine, Engines, Judgement, Noted},
    health::router as health_router,
    lifecycle::{Lifecycle, Phase},
    listener::Listener,
    tls::{ClientCa, Identity, TlsError, TlsStore},
};
use crate::{cluster::Cluster, metrics::Metrics, settings::Limits};

/// What every request shares.
#[derive(Debug)]
pub struct App {
    engines: Arc<Engines>,
    cluster: Cluster,
    metrics: Arc<Metrics>,
    limits: Limits,
    budget: Budget,
    in_flight: Arc<Semaphore>,
    evaluations: Arc<Semaphore>,
    decisions: Option<DecisionLog>,
}

impl App {
    /// Ties together what answers requests.
    pub fn new(
        engines: Arc<Engines>,
        cluster: Cluster,
        metrics: Arc<Metrics>,
        limits: Limits,
    ) -> Self {
        metrics.policies(engines.current().policies());
        Self {
            budget: Budget::new(&limits, metrics.body_bytes.clone()),
            in_flight: Arc::new(Semaphore::new(limits.max_in_flight)),
            evaluations: Arc::new(Semaphore::new(limits.max_evaluations)),
            engines,
            cluster,
            metrics,
            limits,
            decisions: None,
        }
    }

    /// Writes a line for each answer.
    #[must_use]
    pub fn logging_to(self, decisions: Option<DecisionLog>) -> Self {
        Self { decisions, ..self }
    }
}

/// The webhook's port: `POST /validate`, `POST /mutate`, and nothing else. Approvals have paths of
/// their own, by which the API server's metrics tell them apart; they are answered alike.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/validate", routing::post(handler::validate).fallback(handler::wrong_method))
        .route("/mutate", routing::post(handler::mutate).fallback(handler::wrong_method))
        .route(
            "/approvals/validate",
            routing::post(handler::validate).fallback(handler::wrong_method),
        )
        .route("/approvals/mutate", routing::post(handler::mutate).fallback(handler::wrong_method))
        .fallback(handler::not_found)
        .with_state(app)
}
