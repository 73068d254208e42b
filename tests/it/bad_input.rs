//! Files that nobody should write and somebody does: each has a clear message at its place, an exit
//! code of its own, and hides nothing else.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use serde_json::Value;

use crate::command::Folder;

/// Argo CD drops it silently: it is found wherever it is read.
const GOOD: &str = "\
apiVersion: batch/v1
kind: Job
metadata:
  name: good
  annotations: {argocd.argoproj.io/hook: Presync}
spec: {template: {spec: {containers: [{name: a, image: a}]}}}
";

/// Every file of `tests/input/KIND`.
fn files(kind: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new("tests/input").join(kind);
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(path).unwrap())
        })
        .collect()
}

/// What is too large to be kept, or would not survive being checked out.
fn made() -> BTreeMap<String, Vec<u8>> {
    let block: Vec<String> = (0..3_000).map(|depth| " ".repeat(depth) + "a:\n").collect();
    let item = "apiVersion: v1\nkind: Job\nmetadata:\n  name: a\nspec: ";
    [
        ("deep.yaml", format!("a: {}\n", "[".repeat(50_000))),
        ("deep.json", format!("{{\"a\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000))),
        ("deep-block.yaml", block.concat()),
        ("huge-flow.yaml", format!("a: [{}", "x, ".repeat(1_000_000))),
        ("huge-scalar.yaml", format!("{item}\"{}", "a".repeat(5_000_000))),
        ("huge-line.yaml", format!("{item}{{{}\n", "a: 1".repeat(500_000))),
        ("many-quotes.yaml", format!("{item}{}", "'\"".repeat(500_000))),
        ("crlf.yaml", "kind: Job\r\napiVersion: [\r\n".to_owned()),
    ]
    .into_iter()
    .map(|(name, text)| (name.to_owned(), text.into_bytes()))
    .collect()
}

struct Checked {
    code: i32,
    /// `file:line:column: message` of every error.
    errors: Vec<String>,
    /// `file:line:column: rule: what is wrong` of every finding.
    findings: Vec<String>,
}

fn check(folder: &Folder, file: &str) -> Checked {
    let output = folder.run(&["check", "--format=json", file, "good.yaml"]);
    assert_eq!(output.err, "", "{file}");
    let json: Value = serde_json::from_str(&output.out).unwrap();
    let place = |file: &Value, at: &Value| {
        let number =
            |key: &str| at[key].as_u64().map_or("-".to_owned(), |number| number.to_string());
        format!("{}:{}:{}", file.as_str().unwrap(), number("line"), number("column"))
    };
    let list = |value: &Value| value.as_array().unwrap().clone();
    let errors = list(&json["errors"]);
    let errors = errors
        .iter()
        .map(|one| format!("{}: {}", place(&one["file"], one), one["message"].as_str().unwrap()));
    let mut findings = Vec::new();
    for result in list(&json["results"]) {
        for one in list(&result["findings"]) {
            let (rule, what) = (one["rule"].as_str().unwrap(), one["what"].as_str().unwrap());
            findings.push(format!("{}: {rule}: {what}", place(&result["file"], &one)));
        }
    }
    Checked { code: output.code, errors: errors.collect(), findings }
}

/// Checks every file beside a good one. What is said of it comes back, by name.
fn each(kind: &str, inputs: BTreeMap<String, Vec<u8>>, code: i32) -> String {
    let mut told = String::new();
    for (name, bytes) in inputs {
        let folder = Folder::new("bad-input", &format!("{kind}-{name}"))
            .with(&name, &bytes)
            .with("good.yaml", GOOD);
        let Checked { code: found, errors, findings } = check(&folder, &name);
        let (good, own): (Vec<_>, Vec<_>) =
            findings.into_iter().partition(|finding| finding.starts_with("good.yaml:"));
        assert_eq!(good.len(), 1, "{name}: the good file beside it is still checked");
        assert_eq!(found, code, "{name}: {errors:?} {own:?}");
        for line in errors.iter().chain(&own) {
            assert!(line.starts_with(&format!("{name}:")), "{line}");
            assert!(!line.contains("fault of tidegate"), "{line}");
            assert!(line.chars().count() < 300 && !line.contains(char::is_control), "{line}");
            writeln!(told, "{line}").unwrap();
        }
        let before = (folder.read(&name), folder.text("good.yaml"));
        let fixed = folder.run(&["fix", "--write", "--quiet", &name, "good.yaml"]);
        assert!(!fixed.err.contains("fault of tidegate"), "{name}: {}", fixed.err);
        assert_ne!(folder.text("good.yaml"), before.1, "{name}: the good file is fixed");
        if code == 2 {
            assert_eq!(folder.read(&name), before.0, "{name}: it is left as it is");
            assert_eq!(fixed.code, 2, "{name}: {}", fixed.err);
        }
    }
    told
}

#[test]
fn what_cannot_be_read_is_an_error_at_its_place() {
    let inputs = files("unreadable");
    assert!(inputs.len() >= 55, "{}", inputs.len());
    let empty = |name: &str| matches!(name, "empty.yaml" | "only-bom.yaml" | "only-comments.yaml");
    // A file without a document is no error beside one with documents.
    let (nothing, broken): (BTreeMap<_, _>, BTreeMap<_, _>) =
        inputs.into_iter().partition(|(name, _)| empty(name));
    insta::assert_snapshot!(each("unreadable", broken, 2));
    for (name, bytes) in nothing {
        let folder = Folder::new("bad-input", &format!("nothing-{name}")).with(&name, &bytes);
        let output = folder.run(&["check", &name]);
        assert_eq!(output.code, 2, "{name}");
        assert!(output.out.contains("there is no document in the input"), "{}", output.out);
    }
}

#[test]
fn what_the_api_server_would_not_take_is_refused() {
    let inputs = files("refused");
    assert!(inputs.len() >= 14, "{}", inputs.len());
    let told = each("refused", inputs, 1);
    assert!(!told.contains("hunter2"), "a value is repeated");
    insta::assert_snapshot!(told);
}

#[test]
fn what_is_only_unusual_is_read() {
    // The good file has the one finding.
    assert_eq!(each("accepted", files("accepted"), 1), "");
}

#[test]
fn what_is_huge_or_deep_is_told_soon() {
    insta::assert_snapshot!(each("made", made(), 2));
}

#[test]
fn all_of_them_at_once_are_told_apart() {
    let mut folder = Folder::new("bad-input", "all").with("good.yaml", GOOD);
    let mut names = 0;
    for kind in ["unreadable", "refused", "accepted"] {
        for (name, bytes) in files(kind) {
            folder = folder.with(&format!("{kind}/{name}"), bytes);
            names += 1;
        }
    }
    let output = folder.run(&["check", "--format=json", "."]);
    let json: Value = serde_json::from_str(&output.out).unwrap();
    assert_eq!((output.code, output.err.as_str()), (2, ""));
    let read = json["summary"]["files"].as_u64().unwrap();
    let unread =
        json["errors"].as_array().unwrap().iter().filter(|it| it["line"].is_null()).count();
    assert!(names > 75 && read + 10 > names, "{read} of {names} files, {unread} as a whole");
    let good = json["results"].as_array().unwrap().iter().any(|it| it["name"] == "good");
    assert!(good, "the good file beside them is still checked");
    assert_eq!(folder.run(&["detect", "."]).code, 2);
}
