//! The steps of a review one by one, over recorded reviews and the manifests of the documentation, with
//! what each allocates.
//!
//! `just bench-steps judge` for one of them. Times are of one machine; `docs/performance.md` has what can
//! be compared.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a benchmark ends by panicking"
)]

use std::{fs, path::Path, sync::Arc};

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use divan::{AllocProfiler, Bencher, black_box, counter::BytesCount};
use jiff::Timestamp;
use serde_json::Value;
use tidegate::{
    cluster::Cluster,
    decision,
    detect::Detector,
    metrics::Metrics,
    model::{Change, ChangeOperation, ConfigMaps, Fact, Facts, Labels, Object},
    policy::{self, PolicySet, built_in},
    settings::Limits,
    source,
    webhook::{App, Engines, router},
};
use tower::ServiceExt as _;

/// Counts what every step allocates.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// Nothing of interest; a change of an old violation; what is refused; a migration; a destructive one.
const VALIDATED: [&str; 5] = [
    "validate-create-deployment-clean",
    "validate-update-deployment-rollout-restart-existing-violation",
    "validate-create-deployment-migration-init-container",
    "validate-create-job-argocd-migration",
    "validate-create-job-generate-name-drop-column",
];
const MUTATED: [&str; 3] = [
    "mutate-create-job-argocd-migration",
    "mutate-create-job-argocd-verification",
    "mutate-create-job-helm-hook",
];
const MANIFESTS: [&str; 5] = [
    "app-deployment",
    "argocd-backup-job",
    "argocd-migration-job",
    "argocd-verification-job",
    "helm-hook-job",
];

fn file(folder: &str, name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name)).unwrap()
}

/// What the engine is told of a recorded review.
struct Recording {
    request: Value,
    object: String,
    old: Option<String>,
}

impl Recording {
    fn read(name: &str) -> Self {
        let mut review: Value =
            serde_json::from_str(&file("tests/reviews", &format!("{name}.json"))).unwrap();
        let request = review["request"].take();
        let old = &request["oldObject"];
        let old = (!old.is_null()).then(|| old.to_string());
        Self { object: request["object"].to_string(), old, request }
    }

    fn change(&self) -> Change<'_> {
        let text = |key: &str| self.request[key].as_str().unwrap_or_default();
        Change {
            operation: match text("operation") {
                "CREATE" => ChangeOperation::Create,
                _ => ChangeOperation::Update,
            },
            namespace: text("namespace"),
            name: text("name"),
            subresource: text("subResource"),
            user: self.request["userInfo"]["username"].as_str().unwrap_or_default(),
            object: Some(&self.object),
            old_object: self.old.as_deref(),
        }
    }
}

fn policies() -> PolicySet {
    PolicySet::new(vec![built_in()])
}

#[divan::bench(args = MANIFESTS)]
fn read_yaml(bencher: Bencher<'_, '_>, name: &str) {
    let text = file("tests/manifests", &format!("{name}.yaml"));
    bencher.counter(BytesCount::of_str(&text)).bench(|| source::documents(black_box(&text)));
}

#[divan::bench(args = VALIDATED)]
fn parse(bencher: Bencher<'_, '_>, name: &str) {
    let Recording { object, .. } = Recording::read(name);
    bencher
        .counter(BytesCount::of_str(&object))
        .bench(|| Object::parse(black_box(&object)).is_ok());
}

#[divan::bench(args = VALIDATED)]
fn detect(bencher: Bencher<'_, '_>, name: &str) {
    let recording = Recording::read(name);
    let object = Object::parse(&recording.object).unwrap();
    let detector = Detector::built_in();
    bencher.bench(|| detector.detect(black_box(&object), ConfigMaps::NONE));
}

#[divan::bench(args = VALIDATED)]
fn judge(bencher: Bencher<'_, '_>, name: &str) {
    let (policies, recording) = (policies(), Recording::read(name));
    let (change, labels) = (recording.change(), Labels::new());
    let facts = Facts::new(Fact::Known(&labels));
    let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
    bencher.bench(|| decision::validate(&policies, black_box(&change), &facts, now));
}

#[divan::bench(args = MUTATED)]
fn patch(bencher: Bencher<'_, '_>, name: &str) {
    let (policies, recording) = (policies(), Recording::read(name));
    let (change, labels) = (recording.change(), Labels::new());
    let facts = Facts::new(Fact::Known(&labels));
    bencher.bench(|| decision::mutate(&policies, black_box(&change), &facts));
}

#[divan::bench(args = VALIDATED)]
fn digest(bencher: Bencher<'_, '_>, name: &str) {
    let recording = Recording::read(name);
    let object = Object::parse(&recording.object).unwrap();
    bencher.bench(|| policy::digest(black_box(&object)));
}

/// From the request to the answer, without sockets and TLS.
#[divan::bench(args = VALIDATED.iter().chain(&MUTATED).copied())]
fn answer(bencher: Bencher<'_, '_>, name: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let engines = Arc::new(Engines::new(Box::new(policies())));
    let (cluster, metrics) = (Cluster::off("a benchmark"), Arc::new(Metrics::default()));
    let router = router(Arc::new(App::new(engines, cluster, metrics, Limits::default())));
    let review: Value =
        serde_json::from_str(&file("tests/reviews", &format!("{name}.json"))).unwrap();
    let (body, path) = (review.to_string(), name.split('-').next().unwrap());
    let request = || {
        Request::post(format!("/{path}?timeout=5s"))
            .header("content-type", "application/json")
            .header("content-length", body.len())
            .body(Body::from(body.clone()))
            .unwrap()
    };
    bencher.with_inputs(request).bench_local_values(|request| {
        runtime.block_on(async {
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), 200);
            to_bytes(response.into_body(), usize::MAX).await.unwrap()
        })
    });
}
