//! `tidegate detect` as users meet it: standard output, standard error and exit code.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};

const SET: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: sql, namespace: shop}
data:
  contract.sql: |
    -- the second half
    ALTER TABLE orders DROP COLUMN legacy;
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: shop}
spec:
  template:
    spec:
      initContainers:
        - {name: migrate, image: app, command: [alembic, upgrade, head]}
        - {name: proxy, image: proxy, restartPolicy: Always}
      containers:
        - name: app
          image: app
          env: [{name: PASSWORD, value: hunter2}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: contract, namespace: shop}
spec:
  template:
    spec:
      containers:
        - name: psql
          image: postgres
          command: [psql, 'postgres://shop:hunter2@db/shop', -f, /sql/contract.sql]
          volumeMounts: [{name: sql, mountPath: /sql}]
      volumes: [{name: sql, configMap: {name: sql}}]
";

fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("detect").join(name);
    let _gone = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    for (file, text) in files {
        fs::write(folder.join(file), text).unwrap();
    }
    folder
}

fn detect(folder: &Path, args: &[&str]) -> (Output, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .current_dir(folder)
        .arg("detect")
        .args(args)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

#[test]
fn every_container_has_a_line() {
    let folder = folder("lines", &[("set.yaml", SET)]);
    let (output, stdout, stderr) = detect(&folder, &["set.yaml", "--format", "jsonl"]);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
    let lines: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let short: Vec<Value> = lines
        .iter()
        .map(|line| {
            let fields = ["container", "containerType", "migration", "operation", "tool"];
            fields.iter().map(|field| line[*field].clone()).collect()
        })
        .collect();
    assert_eq!(
        short,
        [
            json!(["migrate", "init", "apply", "apply", "alembic"]),
            json!(["proxy", "sidecar", "none", null, null]),
            json!(["app", "main", "none", null, null]),
            json!(["psql", "main", "destructive", "destructive", "psql"]),
        ]
    );
    let evidence = &lines[3]["evidence"][0];
    assert_eq!(evidence["path"], "spec.template.spec.containers[0].command");
    assert_eq!(evidence["statements"][0]["line"], 2);
    assert_eq!(
        evidence["statements"][0]["file"],
        json!({"configMap": "sql", "key": "contract.sql"})
    );
    for field in ["file", "kind", "namespace", "name", "confidence"] {
        assert!(lines.iter().all(|line| line.get(field).is_some()), "{field}");
    }
    assert_eq!((&lines[0]["namespace"], &lines[0]["file"]), (&json!("shop"), &json!("set.yaml")));
    assert!(!stdout.contains("hunter2"));
}

#[test]
fn people_see_what_tells() {
    let folder = folder("human", &[("set.yaml", SET)]);
    let (output, stdout, _) = detect(&folder, &["set.yaml"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(!stdout.contains("hunter2"));
    insta::assert_snapshot!(stdout);
}

#[test]
fn what_cannot_be_read_hides_nothing_else() {
    let broken = "kind: Job\nmetadata: [\n";
    let folder = folder("broken", &[("a.yaml", broken), ("b.yaml", SET)]);
    let (output, stdout, stderr) = detect(&folder, &[".", "--format", "jsonl"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stdout.lines().count(), 4);
    assert!(stderr.starts_with("error: ./a.yaml:"), "{stderr}");
    let (output, _, stderr) = detect(&folder, &["gone.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stderr, "error: gone.yaml: there is no such file\n");
}

#[test]
fn a_key_that_stands_twice_is_said_and_the_last_counts() {
    let twice = "\
apiVersion: batch/v1
kind: Job
metadata: {name: a}
spec:
  template:
    spec:
      containers:
        - name: a
          command: [flyway, migrate]
          command: [flyway, clean]
";
    let folder = folder("twice", &[("a.yaml", twice)]);
    let (output, stdout, stderr) = detect(&folder, &["a.yaml", "--format", "jsonl"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stderr, "error: a.yaml:10:11: the key `command` stands twice\n");
    let line: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(line["migration"], "destructive");
}

#[test]
fn a_policy_brings_tools_of_its_own() {
    let policy = "\
apiVersion: tidegate.dev/v1alpha1
kind: MigrationPolicy
metadata: {name: own}
spec:
  detectors:
    - id: shopctl
      name: the shop's own tool
      executables: [shopctl]
      verbs: {destructive: [wipe]}
";
    let job = "\
apiVersion: batch/v1
kind: Job
metadata: {name: a}
spec: {template: {spec: {containers: [{name: a, image: a, command: [shopctl, wipe]}]}}}
";
    let folder = folder("policy", &[("job.yaml", job), ("policy.yaml", policy)]);
    let tool = |args: &[&str]| {
        let (_, stdout, _) = detect(&folder, args);
        let line: Value = serde_json::from_str(&stdout).unwrap();
        (line["tool"].clone(), line["migration"].clone())
    };
    let own = ["job.yaml", "--format", "jsonl", "--policy", "policy.yaml"];
    assert_eq!(tool(&own), (json!("shopctl"), json!("destructive")));
    assert_eq!(tool(&["job.yaml", "--format", "jsonl"]), (Value::Null, json!("none")));
}
