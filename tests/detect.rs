//! What detection says about command lines, containers and scripts made to break it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::fmt::Write;

use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate::{
    detect::{Confidence, Detector, Site},
    model::{ConfigMaps, Object},
};

/// What was found in the one container of a Job, in short.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    tool: String,
    operation: String,
    path: String,
    words: String,
    serves_after: bool,
}

fn job(container: &Value) -> String {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "task"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    })
    .to_string()
}

fn said(container: &Value) -> Option<Said> {
    let json = job(container);
    let object = Object::parse(&json).unwrap();
    let detections = Detector::built_in().detect(&object, ConfigMaps::NONE);
    let detection = detections.iter().find(|detection| detection.site == Site::Command)?;
    let main = &detection.main;
    let hint = if main.confidence == Confidence::Name { "?" } else { "" };
    Some(Said {
        tool: main.tool.to_owned(),
        operation: format!("{}{hint}", main.operation),
        path: main.path.clone(),
        words: main.words.clone(),
        serves_after: detection.serves_after,
    })
}

fn script(text: &str) -> Value {
    json!({"name": "main", "image": "example/app", "command": ["sh", "-c", text]})
}

#[test]
fn command_lines_are_told_by_tool_and_operation() {
    let groups: Value = serde_saphyr::from_str(include_str!("detect/cases.yaml")).unwrap();
    let (mut count, mut wrong) = (0, String::new());
    for group in groups.as_array().unwrap() {
        for case in group["cases"].as_array().unwrap() {
            let (line, expected) = (case[0].as_str().unwrap(), case[1].as_str().unwrap());
            let tool = group["tool"].as_str().unwrap();
            let expected = if expected == "none" {
                None
            } else {
                Some((tool.to_owned(), expected.to_owned()))
            };
            let found = said(&script(line)).map(|said| (said.tool, said.operation));
            count += 1;
            if found != expected {
                writeln!(wrong, "{line}\n  expected {expected:?}\n  found    {found:?}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 150, "{count} cases");
}

#[test]
fn a_container_is_read_as_the_kubelet_would_run_it() {
    let cases: Value = serde_saphyr::from_str(include_str!("detect/containers.yaml")).unwrap();
    for case in cases.as_array().unwrap() {
        let found = said(&case["container"]).map(|said| {
            let field = said.path.strip_prefix("spec.template.spec.containers[0].").unwrap();
            json!([said.tool, said.operation, field])
        });
        assert_eq!(found.unwrap_or_default(), case["says"], "{}", case["container"]);
    }
}

#[test]
fn serving_after_a_migration_is_seen() {
    for (text, expected) in [
        ("alembic upgrade head && exec uvicorn app:app", true),
        ("alembic upgrade head\nuvicorn app:app", true),
        ("alembic upgrade head || true; npm start", true),
        ("alembic upgrade head", false),
        ("alembic upgrade head && echo done; exit 0", false),
        ("pip install x; alembic upgrade head; sleep 5; curl localhost/quit", false),
        ("python manage.py migrate; python manage.py collectstatic --noinput", false),
        ("python manage.py migrate; python manage.py runserver 0.0.0.0:8000", true),
    ] {
        assert_eq!(said(&script(text)).unwrap().serves_after, expected, "{text}");
    }
}

#[test]
fn evidence_holds_no_values() {
    let secret = "hunter2";
    for text in [
        format!("migrate -path /m -database postgres://u:{secret}@db/app down 3"),
        format!("flyway -password={secret} -url=jdbc:{secret} migrate"),
        format!("psql postgres://u:{secret}@db -c 'DROP TABLE {secret}'"),
        format!("mysql -p{secret} -e 'DROP TABLE {secret}'"),
        format!("goose postgres 'password={secret}' up"),
        format!("PASSWORD={secret} alembic -x url={secret} downgrade {secret}"),
        format!("./migrate.sh {secret}"),
        format!("rake 'db:rollback[{secret}]'"),
        format!("/{secret}@x=/run --migrate"),
    ] {
        let json = job(&script(&text));
        let object = Object::parse(&json).unwrap();
        let detections = Detector::built_in().detect(&object, ConfigMaps::NONE);
        assert!(!detections.is_empty(), "{text}");
        for invocation in detections.iter().flat_map(|detection| &detection.invocations) {
            assert!(!invocation.words.contains(secret), "{text}: {}", invocation.words);
        }
    }
}

#[test]
fn both_sites_of_every_container_are_read() {
    let json = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "app"},
        "spec": {"template": {"spec": {
            "initContainers": [
                {"name": "a", "image": "x", "command": ["alembic", "upgrade", "head"]},
                {"name": "b", "image": "x", "restartPolicy": "Always", "command": ["goose", "up"]},
            ],
            "containers": [{
                "name": "c", "image": "nginx",
                "lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "flyway migrate"]}}},
            }],
        }}},
    })
    .to_string();
    let object = Object::parse(&json).unwrap();
    let paths: Vec<String> = Detector::built_in()
        .detect(&object, ConfigMaps::NONE)
        .into_iter()
        .map(|detection| detection.main.path)
        .collect();
    assert_eq!(
        paths,
        [
            "spec.template.spec.initContainers[0].command",
            "spec.template.spec.initContainers[1].command",
            "spec.template.spec.containers[0].lifecycle.postStart.exec.command",
        ]
    );
}

#[test]
fn the_manifests_of_the_readme_come_out_right() {
    for (file, tool, operation) in [
        (include_str!("manifests/argocd-migration-job.yaml"), "migrate", "apply"),
        (include_str!("manifests/argocd-backup-job.yaml"), "backup", "backup"),
        (include_str!("manifests/argocd-verification-job.yaml"), "migrate", "read-only"),
        (include_str!("manifests/helm-hook-job.yaml"), "migrate", "apply"),
    ] {
        let document: Value = serde_saphyr::from_str(file).unwrap();
        let json = document.to_string();
        let object = Object::parse(&json).unwrap();
        let detections = Detector::built_in().detect(&object, ConfigMaps::NONE);
        let main = &detections.first().unwrap().main;
        assert_eq!((main.tool, main.operation.as_str()), (tool, operation), "{file}");
        assert_eq!(main.confidence, Confidence::Command);
    }
}

/// What opens something, or starts something over.
const OPENERS: &[&str] = &[
    "(",
    "((",
    "$(",
    "$((",
    "{ ",
    "if ",
    "while ",
    "until x; do ",
    "case x in (",
    "`",
    "\\`",
    "[[ ! ",
    "[[ ( ",
    "${a",
    "${a:-",
    "\"$(",
    "\"${a:-",
    "f() { ",
    "function f ",
    "! ",
    "| ",
    "&& ",
    "<(",
    "<<A\n",
    "a=(",
    "$'",
    "a|",
    "a&&",
    "a;",
    "\\",
    "'",
    "\"",
    "#",
    "eval ",
    "sh -c ",
    "sh -c '",
    "exec ",
    "env ",
    "rails ",
    "psql -c ",
    "for i in ",
    "a=$a$a ",
    ";;",
    ")",
    "}",
    "x() (",
    "{ x; } | ",
    "$(a ",
    "alembic ",
];

/// Scripts that nest, repeat or grow as much as they can.
fn hostile_scripts() -> Vec<String> {
    let many = 100_000_usize;
    let mut scripts: Vec<String> =
        OPENERS.iter().map(|part| part.repeat(many.div_euclid(part.len()))).collect();
    scripts.push(format!("{} true {}", "(".repeat(50_000), ")".repeat(50_000)));
    scripts.push(format!("{} true {}", "{ ".repeat(30_000), "; }".repeat(30_000)));
    scripts.push(format!("a=xxxxxxxx; {} echo $a", "a=$a$a; ".repeat(10_000)));
    scripts.push("f() { f; f; }; f".to_owned());
    scripts.push("f() { g; g; }; g() { f; f; }; f; flyway migrate".to_owned());
    scripts.push(format!("{}x{}", "if a; then ".repeat(9_000), "; fi".repeat(9_000)));
    scripts
        .push("for i in 1 2 3 4 5 6 7 8; do ".repeat(30) + "flyway migrate" + &"; done".repeat(30));
    scripts
}

#[test]
fn no_script_exhausts_the_stack_or_takes_long() {
    let scripts = hostile_scripts();
    let started = std::time::Instant::now();
    std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(move || {
            for text in scripts {
                let json = job(&script(&text));
                let object = Object::parse(&json).unwrap();
                let began = std::time::Instant::now();
                drop(Detector::built_in().detect(&object, ConfigMaps::NONE));
                let start: String = text.chars().take(12).collect();
                assert!(began.elapsed().as_secs() < 20, "{start:?} took {:?}", began.elapsed());
            }
        })
        .unwrap()
        .join()
        .unwrap();
    assert!(started.elapsed().as_secs() < 120);
}

#[test]
fn a_migration_in_an_unreadable_script_is_still_seen() {
    let deep = format!("{} flyway migrate", "( ".repeat(500));
    let long = format!("flyway migrate\n{}", "true\n".repeat(60_000));
    for text in [deep.as_str(), long.as_str(), "flyway migrate 'unclosed", "flyway migrate )"] {
        let found = said(&script(text)).unwrap();
        assert_eq!((found.tool.as_str(), found.operation.as_str()), ("flyway", "unknown"));
    }
    // What a shell runs before it meets the mistake is read like any other.
    for text in ["flyway clean\n)", "f\\lyway clean\nfi", "flyway clean\n( 'unclosed"] {
        let found = said(&script(text)).unwrap();
        assert_eq!((found.tool.as_str(), found.operation.as_str()), ("flyway", "destructive"));
    }
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,20}",
        "\\PC{0,12}",
        proptest::sample::select(vec![
            "sh",
            "-c",
            "bash",
            "-ec",
            "env",
            "exec",
            "--",
            "flyway",
            "migrate",
            "psql",
            "-c",
            "$(A)",
            "$A",
            "${A:-b}",
            "<<EOF\n",
            "EOF\n",
            "DROP TABLE x;",
            "npx",
            "prisma",
            "rails",
            "db:migrate",
            "|",
            "&&",
            "(",
            ")",
            "{",
            "}",
            "if",
            "then",
            "fi",
            "`",
            "\"",
            "'",
            "\\",
            "$((",
            "case",
            "in",
            "esac",
            "for",
        ])
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn anything_gets_an_answer(
        command in proptest::collection::vec(word(), 0..6),
        args in proptest::collection::vec(word(), 0..6),
        value in word(),
        text in proptest::collection::vec(word(), 0..30),
    ) {
        let container = json!({
            "name": value,
            "image": value,
            "command": command,
            "args": args,
            "env": [{"name": "A", "value": value}],
            "source": text.join(" "),
        });
        let plain = json!({"command": command, "args": args, "env": [{"name": "A", "value": value}]});
        for container in [container, plain, script(&text.join(" ")), script(&text.concat())] {
            let json = job(&container);
            let object = Object::parse(&json).unwrap();
            let first = format!("{:?}", said(&container));
            prop_assert_eq!(first, format!("{:?}", said(&container)));
            drop(Detector::built_in().detect(&object, ConfigMaps::NONE));
        }
    }
}
