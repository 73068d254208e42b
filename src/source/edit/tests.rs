use serde_json::json;

use super::*;

fn annotate(text: &str) -> Result<String, EditError> {
    let Ok(document) = documents(text).remove(0) else { panic!("{text}") };
    let place = Place { position: document.locate("").start, prefix: "" };
    let entries = [("t/by", "alice@example.com"), ("t/until", "2026-06-02T12:00:00Z")];
    set(text, place, &["metadata", "annotations"], &entries)
}

const BY: &str = "t/by: alice@example.com";
const UNTIL: &str = "t/until: \"2026-06-02T12:00:00Z\"";

#[test]
fn only_lines_are_added() {
    for (before, after) in [
        (
            "kind: Job # a\nmetadata:\n  name: a # the name\n  annotations:\n    x: y # why\n# end\nspec: {}\n",
            format!(
                "kind: Job # a\nmetadata:\n  name: a # the name\n  annotations:\n    x: y # why\n    {BY}\n    {UNTIL}\n# end\nspec: {{}}\n"
            ),
        ),
        (
            "metadata:\n  annotations:\n    x: |\n      two\n      lines\n  name: a\n",
            format!(
                "metadata:\n  annotations:\n    x: |\n      two\n      lines\n    {BY}\n    {UNTIL}\n  name: a\n"
            ),
        ),
        (
            "metadata:\n  annotations:\n    x: |+\n      kept\n\n  name: a\n",
            format!(
                "metadata:\n  annotations:\n    x: |+\n      kept\n\n    {BY}\n    {UNTIL}\n  name: a\n"
            ),
        ),
        (
            "metadata:\n  name: a\nkind: Job",
            format!("metadata:\n  name: a\n  annotations:\n    {BY}\n    {UNTIL}\nkind: Job"),
        ),
        ("kind: Job", format!("kind: Job\nmetadata:\n  annotations:\n    {BY}\n    {UNTIL}")),
        (
            "metadata:\r\n  annotations:\r\n    x: y\r\nkind: Job\r\n",
            format!(
                "metadata:\r\n  annotations:\r\n    x: y\r\n    {BY}\r\n    {UNTIL}\r\nkind: Job\r\n"
            ),
        ),
        (
            "metadata:\n  annotations: # none yet\n  name: a\n",
            format!("metadata:\n  annotations: # none yet\n    {BY}\n    {UNTIL}\n  name: a\n"),
        ),
        (
            "metadata:\r\n  annotations:\r\n  name: a\r\n",
            format!("metadata:\r\n  annotations:\r\n    {BY}\r\n    {UNTIL}\r\n  name: a\r\n"),
        ),
        (
            "metadata:\n  annotations: null\n  name: a\n",
            format!("metadata:\n  annotations:\n    {BY}\n    {UNTIL}\n  name: a\n"),
        ),
        (
            "metadata:\n    name: a\n    annotations:\n        x: y\n",
            format!(
                "metadata:\n    name: a\n    annotations:\n        x: y\n        {BY}\n        {UNTIL}\n"
            ),
        ),
    ] {
        assert_eq!(annotate(before).unwrap(), after, "{before}");
    }
}

#[test]
fn flow_style_stays_flow_style() {
    let both = format!("{BY}, {UNTIL}");
    for (before, after) in [
        ("metadata: {name: a}\n", format!("metadata: {{name: a, annotations: {{{both}}}}}\n")),
        (
            "metadata: {name: a, annotations: {x: y}} # c\n",
            format!("metadata: {{name: a, annotations: {{x: y, {both}}}}} # c\n"),
        ),
        ("metadata: {annotations: {}}\n", format!("metadata: {{annotations: {{{both}}}}}\n")),
        (
            "{\"metadata\":{\"annotations\":{\"t/by\":\"bob\"}}}",
            r#"{"metadata":{"annotations":{"t/by":"alice@example.com","t/until":"2026-06-02T12:00:00Z"}}}"#.to_owned(),
        ),
        (
            "{\n  \"metadata\": {\n    \"annotations\": {\n      \"x\": \"y\"\n    }\n  }\n}\n",
            "{\n  \"metadata\": {\n    \"annotations\": {\n      \"x\": \"y\",\n      \"t/by\": \"alice@example.com\",\n      \"t/until\": \"2026-06-02T12:00:00Z\"\n    }\n  }\n}\n".to_owned(),
        ),
    ] {
        assert_eq!(annotate(before).unwrap(), after, "{before}");
    }
}

#[test]
fn what_is_there_is_replaced_where_it_stands() {
    for (old, new) in [
        ("t/by: bob # who", format!("{BY} # who")),
        ("t/by: 'bob'", "t/by: 'alice@example.com'".to_owned()),
        ("t/by: |\n      bob", BY.to_owned()),
        ("t/by: >-\n      bob\n      b", BY.to_owned()),
        ("\"t/by\": \"bob\"", "\"t/by\": \"alice@example.com\"".to_owned()),
        ("t/by:", BY.to_owned()),
    ] {
        let before = format!("metadata:\n  annotations:\n    {old}\n    x: y\n  name: a\n");
        let after =
            format!("metadata:\n  annotations:\n    {new}\n    x: y\n    {UNTIL}\n  name: a\n");
        assert_eq!(annotate(&before).unwrap(), after, "{before}");
    }
}

#[test]
fn only_the_object_that_is_meant_changes() {
    let text = "# head\nkind: A\nmetadata: {name: a}\n---\nkind: List\nitems:\n  - metadata:\n      name: a\n  - metadata:\n      name: b\n    kind: B\n---\nkind: C\n";
    let document = documents(text).remove(1).unwrap();
    let prefix = "items[1]";
    let place = Place { position: document.locate(prefix).start, prefix };
    let edited = set(text, place, &["metadata", "annotations"], &[("a", "b")]).unwrap();
    let want = text.replace("      name: b\n", "      name: b\n      annotations:\n        a: b\n");
    assert_eq!(edited, want);
}

#[test]
fn what_cannot_be_changed_alone_is_an_error() {
    let shared = "x: &a {k: v}\nmetadata: {annotations: *a}\n";
    assert_eq!(annotate(shared), Err(EditError::Shared(2)));
    let anchored = "metadata:\n  annotations: &a\n    k: v\nx: *a\n";
    assert_eq!(annotate(anchored), Err(EditError::Shared(3)));
    assert_eq!(annotate("metadata: 1\n"), Err(EditError::NoMapping("metadata")));
    assert_eq!(annotate("a: 1\na: 2\n"), Err(EditError::Repeated));
    let gone = Place { position: Position::START, prefix: "items[7]" };
    assert_eq!(set("a: 1\n", gone, &["b"], &[("c", "d")]), Err(EditError::NoObject));
}

#[test]
fn a_merged_mapping_gets_its_own_entries() {
    let text = "base: &a\n  x: y\nmetadata:\n  annotations:\n    <<: *a\n    k: v\n";
    let want = format!("{text}    {BY}\n    {UNTIL}\n");
    assert_eq!(annotate(text).unwrap(), want);
}

/// The text in which the first document is what `change` makes of it.
fn rewritten(text: &str, change: impl FnOnce(&mut Value)) -> Result<String, EditError> {
    let chunks = chunks(text);
    let Ok(document) = chunks[0].documents().remove(0) else { panic!("{text}") };
    let mut value = document.value().clone();
    change(&mut value);
    let wanted = Wanted { document: 0, prefix: "", value: &value };
    rewrite(&chunks[0], &[wanted]).remove(0).map(|edits| apply(text, &edits))
}

type Change = fn(&mut Value);

#[test]
fn what_is_added_looks_like_what_is_there() {
    let add: Change = |value| {
        value["spec"]["limits"] = json!({"cpu": "1", "m": "100m", "list": ["a b", 1], "empty": {}});
    };
    for (before, after) in [
        (
            "spec:\n    name: a # c\n    deep:\n        x: 1\n",
            "spec:\n    name: a # c\n    deep:\n        x: 1\n    limits:\n        cpu: \"1\"\n        empty: {}\n        list:\n          - a b\n          - 1\n        m: 100m\n",
        ),
        (
            "spec:\n  dashes:\n  - x: 1\n\n# end\n",
            "spec:\n  dashes:\n  - x: 1\n  limits:\n    cpu: \"1\"\n    empty: {}\n    list:\n    - a b\n    - 1\n    m: 100m\n\n# end\n",
        ),
        (
            "spec: {a: 1}\n",
            "spec: {a: 1, limits: {cpu: \"1\", empty: {}, list: [a b, 1], m: 100m}}\n",
        ),
        (
            "{\"spec\": {\n\t\"a\": 1\n}}",
            "{\"spec\": {\n\t\"a\": 1,\n\t\"limits\": {\n\t\t\"cpu\": \"1\",\n\t\t\"empty\": {},\n\t\t\"list\": [\n\t\t\t\"a b\",\n\t\t\t1\n\t\t],\n\t\t\"m\": \"100m\"\n\t}\n}}",
        ),
        (
            "spec: {\n  a: 1, # one\n  b: 2 # two\n}\n",
            "spec: {\n  a: 1, # one\n  b: 2, # two\n  limits: {cpu: \"1\", empty: {}, list: [a b, 1], m: 100m}\n}\n",
        ),
    ] {
        assert_eq!(rewritten(before, add).unwrap(), after, "{before}");
    }
}

#[test]
fn what_goes_takes_its_own_line_and_no_other() {
    let drop: Change = |value| {
        value["a"].as_object_mut().unwrap().remove("x");
    };
    for (before, after) in [
        ("a:\n  # of x\n  x: 1 # why\n  y: 2 # two\n", Ok("a:\n  # of x\n  y: 2 # two\n")),
        ("a:\n  y: 2\n  x:\n    - 1\n    - 2\nb: 1\n", Ok("a:\n  y: 2\nb: 1\n")),
        ("a:\n  y: 2\n  x: 1", Ok("a:\n  y: 2")),
        ("a: {x: 1, y: 2}\n", Ok("a: {y: 2}\n")),
        ("a: {y: 2, x: 1}\n", Ok("a: {y: 2}\n")),
        ("{\"a\": {\n  \"y\": 2,\n  \"x\": 1\n}}\n", Ok("{\"a\": {\n  \"y\": 2\n}}\n")),
        ("- a\n", Err(EditError::NoObject)),
        ("a: {x: 1}\n", Err(EditError::Style)),
        ("b: &b {x: 1, y: 2}\na: *b\n", Err(EditError::Shared(2))),
        ("b: &b {x: 1}\na: {<<: *b, y: 2}\n", Err(EditError::Shared(2))),
    ] {
        let edited = if before.starts_with('-') {
            let wanted = Wanted { document: 7, prefix: "", value: &Value::Null };
            rewrite(&chunks(before)[0], &[wanted]).remove(0).map(|_| String::new())
        } else {
            rewritten(before, drop)
        };
        assert_eq!(edited.as_deref(), after.as_ref().copied(), "{before}");
    }
}

#[test]
fn a_scalar_is_replaced_in_its_own_quotes() {
    let to = |text: &'static str| move |value: &mut Value| value["a"][1] = json!(text);
    for (before, after) in [
        ("a: [x, 'y']\n", "a: [x, 'it''s']\n"),
        ("a: [x, \"y\"] # c\n", "a: [x, \"it's\"] # c\n"),
        ("a:\n- x\n- 5432 # port\n", "a:\n- x\n- \"it's\" # port\n"),
    ] {
        assert_eq!(rewritten(before, to("it's")).unwrap(), after, "{before}");
    }
    let item = "a:\n- x\n- |\n  y\n";
    assert_eq!(rewritten(item, to("z")), Err(EditError::Style));
}

#[test]
fn one_object_that_cannot_be_changed_keeps_no_other_from_it() {
    let text = "kind: List\nx: &x {k: v}\nitems:\n- spec: *x\n- spec:\n    k: v\n";
    let chunks = chunks(text);
    let value = json!({"spec": {"k": "w"}});
    let wanted: Vec<Wanted<'_>> = ["items[0]", "items[1]"]
        .map(|prefix| Wanted { document: 0, prefix, value: &value })
        .to_vec();
    let done = rewrite(&chunks[0], &wanted);
    assert_eq!(done[0], Err(EditError::Shared(4)));
    let edits = done[1].clone().unwrap();
    assert_eq!(apply(text, &edits), text.replace("    k: v", "    k: w"));
}

proptest::proptest! {
    /// Every comment and every line that is not part of what changes stays, in order.
    #[test]
    fn what_is_not_meant_stays(
        keys in proptest::collection::btree_set("[abc]{1,2}", 1..5),
        ends in proptest::collection::vec("( # c[0-9])?\n(  # above\n|\n)?", 5),
        windows in proptest::bool::ANY,
    ) {
        let mut text = "# head\nspec:\n".to_owned();
        for (key, end) in keys.iter().zip(&ends) {
            text.extend(["  ", key, ": 'v'", end]);
        }
        text.push_str("# tail\nkind: Job\n");
        let text = if windows { text.replace('\n', "\r\n") } else { text };
        let edited = rewritten(&text, |value| value["spec"]["new"] = json!({"x": 1})).unwrap();
        let added: Vec<&str> = edited.lines().filter(|line| !text.lines().any(|old| old == *line)).collect();
        proptest::prop_assert_eq!(added, ["  new:", "    x: 1"]);
        let kept: String = edited.split_inclusive('\n').filter(|line| !line.contains("new:") && !line.contains("x: 1")).collect();
        proptest::prop_assert_eq!(kept, text);
    }


    /// Whatever the text is, an edit is made as it was asked for or not at all.
    #[test]
    fn an_edit_is_exact_or_refused(
        lines in proptest::collection::vec("( {0,4})(metadata:|annotations:|- |a: |b: |\"x\": )?(\\{|\\}|&a |\\*a|<<: \\*a|\\||v|'q'|# c|---|\\[\\]|null)?", 0..9),
        end in "(\r)?\n",
    ) {
        let text = lines.join(&end);
        for document in documents(&text).iter().flatten() {
            let place = Place { position: document.locate("").start, prefix: "" };
            let edited = set(&text, place, &["metadata", "annotations"], &[("k", "v: w")]);
            if let Ok(edited) = edited {
                let found = documents(&edited).iter().flatten().any(|document| {
                    document.value()["metadata"]["annotations"]["k"] == "v: w"
                });
                proptest::prop_assert!(found, "{text}\n=>\n{edited}");
            }
        }
    }
}
