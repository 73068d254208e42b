//! Objects and policies from fuzzed text.

#![allow(dead_code, reason = "each target needs another part of it")]

use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tidegate::policy::{PolicySet, built_in};

/// The present of every run, so that an input always means the same.
pub static NOW: LazyLock<Timestamp> =
    LazyLock::new(|| "2026-06-01T12:00:00Z".parse().expect("a moment"));

/// The policy that is compiled in.
pub static POLICIES: LazyLock<PolicySet> = LazyLock::new(|| PolicySet::new(vec![built_in()]));

/// Objects as an API server sends them, to be changed.
static BASES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let reviews = [
        include_str!("../../../tests/reviews/validate-create-job-argocd-migration.json"),
        include_str!("../../../tests/reviews/validate-create-job-helm-hook.json"),
        include_str!("../../../tests/reviews/validate-create-deployment-clean.json"),
        include_str!("../../../tests/reviews/validate-create-cronjob-backfill.json"),
        include_str!("../../../tests/reviews/validate-create-pod-bare-migration.json"),
    ];
    let object = |text| {
        let mut review: Value = serde_json::from_str(text).expect("a review");
        review["request"]["object"].take()
    };
    reviews.into_iter().map(object).collect()
});

/// An object as JSON. Text that is no JSON is made of lines: the number of a base, then what is put
/// into it, each a path with `/` and a value: `spec/template/spec/containers/0/image a:1`.
pub fn object(text: &str) -> String {
    if text.trim_start().starts_with(['{', '[', '"']) {
        return text.to_owned();
    }
    let mut lines = text.lines();
    let number: usize = lines.next().and_then(|line| line.trim().parse().ok()).unwrap_or_default();
    let mut object = BASES[number % BASES.len()].clone();
    for line in lines {
        let (path, value) = line.split_once(' ').unwrap_or((line, "null"));
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        put(&mut object, path, value);
    }
    object.to_string()
}

/// Puts a value where a path leads, and makes what is missing on the way. `-` removes.
fn put(object: &mut Value, path: &str, value: Value) {
    let mut here = object;
    for step in path.split('/').take(24) {
        // Keys such as `argocd.argoproj.io/hook` hold the separator as `~1`, as in a JSON pointer.
        let step = step.replace("~1", "/");
        here = match (step.parse::<usize>(), here) {
            (Ok(index), Value::Array(list)) => {
                let index = index.min(list.len()).min(15);
                if index == list.len() {
                    list.push(Value::Null);
                }
                &mut list[index]
            }
            (_, here) => {
                if !here.is_object() {
                    *here = Value::Object(Map::new());
                }
                let map = here.as_object_mut().expect("an object");
                map.entry(step).or_insert(Value::Null)
            }
        };
    }
    *here = value;
}
