//! An expression gives the same, whether it gets what it reads or everything.

use std::sync::OnceLock;

use cel::common::types::{CelList, CelString};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const VARIABLES: &[&str] = &["object"];

/// An object of which an expression gets what it is known to read, or everything.
struct Given<'g> {
    json: &'g str,
    reads: Reads,
    object: OnceLock<Option<Box<dyn Val + 'g>>>,
}

impl<'g> Given<'g> {
    fn new(json: &'g str, reads: Reads) -> Self {
        Self { json, reads, object: OnceLock::new() }
    }
}

impl Input for Given<'_> {
    fn value(&self, name: &str) -> Option<&dyn Val> {
        if name != "object" {
            return None;
        }
        let read = || read(self.json, &self.reads, 1);
        self.object.get_or_init(read).as_deref().map(|value| value as &dyn Val)
    }

    fn size(&self) -> usize {
        self.json.len()
    }
}

/// What an expression gives on the parts that it reads, each path found as one name.
fn pruned(expression: &Expression, json: &str) -> Result<bool, String> {
    let mut reads = Reads::default();
    expression.add_reads("object", 1, &mut reads);
    expression.holds(&Given::new(json, reads))
}

/// What it gives on the whole object, as it is written.
fn full(expression: &Expression, json: &str) -> Result<bool, String> {
    let mut written = expression.clone();
    written.program = written.tree.clone();
    charge::charge_loops(&mut written.program);
    let mut reads = Reads::default();
    compiled("object == 1").add_reads("object", 1, &mut reads);
    written.holds(&Given::new(json, reads))
}

fn compiled(source: &str) -> Expression {
    compile(source, VARIABLES).unwrap_or_else(|error| panic!("{source}: {error:?}"))
}

/// Objects of many shapes under the same names.
const OBJECTS: &[&str] = &[
    "{}",
    r#"{"a":null,"b":null}"#,
    r#"{"a":1,"b":"x","c":[1,2.5,-3]}"#,
    r#"{"a":{"b":1,"c":"x"},"b":{"x":true},"c":["x","b"]}"#,
    r#"{"a":{"b":{"c":[{"b":1},{"b":null},{}]}},"c":{"b":2}}"#,
    r#"{"a":[{"b":"x","c":[{"b":1}]},{"b":"y","c":[]}],"b":"b","c":["c"]}"#,
    r#"{"a":[[{"b":1}],[],{"b":1},"b",null,7],"b":2}"#,
    r#"{"a":"text","b":18446744073709551615,"c":1e300}"#,
    r#"{"a":[],"b":{},"c":""}"#,
    // Of a key that stands twice the last one counts.
    r#"{"a":{"b":1},"a":{"c":2},"b":1,"b":"x"}"#,
    r#"{"\u0061":{"b":1},"b":"\u00e4\n"}"#,
    r#" { "a" : [ { "b" : 1 , "c" : [ ] } , { "b" : 1 } ] , "b" : { "b" : 1 } } "#,
    "[]",
    "7",
    r#"{"a":1"#,
    r#"{"a":1} 2"#,
];

/// Everything that an expression may do with a part of an object.
const EXPRESSIONS: &[&str] = &[
    "object.a.b == 1",
    "object['a']['b'] == 1",
    "object.a[0].b == 'x'",
    "object.a[1] == object.a[1]",
    "object.a[9].b == 1",
    "object.a[-1].b == 1",
    "object.a[1.0].b == 'y'",
    "object.a[0u].b == 'x'",
    "object.a[object.b] == 1",
    "object.a[object.c[0]] == 'x'",
    "has(object.a)",
    "has(object.a.b)",
    "has(object.a.b.c)",
    "has(object.a[0].b)",
    "!has(object.c) || object.c == 'x'",
    "object.a.b == 1 || true",
    "object.a.b == 1 && false",
    "size(object) == 2",
    "object.a.size() == 2",
    "size(object.a) > 0 && object.a[0].b == 'x'",
    "size(object.a.b) == 1",
    "size(object.b) == 1 && object.b.x",
    "'b' in object.a",
    "'x' in object.c",
    "object.b in object.a",
    "object.a == object.a",
    "object == object",
    "object.a != object.b",
    "object.a == {'b': 1, 'c': 'x'}",
    "object.c == ['x', 'b']",
    "object.a < 2",
    "object.b < object.a",
    "object.b > 9223372036854775807u",
    "object.a / 0 == 1",
    "object.a + 1 == 2",
    "-object.a == -1",
    "!object.a",
    "object.a",
    "object",
    "type(object.a) == map",
    "type(object.a.b) == type(1)",
    "type(object.c) == double",
    "string(object.b) == 'x'",
    "int(object.b) == 1",
    "double(object.b) == 1.0",
    "object.b.startsWith('x')",
    "object.b.matches('^x$')",
    "object.b.contains(object.a.c)",
    "(has(object.a) ? object.a : object).b == 1",
    "{'k': object.a}.k.b == 1",
    "[object.a][0].b == 1",
    "object.a.all(x, x.b == 1)",
    "object.a.all(x, has(x.b))",
    "object.a.all(x, true)",
    "object.a.exists(x, x == 'b')",
    "object.a.exists(x, x.b == 'y' && size(x.c) == 0)",
    "object.a.exists_one(x, x.b == 'x')",
    "object.a.filter(x, has(x.c)).size() == 2",
    "object.a.filter(x, has(x.c))[1].b == 'y'",
    "object.a.filter(x, has(x.c)) == object.a",
    "object.a.filter(x, x.b == 'y').map(x, x.c).size() == 1",
    "object.a.map(x, x.c).all(y, y == [])",
    "object.a.map(x, x.c).exists(y, y.all(z, z.b == 1))",
    "object.a.map(x, x.nothing).size() == 1",
    "object.a.map(x, object.b)[0] == object.b",
    "object.b.filter(k, k == 'b').size() == 1",
    "object.b.map(k, k).size() == 1",
    "object.a.filter(x, x.b == 'y').all(y, y.c == [])",
    "object.a.map(x, x.b) == ['x', 'y']",
    "object.a.map(x, size(x.c) == 0, x.b) == ['y']",
    "object.a.all(x, x.c.all(y, y.b == 1))",
    "object.a.b.c.exists(x, !has(x.b))",
    "object.a.all(object, object.b == 'x' || object.b == 'y')",
    "[{'b': 1}].all(object, object.b == 1) && has(object.a)",
    "object.a.all(x, x.c.all(x, x.b == 1) && has(x.b))",
    "object.c.all(x, x in object.a || x in object.b)",
    "object.c.all(x, object[x] == object[x])",
];

#[test]
fn what_is_not_read_makes_no_difference() {
    for expression in EXPRESSIONS {
        let expression = &compiled(expression);
        for json in OBJECTS {
            assert_eq!(
                pruned(expression, json),
                full(expression, json),
                "{expression:?} on {json}"
            );
        }
    }
}

#[test]
fn only_what_the_rules_read_is_there() {
    let json = r#"{"a":{"b":1,"c":2},"d":[{"e":1,"f":2},3],"g":{"h":{"i":1}},"j":[1,2],"k":4}"#;
    let rules: [(Rules, &str); 4] = [
        (1, "object.a.b == 1 && has(object.g)"),
        (2, "object.d.all(x, x.e == 1)"),
        (4, "size(object.j) == 2"),
        (8, "object.a == object.k"),
    ];
    let whole = serde_json::from_str(json).unwrap();
    let mut reads = Reads::default();
    for (rule, expression) in rules {
        compiled(expression).add_reads("object", rule, &mut reads);
    }
    for (rules, want) in [
        (1, json!({"a": {"b": 1}, "g": null})),
        (2, json!({"d": [{"e": 1}, 3]})),
        (4, json!({"j": [null, null]})),
        (8, json!({"a": {"b": 1, "c": 2}, "k": 4})),
        (3, json!({"a": {"b": 1}, "g": null, "d": [{"e": 1}, 3]})),
        (9, json!({"a": {"b": 1, "c": 2}, "g": null, "k": 4})),
    ] {
        let got = read(json, &reads, rules).unwrap();
        assert!(is_only(&*got, &want, &whole), "{rules}: {got:?} and not {want}");
    }
}

/// True when of `whole` just `part` is there.
fn is_only(got: &dyn Val, part: &serde_json::Value, whole: &serde_json::Value) -> bool {
    match (part, whole) {
        (serde_json::Value::Object(part), serde_json::Value::Object(whole)) => {
            let Some(map) = got.as_indexer() else { return false };
            whole.iter().all(|(key, whole)| {
                match (map.get(&CelString::from(key.as_str())), part.get(key)) {
                    (Ok(got), Some(part)) => is_only(got.as_ref(), part, whole),
                    (got, part) => got.is_err() && part.is_none(),
                }
            })
        }
        (serde_json::Value::Array(part), serde_json::Value::Array(whole)) => {
            let Some(list) = got.downcast_ref::<CelList<'_>>() else { return false };
            let is = |((got, part), whole): ((&dyn Val, _), _)| is_only(got, part, whole);
            let got = list.inner().iter().map(|got| &**got as &dyn Val);
            list.inner().len() == whole.len() && got.zip(part).zip(whole).all(is)
        }
        _ => got.equals(&*value(part.clone()).unwrap()),
    }
}

#[test]
fn where_one_field_is_read_its_text_will_do() {
    let json = r#"{"a":{"b":1},"c":2}"#;
    let other = Some(r#"{"b":7}"#);
    for (expression, field, want) in [
        ("object.a.b == 7", other, true),
        ("has(object.a)", other, true),
        ("object.a == {'b': 7}", other, true),
        ("object.a.b == 1", None, true),
        // What reads more reads all of it from the object.
        ("object.a.b == 1 && object.c == 2", other, true),
        ("object == {'a': {'b': 1}, 'c': 2}", other, true),
        ("size(object) == 2 && object.a.b == 1", other, true),
        ("object.all(k, k in ['a', 'c']) && object.a.b == 1", other, true),
        ("object.c == 2", other, true),
    ] {
        let expression = compiled(expression);
        let mut reads = Reads::default();
        expression.add_reads("object", 1, &mut reads);
        let object = read_by_field(json, ("a", field), &reads, 1);
        let given = Given { json, reads, object: OnceLock::from(object) };
        assert_eq!(expression.holds(&given), Ok(want), "{expression:?}");
    }
    // Whose rule it is decides.
    let mut reads = Reads::default();
    compiled("object.a.b == 7").add_reads("object", 1, &mut reads);
    compiled("object.c == 2").add_reads("object", 2, &mut reads);
    assert!(reads.only_field("a", 1).is_some() && reads.only_field("c", 2).is_some());
    assert!(reads.only_field("a", 3).is_none() && reads.only_field("a", 2).is_none());
}

/// As for the reader of objects.
#[test]
fn what_is_not_read_is_passed_over_and_not_parsed() {
    let broken = r#"{"a":1,"b":[1,]}"#;
    assert_eq!(pruned(&compiled("object.a == 1"), broken), Ok(true));
    let deep = format!(r#"{{"a":1,"b":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(pruned(&compiled("object.a == 1"), &deep), Ok(true));
    for json in [broken, &deep] {
        let why = Err("`object` is not known".to_owned());
        assert_eq!(pruned(&compiled("object.b == 1"), json), why);
    }
}

/// JSON text, in which a key may stand twice in one object.
fn json_text() -> impl Strategy<Value = String> {
    let key = prop::sample::select(&["a", "b", "c"][..]);
    let leaf = prop::sample::select(
        &["null", "true", "false", "0", "1", "-1", "1.5", "\"a\"", "\"b\"", "\"\""][..],
    );
    let value = leaf.prop_map(str::to_owned).prop_recursive(4, 40, 4, move |inner| {
        let entry = (key.clone(), inner.clone()).prop_map(|(key, value)| format!("{key:?}:{value}"));
        prop_oneof![
            1 => prop::collection::vec(inner, 0..3).prop_map(|all| format!("[{}]", all.join(","))),
            2 => prop::collection::vec(entry, 0..4).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    });
    (value.clone(), value.clone(), value)
        .prop_map(|(a, b, c)| format!("{{\"a\":{a},\"b\":{b},\"c\":{c}}}"))
}

/// A path from the object or from the variable of a loop, which may be called like the object.
fn path_text() -> impl Strategy<Value = String> {
    let root = prop::sample::select(&["object", "object", "object", "x", "y"][..]);
    let step = prop::sample::select(&[".a", ".b", ".c", "['a']", "['b']", "[0]", "[1]"][..]);
    (root, prop::collection::vec(step, 0..4))
        .prop_map(|(root, steps)| format!("{root}{}", steps.concat()))
}

/// An expression that is true or false, unless it fails.
fn expression_text() -> impl Strategy<Value = String> {
    let path = path_text;
    let leaf = prop_oneof![
        (path(), path()).prop_map(|(a, b)| format!("{a} == {b}")),
        (path(), path()).prop_map(|(a, b)| format!("{a} < {b}")),
        (path(), path()).prop_map(|(a, b)| format!("{a} in {b}")),
        path().prop_map(|a| format!("{a} == 1")),
        path().prop_map(|a| format!("has({a}.a)")),
        path().prop_map(|a| format!("size({a}) == 2")),
        path().prop_map(|a| format!("'b' in {a}")),
        path().prop_map(|a| format!("{a}.startsWith('a')")),
        (path(), path()).prop_map(|(a, b)| format!("({a} == 1 ? {a} : {b}).b == 1")),
    ];
    leaf.prop_recursive(4, 12, 2, move |inner| {
        let macros = prop::sample::select(&["all", "exists", "exists_one"][..]);
        let variables = prop::sample::select(&["x", "y", "object"][..]);
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (path_text(), macros, variables.clone(), inner.clone())
                .prop_map(|(range, name, x, body)| format!("{range}.{name}({x}, {body})")),
            (path_text(), variables.clone(), inner.clone(), inner.clone())
                .prop_map(|(range, x, a, b)| format!("{range}.filter({x}, {a}).exists({x}, {b})")),
            (path_text(), variables.clone(), inner.clone(), path_text())
                .prop_map(|(range, x, a, b)| format!("{range}.filter({x}, {a})[0] == {b}")),
            (path_text(), variables.clone(), path_text(), inner)
                .prop_map(|(range, x, a, b)| format!("{range}.map({x}, {a}).all({x}, {b})")),
            (path_text(), variables.clone(), path_text(), path_text()).prop_map(
                |(range, x, a, b)| format!(
                    "{range}.filter({x}, {a} == 1).map({x}, {b}).size() == 1"
                )
            ),
            (path_text(), variables, path_text(), path_text()).prop_map(
                |(range, x, a, b)| format!("{range}.map({x}, {a}).map({x}, {b})[0].b == 1")
            ),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn no_expression_tells_the_difference(source in expression_text(), json in json_text()) {
        // Some have a variable outside of its loop, or too many loops.
        if let Ok(expression) = compile(&source, VARIABLES) {
            let (pruned, full) = (pruned(&expression, &json), full(&expression, &json));
            // A loop over a map goes through it in any order, so that which error it ends with is not
            // always the same; whether it ends with one is.
            let loops = [".all(", ".exists", ".filter("].iter().any(|name| source.contains(name));
            let hidden = |result: Result<bool, String>| result.map_err(|why| (!loops).then_some(why));
            prop_assert_eq!(hidden(pruned), hidden(full));
        }
    }
}
