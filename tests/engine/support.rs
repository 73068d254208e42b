//! What the tests of the engine share.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;
use tidegate::{
    decision::{Mutation, Verdict, mutate, validate},
    model::{Change, ChangeOperation, Fact, Facts, Labels},
    policy::{Policy, PolicySet, built_in, parse},
    source::documents,
};

/// The present of every test.
pub(super) fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// A file of the repository.
pub(super) fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// The only document of a manifest.
pub(super) fn manifest(relative: &str) -> Value {
    let text = std::fs::read_to_string(path(relative)).unwrap();
    documents(&text).remove(0).unwrap().value().clone()
}

/// A recorded review.
pub(super) fn review(name: &str) -> Value {
    let text = std::fs::read_to_string(path(&format!("tests/reviews/{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The policies that are compiled in.
pub(super) fn default_policies() -> PolicySet {
    PolicySet::new(vec![built_in()])
}

/// A policy with this spec, for every namespace.
pub(super) fn policy(spec: &str) -> Policy {
    let text = format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationPolicy\nmetadata: {{name: p}}\nspec: {spec}\n"
    );
    parse(&text, "policy.yaml").unwrap().remove(0)
}

/// Calls `act` with a recorded review as a change.
pub(super) fn with_change<T>(review: &Value, act: impl FnOnce(&Change<'_>) -> T) -> T {
    let request = &review["request"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text(&request["namespace"]), text(&request["name"]));
    let (subresource, user) =
        (text(&request["subResource"]), text(&request["userInfo"]["username"]));
    let json = |value: &Value| (!value.is_null()).then(|| value.to_string());
    let (object, old) = (json(&request["object"]), json(&request["oldObject"]));
    act(&Change {
        operation: match request["operation"].as_str().unwrap() {
            "CREATE" => ChangeOperation::Create,
            "UPDATE" => ChangeOperation::Update,
            "DELETE" => ChangeOperation::Delete,
            other => panic!("{other}"),
        },
        namespace: &namespace,
        name: &name,
        subresource: &subresource,
        user: &user,
        object: object.as_deref(),
        old_object: old.as_deref(),
    })
}

/// The verdict of the built-in policy on a recorded review.
pub(super) fn judge_review(review: &Value) -> Verdict {
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    with_change(review, |change| validate(&default_policies(), change, &facts, now()))
}

/// What the built-in policy fills in on a recorded review.
pub(super) fn mutate_review(review: &Value) -> Mutation {
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    with_change(review, |change| mutate(&default_policies(), change, &facts))
}

/// The verdict on the creation of `object`.
pub(super) fn judge(policies: &PolicySet, object: &Value) -> Verdict {
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    let json = object.to_string();
    validate(policies, &Change::create("shop", "", &json), &facts, now())
}

/// The verdict on the change from `old` to `object`.
pub(super) fn judge_update(policies: &PolicySet, old: &Value, object: &Value) -> Verdict {
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    let (json, old) = (object.to_string(), old.to_string());
    let change = Change {
        operation: ChangeOperation::Update,
        old_object: Some(&old),
        ..Change::create("shop", "x", &json)
    };
    validate(policies, &change, &facts, now())
}

/// `object` after what the built-in policy fills in on creation, and what that was.
pub(super) fn filled_in(object: &Value) -> (Value, Mutation) {
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    let json = object.to_string();
    let mutation = mutate(&default_policies(), &Change::create("shop", "", &json), &facts);
    let mut patched = object.clone();
    json_patch::patch(&mut patched, &mutation.patch).expect("the patch applies");
    (patched, mutation)
}

/// The ids of the rules that refuse.
pub(super) fn refusals(verdict: &Verdict) -> Vec<&'static str> {
    use tidegate::decision::Effect;
    let refusing = verdict.findings.iter().filter(|finding| finding.effect == Effect::Refuses);
    let mut rules: Vec<_> = refusing.map(|finding| finding.rule).collect();
    rules.dedup();
    rules
}
