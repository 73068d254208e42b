//! The formats of `tidegate check` that machines read, each by what its readers need.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use crate::support::Folder;

/// Something that is refused, warned of and noted, with a name that wants to be more than a name.
const MANIFESTS: &str = "\
apiVersion: batch/v1
kind: Job
metadata:
  name: drop
  namespace: shop
  annotations:
    argocd.argoproj.io/hook: PreSync
    argocd.argoproj.io/hook-delete-policy: BeforeHookCreation
spec:
  backoffLimit: 6
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: psql
          image: postgres:17
          command: [psql, -c, 'drop table orders']
---
apiVersion: batch/v1
kind: Job
metadata:
  name: \"::error::a [b](c) | <i> @team,%0Ax\"
  annotations:
    argocd.argoproj.io/hook: Presync
spec: {template: {spec: {containers: [{name: a, image: a}]}}}
";

const FORMATS: [&str; 9] =
    ["human", "json", "jsonl", "sarif", "junit", "markdown", "github", "gitlab", "html"];

fn check(folder: &Folder, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("check").args(args).current_dir(&folder.0);
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "FORCE_HYPERLINK"] {
        command.env_remove(name);
    }
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn folder(name: &str) -> Folder {
    let folder = Folder::new(&format!("formats-{name}"));
    fs::create_dir_all(folder.0.join("a b")).unwrap();
    folder.write("a b/all.yaml", MANIFESTS);
    folder.write("broken.yaml", "kind: Job\n");
    folder
}

/// The manifests alone, in one format.
fn rendered(folder: &Folder, format: &str) -> String {
    let output = check(folder, &["a b/all.yaml", "--format", format]);
    assert_eq!(output.status.code(), Some(1), "{format}: {output:?}");
    text(&output)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// `rule effect` of every finding, from the JSON that all formats are compared with.
fn expected(folder: &Folder) -> Vec<(String, String)> {
    let json = json(&rendered(folder, "json"));
    let results = json["results"].as_array().unwrap().iter();
    let findings = results.flat_map(|result| result["findings"].as_array().unwrap());
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    findings.map(|it| (word(&it["rule"]), word(&it["effect"]))).collect()
}

#[test]
fn the_exit_code_follows_what_was_found_and_not_the_format() {
    let folder = folder("exit");
    let clean = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    folder.write("clean.yaml", clean);
    for format in FORMATS {
        for (file, code) in [("clean.yaml", 0), ("a b/all.yaml", 1), ("broken.yaml", 2)] {
            let output = check(&folder, &[file, "--format", format]);
            assert_eq!(output.status.code(), Some(code), "{file} {format}: {output:?}");
            assert!(output.stderr.is_empty(), "{file} {format}: {output:?}");
            let again = check(&folder, &[file, "--format", format]);
            assert_eq!(output.stdout, again.stdout, "{file} {format}");
        }
        let never = check(&folder, &["a b/all.yaml", "--format", format, "--fail-on", "never"]);
        assert_eq!(never.status.code(), Some(0), "{format}");
    }
}

#[test]
fn several_formats_are_written_in_one_run() {
    let folder = folder("several");
    folder.write("out.json", "old");
    let mut args = vec!["a b/all.yaml".to_owned()];
    for format in FORMATS {
        args.extend(["--output".to_owned(), format!("{format}=out.{format}")]);
    }
    args.extend(["--output".to_owned(), "github=-".to_owned()]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = check(&folder, &args);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    for format in FORMATS {
        let written = fs::read_to_string(folder.0.join(format!("out.{format}"))).unwrap();
        assert_eq!(written, rendered(&folder, format), "{format}");
    }
    assert_eq!(text(&output), rendered(&folder, "github"));
    let files = fs::read_dir(&folder.0).unwrap().map(|file| file.unwrap().file_name());
    let left: Vec<_> = files.filter(|name| name.to_string_lossy().starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_cannot_be_written_is_exit_code_2_and_leaves_what_was_there() {
    let folder = folder("unwritable");
    for (args, message) in [
        (vec!["--output", "json=no/such/folder.json"], "cannot write no/such/folder.json"),
        (vec!["--output", "sarfi=out"], "did you mean `sarif`?"),
        (vec!["--output", "json"], "expected FORMAT=FILE"),
        (vec!["--format", "sarfi"], "a similar value exists: 'sarif'"),
        (vec!["--output", "json=a", "--output", "sarif=a"], "--output names a twice"),
        (vec!["--format", "json", "--output", "sarif=-"], "standard output takes one format"),
    ] {
        let output = check(&folder, &[&["a b/all.yaml"], args.as_slice()].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert_eq!(text(&output), "", "{args:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(message), "{args:?}: {told}");
    }
    let files: BTreeSet<_> =
        fs::read_dir(&folder.0).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
}

#[test]
fn sarif_is_what_its_schema_and_its_readers_want() {
    let folder = folder("sarif");
    let schema = fs::read_to_string("tests/sarif/sarif-schema-2.1.0.json").unwrap();
    let schema = jsonschema::validator_for(&json(&schema)).unwrap();
    let log = json(&rendered(&folder, "sarif"));
    let all = check(&folder, &[".", "--format", "sarif"]);
    let with_errors = json(&text(&all));
    for log in [&log, &with_errors] {
        let errors: Vec<String> = schema.iter_errors(log).map(|it| it.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
    assert!(!schema.is_valid(&serde_json::json!({"version": "2.1.0", "runs": [{}]})));
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    let want = expected(&folder);
    assert_eq!(results.len(), want.len());
    let mut prints = BTreeSet::new();
    for (result, (rule, effect)) in results.iter().zip(&want) {
        assert_eq!(result["ruleId"], rule.as_str());
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], rule.as_str());
        assert!(rules[index]["help"]["markdown"].as_str().unwrap().contains(rule.as_str()));
        let level = match effect.as_str() {
            "deny" => "error",
            "warn" => "warning",
            "audit" => "note",
            other => panic!("{other}"),
        };
        assert_eq!(result["level"], level);
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20b/all.yaml");
        let region = &place["region"];
        assert!(
            region["startLine"].as_u64() >= Some(1) && region["startColumn"].as_u64() >= Some(1)
        );
        let end = (region["endLine"].as_u64(), region["endColumn"].as_u64());
        assert!(end >= (region["startLine"].as_u64(), region["startColumn"].as_u64()));
        let print = result["partialFingerprints"]["primaryLocationLineHash"].as_str().unwrap();
        assert!(prints.insert(print.to_owned()), "{print} stands twice");
        let message = result["message"]["text"].as_str().unwrap();
        assert!(!message.contains("]("), "{message}");
    }
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
    let invocation = &with_errors["runs"][0]["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    let told = &invocation["toolExecutionNotifications"][0];
    let uri = &told["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert_eq!(uri, "broken.yaml");
}

/// The text with the replacements of one fix made.
fn fixed(text: &str, fix: &Value) -> String {
    let change = &fix["artifactChanges"][0];
    assert_eq!(change["artifactLocation"]["uri"], "all.yaml");
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let offset = |line: &Value, column: &Value| {
        let before: usize = text.split_inclusive('\n').take(number(line) - 1).map(str::len).sum();
        let rest = text[before..].char_indices().map(|(at, _)| at).chain([text.len() - before]);
        before + rest.clone().nth(number(column) - 1).unwrap()
    };
    let mut fixed = text.to_owned();
    for replacement in change["replacements"].as_array().unwrap().iter().rev() {
        let region = &replacement["deletedRegion"];
        let from = offset(&region["startLine"], &region["startColumn"]);
        let to = offset(&region["endLine"], &region["endColumn"]);
        fixed.replace_range(from..to, replacement["insertedContent"]["text"].as_str().unwrap());
    }
    fixed
}

#[test]
fn a_fix_of_sarif_mends_its_finding_and_nothing_else() {
    let folder = Folder::new("formats-fixes");
    let job = |name: &str, rest: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations:\n    \
             argocd.argoproj.io/hook: Presync # \u{e4}\nspec:\n{rest}  template:\n    spec:\n      \
             restartPolicy: OnFailure\n      containers:\n        - {{name: a, image: 'flyway/flyway:11', \
             args: [migrate], env: [{{name: FLYWAY_PASSWORD, value: CANARY}}]}}\n"
        )
    };
    let list = "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n  {\"apiVersion\": \
                \"batch/v1\", \"kind\": \"Job\", \"metadata\": {\"name\": \"c\", \"annotations\": \
                {\"argocd.argoproj.io/hook\": \"postsync\"}}, \"spec\": {\"template\": {\"spec\": \
                {\"containers\": [{\"name\": \"a\", \"image\": \"a\"}]}}}}\n]}\n";
    let manifests = [job("a", "  backoffLimit: 6\n"), job("b", ""), list.to_owned()].join("---\n");
    folder.write("all.yaml", &manifests);
    let findings = |folder: &Folder| -> BTreeSet<String> {
        let json = json(&rendered_file(folder, "all.yaml", "json"));
        let results = json["results"].as_array().unwrap().iter();
        let found = results.flat_map(|it| it["findings"].as_array().unwrap());
        found.map(|it| format!("{} {}", it["rule"], it["fingerprint"])).collect()
    };
    let before = findings(&folder);
    let log = json(&rendered_file(&folder, "all.yaml", "sarif"));
    let results = log["runs"][0]["results"].as_array().unwrap();
    let mut mended = BTreeSet::new();
    for result in results.iter().filter(|result| result.get("fixes").is_some()) {
        let fix = &result["fixes"][0];
        assert!(!fix.to_string().contains("CANARY"), "{fix}");
        let rule = result["ruleId"].as_str().unwrap();
        folder.write("all.yaml", fixed(&manifests, fix));
        let own = result["partialFingerprints"]["tidegate/v1"].as_str().unwrap();
        let gone = format!("\"{rule}\" \"{own}\"");
        assert!(before.contains(&gone), "{gone}: {before:#?}");
        let after = findings(&folder);
        assert!(!after.contains(&gone), "{rule}: {fix}");
        // Mended hooks are looked at as what they are now; of the others nothing else changes.
        let vanished: Vec<_> = before.difference(&after).collect();
        assert!(rule == "unknown-hook" || vanished.len() == 1, "{rule}: {vanished:#?}");
        mended.insert(rule.to_owned());
    }
    let want = ["retried-migration", "unknown-hook"];
    assert!(want.iter().all(|rule| mended.contains(*rule)), "{mended:?}");
    let hooks = results.iter().filter(|it| it["ruleId"] == "unknown-hook");
    assert_eq!(hooks.filter(|it| it.get("fixes").is_some()).count(), 3);
}

#[test]
fn json_lines_are_the_findings_of_the_json() {
    let folder = folder("jsonl");
    let lines: Vec<Value> = rendered(&folder, "jsonl").lines().map(json).collect();
    let found = |line: &Value| {
        assert_eq!(line["type"], "finding");
        let word = |key: &str| line[key].as_str().unwrap().to_owned();
        (word("rule"), word("effect"))
    };
    assert_eq!(lines.iter().map(found).collect::<Vec<_>>(), expected(&folder));
    let whole = json(&rendered(&folder, "json"));
    let (line, finding) = (&lines[0], &whole["results"][0]["findings"][0]);
    for (key, value) in finding.as_object().unwrap() {
        assert_eq!(&line[key], value, "{key}");
    }
    assert_eq!((&line["file"], &line["namespace"]), (&"a b/all.yaml".into(), &"shop".into()));
    let broken = text(&check(&folder, &["broken.yaml", "--format", "jsonl"]));
    assert_eq!(json(&broken)["type"], "error");
    assert_eq!(json(&broken)["line"], 1);
}

#[test]
fn junit_has_a_case_for_every_object() {
    let folder = folder("junit");
    let xml = text(&check(&folder, &[".", "--format", "junit"]));
    let all =
        "testsuites name=\"tidegate check\" tests=\"3\" skipped=\"0\" failures=\"2\" errors=\"1\"";
    assert!(xml.contains(all), "{xml}");
    assert!(xml.contains("<testsuite name=\"a b/all.yaml\""), "{xml}");
    assert!(xml.contains("classname=\"shop\" file=\"a b/all.yaml\" line=\"1\""), "{xml}");
    assert!(xml.contains("type=\"destructive-without-backup\""), "{xml}");
    assert!(xml.contains("warning: a b/all.yaml:10:3: retried-migration: "), "{xml}");
    assert!(!xml.contains("<i>") && xml.contains("&lt;i&gt;"), "{xml}");
    assert!(xml.contains("<error message=") && xml.contains("type=\"unreadable-input\""), "{xml}");
    let mut reader = quick_xml::Reader::from_str(&xml);
    let mut depth = 0_i32;
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Start(_) => depth += 1,
            quick_xml::events::Event::End(_) => depth -= 1,
            quick_xml::events::Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0);
}

#[test]
fn github_gets_one_command_a_finding() {
    let folder = folder("github");
    let text = rendered(&folder, "github");
    let want = expected(&folder);
    assert_eq!(text.lines().count(), want.len(), "{text}");
    for (line, (rule, effect)) in text.lines().zip(&want) {
        let command = match effect.as_str() {
            "deny" => "::error ",
            "warn" => "::warning ",
            _ => "::notice ",
        };
        assert!(line.starts_with(command), "{line}");
        let (properties, message) = line[2..].split_once("::").unwrap();
        assert!(properties.contains("file=a b/all.yaml,line="), "{line}");
        assert!(properties.contains(&format!("title={rule}%3A Job/")), "{line}");
        // Whoever names an object writes no property and no command.
        assert!(!message.is_empty() && !properties.contains("@team,"), "{line}");
        assert!(!line.contains("%0A") || line.contains("%250A"), "{line}");
    }
}

#[test]
fn gitlab_gets_issues_that_it_can_tell_apart() {
    let folder = folder("gitlab");
    // The same manifest in another folder is another issue.
    folder.write("again.yaml", MANIFESTS);
    let issues = json(&text(&check(&folder, &[".", "--format", "gitlab"])));
    let issues = issues.as_array().unwrap();
    assert_eq!(issues.len(), 2 * expected(&folder).len() + 1);
    let mut prints = BTreeSet::new();
    for issue in issues {
        assert!(prints.insert(issue["fingerprint"].as_str().unwrap()), "{issue}");
        let severity = issue["severity"].as_str().unwrap();
        assert!(["info", "minor", "major", "critical", "blocker"].contains(&severity));
        assert!(!issue["location"]["path"].as_str().unwrap().starts_with("./"), "{issue}");
        assert!(issue["location"]["lines"]["begin"].as_u64() >= Some(1));
        assert!(!issue["check_name"].as_str().unwrap().is_empty());
        assert!(!issue["description"].as_str().unwrap().is_empty());
    }
}

#[test]
fn markdown_is_a_comment_that_nobody_else_writes() {
    let folder = folder("markdown");
    let text = rendered(&folder, "markdown");
    assert!(text.starts_with("<!-- tidegate check -->\n### tidegate: 2 objects would be refused"));
    assert!(text.contains("| destructive-without-backup | 1 |  |  |"), "{text}");
    assert_eq!(text.matches("<details>").count(), expected(&folder).len());
    assert!(!text.contains("@team") && !text.contains("<i>"), "{text}");
    // However much there is, it fits into a comment, and says what is left out.
    folder.write("many.yaml", format!("{MANIFESTS}---\n").repeat(300));
    let many = rendered_file(&folder, "many.yaml", "markdown");
    assert!(many.len() <= 65_536, "{}", many.len());
    assert!(many.contains("entries do not fit into this comment"), "{many}");
    assert_eq!(many.matches("<details>").count(), many.matches("</details>").count());
}

fn rendered_file(folder: &Folder, file: &str, format: &str) -> String {
    text(&check(folder, &[file, "--format", format]))
}

#[test]
fn no_format_shows_a_secret() {
    let folder = Folder::new("formats-secrets");
    let secrets = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  template:
    spec:
      initContainers:
        - name: a
          image: flyway/flyway:11
          args: [-password=CANARY, migrate]
          env: [{name: FLYWAY_PASSWORD, value: CANARY}, {name: HARMLESS, value: CANARY}]
        - {name: b, image: b, command: [migrate, -database, 'postgres://u:CANARY@db/x', up]}
      containers: [{name: app, image: app:1}]
";
    folder.write("all.yaml", secrets);
    for format in FORMATS {
        let text = rendered_file(&folder, "all.yaml", format);
        assert!(
            text.contains("migration-in-init-container") || format == "human",
            "{format}: {text}"
        );
        assert!(!text.contains("CANARY"), "{format}: {text}");
    }
    let created = check(&folder, &["all.yaml", "--baseline", "b.json", "--create-baseline"]);
    assert_eq!(created.status.code(), Some(0), "{created:?}");
    let baseline = fs::read_to_string(folder.0.join("b.json")).unwrap();
    assert!(baseline.contains("inline-credentials") && !baseline.contains("CANARY"), "{baseline}");
}

#[test]
fn colours_follow_the_conventions() {
    let folder = folder("colours");
    let run = |variables: &[(&str, &str)], args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["check", "a b/all.yaml"]).args(args).current_dir(&folder.0);
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "FORCE_HYPERLINK"] {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied());
        text(&command.output().unwrap()).contains('\u{1b}')
    };
    for (variables, args, want) in [
        (&[][..], &[][..], false),
        (&[("CLICOLOR_FORCE", "1")], &[], true),
        (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], &[], false),
        (&[("CLICOLOR_FORCE", "1")], &["--color", "never"], false),
        (&[("NO_COLOR", "1")], &["--color", "always"], true),
        // No machine wants them, whatever is said.
        (&[("CLICOLOR_FORCE", "1")], &["--format", "json"], false),
        // A link needs a terminal.
        (&[("FORCE_HYPERLINK", "1")], &[], false),
    ] {
        assert_eq!(run(variables, args), want, "{variables:?} {args:?}");
    }
    let linked = run(&[("FORCE_HYPERLINK", "1")], &["--color", "always"]);
    assert!(linked, "colours are on");
}

#[test]
fn a_page_loads_nothing_and_allows_nothing_else() {
    let folder = folder("html");
    let page = rendered(&folder, "html");
    for wanted in [
        "<!doctype html>",
        "<html lang=\"en\">",
        "default-src &#39;none&#39;; style-src &#39;sha256-",
    ] {
        assert!(page.contains(wanted), "{wanted}");
    }
    assert!(!page.contains("unsafe-inline") && !page.contains(" style=\""), "{page}");
    for loads in ["src=", "@import", "url(", "<iframe", "<object", "onclick", "onerror="] {
        assert!(!page.contains(loads), "{loads}");
    }
    let rule = page.matches("data-rule=\"=").count();
    assert_eq!(rule, expected(&folder).len());
    assert!(!page.contains("<i>") && page.contains("&#60;i&#62;"), "{page}");
    assert!(Path::new("src/render/html/base.html").is_file());
}
