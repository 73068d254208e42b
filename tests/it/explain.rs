//! `tidegate explain` as users meet it.

use std::{
    fs,
    process::{Command, Output},
};

use serde_json::Value;
use tidegate::rules;

fn explain(args: &[&str]) -> (Output, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("explain").args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

#[test]
fn the_list_has_every_rule_once_with_its_level() {
    let (output, stdout, stderr) = explain(&[]);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
    for rule in rules::ALL {
        let lines: Vec<&str> =
            stdout.lines().filter(|line| line.split_whitespace().next() == Some(rule.id)).collect();
        let [line] = lines[..] else { panic!("{}: {lines:?}", rule.id) };
        assert!(line.contains(&rule.level.to_string()), "{line}");
    }
    assert!(stdout.lines().all(|line| line.len() <= 100), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "coloured although nobody looks");
}

#[test]
fn a_rule_is_explained_with_everything_that_its_page_has() {
    let (_, stdout, _) = explain(&["unbounded-migration-job"]);
    let on_one_line = stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "A migration Job has no deadline",
        "Level Deny unless a policy says",
        "at admission, on manifests and on live objects",
        "Since 0.1.0",
        "waits for a lock waits for ever",
        "args: [migrate]",
        "activeDeadlineSeconds: 900",
        "maxSeconds (default 3600)",
        "Longest deadline admitted, in seconds.",
        "https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-termination-and-cleanup",
    ] {
        assert!(on_one_line.contains(part), "{part} is missing:\n{stdout}");
    }
    let prose = stdout.lines().filter(|line| !line.contains("https://"));
    assert!(prose.clone().all(|line| line.len() <= 100), "{stdout}");
    let (_, coloured, _) = explain(&["unbounded-migration-job", "--color", "always"]);
    assert!(coloured.contains("\u{1b}[1munbounded-migration-job\u{1b}[0m"), "{coloured}");
}

#[test]
fn a_wrong_id_names_the_nearest() {
    let (output, stdout, stderr) = explain(&["unbound-migration-job"]);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""));
    assert_eq!(
        stderr,
        "error: there is no rule `unbound-migration-job` (did you mean \
         `unbounded-migration-job`?); `tidegate explain` lists them\n"
    );
}

#[test]
fn json_has_every_rule_with_its_parameters() {
    let (_, stdout, _) = explain(&["--format", "json"]);
    let all: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(all["version"], 1);
    assert_eq!(all["rules"].as_array().unwrap().len(), rules::ALL.len());
    let (_, stdout, _) = explain(&["unbounded-migration-job", "--format", "json"]);
    let one: Value = serde_json::from_str(&stdout).unwrap();
    let rule = &one["rules"][0];
    assert_eq!(rule["topic"], "jobs");
    assert_eq!(rule["places"], serde_json::json!(["admission", "manifests", "cluster"]));
    assert_eq!(rule["parameters"][0]["name"], "maxSeconds");
    assert_eq!(rule["parameters"][0]["default"], 3_600);
    assert!(rule["example"]["found"].as_str().unwrap().starts_with("apiVersion: batch/v1"));
}

#[test]
fn markdown_is_the_page() {
    let (_, stdout, _) = explain(&["unknown-hook", "--format", "markdown"]);
    assert_eq!(stdout, fs::read_to_string("docs/rules/unknown-hook.md").unwrap());
    let (_, stdout, _) = explain(&["--format", "markdown"]);
    assert_eq!(stdout, fs::read_to_string("docs/rules/README.md").unwrap());
}
