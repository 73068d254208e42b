//! What is filled in depends on what a Job does and on the size that it asks for.

use serde_json::{Value, json};
use tidegate::{
    decision::mutate,
    model::{Change, Fact, Facts, Labels},
    policy::PolicySet,
};

use super::support::{policy, review};

const SPEC: &str = "
  defaults:
    activeDeadlineSeconds: 600
    resources: {requests: {cpu: 50m, memory: 64Mi}, limits: {memory: 256Mi}}
    sizes:
      large: {requests: {cpu: '1', memory: 1Gi}, limits: {memory: 4Gi}}
      huge: {requests: {cpu: '4', memory: 8Gi}, limits: {memory: 16Gi}}
    operations:
      backup: {activeDeadlineSeconds: 7200, size: large}
      read-only: {activeDeadlineSeconds: 60}
";

fn filled_in(object: &Value) -> Value {
    let policies = PolicySet::new(vec![policy(SPEC)]);
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    let mut patched = object.clone();
    let json = object.to_string();
    let mutation = mutate(&policies, &Change::create("shop", "", &json), &facts);
    json_patch::patch(&mut patched, &mutation.patch).unwrap();
    let json = patched.to_string();
    let again = mutate(&policies, &Change::create("shop", "", &json), &facts);
    assert!(again.is_empty(), "a second call adds {:?}", again.added);
    // Nothing that was set is another now.
    assert_kept(object, &patched, "");
    patched
}

fn assert_kept(before: &Value, after: &Value, path: &str) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                assert_kept(value, &after[key], &format!("{path}.{key}"));
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            assert_eq!(before.len(), after.len(), "{path}");
            for (before, after) in before.iter().zip(after) {
                assert_kept(before, after, path);
            }
        }
        _ => assert_eq!(before, after, "{path}"),
    }
}

/// The deadline, and the memory limit of the first container, of a recorded Job.
fn of(name: &str, size: Option<&str>) -> (Value, Value) {
    let mut object = review(name)["request"]["object"].clone();
    // The recorded Jobs say some of it themselves.
    object["spec"].as_object_mut().unwrap().remove("activeDeadlineSeconds");
    for container in object["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap() {
        container["resources"] = json!({});
    }
    if let Some(size) = size {
        object["metadata"]["annotations"]["tidegate.dev/size"] = json!(size);
    }
    let filled = filled_in(&object);
    let container = &filled["spec"]["template"]["spec"]["containers"][0];
    (
        filled["spec"]["activeDeadlineSeconds"].clone(),
        container["resources"]["limits"]["memory"].clone(),
    )
}

#[test]
fn recorded_jobs_get_what_is_for_their_operation_and_their_size() {
    for (name, size, deadline, memory) in [
        ("mutate-create-job-argocd-migration", None, 600, "256Mi"),
        ("mutate-create-job-argocd-migration", Some("large"), 600, "4Gi"),
        ("mutate-create-job-argocd-migration", Some("unheard-of"), 600, "256Mi"),
        ("mutate-create-job-helm-hook", None, 600, "256Mi"),
        ("mutate-create-job-argocd-backup", None, 7200, "4Gi"),
        ("mutate-create-job-argocd-backup", Some("huge"), 7200, "16Gi"),
        ("mutate-create-job-argocd-backup", Some("unheard-of"), 7200, "4Gi"),
    ] {
        assert_eq!(of(name, size), (json!(deadline), json!(memory)), "{name} {size:?}");
    }
}
