//! `tidegate policy`, and exceptions in `tidegate check`.

use std::{fs, path::Path, process::Output};

use serde_json::Value;

fn tidegate(folder: &Path, args: &[&str]) -> Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    spec:
      initContainers: [{name: migrate, image: 'flyway/flyway:11', args: [migrate]}]
      containers: [{name: web, image: 'shop:1'}]
";

fn exception(expires: &str) -> String {
    format!(
        "apiVersion: tidegate.dev/v1alpha1
kind: MigrationException
metadata: {{name: legacy}}
spec:
  rules: [migration-in-init-container]
  match: {{kinds: [Deployment]}}
  reason: old
  ticket: SHOP-1
  expires: {expires}
"
    )
}

/// Half the longest time that an exception may have from now.
fn soon() -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1_000)).to_string()
}

const POLICY: &str = "\
apiVersion: tidegate.dev/v1alpha1
kind: MigrationPolicy
metadata: {name: live}
spec:
  match: {namespaceSelector: {matchLabels: {environment: live}}}
  level: Warn
  rules: {root-migration: {level: Deny}, retried-migration: {params: {maxBackoffLimit: 3}}}
  customRules:
    - {id: my-rule, expression: 'true', message: a, mend: b}
---
apiVersion: tidegate.dev/v1alpha1
kind: MigrationPolicy
metadata: {name: other}
";

#[test]
fn an_exception_among_the_manifests_excuses() {
    let folder = folder(&[("app.yaml", DEPLOYMENT), ("exception.yaml", &exception(&soon()))]);
    let output = tidegate(folder.path(), &["check", "."]);
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    assert!(printed.contains("excused by exception `legacy` (SHOP-1) until"), "{printed}");
    let output = tidegate(folder.path(), &["check", ".", "--format", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let finding = &report["results"][0]["findings"][0];
    assert_eq!(finding["effect"], "excepted");
    assert_eq!(finding["exception"]["ticket"], "SHOP-1");
    // Another namespace is none of its business.
    let output = tidegate(folder.path(), &["check", "app.yaml", "--namespace", "shop"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn exceptions_that_excuse_nothing_are_told_with_their_place() {
    let unused = exception(&soon()).replace("[Deployment]", "[StatefulSet]");
    for (exception, code, level, says) in [
        (exception("2020-01-01T00:00:00Z"), 1, "warning", "does not hold, because it expired at"),
        (unused.clone(), 1, "note", "excuses nothing of what was checked"),
        (
            unused.replace("migration-in-init-container", "root-migratio"),
            2,
            "error",
            "did you mean `root-migration`?",
        ),
        (unused.replace("reason", "reson"), 2, "error", "did you mean `reason`?"),
    ] {
        let folder = folder(&[("app.yaml", DEPLOYMENT)]);
        let place = folder.path().join("e.yaml");
        fs::write(&place, &exception).unwrap();
        let output = tidegate(folder.path(), &["check", "app.yaml", "e.yaml"]);
        let printed = text(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{printed}");
        let line = printed.lines().find(|line| line.contains(says) && line.starts_with(level));
        assert!(line.is_some(), "{level} {says}: {printed}");
        assert!(printed.contains("e.yaml:"), "{printed}");
    }
}

#[test]
fn exceptions_can_be_kept_elsewhere() {
    let folder = folder(&[("app.yaml", DEPLOYMENT)]);
    fs::create_dir(folder.path().join("kept")).unwrap();
    fs::write(folder.path().join("kept/e.yaml"), exception(&soon())).unwrap();
    let output = tidegate(folder.path(), &["check", "app.yaml", "--exceptions", "kept"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    // What is loaded with policies must say its namespace.
    let output = tidegate(folder.path(), &["policy", "validate", "kept"]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("kept/e.yaml:") && error.contains("metadata.namespace"), "{error}");
}

#[test]
fn validate_tells_every_error_with_its_place() {
    let good = folder(&[("p.yaml", POLICY)]);
    let output = tidegate(good.path(), &["policy", "validate", "."]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "2 policies and 0 exceptions can be used\n");
    let bad = folder(&[
        ("a.yaml", &POLICY.replace("level: Warn", "level: Wran")),
        ("b.yaml", &POLICY.replace("'true'", "'tru'").replace("name: other", "name: third")),
    ]);
    let output = tidegate(bad.path(), &["policy", "validate", "a.yaml", "b.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    for says in [
        "a.yaml:6:3: spec.level: unknown variant `Wran`",
        "b.yaml:9:34: spec.customRules[0].expression: there is no variable `tru`",
    ] {
        assert!(error.contains(says), "{says}: {error}");
    }
}

#[test]
fn show_says_which_policy_applies_and_where_a_level_comes_from() {
    let folder = folder(&[("p.yaml", POLICY)]);
    let args = ["policy", "show", "--policy", "p.yaml", "--namespace", "shop"];
    let live = [&args[..], &["--namespace-labels", "environment=live"]].concat();
    let printed = text(&tidegate(folder.path(), &live).stdout);
    for line in [
        "policy live applies to shop",
        "  live applies, because its `namespaceSelector` matches the labels",
        "  other does not apply, because it matches, and another is more specific or stricter",
        "live: level Warn, undecided Warn",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line}: {printed}");
    }
    assert!(printed.contains("rules Deny, capped by the policy's level"), "{printed}");
    assert!(printed.contains("maxBackoffLimit: 3"), "{printed}");
    let json = [&live[..], &["--format", "json"]].concat();
    let shown: Value = serde_json::from_slice(&tidegate(folder.path(), &json).stdout).unwrap();
    let live_policy = &shown["policies"][0];
    assert_eq!((&live_policy["name"], &live_policy["applies"]), (&"live".into(), &true.into()));
    let rules = live_policy["rules"].as_array().unwrap();
    let rule = |id: &str| rules.iter().find(|rule| rule["id"] == id).unwrap();
    assert_eq!(rule("my-rule")["from"], "customRules");
    assert_eq!(rule("migration-in-app-container")["from"], "built-in");
    let yaml = [&live[..], &["--format", "yaml"]].concat();
    let yaml = text(&tidegate(folder.path(), &yaml).stdout);
    let document = tidegate::source::documents(&yaml).remove(0).unwrap();
    assert_eq!(document.value(), &shown);
    // Labels that nobody gave leave it open.
    let printed = text(&tidegate(folder.path(), &args).stdout);
    assert!(printed.contains("its labels are not known, and it is the most specific"), "{printed}");
}

#[test]
fn schemas_and_definitions_are_printed() {
    let folder = folder(&[]);
    for (args, says) in [
        (&["policy", "schema"][..], "customRules"),
        (&["policy", "schema", "--kind", "MigrationException"], "expires"),
        (&["policy", "crd"], "migrationexceptions.tidegate.dev"),
    ] {
        let output = tidegate(folder.path(), args);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains(says), "{args:?}");
    }
}
