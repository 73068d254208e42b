//! What detection says about command lines, containers and scripts made to break it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

#[path = "detect/hostile.rs"]
mod hostile;
#[path = "detect/support.rs"]
mod support;

use std::{
    collections::BTreeSet,
    fmt::Write,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use support::{job, said, said_by};
use tidegate::{
    detect::{Confidence, Detector, Operation, ToolEntry},
    model::{ConfigMap, ConfigMapSet, ConfigMaps, Object},
};

fn script(text: &str) -> Value {
    json!({"name": "main", "image": "example/app", "command": ["sh", "-c", text]})
}

/// The rows of every table: tool, command line, operation.
fn rows() -> Vec<[String; 3]> {
    let mut texts = vec![include_str!("detect/cases.yaml").to_owned()];
    let mut files: Vec<_> =
        std::fs::read_dir("tests/detect/cases").unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    texts.extend(files.iter().map(|file| std::fs::read_to_string(file).unwrap()));
    let mut rows = Vec::new();
    for text in texts {
        let groups: Value = serde_saphyr::from_str(&text).unwrap();
        for group in groups.as_array().unwrap() {
            for case in group["cases"].as_array().unwrap() {
                let word = |value: &Value| value.as_str().unwrap().to_owned();
                rows.push([word(&group["tool"]), word(&case[0]), word(&case[1])]);
            }
        }
    }
    rows
}

/// The other half is a unit test of the reader, which says the same of every row.
#[test]
#[expect(clippy::print_stderr, reason = "a test that does not run says so")]
fn bash_prints_what_the_table_of_scripts_says() {
    let groups: Value = serde_saphyr::from_str(include_str!("detect/shell.yaml")).unwrap();
    let place = tempfile::tempdir().unwrap();
    let programs = place.path().join("bin");
    std::fs::create_dir(&programs).unwrap();
    let migrate = programs.join("migrate");
    std::fs::write(&migrate, include_str!("detect/migrate.sh")).unwrap();
    std::fs::set_permissions(&migrate, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut wrong = String::new();
    let rows = groups.as_array().unwrap().iter().flat_map(|g| g["scripts"].as_array().unwrap());
    for row in rows {
        let [script, prints] = [0, 1].map(|at| row[at].as_str().unwrap());
        // Scripts write files: each has a folder of its own.
        let folder = tempfile::tempdir_in(&place).unwrap();
        let run = Command::new("bash")
            .args(["--noprofile", "--norc", "-c", script])
            .current_dir(&folder)
            .env_clear()
            .envs([("PATH", path.as_str()), ("LC_ALL", "C.UTF-8")])
            .stdin(Stdio::null())
            .output();
        let output = match run {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("SKIPPED: there is no bash");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        let printed = String::from_utf8(output.stdout).unwrap();
        if printed != prints {
            writeln!(wrong, "{script}\n  the table {prints:?}\n  bash      {printed:?}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn command_lines_are_told_by_tool_and_operation() {
    let mut wrong = String::new();
    let rows = rows();
    for [tool, line, operation] in &rows {
        let expected = (operation != "none").then(|| (tool.to_owned(), operation.to_owned()));
        let found = said(&script(line)).map(|said| (said.tool, said.operation));
        if found != expected {
            writeln!(wrong, "{line}\n  expected {expected:?}\n  found    {found:?}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(rows.len() >= 1000, "{} rows", rows.len());
}

/// Every operation that an entry of the catalogue names has a row of its own, and every entry says
/// where it comes from.
#[test]
fn every_entry_of_the_catalogue_is_tried() {
    let entries: Value = serde_saphyr::from_str(include_str!("../src/detect/tools.yaml")).unwrap();
    let mut tried: BTreeSet<(String, String)> = BTreeSet::new();
    for [tool, _, operation] in rows() {
        tried.insert((tool, operation.trim_end_matches('?').to_owned()));
    }
    let containers: Value = serde_saphyr::from_str(include_str!("detect/containers.yaml")).unwrap();
    for case in containers.as_array().unwrap() {
        if let (Some(tool), Some(operation)) = (case["says"][0].as_str(), case["says"][1].as_str())
        {
            tried.insert((tool.to_owned(), operation.trim_end_matches('?').to_owned()));
        }
    }
    let mut wrong = String::new();
    for entry in entries.as_array().unwrap() {
        let id = entry["id"].as_str().unwrap();
        if entry["docs"].as_array().is_none_or(Vec::is_empty) {
            writeln!(wrong, "{id}: no docs").unwrap();
        }
        let named = operations(entry);
        let is_tried = |operation: &str| tried.contains(&(id.to_owned(), operation.to_owned()));
        for operation in named.iter().filter(|operation| !is_tried(operation)) {
            writeln!(wrong, "{id}: no row of {operation}").unwrap();
        }
        if !tried.iter().any(|(tool, _)| tool == id) {
            writeln!(wrong, "{id}: no row").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The operations that an entry names.
fn operations(entry: &Value) -> BTreeSet<&str> {
    let mut named = BTreeSet::new();
    for key in ["verbs", "hints"] {
        named.extend(entry[key].as_object().into_iter().flatten().map(|(key, _)| key.as_str()));
    }
    if entry["prints"].is_object() {
        named.insert("read-only");
    }
    named.extend(["bare", "imageDefault"].iter().filter_map(|key| entry[key].as_str()));
    for key in ["env", "settings"] {
        let rules = entry[key].as_array().into_iter().flatten();
        named.extend(rules.filter_map(|rule| rule["operation"].as_str()));
    }
    named
}

#[test]
fn entries_of_a_user_speak_before_built_in_ones() {
    let entries: Value = serde_saphyr::from_str(include_str!("detect/users.yaml")).unwrap();
    let tools: Vec<ToolEntry> = serde_json::from_value(entries["detectors"].clone()).unwrap();
    let detector = Detector::with(&tools).unwrap();
    for case in entries["cases"].as_array().unwrap() {
        let found = said_by(&detector, &case["container"]).map(|said| {
            let field = said.path.strip_prefix("spec.template.spec.containers[0].").unwrap();
            json!([said.tool, said.operation, field])
        });
        assert_eq!(found.unwrap_or_default(), case["says"], "{}", case["container"]);
    }
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
fn a_job_that_prepares_a_database_is_a_hint() {
    let database = json!([{"name": "SHOP_DATABASE_HOST", "value": "db"}]);
    let url = json!([{"name": "URL", "value": "jdbc:postgresql://db/shop"}]);
    let role = json!([{"name": "DB_HOST", "value": "db"}, {"name": "SHOP_ROLE", "value": "init"}]);
    let mounted = json!([{"name": "v", "mountPath": "/docker-entrypoint.sh", "subPath": "init"}]);
    let c = |name: &str, rest: Value| {
        let mut container = json!({"name": name, "image": "example/shop"});
        container.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        container
    };
    for (container, expected) in [
        (c("initializer", json!({"env": database})), Some("name")),
        (c("shop-init", json!({"env": url})), Some("name")),
        (c("shop", json!({"env": role})), Some("env[1]")),
        (c("shop", json!({"env": database, "command": ["/shop-initializer.sh"]})), Some("command")),
        (c("shop-init", json!({"envFrom": [{"secretRef": {"name": "shop-db"}}]})), Some("name")),
        // It knows no database.
        (c("initializer", json!({})), None),
        // It shows what it runs.
        (c("initializer", json!({"env": database, "command": ["/shop", "serve"]})), None),
        (c("initializer", json!({"env": database, "args": ["serve"]})), None),
        // Something else is run in place of what the image would.
        (c("shop-init", json!({"env": database, "volumeMounts": mounted})), None),
        (c("wait-for-init", json!({"env": database})), None),
        (c("shop", json!({"env": database})), None),
    ] {
        let found = said(&container);
        let field = found.as_ref().map(|said| {
            assert_eq!((said.tool.as_str(), said.operation.as_str()), ("unknown", "unknown?"));
            said.path.strip_prefix("spec.template.spec.containers[0].").unwrap()
        });
        assert_eq!(field, expected, "{container}");
    }
    // What serves for ever prepares nothing.
    let json = job(&c("shop-init", json!({"env": database})));
    let json = json.replace("batch/v1", "apps/v1").replace("\"Job\"", "\"Deployment\"");
    let object = Object::parse(&json).unwrap();
    assert!(Detector::built_in().detect(&object, ConfigMaps::NONE).is_empty());
}

/// One row of `detect/files.yaml` as a Job and the ConfigMaps of its set.
fn set(case: &Value) -> (String, ConfigMapSet) {
    let mut maps = ConfigMapSet::default();
    let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
    for (name, data) in case["maps"].as_object().unwrap() {
        let map = ConfigMap::parse(&json!({"data": data}).to_string()).unwrap();
        maps.add("default", name, 0, map);
        volumes.push(json!({"name": name, "configMap": {"name": name}}));
        mounts.push(json!({"name": name, "mountPath": format!("/{name}")}));
    }
    let mut container = case["container"].clone();
    container["name"] = "main".into();
    if container.get("image").is_none() {
        container["image"] = "example/app".into();
    }
    let given = |key: &str, usual: Vec<Value>| case.get(key).cloned().unwrap_or(usual.into());
    container["volumeMounts"] = given("mounts", mounts);
    let mut job: Value = serde_json::from_str(&job(&container)).unwrap();
    job["spec"]["template"]["spec"]["volumes"] = given("volumes", volumes);
    (job.to_string(), maps)
}

#[test]
fn files_of_config_maps_are_read() {
    let cases: Value = serde_saphyr::from_str(include_str!("detect/files.yaml")).unwrap();
    let mut wrong = String::new();
    for case in cases.as_array().unwrap() {
        let (json, maps) = set(case);
        let object = Object::parse(&json).unwrap();
        let detections = Detector::built_in().detect(&object, maps.seen_from("default", 0));
        let found = detections.first().map(|detection| {
            let main = &detection.main;
            let hint = if main.confidence == Confidence::Name { "?" } else { "" };
            let field = main.path.strip_prefix("spec.template.spec.containers[0].").unwrap();
            let file = main.file.map(|file| format!("{}/{}", file.config_map, file.key));
            json!([main.tool, format!("{}{hint}", main.operation), field, file])
        });
        let found = found.unwrap_or_default();
        let seen = detections.iter().flat_map(|detection| &detection.invocations);
        let lines: Vec<(String, usize)> = seen
            .flat_map(|invocation| &invocation.files)
            .flat_map(|file| {
                let name = format!("{}/{}", file.file.config_map, file.file.key);
                file.statements.iter().map(move |statement| (name.clone(), statement.line))
            })
            .collect();
        let expected = case.get("statements").and_then(Value::as_object);
        let has_lines = expected.into_iter().flatten().all(|(file, line)| {
            let line = usize::try_from(line.as_u64().unwrap()).unwrap();
            lines.contains(&(file.clone(), line))
        });
        if found != case["says"] || !has_lines {
            writeln!(wrong, "{}\n  found {found} {lines:?}", case["what"]).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn folders_of_migrations_are_read() {
    let cases: Value = serde_saphyr::from_str(include_str!("detect/folders.yaml")).unwrap();
    let mut wrong = String::new();
    for case in cases.as_array().unwrap() {
        let (json, maps) = set(case);
        let object = Object::parse(&json).unwrap();
        let detections = Detector::built_in().detect(&object, maps.seen_from("default", 0));
        let main = &detections.first().unwrap().main;
        let seen: Vec<String> = main
            .seen()
            .map(|(file, statement)| {
                let file = file.map(|file| format!("{}/{}", file.config_map, file.key));
                let operation = statement.operation.map_or("none", Operation::as_str);
                format!("{}:{} {operation}", file.unwrap_or_default(), statement.line)
            })
            .collect();
        let found = json!([main.tool, main.operation.as_str(), seen]);
        if found != case["says"] {
            writeln!(wrong, "{}\n  found {found}", case["what"]).unwrap();
        }
        for (_, statement) in main.seen() {
            assert!(!statement.words.contains("hunter2"), "{}", statement.words);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_large_folder_that_is_read_over_and_over_does_not_take_long() {
    let file = "INSERT INTO a VALUES (1);\n".repeat(2_000);
    let mut files: Map<String, Value> =
        (0..20).map(|n| (format!("{n}_a.up.sql"), json!(file.clone()))).collect();
    files.insert("30_a.up.sql".to_owned(), json!("SELECT 1; DROP TABLE a; DROP TABLE b;"));
    let lines = "migrate -path /sql up\n".repeat(10_000);
    let case = json!({"maps": {"sql": files}, "container": {"command": ["sh", "-c", lines]}});
    let (json, maps) = set(&case);
    let object = Object::parse(&json).unwrap();
    let began = std::time::Instant::now();
    let detections = Detector::built_in().detect(&object, maps.seen_from("default", 0));
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    let invocations = &detections.first().unwrap().invocations;
    assert_eq!(invocations.len(), 10_000);
    // Past the limit only what is worse than all before it is kept.
    let first: Vec<&str> =
        invocations[0].seen().map(|(_, seen)| seen.words.as_str()).skip(20_000).collect();
    assert_eq!(invocations[0].operation, Operation::Destructive);
    assert_eq!(first, ["INSERT", "DROP TABLE"]);
    // What is past the limit is unknown, and no additive statement stands for it.
    let last: Vec<&str> =
        invocations.last().unwrap().seen().map(|(_, seen)| seen.words.as_str()).collect();
    assert_eq!(last, ["more than is looked at"]);
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
