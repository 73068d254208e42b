//! `tidegate check` as users meet it: standard output, standard error and exit code.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

const CLEAN: &str = "\
apiVersion: batch/v1
kind: Job
metadata:
  name: clean
  annotations:
    argocd.argoproj.io/hook: PreSync
spec: {template: {spec: {containers: [{name: a, image: a}]}}}
";

/// Argo CD drops it silently: `unknown-hook`, which is refused by default.
const BAD: &str = "\
apiVersion: batch/v1
kind: Job
metadata:
  name: bad
  annotations:
    argocd.argoproj.io/hook: Presync
spec:
  template:
    spec:
      containers:
        - name: a
          image: a
";

fn policy(level: &str, matches: &str) -> String {
    format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationPolicy\nmetadata: {{name: {level}}}\n\
         spec:\n  match: {matches}\n  rules: {{unknown-hook: {{level: {level}}}}}\n"
    )
}

/// A folder of its own for one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check").join(name);
        let _gone = fs::remove_dir_all(&folder);
        for (file, text) in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn check(&self, args: &[&str]) -> Output {
        self.check_with(args, "")
    }

    fn check_with(&self, args: &[&str], stdin: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .arg("check")
            .args(args)
            .current_dir(&self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A run that does not read its input closes it before everything is written.
        let _written = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        Output {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

#[derive(Debug)]
struct Output {
    code: i32,
    out: String,
    err: String,
}

impl Output {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }

    /// `file:line:column rule` of every finding.
    fn findings(&self) -> Vec<String> {
        let json = self.json();
        let mut findings = Vec::new();
        for result in json["results"].as_array().unwrap() {
            for finding in result["findings"].as_array().unwrap() {
                findings.push(format!(
                    "{}:{}:{} {}",
                    result["file"].as_str().unwrap(),
                    finding["line"],
                    finding["column"],
                    finding["rule"].as_str().unwrap()
                ));
            }
        }
        findings
    }

    /// `file:line` of every error.
    fn errors(&self) -> Vec<String> {
        let json = self.json();
        let errors = json["errors"].as_array().unwrap();
        errors
            .iter()
            .map(|error| format!("{}:{}", error["file"].as_str().unwrap(), error["line"]))
            .collect()
    }
}

const JSON: &str = "--format=json";

#[test]
fn a_clean_manifest_is_exit_code_0() {
    let output = Folder::new("clean", &[("a.yaml", CLEAN)]).check(&["a.yaml"]);
    assert_eq!((output.code, output.err.as_str()), (0, ""));
    assert_eq!(output.out, "1 object checked in 1 file: nothing found; policy default\n");
}

#[test]
fn findings_read_like_those_of_a_compiler() {
    let files = [("bad.yaml", BAD), ("clean.yaml", CLEAN), ("values.yaml", "a: 1\n")];
    let output = Folder::new("human", &files).check(&["."]);
    assert_eq!((output.code, output.err.as_str()), (1, ""));
    insta::assert_snapshot!(output.out);
}

#[test]
fn json_is_one_document() {
    let broken = format!("{BAD}---\na: [\n");
    let output = Folder::new("json", &[("bad.yaml", &broken)]).check(&["bad.yaml", JSON]);
    assert_eq!((output.code, output.err.as_str()), (2, ""));
    insta::assert_snapshot!(output.out);
}

#[test]
fn the_exit_code_follows_fail_on() {
    let files = [
        ("bad.yaml", BAD),
        ("deny.yaml", &policy("Deny", "{}")),
        ("warn.yaml", &policy("Warn", "{}")),
        ("audit.yaml", &policy("Audit", "{}")),
    ];
    let folder = Folder::new("fail-on", &files);
    for (policy, codes) in [("deny", [1, 1, 1, 0]), ("warn", [0, 1, 1, 0]), ("audit", [0, 0, 1, 0])]
    {
        for (level, code) in ["deny", "warn", "audit", "never"].into_iter().zip(codes) {
            let policy = format!("{policy}.yaml");
            let output = folder.check(&["bad.yaml", "--policy", &policy, "--fail-on", level]);
            assert_eq!(output.code, code, "{policy} --fail-on {level}: {}", output.out);
            assert!(output.out.contains("unknown-hook"), "{}", output.out);
        }
    }
}

#[test]
fn a_broken_document_hides_no_other() {
    let text = format!("{BAD}---\nkey: \"never closed\n---\n{BAD}");
    let output = Folder::new("broken", &[("all.yaml", &text)]).check(&["all.yaml", JSON]);
    assert_eq!(output.code, 2);
    assert_eq!(output.findings(), ["all.yaml:6:5 unknown-hook", "all.yaml:21:5 unknown-hook"]);
    assert_eq!(output.errors().len(), 1);
    assert!(output.errors()[0].starts_with("all.yaml:14"), "{:?}", output.errors());
}

#[test]
fn a_missing_file_and_bytes_that_are_no_text_hide_no_other() {
    let folder = Folder::new("missing", &[("bad.yaml", BAD)]);
    fs::write(folder.0.join("bytes.yaml"), b"a: 1\nb: \xff\n").unwrap();
    let output = folder.check(&["gone.yaml", "bytes.yaml", "bad.yaml", JSON]);
    assert_eq!(output.code, 2);
    assert_eq!(output.findings(), ["bad.yaml:6:5 unknown-hook"]);
    assert_eq!(output.errors(), ["gone.yaml:null", "bytes.yaml:2"]);
    let human = folder.check(&["gone.yaml"]);
    assert!(human.out.contains("error: there is no such file\n--> gone.yaml"), "{}", human.out);
}

#[test]
fn standard_input_is_read() {
    let folder = Folder::new("stdin", &[]);
    let output = folder.check_with(&["-", JSON], BAD);
    assert_eq!((output.code, output.findings()), (1, vec!["<stdin>:6:5 unknown-hook".to_owned()]));
}

#[test]
fn no_input_is_not_clean() {
    let folder = Folder::new("nothing", &[("empty/readme.txt", ""), ("comments.yaml", "# none\n")]);
    for args in [["-"], ["empty"], ["comments.yaml"]] {
        let output = folder.check(&args);
        assert_eq!(output.code, 2, "{args:?}: {}", output.out);
    }
    assert_eq!(folder.check(&[]).code, 2);
}

#[test]
fn items_of_lists_are_judged_where_they_stand() {
    let item = |name: &str, head: &str| {
        format!(
            "{{{head}\"metadata\": {{\"name\": \"{name}\",\n\"annotations\": {{\"argocd.argoproj.io/hook\": \
             \"Presync\"}}}},\n\"spec\": {{\"template\": {{\"spec\": {{\"containers\": []}}}}}}}}"
        )
    };
    let full = item("full", "\"apiVersion\": \"batch/v1\", \"kind\": \"Job\", ");
    let inner = format!(
        "{{\"apiVersion\": \"batch/v1\", \"kind\": \"JobList\", \"items\": [\n{}\n]}}",
        item("typed", "")
    );
    let text = format!(
        "{{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n{full},\n{inner}\n]}}"
    );
    let folder = Folder::new("list", &[("list.json", &text)]);
    let output = folder.check(&["list.json", JSON]);
    assert_eq!(output.findings(), ["list.json:3:17 unknown-hook", "list.json:7:17 unknown-hook"]);
    let path = &output.json()["results"][1]["findings"][0]["path"];
    assert_eq!(path, "items[1].items[0].metadata.annotations[argocd.argoproj.io/hook]");
    assert_eq!(output.json()["results"][1]["name"], "typed");
}

#[test]
fn folders_are_read_in_order_without_what_is_hidden() {
    let files = [
        ("deploy/b.yml", BAD),
        ("deploy/a/z.yaml", BAD),
        ("deploy/.git/c.yaml", BAD),
        ("deploy/.hidden.yaml", BAD),
        ("deploy/notes.txt", BAD),
        ("deploy/c.JSON", "{\"a\": 1}"),
    ];
    let output = Folder::new("folder", &files).check(&["deploy", JSON]);
    assert_eq!(
        output.findings(),
        ["deploy/a/z.yaml:6:5 unknown-hook", "deploy/b.yml:6:5 unknown-hook"]
    );
    assert_eq!(output.json()["summary"]["files"], 3);
}

#[test]
fn what_is_no_object_is_counted_and_half_an_object_is_an_error() {
    let files = [
        ("values.yaml", "replicas: 1\n"),
        ("Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\n"),
        ("policy.yaml", &policy("Deny", "{}")),
        ("config.yaml", "apiVersion: v1\nkind: ConfigMap\n"),
    ];
    let folder = Folder::new("foreign", &files);
    let output = folder.check(&["."]);
    assert_eq!(output.code, 0);
    insta::assert_snapshot!(output.out);
    fs::write(folder.0.join("half.yaml"), "\n\nkind: Job\n").unwrap();
    let output = folder.check(&[".", JSON]);
    assert_eq!((output.code, output.errors()), (2, vec!["./half.yaml:3".to_owned()]));
}

#[test]
fn line_breaks_and_byte_order_marks_of_windows_are_read() {
    let text = format!("\u{feff}{BAD}---\n{BAD}").replace('\n', "\r\n");
    let folder = Folder::new("windows", &[("bad.yaml", &text)]);
    let output = folder.check(&["bad.yaml", JSON]);
    assert_eq!(output.findings(), ["bad.yaml:6:5 unknown-hook", "bad.yaml:19:5 unknown-hook"]);
    assert!(!folder.check(&["bad.yaml"]).out.contains('\r'));
}

#[test]
fn the_labels_of_a_namespace_choose_the_policy() {
    let labelled = policy("Deny", "{namespaceSelector: {matchLabels: {env: live}}}");
    let named =
        policy("Warn", "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: test}}}");
    let namespace =
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {env: live}}\n";
    let files = [
        ("bad.yaml", BAD),
        ("set.yaml", &format!("{BAD}---\n{namespace}")),
        ("p/labelled.yaml", &labelled),
        ("p/named.yaml", &named),
    ];
    let folder = Folder::new("labels", &files);
    let run = |args: &[&str]| {
        let output = folder.check(&[args, &["--policy", "p", JSON]].concat());
        let finding = &output.json()["results"][0]["findings"][0];
        let undecided = finding["undecided"].as_bool();
        (output.code, finding["effect"].as_str().unwrap_or("none").to_owned(), undecided)
    };
    let deny = (1, "deny".to_owned(), Some(false));
    assert_eq!(run(&["bad.yaml", "--namespace-labels", "env=live,tier=db"]), deny);
    assert_eq!(run(&["set.yaml", "--namespace", "shop"]), deny);
    let none = (0, "none".to_owned(), None);
    assert_eq!(run(&["set.yaml", "--namespace", "shop", "--namespace-labels", "env=test"]), none);
    let named = ["bad.yaml", "--namespace", "test", "--namespace-labels", ""];
    assert_eq!(run(&named), (0, "warn".to_owned(), Some(false)));
    // Without labels nobody knows whether the policy is for the namespace: onUndecided.
    assert_eq!(run(&["bad.yaml"]), (0, "warn".to_owned(), Some(true)));
}

#[test]
fn the_namespace_of_an_object_is_its_own_or_the_given_one() {
    let own = BAD.replace("  name: bad\n", "  name: bad\n  namespace: own\n");
    let folder = Folder::new("namespace", &[("own.yaml", &own), ("bad.yaml", BAD)]);
    let output = folder.check(&["own.yaml", "bad.yaml", "--namespace", "given", JSON]);
    let json = output.json();
    assert_eq!(json["results"][0]["namespace"], "own");
    assert_eq!(json["results"][1]["namespace"], "given");
    let output = folder.check(&["bad.yaml", "--namespace", "kube-system", JSON]);
    assert_eq!((output.code, &output.json()["summary"]["noPolicy"]), (0, &1.into()));
}

#[test]
fn a_bad_policy_stops_the_run_and_says_where() {
    let wrong = policy("Deny", "{}").replace("unknown-hook", "unknown-hok");
    let folder = Folder::new("policy", &[("bad.yaml", BAD), ("p.yaml", &wrong)]);
    let output = folder.check(&["bad.yaml", "--policy", "p.yaml"]);
    assert_eq!((output.code, output.out.as_str()), (2, ""));
    assert!(output.err.contains("p.yaml:6:11: "), "{}", output.err);
    assert!(output.err.contains("did you mean `unknown-hook`?"), "{}", output.err);
    let output = folder.check(&["bad.yaml", "--policy", "gone.yaml"]);
    assert_eq!((output.code, output.out.as_str()), (2, ""));
    assert!(output.err.contains("gone.yaml"), "{}", output.err);
}

#[test]
fn an_object_that_cannot_be_read_is_a_finding_and_not_an_error() {
    let text = BAD.replace("image: a", "args: not a list");
    let output = Folder::new("unreadable", &[("a.yaml", &text)]).check(&["a.yaml", JSON]);
    assert_eq!(
        (output.code, output.findings()),
        (1, vec!["a.yaml:12:11 unreadable-object".into()])
    );
}

#[test]
fn secrets_never_reach_the_output() {
    let text = BAD.replace(
        "          image: a\n",
        "          image: a
          command: [sh, -c, 'psql postgres://u:CANARY@db/app; mysql -pCANARY; mysql --password CANARY']
          args: '--password=CANARY'
          env:
            - {name: A, value: {CANARY: CANARY}}
            - name: B
              value: |
                CANARY
",
    );
    let env = text.replace("          args: '--password=CANARY'\n", "");
    let broken = "password: CANARY\n  - CANARY\n\"CANARY\n";
    let number =
        BAD.replace("name: a\n", "name: a\n          env: [{name: P, value: [\"CANARY\"]}]\n");
    let files = [
        ("args.yaml", text.as_str()),
        ("env.yaml", &env),
        ("broken.yaml", broken),
        ("n.yaml", &number),
    ];
    let folder = Folder::new("secrets", &files);
    fs::write(folder.0.join("migrates.yaml"), MIGRATES_WITH_SECRETS).unwrap();
    for args in [&["."][..], &[".", JSON], &[".", "--color=always"], &["migrates.yaml"]] {
        let output = folder.check(args);
        assert_eq!(output.code, if args == ["migrates.yaml"] { 1 } else { 2 });
        for rule in ["inline-credentials", "migration-in-init-container"] {
            assert!(output.out.contains(rule), "{rule}: {}", output.out);
        }
        assert!(!output.out.contains("CANARY"), "{}", output.out);
        assert!(!output.err.contains("CANARY"), "{}", output.err);
    }
}

const MIGRATES_WITH_SECRETS: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 3
  template:
    spec:
      initContainers:
        - {name: a, image: flyway/flyway:11, args: [-password=CANARY, migrate]}
        - {name: b, image: b, command: [migrate, -database, 'postgres://u:CANARY@db/x', up]}
        - name: c
          image: flyway/flyway:11
          args:
            - -user=app
            - -password=CANARY
            - migrate
          env: [{name: FLYWAY_PASSWORD, value: CANARY}, {name: HARMLESS, value: CANARY}]
        - {name: d, image: d, command: [sh, -c, 'PGPASSWORD=CANARY psql -c \"drop table CANARY\"']}
        - {name: e, image: e, command: [sh, -c, 'mysql -pCANARY < drop.sql; rails db:migrate']}
        - command: [npx, prisma, migrate, deploy]
          name: f
          image: f
          env:
            - name: DATABASE_URL
              value: >-
                postgres://u:CANARY@db/x
      containers: [{name: app, image: app:1}]
";

#[test]
fn colour_is_used_when_asked_for_and_never_in_a_pipe() {
    let folder = Folder::new("color", &[("bad.yaml", BAD)]);
    assert!(!folder.check(&["bad.yaml"]).out.contains('\u{1b}'));
    assert!(folder.check(&["bad.yaml", "--color", "always"]).out.contains("\u{1b}[1m"));
    assert!(!folder.check(&["bad.yaml", "--color", "never"]).out.contains('\u{1b}'));
}

#[test]
fn names_cannot_write_control_characters() {
    let text = BAD.replace("name: bad", "name: \"a\\e[31m\\nb\"");
    let output = Folder::new("control", &[("a.yaml", &text)]).check(&["a.yaml"]);
    assert!(!output.out.contains('\u{1b}') && output.out.contains("Job/a"), "{}", output.out);
}

#[test]
fn quiet_leaves_out_notes_and_the_summary() {
    let files = [("bad.yaml", BAD), ("p.yaml", &policy("Audit", "{}"))];
    let folder = Folder::new("quiet", &files);
    assert_eq!(folder.check(&["bad.yaml", "-q", "--policy", "p.yaml"]).out, "");
    assert!(folder.check(&["bad.yaml", "-q"]).out.contains("unknown-hook"));
}

#[test]
fn a_reader_that_goes_away_is_no_failure_and_hides_none() {
    let text = format!("{BAD}---\n").repeat(2_000);
    let folder = Folder::new("pipe", &[("many.yaml", &text)]);
    for (arguments, code) in [
        (&["many.yaml"][..], 1),
        (&["many.yaml", "--fail-on", "never"], 0),
        (&["many.yaml", "--format", "sarif"], 1),
        (&["many.yaml", "--output", "json=-", "--output", "markdown=all.md"], 1),
        (&["many.yaml", "absent.yaml"], 2),
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .arg("check")
            .args(arguments)
            .current_dir(&folder.0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{arguments:?}");
    }
    assert!(fs::read_to_string(folder.0.join("all.md")).unwrap().contains("bad"));
}

#[test]
fn the_order_of_the_input_stays_however_many_cores_there_are() {
    let jobs: Vec<String> = (0..500).map(|job| BAD.replace("bad", &format!("j{job}"))).collect();
    let text = jobs.join("---\n");
    let output = Folder::new("order", &[("many.yaml", &text)]).check(&["many.yaml", JSON]);
    let json = output.json();
    let names: Vec<&str> =
        json["results"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    let want: Vec<String> = (0..500).map(|number| format!("j{number}")).collect();
    assert_eq!(names, want);
}
