//! What is answered, whatever is asked. No sockets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{body::Body, http};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate::{
    cluster::{Cluster, Namespaces},
    model::Fact,
    settings::Limits,
    webhook::{App, DecisionLog, Engines, Judgement, Noted},
};
use tower::ServiceExt as _;

use crate::support::{
    Reply, Scripted, Service, admitted, eventually, recorded, review_of, review_of_size, reviews,
    uid,
};

fn path_of(name: &str) -> &'static str {
    if name.starts_with("mutate") { "/mutate?timeout=2s" } else { "/validate?timeout=5s" }
}

#[tokio::test]
async fn every_recorded_review_is_answered_under_its_uid() {
    let service = Service::built_in();
    for (name, body) in reviews() {
        let reply = service.post(path_of(&name), body.clone()).await;
        assert_eq!(reply.header("content-type"), Some("application/json"), "{name}");
        let response = reply.response();
        assert_eq!(response["uid"], uid(&body).as_str(), "{name}");
        assert_eq!(response.get("patch").is_some(), response.get("patchType").is_some(), "{name}");
        if name.starts_with("mutate") {
            assert_eq!(response["allowed"], true, "{name}");
            assert_eq!(response.get("status"), None, "{name}");
        } else {
            assert_eq!(response.get("patch"), None, "{name}");
            refusal_is_well_formed(&name, &response);
        }
        for key in response["auditAnnotations"].as_object().into_iter().flatten().map(|(k, _)| k) {
            assert!(key.len() <= 63 && !key.contains('/'), "{name}: {key}");
        }
        let again = service.post(path_of(&name), body).await;
        assert_eq!(again.body, reply.body, "{name}: two answers to one question");
    }
}

fn refusal_is_well_formed(name: &str, response: &Value) {
    assert_eq!(response["allowed"] == false, response.get("status").is_some(), "{name}");
    let Some(status) = response.get("status") else { return };
    assert_eq!((&status["code"], &status["reason"]), (&json!(403), &json!("Forbidden")), "{name}");
    let message = status["message"].as_str().unwrap();
    let cause = &status["details"]["causes"][0];
    assert!(message.starts_with(&format!("{}: ", cause["reason"].as_str().unwrap())), "{message}");
    assert!(message.len() <= 8_192 && !cause["field"].as_str().unwrap().is_empty(), "{name}");
}

#[tokio::test]
async fn a_patch_applied_is_not_asked_for_again() {
    let service = Service::built_in();
    for (name, body) in reviews().into_iter().filter(|(name, _)| name.starts_with("mutate")) {
        let response = service.post("/mutate", body.clone()).await.response();
        let Some(patch) = response.get("patch") else { continue };
        let patch = BASE64_STANDARD.decode(patch.as_str().unwrap()).unwrap();
        let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
        let mut review: Value = serde_json::from_str(&body).unwrap();
        json_patch::patch(&mut review["request"]["object"], &patch).unwrap();
        let response = service.post("/mutate", review.to_string()).await.response();
        assert_eq!(response.get("patch"), None, "{name}");
    }
}

/// T8, for both entries: the uid comes back, and only `/mutate` lets it in.
async fn is_always_answered(service: &Service, body: &[u8], note: &str) {
    let response = service.post("/validate", body).await.response();
    assert_eq!(response["uid"], "the-uid", "{note}");
    let response = service.post("/mutate", body).await.response();
    assert_eq!(
        (&response["uid"], &response["allowed"]),
        (&json!("the-uid"), &json!(true)),
        "{note}"
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "(sh|-c|flyway|migrate|DROP TABLE a;|Job|batch/v1|PreSync)".prop_map(Value::from),
    ];
    let key = "(apiVersion|kind|metadata|spec|template|initContainers|containers|command|args|env|\
               image|annotations|name|jobTemplate|argocd.argoproj.io/hook|[a-z]{0,4})";
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_object_is_answered(object in any_json(), old in any_json(), update in any::<bool>()) {
        let mut body = review_of(&object.to_string());
        if update {
            body = body.replace("CREATE", "UPDATE")
                .replace("\"oldObject\":null", &format!("\"oldObject\":{old}"));
        }
        run(is_always_answered(&Service::built_in(), body.as_bytes(), &body));
    }

    #[test]
    fn any_damage_after_the_uid_is_answered(
        review in 0..reviews().len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (name, text) = reviews().swap_remove(review);
        let mut value: Value = serde_json::from_str(&text).unwrap();
        let mut request = std::mem::take(&mut value["request"]);
        request.as_object_mut().unwrap().remove("uid");
        let head = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"the-uid","#;
        let mut body = head.as_bytes().to_vec();
        body.extend_from_slice(&request.to_string().as_bytes()[1..]);
        body.push(b'}');
        let after = head.len();
        for (index, byte) in edits {
            let at = after + index.index(body.len() - after);
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(after + cut.index(body.len() - after));
        }
        // Damage may write a second uid, which then counts.
        if !String::from_utf8_lossy(&body[after..]).contains("uid\"") || !body[after..].contains(&b'{') {
            run(is_always_answered(&Service::built_in(), &body, &name));
        }
    }
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

#[tokio::test]
async fn objects_of_the_wrong_kind_are_refused_by_name() {
    let service = Service::built_in();
    for object in [
        "7",
        "\"text\"",
        "[]",
        "true",
        r#"{"apiVersion":7,"kind":"Job"}"#,
        r#"{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"a"},"spec":[]}"#,
        r#"{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"a"},"spec":{"template":7}}"#,
        r#"{"apiVersion":"batch/v1","kind":"Job","metadata":[],"spec":{}}"#,
    ] {
        let body = review_of(object);
        is_always_answered(&service, body.as_bytes(), &body).await;
    }
}

#[tokio::test]
async fn odd_json_is_answered() {
    let service = Service::built_in();
    for object in [
        r#"{"a":1e400}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":"\u0000"}"#,
        r#"{"kind":"Job","kind":"Pod"}"#,
        r#"{"a":01}"#,
        r#"{"a":NaN}"#,
        "{",
        "",
    ] {
        let body = review_of(object);
        is_always_answered(&service, body.as_bytes(), object).await;
    }
    let mut bytes = review_of(r#"{"a":"@@"}"#).into_bytes();
    for byte in bytes.iter_mut().filter(|byte| **byte == b'@') {
        *byte = 0xff;
    }
    is_always_answered(&service, &bytes, "invalid UTF-8").await;
    let keys: Vec<String> = (0..100_000).map(|index| format!("\"k{index}\":{index}")).collect();
    let body = review_of(&format!("{{{}}}", keys.join(",")));
    is_always_answered(&service, body.as_bytes(), "100k keys").await;
}

#[tokio::test]
async fn any_depth_is_answered() {
    let service = Service::built_in();
    for depth in [10, 127, 128, 10_000, 1_000_000] {
        let open = r#"{"a":"#.repeat(depth);
        let deep = format!("{open}1{}", "}".repeat(depth));
        for object in [
            format!(
                r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"name":"a"}},"spec":{deep}}}"#
            ),
            format!(
                r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"annotations":{deep}}},"spec":{{}}}}"#
            ),
            format!(
                r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"managedFields":[{deep}]}},"spec":{{}}}}"#
            ),
            deep.clone(),
        ] {
            let start = Instant::now();
            is_always_answered(&service, review_of(&object).as_bytes(), "deep").await;
            // Unoptimised and on a busy machine; anything that is not linear takes hours.
            assert!(start.elapsed() < Duration::from_mins(1), "{depth}: {:?}", start.elapsed());
        }
    }
}

#[tokio::test]
async fn the_old_version_is_refused_in_its_own_words() {
    let service = Service::built_in();
    let body = review_of("{}").replace("admission.k8s.io/v1", "admission.k8s.io/v1beta1");
    let reply = service.post("/validate", body).await;
    assert!(String::from_utf8_lossy(&reply.body).contains("admission.k8s.io/v1beta1"));
    let response = reply.response();
    assert_eq!((&response["uid"], &response["allowed"]), (&json!("the-uid"), &json!(false)));
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.contains("admissionReviewVersions"), "{message}");
}

#[tokio::test]
async fn what_is_no_review_gets_a_4xx_and_not_a_word() {
    let service = Service::built_in();
    let request = |method: &str, path: &str, media_type: &str, body: Option<&str>| {
        let mut request = http::Request::builder().method(method).uri(path);
        if !media_type.is_empty() {
            request = request.header("content-type", media_type);
        }
        if let Some(body) = body {
            request = request.header("content-length", body.len());
        }
        request.body(Body::from(body.unwrap_or_default().to_owned())).unwrap()
    };
    let body = Some("{}");
    for (request, status) in [
        (request("GET", "/validate", "application/json", None), 405),
        (request("PUT", "/mutate", "application/json", body), 405),
        (request("POST", "/", "application/json", body), 404),
        (request("POST", "/validate/", "application/json", body), 404),
        (request("POST", "/metrics", "application/json", body), 404),
        (request("GET", "/debug/pprof", "", None), 404),
        (request("POST", "/validate", "", body), 415),
        (request("POST", "/validate", "text/plain", body), 415),
        (request("POST", "/validate", "application/yaml", body), 415),
        (request("POST", "/validate", "application/json", None), 411),
        (request("POST", "/validate", "application/json", Some("")), 400),
        (request("POST", "/validate", "application/json; charset=utf-8", body), 400),
        (request("POST", "/validate", "application/json", Some("no")), 400),
        (request("POST", "/validate", "application/json", Some(r#"{"request":{"uid":""}}"#)), 400),
    ] {
        let note = format!("{} {}", request.method(), request.uri());
        let Reply { status: have, body, .. } = service.send(request).await;
        assert_eq!((have, body.len()), (status, 0), "{note}");
    }
}

#[tokio::test]
async fn a_panic_is_a_refusal_and_is_counted() {
    let service =
        Service::new(Box::new(Scripted::new(|_, _| panic!("secret=hunter2"))), Limits::default());
    let body = review_of("{}");
    let reply = service.post("/validate", body.clone()).await;
    assert!(!String::from_utf8_lossy(&reply.body).contains("hunter2"));
    let response = reply.response();
    assert_eq!((&response["uid"], &response["allowed"]), (&json!("the-uid"), &json!(false)));
    assert_eq!(response["status"]["code"], 403);
    let response = service.post("/mutate", body).await.response();
    assert_eq!(response, json!({"uid": "the-uid", "allowed": true}));
    assert_eq!(service.metric("tidegate_panics_total"), Some(2.0));
}

#[tokio::test]
async fn without_labels_nothing_that_needs_them_is_decided() {
    let engine = || Scripted {
        needs_labels: true,
        judge: Box::new(|_, facts| {
            assert!(matches!(facts.namespace_labels, Fact::NotAsked));
            admitted()
        }),
    };
    let cluster = Cluster {
        namespaces: Arc::new(Namespaces::watched()),
        ..Cluster::off("there is no cluster in this test")
    };
    let service = Service::with_cluster(Box::new(engine()), Limits::default(), cluster);
    for path in ["/validate", "/mutate"] {
        let reply = service.post(path, review_of("{}")).await;
        assert_eq!((reply.status, reply.body.len()), (503, 0));
        assert_eq!((reply.header("retry-after"), reply.closes()), (Some("1"), true));
    }
    let off = Service::new(Box::new(engine()), Limits::default());
    assert_eq!(off.post("/validate", review_of("{}")).await.response()["allowed"], true);
}

#[tokio::test]
async fn a_review_that_stalls_is_answered_before_its_deadline() {
    let released = Arc::new(AtomicBool::new(false));
    let stalled = Arc::clone(&released);
    let limits = Limits { inline_body: 0, max_evaluations: 1, ..Limits::default() };
    let engine = Scripted::new(move |_, _| {
        while !stalled.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        admitted()
    });
    let service = Service::new(Box::new(engine), limits);
    let start = Instant::now();
    let response = service.post("/validate?timeout=500ms", review_of("{}")).await.response();
    assert!(start.elapsed() < Duration::from_millis(480), "{:?}", start.elapsed());
    assert_eq!((&response["uid"], &response["allowed"]), (&json!("the-uid"), &json!(false)));
    assert_eq!(service.metric(r#"tidegate_deadline_exceeded_total{reason="decision"}"#), Some(1.0));

    // The work that nobody waits for still counts: the next one is told to come back, and soon.
    let start = Instant::now();
    let reply = service.post("/mutate?timeout=1s", review_of("{}")).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert!(reply.closes() && start.elapsed() < Duration::from_millis(500));
    assert_eq!(service.metric(r#"tidegate_shed_total{reason="evaluation"}"#), Some(1.0));

    released.store(true, Ordering::Relaxed);
    let reply = service.post("/mutate?timeout=5s", review_of("{}")).await;
    assert_eq!(reply.response()["allowed"], true);
    assert_eq!(service.metric("tidegate_body_reserved_bytes"), Some(0.0));
}

#[tokio::test]
async fn memory_is_reserved_before_it_is_used() {
    let limits = Limits { body_budget: 64 << 20, ..Limits::default() };
    let service = Service::new(Box::new(Scripted::new(|_, _| admitted())), limits);
    let stuck = |size: usize| {
        http::Request::post("/validate?timeout=1s")
            .header("content-type", "application/json")
            .header("content-length", size)
            .body(Body::from(review_of_size(size)))
            .unwrap()
    };
    // 48 MiB are for large bodies: one of 30 MiB fits, a second does not.
    let held = http::Request::post("/validate?timeout=2s")
        .header("content-type", "application/json")
        .header("content-length", 30 << 20)
        .body(SlowBody::of(30 << 20))
        .unwrap();
    let (held, late, small) = tokio::join!(
        service.send(held),
        async {
            eventually("memory is reserved", || {
                service.metric("tidegate_body_reserved_bytes") == Some(f64::from(30 << 20))
            })
            .await;
            service.send(stuck(30 << 20)).await
        },
        service.post("/validate", review_of("{}")),
    );
    assert_eq!((late.status, late.header("retry-after")), (503, Some("1")));
    assert_eq!(small.status, 200);
    assert_eq!((held.status, held.closes()), (408, true));
    assert_eq!(service.metric("tidegate_body_reserved_bytes"), Some(0.0));
    assert_eq!(service.metric(r#"tidegate_shed_total{reason="memory"}"#), Some(1.0));
}

/// A body of known length that never comes.
struct SlowBody(u64);

impl SlowBody {
    fn of(length: u64) -> Body {
        Body::new(Self(length))
    }
}

impl hyper::body::Body for SlowBody {
    type Data = hyper::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(self.0)
    }
}

#[tokio::test]
async fn nothing_of_a_request_becomes_a_label() {
    let service = Service::built_in();
    let canary = "canary7f3a";
    let body = recorded("validate-create-job-argocd-migration").replace("prod", canary);
    service.post("/validate", body.clone()).await;
    service.post("/validate", body.replace("\"Job\"", &format!("\"{canary}\""))).await;
    service.post("/validate", body.replace("CREATE", canary)).await;
    service.post(&format!("/{canary}?{canary}"), body).await;
    let text = service.metrics.encode().unwrap();
    assert!(text.contains("tidegate_reviews_total{"), "{text}");
    assert!(!text.contains(canary), "{text}");
}

#[tokio::test]
async fn a_dry_run_counts_no_finding() {
    let finding = Noted {
        undecided: false,
        rule: "root-migration",
        effect: "deny",
        refuses: true,
        at: "spec".to_owned(),
        line: "root-migration: Job/a spec: it runs as root; do not".to_owned(),
    };
    let engine = Scripted::new(move |_, _| Judgement {
        outcome: "refused",
        message: finding.line.clone(),
        findings: vec![finding.clone()],
        ..Judgement::default()
    });
    let service = Service::new(Box::new(engine), Limits::default());
    let series = r#"tidegate_findings_total{rule="root-migration",effect="deny"}"#;
    let dry = review_of("{}").replace("\"dryRun\":false", "\"dryRun\":true");
    let dry = service.post("/validate", dry).await.response();
    assert_eq!(service.metric(series), None);
    let wet = service.post("/validate", review_of("{}")).await.response();
    assert_eq!(service.metric(series), Some(1.0));
    assert_eq!(dry, wet);
}

#[tokio::test]
async fn the_decision_log_has_a_line_for_each_answer_and_no_text_of_an_object() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("decisions.jsonl");
    let engines = Arc::new(Engines::new(crate::support::built_in_engine()));
    let cluster = Cluster::off("there is no cluster in this test");
    let log = DecisionLog::open(&file).unwrap();
    let app = App::new(engines, cluster, Arc::default(), Limits::default()).logging_to(Some(log));
    let router = tidegate::webhook::router(Arc::new(app));
    let bodies = [
        ("/validate", recorded("validate-create-job-generate-name-drop-column")),
        ("/mutate", recorded("validate-create-job-generate-name-drop-column")),
    ];
    for (path, body) in &bodies {
        let request = http::Request::post(*path)
            .header("content-type", "application/json")
            .header("content-length", body.len())
            .body(Body::from(body.clone()))
            .unwrap();
        assert_eq!(router.clone().oneshot(request).await.unwrap().status(), 200);
    }
    let lines = || -> Vec<Value> {
        let text = std::fs::read_to_string(&file).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    eventually("both lines are there", || lines().len() == 2).await;
    let schema = jsonschema::validator_for(&tidegate::webhook::decision_schema()).unwrap();
    for line in lines() {
        assert!(schema.is_valid(&line), "{line}");
        assert_eq!(line["uid"], json!(uid(&bodies[0].1)));
        assert!(!line.to_string().contains("DROP"), "{line}");
    }
    let refused = &lines()[0];
    assert_eq!((&refused["outcome"], &refused["allowed"]), (&json!("refused"), &json!(false)));
    let rules: Vec<_> =
        refused["findings"].as_array().unwrap().iter().map(|it| &it["rule"]).collect();
    assert!(rules.contains(&&json!("unapproved-destructive-migration")), "{rules:?}");
}
