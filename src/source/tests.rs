use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn one(text: &str) -> Document {
    let mut documents = documents(text);
    assert_eq!(documents.len(), 1, "{documents:?}");
    documents.remove(0).unwrap()
}

fn error(text: &str) -> SourceError {
    documents(text).into_iter().find_map(|one| one.and_then(Document::strict).err()).unwrap()
}

fn part_of(text: &str, span: Span) -> &str {
    text.get(span.start.offset..span.end.offset).unwrap()
}

/// The value at `path` starts at line and column `want` and is written as `part`.
#[track_caller]
fn covers(text: &str, path: &str, want: (usize, usize), part: &str) {
    let span = one(text).locate(path);
    assert_eq!((span.start.line, span.start.column), want, "{path}");
    assert_eq!(part_of(text, span), part, "{path}");
}

const JOB: &str = "\
# a comment
apiVersion: batch/v1
kind: Job
metadata:
  annotations:
    argocd.argoproj.io/hook: PreSync
    argocd: shorter
spec:
  template:
    spec:
      containers:
        - name: migrate
          command: [npx, prisma]
          args:
          - |
            one
            two

        - name: other
";

#[test]
fn paths_lead_to_values() {
    covers(JOB, "kind", (3, 7), "Job");
    covers(JOB, "spec.template.spec.containers[0].name", (12, 17), "migrate");
    covers(JOB, "spec.template.spec.containers[0].command", (13, 20), "[npx, prisma]");
    covers(JOB, "spec.template.spec.containers[0].command[1]", (13, 26), "prisma");
    covers(JOB, "spec.template.spec.containers[1].name", (19, 17), "other");
    covers(JOB, "spec.template.spec.containers[0].args[0]", (16, 13), "one\n            two");
}

#[test]
fn keys_with_dots_are_found_however_they_are_written() {
    for path in [
        "metadata.annotations.argocd.argoproj.io/hook",
        r"metadata.annotations.argocd\.argoproj\.io/hook",
        "metadata.annotations[argocd.argoproj.io/hook]",
        "metadata.annotations[\"argocd.argoproj.io/hook\"]",
    ] {
        covers(JOB, path, (6, 30), "PreSync");
    }
    covers(JOB, "metadata.annotations.argocd", (7, 13), "shorter");
}

#[test]
fn a_path_that_leads_nowhere_falls_back_to_the_nearest_ancestor() {
    let document = one(JOB);
    let spec = document.locate("spec");
    assert_eq!(document.locate("spec.activeDeadlineSeconds"), spec);
    assert_eq!(document.locate("spec.template.spec.containers[7]").start.line, 12);
    assert_eq!(document.locate_key("spec.activeDeadlineSeconds").start.line, 8);
    assert!(document.holds("spec.template") && !document.holds("spec.suspend"));
    assert_eq!(document.locate("").start.line, 2);
    assert_eq!(document.locate("nothing.at.all").start.line, 2);
}

#[test]
fn an_error_in_one_document_hides_no_other() {
    let text = "a: 1\n---\nb: [1, 2\n---\n# Source: shop/templates/c.yaml\nc: 3\n";
    let documents = documents(text);
    assert_eq!(documents.len(), 3);
    assert_eq!(documents[0].as_ref().unwrap().value(), &json!({"a": 1}));
    assert_eq!(documents[1].as_ref().unwrap_err().position.line, 3);
    let last = documents[2].as_ref().unwrap();
    assert_eq!(last.locate("c").start, Position { line: 6, column: 4, offset: 57 });
    assert_eq!(last.origin(), Some("shop/templates/c.yaml"));
}

#[test]
fn empty_documents_are_left_out() {
    for text in
        ["", "\n", "---\n", "# only a comment\n", "---\n# Source: x\n---\n\n---\nnull\n", "{}"]
    {
        let count = usize::from(text == "{}");
        assert_eq!(documents(text).len(), count, "{text:?}");
    }
}

#[test]
fn documents_start_and_end_in_every_way_that_yaml_has() {
    for (text, want) in [
        ("%YAML 1.2\n---\na: 1\n", vec![json!({"a": 1})]),
        ("a: 1\n...\n---\nb: 2\n", vec![json!({"a": 1}), json!({"b": 2})]),
        ("--- {a: 1}\n--- # comment\nb: 2\n", vec![json!({"a": 1}), json!({"b": 2})]),
        ("a: 1\r\n---\r\nb: 2\r\n", vec![json!({"a": 1}), json!({"b": 2})]),
        ("a: |\n  x\n  ---\n  y\n", vec![json!({"a": "x\n---\ny\n"})]),
        ("\u{feff}a: 1\n", vec![json!({"a": 1})]),
        ("\u{feff}{\"a\": 1}", vec![json!({"a": 1})]),
        ("---a: 1\n", vec![json!({"---a": 1})]),
    ] {
        let values: Vec<Value> =
            documents(text).into_iter().map(|document| document.unwrap().take_value()).collect();
        assert_eq!(values, want, "{text:?}");
    }
}

#[test]
fn positions_count_characters_and_skip_the_byte_order_mark() {
    covers("\u{feff}ключ: {ä: ö}\r\nb: c\r\n", "ключ.ä", (1, 11), "ö");
    covers("\u{feff}ключ: {ä: ö}\r\nb: c\r\n", "b", (2, 4), "c");
}

#[test]
fn scalars_are_read_as_kubernetes_reads_them() {
    let text = "a: yes\nb: 'yes'\nc: 0755\nd: !!str 1\ne: 1e3\nf:\ng: \"\"\n1: x\non: y\nh: >-\n  a\n  b\n";
    assert_eq!(
        one(text).value(),
        &json!({"a": true, "b": "yes", "c": 493, "d": "1", "e": 1000, "f": null, "g": "",
                "1": "x", "true": true, "h": "a b"})
    );
}

#[test]
fn anchors_and_merge_keys_work() {
    let text = "\
base: &base {image: a, tag: '1'}
more: &more {tag: '2', pull: Always}
one:
  <<: *base
  tag: '3'
two:
  <<: [*base, *more]
copy: *base
";
    let document = one(text);
    assert_eq!(document.value()["one"], json!({"image": "a", "tag": "3"}));
    assert_eq!(document.value()["two"], json!({"image": "a", "tag": "1", "pull": "Always"}));
    assert_eq!(document.value()["copy"], json!({"image": "a", "tag": "1"}));
    assert_eq!(document.locate("copy").start.line, 8);
    assert_eq!(document.locate("one.image").start.line, 1);
    assert_eq!(document.locate_key("one.image").start.line, 4);
    assert_eq!(document.locate("one.tag").start.line, 5);
}

#[test]
fn of_a_key_that_stands_twice_the_last_counts_and_it_is_said() {
    for text in ["a: 1\nb: 2\na: {c: 3}\n", "{\"a\": 1, \"b\": 2,\n\n\"a\": {\"c\": 3}}"] {
        let document = one(text);
        assert_eq!(document.value(), &json!({"a": {"c": 3}, "b": 2}));
        assert_eq!(document.locate("a.c").start.line, 3);
        assert_eq!(document.repeated().len(), 1);
        assert!(document.strict().is_err());
    }
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    for (text, line, column, part) in [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "`a` stands twice"),
        ("{\"a\": 1,\n \"a\": 2}", 2, 2, "`a` stands twice"),
        ("a: 1\n? [x]\n: 2\n", 2, 3, "key must be a string"),
        ("a: 1\n~: 2\n", 2, 1, "key must be a string"),
        ("a: *gone\n", 1, 4, "anchor"),
        ("a: .inf\n", 1, 4, "no JSON"),
        ("a:\n\t- b\n", 2, 2, "tab"),
        ("a: &x [*x]\n", 1, 8, "alias inside"),
        ("a: &x 1\nb:\n  <<: *x\n", 3, 7, "merged"),
    ] {
        let error = error(text);
        let at = (error.position.line, error.position.column);
        assert_eq!(at, (line, column), "{text:?}: {error}");
        assert!(error.message.contains(part), "{text:?}: {error}");
    }
}

#[test]
fn an_error_never_repeats_a_value() {
    for text in ["a: \"hunter2\n", "hunter2: [\n", "password: {hunter2\n", "x: !!int hunter2\n"] {
        assert!(!error(text).message.contains("hunter2"), "{text:?}");
    }
}

#[test]
fn aliases_and_nesting_are_bounded() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(laughs, "a{level}: &a{level} [{items}]").unwrap();
    }
    assert!(error(&laughs).message.contains("too large"));
    for deep in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(100_000)] {
        assert_eq!(documents(&deep).len(), 1);
    }
    let json = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(documents(&json)[0].is_err());
}

#[test]
fn json_is_read_with_positions_too() {
    let text = "{\n\t\"kind\": \"Job\",\n\t\"spec\": {\"a\\/b\": [1, {\"x\": \"\\ud83d\\ude00\\\"\"}], \"c\": -1.5e3}\n}\n{\"two\": 2}";
    let both = documents(text);
    assert_eq!(both.len(), 2);
    let first = both[0].as_ref().unwrap();
    assert_eq!(first.value()["spec"]["a/b"][1]["x"], "😀\"");
    let span = first.locate("spec.a/b[1].x");
    assert_eq!((span.start.line, span.start.column), (3, 29));
    assert_eq!(part_of(text, span), "\"\\ud83d\\ude00\\\"\"");
    assert_eq!(first.locate("spec.c").start.line, 3);
    assert_eq!(both[1].as_ref().unwrap().locate("two").start.line, 5);
}

#[test]
fn literals_that_may_be_secrets_are_known() {
    let text = "containers:\n- env:\n  - {name: A, value: hunter2}\n  - name: B\n    valueFrom: {}\n  - name: C\n    value: |\n      two\n      lines\n";
    let spans = one(text).literals();
    let parts: Vec<&str> = spans.iter().map(|span| part_of(text, *span)).collect();
    assert_eq!(parts.len(), 2, "{parts:?}");
    assert!(parts.contains(&"hunter2"));
    assert!(parts.contains(&"two\n      lines"), "{parts:?}");
}

#[test]
fn bytes_are_decoded_or_refused_where_they_are_wrong() {
    assert_eq!(decode("a: ä".as_bytes()).unwrap(), "a: ä");
    let error = decode(b"a: 1\nb: \xff\n").unwrap_err();
    assert_eq!((error.position.line, error.position.column), (2, 4));
    assert_eq!(decode(b"\xff\xfea\0:\0 \x001\0").unwrap(), "a: 1");
    assert_eq!(decode(b"\xfe\xff\0a\0:").unwrap(), "a:");
    assert!(decode(b"\xff\xfea").is_err());
}

#[test]
fn what_was_decoded_is_encoded_as_it_was() {
    for bytes in
        ["\u{feff}a: ä\r\n".as_bytes(), b"", b"\xff\xfea\0\x3d\xd8\x00\xde", b"\xfe\xff\0a"]
    {
        assert_eq!(encode_like(bytes, &decode(bytes).unwrap()), bytes);
    }
}

proptest! {
    #[test]
    fn nothing_panics(text in "\\PC{0,80}") {
        for document in documents(&text).into_iter().flatten() {
            let _span = document.locate(&text);
        }
    }

    #[test]
    fn nothing_panics_on_what_looks_like_yaml(
        text in "([ \t]{0,3}(- |\\? |a: |b: |&a |\\*a|<<: |---|\\.\\.\\.|#|[{}\\[\\],\"'|>%!]|[0-9x]|ä)){0,30}(\r?\n)?".prop_map(|text| text.replace('#', "\n"))
    ) {
        for document in documents(&text).into_iter().flatten() {
            let span = document.locate("a.b[0].a");
            prop_assert!(span.start.offset <= span.end.offset);
            prop_assert!(text.get(span.start.offset..span.end.offset).is_some());
        }
        let _decoded = decode(text.as_bytes());
    }

    #[test]
    fn json_means_the_same_with_and_without_the_fast_path(
        keys in proptest::collection::btree_map("[a-z.\"\\\\ä]{1,5}", -9..99_i32, 0..5)
    ) {
        let value = json!({ "a": keys, "b": [keys] });
        let text = value.to_string();
        let fast = one(&text);
        prop_assert_eq!(fast.value(), &value);
        let marked = format!("--- {text}");
        let slow = one(&marked);
        prop_assert_eq!(slow.value(), &value);
        for path in ["a", "b", "b[0]"] {
            let (fast, slow) = (fast.locate(path), slow.locate(path));
            prop_assert_eq!(part_of(&text, fast), part_of(&marked, slow));
        }
    }
}

#[test]
fn elements_are_called_by_their_names() {
    let value = json!({
        "metadata": {"annotations": {"argocd.argoproj.io/hook": "Presync"}},
        "spec": {"containers": [
            {"name": "a"},
            {"name": "app", "env": [{"name": "A"}, {"value": "no name"}], "args": ["x"]},
            {"name": 7}, {"name": "q\"\u{e4}"}
        ]}
    });
    let json = value.to_string();
    for text in [json.clone(), format!("# YAML\n{json}\n")] {
        let document = one(&text);
        for (path, want) in [
            ("", ""),
            ("spec.containers[1]", "spec.containers[app]"),
            (".spec.containers[1].env[0].value", "spec.containers[app].env[A].value"),
            ("spec.containers[1].env[1].value", "spec.containers[app].env[1].value"),
            ("spec.containers[1].args[0]", "spec.containers[app].args[0]"),
            ("spec.containers[2].args[0]", "spec.containers[2].args[0]"),
            ("spec.containers[3]", "spec.containers[q\"\u{e4}]"),
            ("spec.containers[7].args[0]", "spec.containers[7].args[0]"),
            ("spec.template.spec", "spec.template.spec"),
            (
                "metadata.annotations[argocd.argoproj.io/hook]",
                "metadata.annotations[argocd.argoproj.io/hook]",
            ),
            (
                "metadata.annotations.argocd.argoproj.io/hook",
                "metadata.annotations.argocd.argoproj.io/hook",
            ),
            ("spec.containers[", "spec.containers["),
        ] {
            assert_eq!(document.by_name("", path), want, "{text}");
        }
        assert_eq!(document.by_name("spec", "containers[1].env[0]"), "containers[app].env[A]");
        assert_eq!(document.by_name("nowhere", ".a[0]"), "a[0]");
    }
    let aliased = one("a: &a {name: x}\nb: [*a, {<<: *a, c: 1}]\n");
    assert_eq!(aliased.by_name("", "b[0].name"), "b[x].name");
    assert_eq!(aliased.by_name("", "b[1].c"), "b[x].c");
}
