//! T8, T10, T11, T13: what is in a request.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tidegate::settings::Limits;
use tokio::task::JoinSet;

use super::{
    report::Run,
    transport::{Answer, Transport},
};
use crate::{
    program::Program,
    support::{Scripted, Server, Service, admitted, post, review_of, review_of_size, reviews},
};

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most.max(1)
    }

    fn value(&mut self) -> Value {
        match self.below(9) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(-1),
            3 => json!(1e308),
            4 => json!("\u{0}\u{1b}[31m\r\n"),
            5 => json!("DROP TABLE a; alembic upgrade head"),
            6 => json!([[[]]]),
            7 => json!({"": {"kind": []}}),
            _ => json!("x".repeat(self.below(3_000))),
        }
    }

    /// Puts something else where something was, somewhere below `value`.
    fn damage(&mut self, value: &mut Value) {
        let stop = self.below(6) == 0;
        match value {
            Value::Object(map) if !stop && !map.is_empty() => {
                let at = self.below(map.len());
                let key = map.keys().nth(at).cloned().unwrap();
                if self.below(12) == 0 {
                    let moved = map.remove(&key).unwrap();
                    map.insert(format!("{key}s"), moved);
                } else {
                    self.damage(map.get_mut(&key).unwrap());
                }
            }
            Value::Array(list) if !stop && !list.is_empty() => {
                let at = self.below(list.len());
                self.damage(&mut list[at]);
            }
            other => *other = self.value(),
        }
    }
}

fn response(answer: &Answer, note: &str) -> Value {
    let shown = &note[..note.len().min(300)];
    assert_eq!(answer.status, 200, "{shown}");
    let review: Value = serde_json::from_slice(&answer.body).unwrap();
    review["response"].clone()
}

/// T8.
pub(crate) async fn always_answers(run: Arc<Run>) {
    let program = Program::start("t08", &["--log-level", "error,tidegate::cli::serve=info"]);
    let transport = Transport::to(&program);
    let hopeless = [
        "7",
        "\"a\"",
        "[]",
        "true",
        "{",
        "",
        "{\"a\":01}",
        "nul",
        "[1,2",
        "{\"kind\":\"Job\",\"kind\":\"Pod\"}",
        r#"{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"a"},"spec":7}"#,
        r#"{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"a"},"spec":{"template":7}}"#,
        r#"{"apiVersion":"batch/v1","kind":"Job","metadata":7,"spec":{}}"#,
        r#"{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"a"},"spec":{"template":{"spec":{"containers":{}}}}}"#,
    ];
    for object in hopeless {
        let body = review_of(object);
        let answer = transport.send(&post("/validate", &body)).await.unwrap();
        let response = response(&answer, &body);
        assert_eq!(
            (&response["uid"], &response["allowed"]),
            (&json!("the-uid"), &json!(false)),
            "{object}"
        );
    }
    let recorded = reviews();
    let mut numbers = Numbers(1);
    let (mut refused, total) = (0, run.pick(2_000, 10_000));
    for number in 0..total {
        let (name, text) = &recorded[number % recorded.len()];
        let mut review: Value = serde_json::from_str(text).unwrap();
        for _ in 0..=numbers.below(4) {
            let request = review["request"].as_object_mut().unwrap();
            let keys: Vec<_> = request.keys().filter(|key| *key != "uid").cloned().collect();
            // Of three, two are in the object itself.
            let key = match numbers.below(3) {
                0 => &keys[numbers.below(keys.len())],
                _ => "object",
            };
            numbers.damage(&mut request[key]);
        }
        let path = if name.starts_with("mutate") { "/mutate" } else { "/validate" };
        let body = review.to_string();
        let answer = transport.send(&post(path, &body)).await.unwrap();
        let response = response(&answer, &body);
        assert_eq!(response["uid"], review["request"]["uid"], "{body}");
        assert!(path == "/validate" || response["allowed"] == true, "{body}");
        refused += usize::from(response["allowed"] == false);
    }
    run.note("objects", total + hopeless.len());
    run.note("answered under their uid", total + hopeless.len());
    run.note("refused", refused + hopeless.len());
    let panics = program.metric("tidegate_panics_total").unwrap();
    run.note("panics", panics);
    assert!(refused > total / 20 && refused < total, "{refused} of {total} are refused");
    assert_eq!(panics, 0.0);
}

const MEBIBYTE: usize = 1 << 20;

/// T10.
pub(crate) async fn sizes(run: Arc<Run>) {
    let program = Program::start("t10", &["--log-level", "error,tidegate::cli::serve=info"]);
    let transport = Arc::new(Transport::to(&program));
    for (size, status) in [
        (0, 400),
        (1, 400),
        (2 * MEBIBYTE - 1, 200),
        (2 * MEBIBYTE + 1, 200),
        (3 * MEBIBYTE, 200),
        (7 * MEBIBYTE + 1, 200),
        (16 * MEBIBYTE, 200),
        (27 * MEBIBYTE, 200),
        (32 * MEBIBYTE - 1, 200),
        (32 * MEBIBYTE, 200),
        (32 * MEBIBYTE + 1, 413),
    ] {
        let body = if size < 2 { "{".repeat(size) } else { review_of_size(size) };
        let answer = transport.send(&post("/validate?timeout=30s", &body)).await.unwrap();
        assert_eq!(answer.status, status, "{size}");
        assert!(status == 200 || answer.body.is_empty(), "{size}");
    }
    let body = review_of("{}");
    let request = String::from_utf8(post("/validate?timeout=1s", &body)).unwrap();
    let honest = format!("Content-Length: {}", body.len());
    for (lie, status) in [(5_isize, 408), (-5, 200)] {
        let length = body.len().checked_add_signed(lie).unwrap();
        let mut connection = program.connect().await;
        connection
            .send(request.replace(&honest, &format!("Content-Length: {length}")))
            .await
            .unwrap();
        assert_eq!(connection.reply().await.unwrap().status, status, "{lie}");
        connection.closed().await;
    }
    let large = Arc::new(post("/validate?timeout=30s", &review_of_size(27 * MEBIBYTE)));
    let mut tasks = JoinSet::new();
    let at_once = run.pick(10, 50);
    for _ in 0..at_once {
        let (large, transport) = (Arc::clone(&large), Arc::clone(&transport));
        tasks.spawn(async move { transport.send(&large).await });
    }
    let (mut answered, mut shed) = (0, 0);
    for result in tasks.join_all().await {
        match result {
            Ok(answer) if answer.status == 200 => answered += 1,
            Ok(answer) => {
                assert_eq!((answer.status, answer.retry_after()), (503, Some(1)));
                shed += 1;
            }
            // An answer that came while the body was still being written.
            Err(why) => {
                assert!(why.starts_with("write"), "{why}");
                shed += 1;
            }
        }
    }
    let most = program.status("VmHWM") as f64 / 1024.0;
    run.note("of 27 MiB at once", at_once);
    run.note("answered", answered);
    run.note("told to come back", shed);
    run.note("most memory, MiB", format!("{most:.0}"));
    assert!(answered >= 3, "{answered} answered");
    assert!(most <= 128.0 + 50.0, "{most} MiB");
    assert_eq!(program.metric("tidegate_body_reserved_bytes"), Some(0.0));
}

/// Objects that are deep, wide or odd, with what they are.
fn odd() -> Vec<(String, String)> {
    let job = |spec: &str, annotations: &str, fields: &str| {
        format!(
            r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"name":"a","annotations":{annotations},
            "managedFields":{fields}}},"spec":{spec}}}"#
        )
    };
    let mut odd = Vec::new();
    for depth in [10, 127, 128, 10_000, 1_000_000] {
        let lists = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let maps = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        for (kind, deep) in [("lists", lists), ("objects", maps)] {
            odd.push((
                format!("{depth} {kind} in spec"),
                job(
                    &format!(r#"{{"x":{deep},"template":{{"spec":{{"containers":{deep}}}}}}}"#),
                    "{}",
                    "[]",
                ),
            ));
            odd.push((
                format!("{depth} {kind} in annotations"),
                job("{}", &format!(r#"{{"a":{deep}}}"#), "[]"),
            ));
            odd.push((format!("{depth} {kind} in managedFields"), job("{}", "{}", &deep)));
        }
    }
    let keys: Vec<_> = (0..100_000).map(|index| format!("\"k{index}\":\"v\"")).collect();
    let keys = format!("{{{}}}", keys.join(","));
    odd.push(("100,000 keys".to_owned(), job("{}", &keys, "[]")));
    odd.push((
        "a string of 1 MiB".to_owned(),
        job("{}", &format!(r#"{{"a":"{}"}}"#, "x".repeat(MEBIBYTE)), "[]"),
    ));
    odd.push((
        "16 MiB".to_owned(),
        job(&format!(r#"{{"x":["{}"]}}"#, "y\",\"".repeat(4 * MEBIBYTE)), "{}", "[]"),
    ));
    let nested = |open: &str, close: &str, depth: usize| {
        format!("{}:{}", open.repeat(depth), close.repeat(depth))
    };
    for (what, script) in [
        ("brackets", nested("(", ")", 200_000)),
        ("substitutions", nested("$(", ")", 100_000)),
        ("quotes", "\\\"$(".repeat(50_000)),
        (
            "SQL brackets",
            format!("psql -c 'SELECT {}1{}'", "(".repeat(100_000), ")".repeat(100_000)),
        ),
    ] {
        let container = format!(r#"{{"name":"m","image":"a","command":["sh","-c","{script}"]}}"#);
        odd.push((
            what.to_owned(),
            job(
                &format!(r#"{{"template":{{"spec":{{"containers":[{container}]}}}}}}"#),
                "{}",
                "[]",
            ),
        ));
    }
    for text in
        [r#"{"a":1e400}"#, r#"{"a":"\ud800"}"#, r#"{"a":"\u0000"}"#, r#"{"spec":{},"spec":{}}"#]
    {
        odd.push((text.to_owned(), text.to_owned()));
    }
    odd
}

/// T11. In this process, because stacks of 2 MiB are a quarter of what the program gives itself.
pub(crate) async fn nesting(run: Arc<Run>) {
    let worker = std::thread::Builder::new().stack_size(2 << 20).spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .thread_stack_size(2 << 20)
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let service = Service::built_in();
            let mut slowest = (Duration::ZERO, String::new());
            let odd = odd();
            for (what, object) in &odd {
                let body = review_of(object);
                let start = Instant::now();
                let reply = service.post("/validate?timeout=30s", body).await;
                let took = start.elapsed();
                assert_eq!(reply.response()["uid"], "the-uid", "{what}");
                if took > slowest.0 {
                    slowest = (took, what.clone());
                }
            }
            assert_eq!(service.metric("tidegate_panics_total"), Some(0.0));
            (odd.len(), slowest)
        })
    });
    let (count, (slowest, what)) = worker.unwrap().join().unwrap();
    run.note("objects", count);
    run.note("stack, MiB", 2);
    run.note("slowest", format!("{} ms ({what})", slowest.as_millis()));
    if !cfg!(debug_assertions) {
        assert!(slowest <= Duration::from_millis(250), "{what} took {slowest:?}");
    }
}

/// T13. In this process, because the engine of the program cannot be told to stall.
pub(crate) async fn deadline(run: Arc<Run>) {
    let engine = Scripted::new(|_, _| {
        std::thread::sleep(Duration::from_millis(1_500));
        admitted()
    });
    let limits = Limits { inline_body: 0, max_evaluations: 64, ..Limits::default() };
    let service = Service::new(Box::new(engine), limits.clone());
    let server = Arc::new(Server::with(service, limits, None).await);
    let mut tasks = JoinSet::new();
    for seconds in run.pick(1..=4_u64, 1..=30) {
        for path in ["validate", "mutate"] {
            let server = Arc::clone(&server);
            tasks.spawn(async move {
                let mut connection = server.connect().await;
                let start = Instant::now();
                let reply =
                    connection.post(&format!("/{path}?timeout={seconds}s"), &review_of("{}")).await;
                (seconds, path, start.elapsed(), reply.response())
            });
        }
    }
    let mut late = 0.0;
    let mut asked = 0;
    for (seconds, path, took, response) in tasks.join_all().await {
        assert!(took < Duration::from_secs(seconds), "{path} in {took:?} of {seconds} s");
        assert_eq!(response["uid"], "the-uid");
        // Stalled for longer than four fifths of it: refused by the one, let in by the other.
        let stalled = seconds == 1;
        assert_eq!(response["allowed"], !(stalled && path == "validate"), "{seconds} {path}");
        late += f64::from(u8::from(stalled));
        asked += 1;
    }
    let counted = server.service.metric(r#"tidegate_deadline_exceeded_total{reason="decision"}"#);
    assert_eq!(counted, Some(late));
    run.note("requests", asked);
    run.note("not decided in time", late);
    run.note("answered after their timeout", 0);
}
