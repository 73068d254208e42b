//! `tidegate check --baseline`: what was there before does not count.

use std::{
    fs,
    process::{Command, Output},
};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::support::Folder;

fn job(name: &str, hook: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations:\n    \
         argocd.argoproj.io/hook: {hook}\nspec: {{template: {{spec: {{containers: \
         [{{name: a, image: a}}]}}}}}}\n"
    )
}

struct Run {
    code: i32,
    out: String,
    err: String,
}

fn check(folder: &Folder, args: &[&str]) -> Run {
    let run: Output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["check", "all.yaml", "--baseline", "b.json"])
        .args(args)
        .current_dir(&folder.0)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: run.status.code().unwrap(), out: text(run.stdout), err: text(run.stderr) }
}

/// A folder with two Jobs that are refused, and a baseline of them.
fn with_baseline(name: &str) -> Folder {
    let folder = Folder::new(&format!("baseline-{name}"));
    folder.write("all.yaml", format!("{}---\n{}", job("a", "Presync"), job("b", "Presync")));
    let created = check(&folder, &["--create-baseline"]);
    assert_eq!((created.code, created.err.as_str()), (0, ""), "{}", created.out);
    assert!(created.out.contains("2 findings written to the baseline"), "{}", created.out);
    folder
}

fn read(folder: &Folder) -> String {
    fs::read_to_string(folder.0.join("b.json")).unwrap()
}

#[test]
fn only_what_is_new_counts() {
    let folder = with_baseline("new");
    let same = check(&folder, &[]);
    assert_eq!(same.code, 0, "{}", same.out);
    assert_eq!(
        same.out, "2 objects checked in 1 file: 2 in the baseline; policy default\n",
        "what is known is only counted"
    );
    folder.write(
        "all.yaml",
        [job("a", "Presync"), job("b", "Presync"), job("c", "Presync")].join("---\n"),
    );
    let more = check(&folder, &[]);
    assert_eq!(more.code, 1, "{}", more.out);
    assert!(more.out.contains("Job/c") && !more.out.contains("Job/a"), "{}", more.out);
    assert!(more.out.contains(": 1 refused, 2 in the baseline"), "{}", more.out);
    let json: Value = serde_json::from_str(&check(&folder, &["--format", "json"]).out).unwrap();
    let effects: Vec<&Value> =
        (0..3).map(|at| &json["results"][at]["findings"][0]["effect"]).collect();
    assert_eq!(effects, ["baselined", "baselined", "deny"]);
    let sarif: Value = serde_json::from_str(&check(&folder, &["--format", "sarif"]).out).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let states: Vec<&Value> = results.iter().map(|result| &result["baselineState"]).collect();
    assert_eq!(states, ["unchanged", "unchanged", "new"]);
    assert_eq!(results[0]["suppressions"][0]["kind"], "external");
    assert_eq!(results[2]["suppressions"], Value::Array(Vec::new()));
    for (format, count) in [("github", 1), ("gitlab", 1), ("markdown", 1)] {
        let out = check(&folder, &["--format", format]).out;
        assert_eq!(out.matches("Job/c").count() + out.matches("Job&#47;c").count(), count, "{out}");
        assert!(!out.contains("Job/a"), "{out}");
    }
}

#[test]
fn a_finding_is_known_wherever_it_moves() {
    let folder = with_baseline("moved");
    // Comments, another order, another style, another file.
    let flow = "{\"apiVersion\": \"batch/v1\", \"kind\": \"Job\", \"metadata\": {\"annotations\": \
                {\"argocd.argoproj.io/hook\": \"Presync\"}, \"name\": \"a\"}, \"spec\": {\"template\": \
                {\"spec\": {\"containers\": [{\"image\": \"a\", \"name\": \"a\"}]}}}}";
    let moved = format!("# one\n# two\n\n{}---\n{flow}\n", job("b", "Presync"));
    folder.write("all.yaml", moved);
    let run = check(&folder, &[]);
    assert_eq!(run.code, 0, "{}", run.out);
    // Another value in the same place is another finding.
    folder.write("all.yaml", format!("{}---\n{}", job("a", "Presync"), job("b", "Postsync")));
    let run = check(&folder, &[]);
    assert_eq!(run.code, 1, "{}", run.out);
    assert!(run.out.contains("Job/b") && !run.out.contains("Job/a"), "{}", run.out);
    assert!(run.out.contains("1 finding of the baseline found no more"), "{}", run.out);
}

#[test]
fn as_many_are_known_as_were_there() {
    let folder = with_baseline("count");
    // A third, which nobody can tell from the first.
    let twice = [job("a", "Presync"), job("b", "Presync"), job("a", "Presync")].join("---\n");
    folder.write("all.yaml", &twice);
    assert_eq!(check(&folder, &[]).code, 1);
    assert_eq!(check(&folder, &["--create-baseline"]).code, 0);
    let baseline: Value = serde_json::from_str(&read(&folder)).unwrap();
    assert_eq!(
        (&baseline["findings"][0]["name"], &baseline["findings"][0]["count"]),
        (&"a".into(), &2.into())
    );
    assert_eq!(check(&folder, &[]).code, 0);
}

#[test]
fn what_is_gone_is_told_and_taken_out() {
    let folder = with_baseline("prune");
    let before = read(&folder);
    folder.write("all.yaml", format!("{}---\n{}", job("b", "Presync"), job("c", "Presync")));
    let told = check(&folder, &["--fail-on", "never"]);
    assert!(
        told.out.contains("1 finding of the baseline found no more: use --prune-baseline"),
        "{}",
        told.out
    );
    assert_eq!(read(&folder), before, "comparing writes nothing");
    let pruned = check(&folder, &["--prune-baseline"]);
    assert_eq!(pruned.code, 1, "what is new is not let in: {}", pruned.out);
    assert!(pruned.out.contains("1 finding taken out of the baseline, 1 left"), "{}", pruned.out);
    let after: Value = serde_json::from_str(&read(&folder)).unwrap();
    let names: Vec<&Value> =
        after["findings"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["b"]);
    let text = read(&folder);
    check(&folder, &["--prune-baseline"]);
    assert_eq!(read(&folder), text, "pruned twice is pruned once");
}

#[test]
fn the_file_is_sorted_with_a_line_for_every_finding() {
    let folder = with_baseline("sorted");
    let one = read(&folder);
    folder.write("all.yaml", format!("{}---\n{}", job("b", "Presync"), job("a", "Presync")));
    check(&folder, &["--create-baseline"]);
    assert_eq!(read(&folder), one, "the order of the input does not matter");
    let lines: Vec<&str> = one.lines().filter(|line| line.contains("\"rule\"")).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.is_sorted(), "{one}");
}

#[test]
fn what_is_excepted_needs_no_second_excuse() {
    let folder = with_baseline("excepted");
    let expires = Timestamp::now() + SignedDuration::from_hours(24);
    let exception = format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationException\nmetadata: {{name: e}}\nspec:\n  \
         rules: [unknown-hook]\n  match: {{names: ['*']}}\n  reason: known\n  ticket: T-1\n  \
         expires: '{expires}'\n"
    );
    let text = format!("{}---\n{}---\n{exception}", job("a", "Presync"), job("b", "Presync"));
    folder.write("all.yaml", text);
    let before = read(&folder);
    let run = check(&folder, &["--format", "json"]);
    let json: Value = serde_json::from_str(&run.out).unwrap();
    let effect = &json["results"][0]["findings"][0]["effect"];
    assert_eq!((run.code, effect), (0, &"excepted".into()), "{}", run.out);
    assert!(!run.out.contains("found no more"), "{}", run.out);
    check(&folder, &["--prune-baseline"]);
    assert_eq!(read(&folder), before, "it is there still");
}

#[test]
fn nothing_is_written_when_something_could_not_be_read() {
    let folder = with_baseline("unread");
    let before = read(&folder);
    folder.write("all.yaml", format!("{}---\nkind: Job\n", job("a", "Presync")));
    for mode in ["--create-baseline", "--prune-baseline"] {
        let run = check(&folder, &[mode]);
        assert_eq!(run.code, 2, "{}", run.out);
        assert!(run.out.contains("the baseline stays as it is"), "{}", run.out);
        assert_eq!(read(&folder), before);
    }
    let run = check(&folder, &[]);
    assert!(!run.out.contains("found no more"), "nobody knows: {}", run.out);
}

#[test]
fn what_is_no_baseline_stops_the_run_and_says_where() {
    let folder = with_baseline("bad");
    let good = read(&folder);
    for (text, message) in [
        (good.replace("\"version\": 1", "\"version\": 7"), "b.json:2:14: version 7 is not known"),
        (good.replace("\"rule\"", "\"rul\""), "(did you mean `rule`?)"),
        ("nothing".to_owned(), "b.json:1:2: expected ident"),
    ] {
        folder.write("b.json", text);
        let run = check(&folder, &[]);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{}", run.err);
        assert!(run.err.contains(message), "{}", run.err);
    }
    fs::remove_file(folder.0.join("b.json")).unwrap();
    for args in [&[][..], &["--prune-baseline"]] {
        let run = check(&folder, args);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{}", run.err);
        assert!(run.err.contains("cannot read baseline b.json"), "{}", run.err);
    }
    let both = check(&folder, &["--create-baseline", "--prune-baseline"]);
    assert_eq!(both.code, 2, "{}", both.err);
}
