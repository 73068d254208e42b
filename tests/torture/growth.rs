//! T36: what costs little once must not cost much many times over.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    process::is_optimised,
    report::Run,
    transport::{Answer, Transport},
};
use crate::{
    program::Program,
    support::{post, review_of},
};

const KIBIBYTE: usize = 1024;

/// Pieces of scripts, arguments and statements. `%` stands for a number that is another each time.
const PIECES: [&str; 67] = [
    "a%=b;",
    "a%=$a%;",
    "b=$b%;",
    "a+=b;",
    "a+=(b);",
    "a[%]=b;",
    "a=$(b);",
    "a=`b`;",
    "a%(){ b;};",
    "alias a%=b;",
    "trap a% EXIT;",
    "export a%;",
    "set -- $@ a;",
    "shift;",
    "a&",
    "a||b&&c;",
    "echo a|",
    "echo a >f%;",
    "echo a >>f;",
    "cat f%;",
    "cp f g%;",
    "ln -s psql a%;",
    "./f%;",
    ". ./f%;",
    "cd a%;",
    "cd a;",
    "eval 'a%=b';",
    "sh -c a;",
    "sh -c '",
    "xargs a;",
    "env a=b ",
    "(a;b);",
    "{ a;};",
    "{1..9}",
    "{a,b}",
    "for i in {1..64};do a;done;",
    "for i in $b;do a;done;",
    "while read a;do b;done;",
    "if a;then ",
    "case a in b) c;;",
    "done\n",
    "fi\n",
    "cat <<E\n$a\nE\n",
    "<<<a ",
    "<(a) ",
    "$(",
    "$((",
    "${a:-",
    "${a//b/c}",
    "`",
    "\"",
    "'",
    "\\",
    "$",
    ")",
    "* ",
    "[ $a = b ];",
    "[[ $a =~ b ]];",
    "((a++));",
    "psql -c 'DROP TABLE a%';",
    "psql -f f%;",
    "rake -x a db:migrate ",
    "flyway -x a migrate ",
    "prisma -x a migrate ",
    "/* ",
    "-- ",
    "DO $a$ ",
];

/// A unit many times over.
fn repeated(unit: &str, size: usize) -> String {
    let times = size / unit.len();
    if unit.contains('%') {
        (0..times).map(|number| unit.replace('%', &number.to_string())).collect()
    } else {
        unit.repeat(times)
    }
}

/// A Job of these containers.
fn job(containers: &[Value]) -> String {
    let template = json!({"spec": {"restartPolicy": "Never", "containers": containers}});
    let metadata = json!({"name": "a", "namespace": "shop"});
    let spec = json!({"template": template});
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}).to_string()
}

fn container(fields: &Value) -> Value {
    let mut container = json!({"name": "a", "image": "a"});
    container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    container
}

/// Makes the fields of a container that has a text in one place.
type Place = fn(&str) -> Value;

/// The places where a text may stand.
const PLACES: [(&str, Place); 6] = [
    ("script", |text| json!({"command": ["sh", "-c", text]})),
    ("statements", |text| json!({"command": ["psql", "-c", text]})),
    ("program", |text| json!({"command": ["python", "-c", text]})),
    ("words", |text| {
        let words: Vec<&str> = text.split_inclusive([' ', ';', '(', ')']).collect();
        json!({"command": ["rake"], "args": words})
    }),
    ("variable", |text| json!({"env": [{"name": "DATABASE_URL", "value": text}]})),
    ("variables", |text| {
        let words = text.split_inclusive([' ', ';', '(', ')']);
        let env: Vec<Value> =
            words.map(|word| json!({"name": word.trim(), "value": format!("$({word})")})).collect();
        json!({"command": ["sh", "-c", "a $a"], "env": env})
    }),
];

/// Objects of which one part is there again and again, with what they are.
fn repetitive(run: &Run) -> impl Iterator<Item = (String, String)> {
    let size = run.pick(16, 128) * KIBIBYTE;
    let alone = PLACES.into_iter().flat_map(move |(place, fields)| {
        PIECES.into_iter().map(move |piece| {
            (format!("{piece:?} as {place}"), job(&[container(&fields(&repeated(piece, size)))]))
        })
    });
    let firsts = run.pick(&PIECES[..0], &PIECES[..]);
    let pairs = firsts.iter().flat_map(|first| {
        PIECES.into_iter().map(move |second| {
            let unit = format!("{first}{second}");
            let script = json!({"command": ["sh", "-c", repeated(&unit, 48 * KIBIBYTE)]});
            (format!("{unit:?} as script"), job(&[container(&script)]))
        })
    });
    alone.chain(pairs)
}

/// Objects that would take minutes, or gigabytes, if each of their parts were treated as if it were
/// the only one.
fn enormous(run: &Run) -> Vec<(String, String)> {
    let size = run.pick(64, 3 * 1024) * KIBIBYTE;
    let mut enormous = Vec::new();
    for piece in ["for i in {1..64};do a;done;", "{1..9}", "eval ", "a%=b;", "cp f g%;", "$(a) "] {
        let script = json!({"command": ["sh", "-c", repeated(piece, 64)]});
        let one = container(&script);
        let count = size / one.to_string().len();
        enormous.push((format!("containers with {piece:?}"), job(&vec![one; count])));
    }
    let looping = "for i in {1..64};do for j in {1..64};do eval a;done;done;";
    let one = container(&json!({"command": ["sh", "-c", looping]}));
    let count = size / one.to_string().len();
    enormous.push(("containers that loop".to_owned(), job(&vec![one; count])));

    let open = json!({"command": ["sh", "-c", repeated("$(", size)]});
    enormous.push(("references that end nowhere".to_owned(), job(&[container(&open)])));
    let double = json!({"name": "A", "value": "$(A)$(A)"});
    let mut env = vec![json!({"name": "A", "value": "a".repeat(24)})];
    env.resize(size / 40, double);
    let doubling = json!({"command": ["sh", "-c", "echo $A"], "env": env});
    enormous.push(("a variable that doubles".to_owned(), job(&[container(&doubling)])));
    let long = json!([{"name": "A", "value": "a".repeat(60_000)}]);
    let words = vec!["$(A)"; size / 8];
    let wide = json!({"command": ["sh", "-c", "echo"], "args": words, "env": long});
    enormous.push(("a long variable many times".to_owned(), job(&[container(&wide)])));
    enormous
}

/// T36.
pub(crate) async fn repetition(run: Arc<Run>) {
    let program = Program::start("t36", &["--log-level", "error,tidegate::cli::serve=info"]);
    let transport = Transport::to(&program);
    let ask = async |object: &str| -> (Answer, Duration) {
        let request = post("/validate?timeout=30s", &review_of(object));
        let start = Instant::now();
        let answer = transport.send(&request).await.unwrap();
        (answer, start.elapsed())
    };
    let mut asked = 0_usize;
    // Of those of one container, and of all.
    let mut slowest = [(Duration::ZERO, String::new()), (Duration::ZERO, String::new())];
    let objects = repetitive(&run).map(|object| (0, object));
    for (group, (what, object)) in
        objects.chain(enormous(&run).into_iter().map(|object| (1, object)))
    {
        let (answer, took) = ask(&object).await;
        assert_eq!(answer.status, 200, "{what}");
        let review: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(review["response"]["uid"], "the-uid", "{what}");
        asked += 1;
        if took > slowest[group].0 {
            slowest[group] = (took, what);
        }
    }
    let late = program.sum("tidegate_deadline_exceeded_total");
    let most = program.status("VmHWM") as f64 / 1024.0;
    run.note("objects", asked);
    for (name, (took, what)) in ["slowest", "slowest of many containers"].into_iter().zip(&slowest)
    {
        run.note(name, format!("{} ms ({})", took.as_millis(), what.replace('|', "/")));
    }
    run.note("most memory, MiB", format!("{most:.0}"));
    assert!(late < 1.0, "{late} were not decided in time");
    assert!(most <= 178.0, "{most} MiB");
    if is_optimised() {
        assert!(slowest[0].0 <= Duration::from_millis(250), "{slowest:?}");
        assert!(slowest[1].0 <= Duration::from_secs(2), "{slowest:?}");
    }
}
