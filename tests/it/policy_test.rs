//! `tidegate test` as users meet it, and the cases of the policies that the repository offers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

const HEAD: &str = "\
apiVersion: tidegate.dev/v1alpha1
kind: PolicyTest
metadata: {name: t}
spec:
";

/// Argo CD drops it silently: `unknown-hook`, which is refused by default.
const BAD_HOOK: &str = "\
apiVersion: batch/v1
kind: Job
metadata:
  name: bad
  annotations: {argocd.argoproj.io/hook: Presync}
spec: {template: {spec: {containers: [{name: a, image: a}]}}}
";

struct Output {
    code: i32,
    out: String,
    err: String,
}

impl Output {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.err))
    }
}

fn run(folder: &Path, args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("test")
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    Output {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder of its own for one test.
fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("policy-test").join(name);
    let _gone = fs::remove_dir_all(&folder);
    for (file, text) in files {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// A test under the built-in policy, with these lines of YAML as its cases.
fn cases(text: &str) -> String {
    format!("{HEAD}  policies: []\n  cases:\n{text}")
}

/// A case about the hook that is refused.
fn case(name: &str, expect: &str) -> String {
    format!("    - name: {name}\n      objectFrom: {{file: bad.yaml}}\n      expect: {expect}\n")
}

#[test]
fn every_offered_policy_does_what_its_cases_say() {
    let output = run(Path::new("."), &["policies", "--format=json"]);
    let json = output.json();
    assert_eq!(output.code, 0, "{}", run(Path::new("."), &["policies", "--quiet"]).out);
    let cases = json["cases"].as_array().unwrap();
    let mut offered = 0;
    for folder in ["policies", "policies/examples"] {
        for entry in fs::read_dir(folder).unwrap() {
            let folder = entry.unwrap().path();
            if folder.join("policy.yaml").exists() {
                let tests = folder.join("tests");
                let is_here =
                    |case: &Value| Path::new(case["file"].as_str().unwrap()).starts_with(&tests);
                assert!(cases.iter().any(is_here), "no case for {}", folder.display());
                offered += 1;
            }
        }
    }
    assert_eq!(offered, 11);
}

#[test]
fn people_see_a_line_for_every_case_and_what_differs() {
    let text = cases(
        &[
            case("as expected", "{verdict: refused, findings: [unknown-hook]}"),
            case(
                "otherwise",
                "{verdict: admitted, policy: other, warnings: [late], patch: {spec.a: 1}}",
            ),
        ]
        .concat(),
    );
    let folder = folder("human", &[("tests/t.yaml", &text), ("tests/bad.yaml", BAD_HOOK)]);
    let output = run(&folder, &["tests"]);
    assert_eq!((output.code, output.err.as_str()), (1, ""));
    insta::assert_snapshot!(output.out);
    let quiet = run(&folder, &["tests", "-q"]);
    assert!(!quiet.out.contains("as expected") && quiet.out.contains("otherwise"), "{}", quiet.out);
    let colored = run(&folder, &["tests", "--color=always"]);
    assert!(colored.out.contains("\u{1b}[31mFAIL\u{1b}[0m") && !output.out.contains('\u{1b}'));
}

#[test]
fn machines_get_json_and_junit_on_standard_output_or_in_files() {
    let text = cases(
        &[
            case("one", "{verdict: refused, findings: [unknown-hook]}"),
            case("two <&>", "{verdict: admitted}"),
        ]
        .concat(),
    );
    let folder = folder("formats", &[("t.yaml", &text), ("bad.yaml", BAD_HOOK)]);
    let args = ["t.yaml", "--output=junit=r.xml", "--output=json=r.json", "--quiet"];
    assert_eq!(run(&folder, &args).code, 1);
    let json = run(&folder, &["t.yaml", "--format=json"]);
    assert_eq!(fs::read_to_string(folder.join("r.json")).unwrap(), json.out);
    insta::assert_snapshot!(json.out);
    let xml = fs::read_to_string(folder.join("r.xml")).unwrap();
    assert_eq!(run(&folder, &["t.yaml", "--format=junit"]).out, xml);
    insta::assert_snapshot!(xml);
    assert_eq!(run(&folder, &["t.yaml", "--output=xml=r"]).code, 2);
    let unwritable = run(&folder, &["t.yaml", "--output=json=no/such/folder"]);
    assert_eq!(unwritable.code, 2);
    assert!(unwritable.err.contains("cannot write no/such/folder"), "{}", unwritable.err);
}

#[test]
fn only_the_cases_that_are_asked_for_run() {
    let text = cases(
        &[
            case("good", "{verdict: refused, findings: [unknown-hook]}"),
            case("wrong", "{verdict: admitted}"),
        ]
        .concat(),
    );
    let folder = folder("filter", &[("t.yaml", &text), ("bad.yaml", BAD_HOOK)]);
    let output = run(&folder, &["t.yaml", "--run", "t.yaml: goo", "--format=json"]);
    assert_eq!(output.code, 0);
    assert_eq!(output.json()["summary"]["cases"], 1);
    let none = run(&folder, &["t.yaml", "--run", "nothing"]);
    assert_eq!(none.code, 2);
    assert!(none.out.contains("no case contains `nothing`"), "{}", none.out);
}

/// A case and the error that it is answered with: line, column and text.
#[test]
#[expect(clippy::too_many_lines, reason = "a table is as long as it is")]
fn what_is_wrong_is_said_with_its_place_and_the_nearest_name() {
    let job = "object: {apiVersion: batch/v1, kind: Job}";
    let refused = "expect: {verdict: refused}";
    for (case, expected) in [
        (
            format!("{job}\n      expect: {{verdict: refusd}}"),
            "t.yaml:9:16: spec.cases[0].expect.verdict: unknown variant `refusd`",
        ),
        (
            format!("{job}\n      expect: {{verdict: refused, findings: [root-migratio]}}"),
            "t.yaml:9:45: spec.cases[0].expect.findings[0]: there is no rule `root-migratio` \
             (did you mean `root-migration`?)",
        ),
        (
            format!("{job}\n      expect: {{verdict: refused, findings: {{contain: []}}}}"),
            "spec.cases[0].expect.findings.contain: unknown field `contain`, expected `contains` or \
             `without` (did you mean `contains`?)",
        ),
        (
            format!("{job}\n      expect: {{verdict: refused, findings: [{{rule: a, pth: b}}]}}"),
            "(did you mean `path`?)",
        ),
        (
            format!("{job}\n      expect: {{verdict: refused, findings: 7}}"),
            "a list of findings, or a map with `contains` or `without`",
        ),
        (
            format!("{job}\n      expct: {{verdict: refused}}"),
            "t.yaml:9:7: spec.cases[0].expct: unknown field `expct`",
        ),
        (format!("{job}\n      now: today\n      {refused}"), "`today` is no RFC 3339 time"),
        (format!("{job}\n      operation: UPDATE\n      {refused}"), "is UPDATE, so `oldObject`"),
        (
            format!("{job}\n      oldObject: {{}}\n      operation: CREATE\n      {refused}"),
            "is CREATE, so there can be no old object",
        ),
        (format!("{job}\n      operation: DELETE\n      {refused}"), "is DELETE, so there is only"),
        (format!("{job}\n      objectFrom: {{file: a}}\n      {refused}"), "exclude each other"),
        (format!("object: {{kind: Job}}\n      {refused}"), "`apiVersion` and `kind`"),
        (refused.to_owned(), "t.yaml:7:7: spec.cases[0]: needs `object`, `objectFrom`"),
        (format!("{job}\n      change: 7\n      {refused}"), "is neither a map (JSON merge patch)"),
        (
            format!("{job}\n      change: [{{op: remove, path: /a}}]\n      {refused}"),
            "spec.cases[0].change: does not fit the object",
        ),
        (
            format!("objectFrom: {{file: nope.yaml}}\n      {refused}"),
            "spec.cases[0].objectFrom: nope.yaml: there is no such file",
        ),
        (
            format!("objectFrom: {{file: bad.yaml, kind: Jb}}\n      {refused}"),
            "bad.yaml holds no Jb",
        ),
        (
            format!("objectFrom: {{file: two.yaml}}\n      {refused}"),
            "two.yaml holds Job/bad, Job/bad: say which",
        ),
        (
            format!("{job}\n      facts: {{configMaps: [{{kind: ConfigMap}}]}}\n      {refused}"),
            "spec.cases[0].facts.configMaps[0]: is no v1 ConfigMap with a name",
        ),
        (
            format!(
                "{job}\n      approval: {{}}\n      change: {{metadata: 7}}\n      {refused}\n    - name: a\n      {job}\n      {refused}"
            ),
            "another case is named `a` already",
        ),
        (
            format!(
                "object: {{apiVersion: batch/v1, kind: Job, spec: 7}}\n      approval: {{}}\n      {refused}"
            ),
            "spec.cases[0].approval: the object has no digest",
        ),
    ] {
        let text = cases(&format!("    - name: a\n      {case}\n"));
        let two = format!("{BAD_HOOK}---\n{BAD_HOOK}");
        let files = [("t.yaml", text.as_str()), ("bad.yaml", BAD_HOOK), ("two.yaml", &two)];
        let output = run(&folder("errors", &files), &["t.yaml"]);
        assert_eq!(output.code, 2, "{text}{}", output.out);
        assert!(output.out.contains(expected), "{text}\n{}\nwant: {expected}", output.out);
    }
}

#[test]
fn documents_for_others_are_left_out_and_half_meant_ones_are_errors() {
    let good = cases(&case("a", "{verdict: refused, findings: [unknown-hook]}"));
    let template = "{{- if .Values.x }}\na: [\n{{- end }}\n";
    let files = [
        ("t.yaml", good.as_str()),
        ("bad.yaml", BAD_HOOK),
        ("template.yaml", template),
        ("policy.yaml", "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationPolicy\n"),
        ("other.yaml", "apiVersion: example.com/v1\nkind: PolicyTest\n"),
    ];
    let output = run(&folder("others", &files), &["."]);
    assert_eq!(output.code, 0, "{}", output.out);
    for (text, expected) in [
        ("kind: PolicyTest\na: [\n", "broken.yaml:"),
        ("apiVersion: tidegate.dev/v1alpha1\nkind: PolicyTets\n", "(did you mean `PolicyTest`?)"),
        ("apiVersion: tidegate.dev/v1\nkind: PolicyTest\n", "is `tidegate.dev/v1`, expected"),
        ("kind: PolicyTest\n", "expected `tidegate.dev/v1alpha1`"),
        (&format!("{HEAD}  policies: []\n  cases: []\n"), "must hold at least one case"),
        (&format!("{good}  policies: []\n"), "broken.yaml:10:3"),
    ] {
        let files = [&files[..], &[("broken.yaml", text)]].concat();
        let output = run(&folder("broken", &files), &["."]);
        assert_eq!(output.code, 2, "{text}");
        assert!(output.out.contains(expected), "{text}\n{}", output.out);
        assert!(output.out.contains("  ok    a\n"), "an error hides nothing else: {}", output.out);
    }
    for args in [&["policy.yaml"][..], &["empty"], &["nowhere"]] {
        let folder = folder("empty", &[&files[..], &[("empty/a.txt", "")]].concat());
        assert_eq!(run(&folder, args).code, 2, "{args:?}");
    }
}

#[test]
fn the_policy_is_the_one_beside_or_above_and_one_that_is_wrong_is_an_error() {
    let policy = |level: &str| {
        format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationPolicy\nmetadata: {{name: {level}}}\n\
             spec: {{level: {level}}}\n"
        )
    };
    let expect = |policy: &str| {
        let case = case(
            "a",
            &format!("{{verdict: admitted, policy: {policy}, findings: [unknown-hook]}}"),
        );
        format!("{HEAD}  cases:\n{case}")
    };
    let folder = folder(
        "nearest",
        &[
            ("policy.yaml", &policy("Warn")),
            ("tests/deep/t.yaml", &expect("Warn")),
            ("tests/deep/bad.yaml", BAD_HOOK),
            ("other/policy.yaml", &policy("Audit")),
            ("other/t.yaml", &expect("Audit")),
            ("other/bad.yaml", BAD_HOOK),
            ("wrong/policy.yaml", "kind: MigrationPolicy\n"),
        ],
    );
    for (from, path) in
        [(".", "."), (".", "tests"), ("tests/deep", "t.yaml"), ("other", "../other")]
    {
        let output = run(&folder.join(from), &[path]);
        assert_eq!(output.code, 0, "{from} {path}: {}", output.out);
    }
    // `policy.yaml` of `wrong` has no test: it is not even read.
    assert!(run(&folder, &["."]).out.contains("2 passed"));
    fs::write(folder.join("wrong/t.yaml"), expect("x")).unwrap();
    let output = run(&folder, &["wrong"]);
    assert_eq!(output.code, 2);
    assert!(output.out.contains("spec.policies: policies cannot be used"), "{}", output.out);
    assert!(output.out.contains("wrong/policy.yaml:1:1: apiVersion"), "{}", output.out);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table is as long as it is")]
fn namespaces_facts_users_and_time_reach_the_engine() {
    let script = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: scripts}
data: {run.sql: DROP TABLE orders}
";
    let job = "\
apiVersion: batch/v1
kind: Job
metadata: {name: a, annotations: {argocd.argoproj.io/hook: PreSync}}
spec:
  template:
    spec:
      restartPolicy: Never
      volumes: [{name: s, configMap: {name: scripts}}]
      containers:
        - name: sql
          image: postgres:16
          command: [psql, -f, /s/run.sql]
          volumeMounts: [{name: s, mountPath: /s}]
";
    let drop = "findings: {contains: [unapproved-destructive-migration]}";
    let no_drop = "findings: {without: [unapproved-destructive-migration]}";
    let text = cases(&format!(
        "    - name: without the ConfigMap nothing is known of the SQL
      objectFrom: {{file: job.yaml}}
      expect: {{verdict: admitted, {no_drop}}}
    - name: with it the SQL is read
      objectFrom: {{file: job.yaml}}
      facts: {{files: [script.yaml]}}
      expect: {{verdict: refused, {drop}}}
    - name: also inline
      objectFrom: {{file: job.yaml}}
      facts: {{configMaps: [{{apiVersion: v1, kind: ConfigMap, metadata: {{name: scripts}}, data: {{run.sql: DROP TABLE a}}}}]}}
      expect: {{verdict: refused, {drop}}}
    - name: but not that of another namespace
      objectFrom: {{file: job.yaml}}
      namespace: elsewhere
      facts: {{configMaps: [{{apiVersion: v1, kind: ConfigMap, metadata: {{name: scripts, namespace: shop}}, data: {{run.sql: DROP TABLE a}}}}]}}
      expect: {{verdict: admitted, {no_drop}}}
    - name: what is not filled in is refused
      objectFrom: {{file: job.yaml}}
      mutate: false
      expect: {{verdict: refused, findings: {{contains: [unlimited-migration]}}, patch: {{}}}}
    - name: a subresource is not judged
      oldObjectFrom: {{file: job.yaml}}
      subresource: status
      expect: {{verdict: not-judged}}
    - name: nobody judges the cluster's own
      objectFrom: {{file: job.yaml}}
      namespace: kube-system
      expect: {{verdict: no-policy}}
    - name: a dry run is judged alike
      objectFrom: {{file: job.yaml}}
      dryRun: true
      facts: {{files: [.]}}
      expect: {{verdict: refused, {drop}}}
    - name: an approval of something else
      objectFrom: {{file: job.yaml}}
      facts: {{files: [script.yaml]}}
      approval: {{by: a, ticket: b, until: \"2026-01-02T00:00:00Z\", digest: 'sha256:00'}}
      expect: {{verdict: refused, findings: {{contains: [{{rule: unapproved-destructive-migration, message: for something else}}]}}}}
    - name: a cluster-scoped kind has no namespace
      object: {{apiVersion: v1, kind: Namespace, metadata: {{name: kube-system}}}}
      expect: {{verdict: not-judged}}
"
    ));
    let files = [("t.yaml", text.as_str()), ("job.yaml", job), ("script.yaml", script)];
    let output = run(&folder("reach", &files), &["t.yaml"]);
    assert_eq!(output.code, 0, "{}", output.out);
    assert!(output.out.contains("10 passed"), "{}", output.out);
}

/// What `docs/test.md` shows is what is printed.
#[test]
fn the_page_shows_real_output_and_cases_that_pass() {
    let page = fs::read_to_string("docs/test.md").unwrap();
    let blocks: Vec<&str> = page.split("```").skip(1).step_by(2).collect();
    let block = |head: &str| {
        let found = blocks.iter().find_map(|block| block.strip_prefix(head));
        found.unwrap_or_else(|| panic!("docs/test.md has no block {head:?}")).to_owned()
    };
    let manifest = block("yaml\n# policies/production/tests/manifests/drop.yaml\n");
    let policy = block("yaml\n# policies/production/policy.yaml\n");
    let tests = block("yaml\n# policies/production/tests/approvals.yaml\n");
    let folder = folder(
        "page",
        &[
            ("policies/production/policy.yaml", &policy),
            ("policies/production/tests/approvals.yaml", &tests),
            ("policies/production/tests/manifests/drop.yaml", &manifest),
        ],
    );
    let output = run(&folder, &["policies/"]);
    assert_eq!(block("console\n$ tidegate test policies/\n"), output.out);
    assert_eq!(output.code, 0);
    let wrong = tests.replace("verdict: refused", "verdict: admitted");
    fs::write(folder.join("policies/production/tests/approvals.yaml"), wrong).unwrap();
    let output = run(&folder, &["policies/", "--quiet"]);
    assert_eq!(block("console\n$ tidegate test policies/ --quiet\n"), output.out);
}
