//! What is filled in depends on what a Job does and on the size that it asks for.

use serde_json::{Value, json};
use tidegate::{
    decision::mutate,
    detect::{Confidence, Detector},
    model::{Change, ConfigMaps, Fact, Facts, Labels, Object},
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

/// A hook Job that migrates, with some fields of its Pod and of its container set.
fn hook(pod: &Value, container: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "a", "annotations": {"argocd.argoproj.io/hook": "PreSync"}},
        "spec": {"template": {"metadata": {"annotations": {"mine": "1"}}, "spec": {"containers": [
            {"name": "a", "image": "flyway/flyway:11", "args": ["migrate"]},
        ]}}},
    });
    let spec = &mut object["spec"]["template"]["spec"];
    json_patch::merge(&mut spec["containers"][0], container);
    json_patch::merge(spec, pod);
    object
}

#[test]
fn only_a_hook_job_that_is_created_and_surely_migrates_is_filled_in() {
    use tidegate::model::ChangeOperation as O;
    let policies = PolicySet::new(vec![policy("{}")]);
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    let is_filled_in = |operation: O, subresource: &str, object: &Value| {
        let json = object.to_string();
        let change = Change { operation, subresource, ..Change::create("shop", "", &json) };
        !mutate(&policies, &change, &facts).is_empty()
    };
    let good = hook(&json!({}), &json!({}));
    assert!(is_filled_in(O::Create, "", &good));
    for (operation, subresource) in [(O::Update, ""), (O::Delete, ""), (O::Create, "status")] {
        assert!(!is_filled_in(operation, subresource, &good), "{operation:?} {subresource}");
    }
    let mut plain = good.clone();
    plain["metadata"]["annotations"] = json!({});
    assert!(!is_filled_in(O::Create, "", &plain), "no hook");
    let mut cron = good.clone();
    cron["kind"] = json!("CronJob");
    cron["spec"] = json!({"jobTemplate": {"spec": good["spec"]}});
    assert!(!is_filled_in(O::Create, "", &cron), "no Job");
    let named = hook(&json!({}), &json!({"image": "shop:1", "command": ["./migrate.sh"]}));
    let json = named.to_string();
    let object = Object::parse(&json).unwrap();
    let found = Detector::built_in().detect(&object, ConfigMaps::NONE);
    assert_eq!(found.first().map(|found| found.main.confidence), Some(Confidence::Name));
    assert!(!is_filled_in(O::Create, "", &named), "a name alone proves nothing");
}

#[test]
fn what_somebody_set_decides_what_is_filled_in_beside_it() {
    let user = "{defaults: {runAsUser: 1000}}";
    let of = |spec: &str, pod: &Value, container: &Value| -> Vec<String> {
        let policies = PolicySet::new(vec![policy(spec)]);
        let labels = Labels::new();
        let facts = Facts::new(Fact::Known(&labels));
        let json = hook(pod, container).to_string();
        mutate(&policies, &Change::create("shop", "", &json), &facts).added
    };
    let fills_in = |added: &[String], what: &str| added.iter().any(|entry| entry.ends_with(what));
    let pod_non_root = "template.spec.securityContext.runAsNonRoot=true";
    let pod_user = "template.spec.securityContext.runAsUser=1000";
    let own_non_root = "containers[0].securityContext.runAsNonRoot=true";

    let none = json!({});
    let plain = of(user, &none, &none);
    assert!(fills_in(&plain, pod_non_root) && fills_in(&plain, pod_user), "{plain:?}");
    assert!(!fills_in(&plain, own_non_root), "the Pod has it: {plain:?}");
    // Root is refused by a rule, and never made to fail at its start instead.
    let root = json!({"securityContext": {"runAsUser": 0}});
    for added in [of(user, &root, &none), of(user, &none, &root)] {
        assert!(!fills_in(&added, pod_non_root) && !fills_in(&added, pod_user), "{added:?}");
        assert!(!fills_in(&added, own_non_root), "{added:?}");
    }
    let own_user = json!({"securityContext": {"runAsUser": 1000}});
    let added = of(user, &root, &own_user);
    assert!(fills_in(&added, own_non_root), "this one is not root: {added:?}");

    let adds = json!({"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}});
    let added = of("{}", &none, &adds);
    assert!(fills_in(&added, r#"containers[0].securityContext.capabilities.drop=["ALL"]"#));
    let drops = json!({"securityContext": {"capabilities": {"drop": ["NET_RAW"]}}});
    let added = of("{}", &none, &drops);
    assert!(!added.iter().any(|entry| entry.contains("capabilities")), "{added:?}");
}

/// The API server refuses a limit below its request.
#[test]
fn a_limit_is_at_least_the_request_beside_it() {
    let limit = |request: &str| {
        let resources = json!({"resources": {"requests": {"memory": request}}});
        let filled = filled_in(&hook(&json!({}), &resources));
        let resources = &filled["spec"]["template"]["spec"]["containers"][0]["resources"];
        assert_eq!(resources["requests"]["memory"], request);
        resources["limits"]["memory"].clone()
    };
    for (request, wanted) in [
        ("64Mi", "256Mi"),
        ("256Mi", "256Mi"),
        ("0.25Gi", "256Mi"),
        ("257Mi", "257Mi"),
        ("1G", "1G"),
    ] {
        assert_eq!(limit(request), wanted, "{request}");
    }
}

#[test]
fn what_stands_beside_the_labels_and_the_record_stays() {
    let mut object = hook(&json!({}), &json!({}));
    let annotations = object["metadata"]["annotations"].as_object_mut().unwrap();
    annotations.insert("tidegate.dev/defaulted".to_owned(), json!("spec.earlier"));
    let filled = {
        let policies = PolicySet::new(vec![policy("{}")]);
        let labels = Labels::new();
        let facts = Facts::new(Fact::Known(&labels));
        let json = object.to_string();
        let mutation = mutate(&policies, &Change::create("shop", "", &json), &facts);
        serde_json::from_str::<Value>(&mutation.applied(&json)).unwrap()
    };
    let pods = &filled["spec"]["template"]["metadata"];
    assert_eq!(pods["annotations"], json!({"mine": "1"}));
    assert_eq!(pods["labels"]["tidegate.dev/tool"], "flyway");
    let record = filled["metadata"]["annotations"]["tidegate.dev/defaulted"].as_str().unwrap();
    assert!(record.split(',').any(|path| path == "spec.earlier"), "{record}");
    assert!(record.split(',').any(|path| path == "spec.activeDeadlineSeconds"), "{record}");
    let mut bare = hook(&json!({}), &json!({}));
    bare["spec"]["template"].as_object_mut().unwrap().remove("metadata");
    assert_eq!(filled_in(&bare)["spec"]["template"]["metadata"]["labels"], pods["labels"]);
}
