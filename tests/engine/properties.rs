//! What holds for every Job, and for every text.

use k8s_openapi::api::batch::v1::Job;
use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate::{
    decision::{mutate, validate},
    model::{Change, ChangeOperation, Fact, Facts, Labels, Object},
    policy::digest,
};

use super::{
    jobs::job,
    support::{default_policies, filled_in, judge, now, refusals},
};

fn is_hook(job: &Value) -> bool {
    let annotations = &job["metadata"]["annotations"];
    annotations.get("helm.sh/hook").is_some()
        || annotations.get("argocd.argoproj.io/hook").is_some()
}

fn containers(job: &Value) -> impl Iterator<Item = &Value> {
    let spec = &job["spec"]["template"]["spec"];
    ["initContainers", "containers"].into_iter().filter_map(|list| spec[list].as_array()).flatten()
}

/// What nobody may fill in, because somebody set it.
fn set_to_something_wrong(job: &Value) -> bool {
    let contexts = containers(job)
        .map(|container| &container["securityContext"])
        .chain([&job["spec"]["template"]["spec"]["securityContext"]]);
    let mut contexts = contexts.filter(|context| !context.is_null());
    job["spec"]["activeDeadlineSeconds"] == 999_999
        || contexts.any(|context| {
            context["runAsUser"] == 0
                || context["runAsNonRoot"] == false
                || context["privileged"] == true
                || context["allowPrivilegeEscalation"] == true
        })
}

/// What the API server, the Job controller and Argo CD add to an object.
fn as_admitted(mut job: Value) -> Value {
    let spec = &mut job["spec"];
    spec["backoffLimit"] = json!(6);
    for (field, default) in [
        ("parallelism", json!(1)),
        ("completions", json!(1)),
        ("completionMode", json!("NonIndexed")),
        ("manualSelector", json!(false)),
    ] {
        if spec[field].is_null() {
            spec[field] = default;
        }
    }
    spec["suspend"] = json!(false);
    spec["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}});
    let pod = &mut spec["template"]["spec"];
    pod["dnsPolicy"] = json!("ClusterFirst");
    pod["schedulerName"] = json!("default-scheduler");
    pod["terminationGracePeriodSeconds"] = json!(30);
    for volume in pod["volumes"].as_array_mut().into_iter().flatten() {
        for source in ["configMap", "projected"] {
            if !volume[source].is_null() {
                volume[source]["defaultMode"] = json!(420);
            }
        }
        if !volume["hostPath"].is_null() {
            volume["hostPath"]["type"] = json!("");
        }
    }
    for list in ["initContainers", "containers"] {
        for container in pod[list].as_array_mut().into_iter().flatten() {
            container["terminationMessagePath"] = json!("/dev/termination-log");
            container["imagePullPolicy"] = json!("IfNotPresent");
            if container["resources"].is_null() {
                container["resources"] = json!({});
            }
            for var in container["env"].as_array_mut().into_iter().flatten() {
                if !var["valueFrom"]["fieldRef"].is_null() {
                    var["valueFrom"]["fieldRef"]["apiVersion"] = json!("v1");
                }
            }
        }
    }
    job["metadata"]["labels"]["app.kubernetes.io/instance"] = json!("shop");
    job["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = json!("shop:batch/Job:x/y");
    job["metadata"]["uid"] = json!("u");
    job
}

fn digest_of(object: &Value) -> String {
    digest(&Object::parse(&object.to_string()).unwrap()).to_string()
}

/// The job with volumes of several kinds, which its first container mounts.
fn with_volumes(mut job: Value) -> Value {
    let pod = &mut job["spec"]["template"]["spec"];
    pod["volumes"] = json!([
        {"name": "sql", "configMap": {"name": "sql", "items": [{"key": "a", "path": "a.sql"}]}},
        {"name": "all", "projected": {"sources": [{"secret": {"name": "certs"}}]}},
        {"name": "host", "hostPath": {"path": "/srv"}},
        {"name": "work", "emptyDir": {}},
    ]);
    pod["containers"][0]["volumeMounts"] = json!([
        {"name": "sql", "mountPath": "/sql"},
        {"name": "all", "mountPath": "/all"},
        {"name": "host", "mountPath": "/srv"},
        {"name": "work", "mountPath": "/work"},
    ]);
    job
}

/// How many ways `tampered` knows.
const WAYS: usize = 30;

/// Every change that a Job can suffer and that changes what it does.
fn tampered(job: &Value, which: usize) -> Value {
    let mut job = job.clone();
    if which == 0 {
        job["metadata"]["name"] = json!("another");
        return job;
    }
    if which == 1 {
        job["metadata"]["annotations"]["tidegate.dev/database"] = json!("another");
        return job;
    }
    let run = json!({"exec": {"command": ["psql", "-c", "x"]}});
    let (path, value) = match which {
        2 => ("/spec/parallelism", json!(2)),
        3 => ("/spec/completions", json!(2)),
        4 => ("/spec/template/spec/serviceAccountName", json!("another")),
        5 => ("/spec/template/spec/hostNetwork", json!(true)),
        6 => ("/spec/template/spec/hostAliases", json!([{"ip": "10.0.0.1", "hostnames": ["db"]}])),
        7 => ("/spec/template/spec/dnsConfig", json!({"nameservers": ["10.0.0.1"]})),
        8 => ("/spec/template/spec/volumes/0/configMap/name", json!("another")),
        9 => ("/spec/template/spec/volumes/0/configMap/items/0/key", json!("b")),
        10 => ("/spec/template/spec/volumes/0/configMap/items/0/mode", json!(511)),
        11 => ("/spec/template/spec/volumes/1/projected/sources/0/secret/name", json!("other")),
        12 => ("/spec/template/spec/volumes/2/hostPath/path", json!("/etc")),
        13 => ("/spec/template/spec/volumes/3", json!({"name": "work", "hostPath": {"path": "/"}})),
        14 => ("/spec/template/spec/containers/0/image", json!("other:1")),
        15 => ("/spec/template/spec/containers/0/command", json!(["flyway", "clean"])),
        16 => ("/spec/template/spec/containers/0/args", json!(["clean", "-X"])),
        17 => ("/spec/template/spec/containers/0/env", json!([{"name": "MODE", "value": "drop"}])),
        18 => (
            "/spec/template/spec/containers/0/env",
            json!([{"name": "MODE", "valueFrom": {"fileKeyRef": {"volumeName": "a", "key": "b"}}}]),
        ),
        19 => {
            ("/spec/template/spec/containers/0/envFrom", json!([{"secretRef": {"name": "other"}}]))
        }
        20 => (
            "/spec/template/spec/containers/0/envFrom",
            json!([{"prefix": "P_", "secretRef": {"name": "other"}}]),
        ),
        21 => ("/spec/template/spec/containers/0/workingDir", json!("/other")),
        22 => ("/spec/template/spec/containers/0/lifecycle", json!({"preStop": run})),
        23 => ("/spec/template/spec/containers/0/lifecycle", json!({"postStart": run})),
        24 => ("/spec/template/spec/containers/0/livenessProbe", run),
        25 => ("/spec/template/spec/containers/0/volumeMounts/0/mountPath", json!("/other")),
        26 => ("/spec/template/spec/containers/0/volumeMounts/0/subPath", json!("b")),
        27 => ("/spec/template/spec/containers/0/volumeMounts/0/subPathExpr", json!("$(A)")),
        28 => ("/spec/template/spec/containers/0/volumeMounts/3/name", json!("host")),
        _ => ("/spec/template/spec/initContainers", json!([{"name": "i", "image": "another"}])),
    };
    let (parent, field) = path.rsplit_once('/').unwrap();
    let parent = job.pointer_mut(parent).unwrap();
    match field.parse::<usize>() {
        Ok(index) => parent[index] = value,
        Err(_) => parent[field] = value,
    }
    job
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_mutation_promises_to_fill_in_is_then_in_order(job in job()) {
        let (patched, mutation) = filled_in(&job);
        let wrong = set_to_something_wrong(&job);
        if is_hook(&job) && !mutation.is_empty() && !wrong {
            let verdict = judge(&default_policies(), &patched);
            for rule in ["root-migration", "unbounded-migration-job", "unlimited-migration"] {
                prop_assert!(!refusals(&verdict).contains(&rule), "{rule}: {verdict:#?}");
            }
        }
        if !is_hook(&job) {
            prop_assert!(mutation.is_empty());
        }
    }

    #[test]
    fn a_patch_of_a_patch_is_empty(job in job()) {
        let (patched, _) = filled_in(&job);
        let (again, mutation) = filled_in(&patched);
        prop_assert!(mutation.is_empty(), "{mutation:#?}");
        prop_assert_eq!(again, patched);
    }

    #[test]
    fn a_patch_only_adds_and_kubernetes_knows_every_field(job in job()) {
        let (patched, _) = filled_in(&job);
        prop_assert!(contains(&patched, &job), "{patched:#}\nlost something of\n{job:#}");
        // Unknown fields are dropped by the typed round trip, as the API server drops them.
        let typed: Job = serde_json::from_value(patched.clone()).unwrap();
        let round_trip = serde_json::to_value(&typed).unwrap();
        prop_assert!(contains(&round_trip, &without_nothing(&patched)), "{round_trip:#}\n{patched:#}");
    }

    #[test]
    fn the_digest_ignores_what_others_add(job in job(), volumes in any::<bool>()) {
        let job = if volumes { with_volumes(job) } else { job };
        let wanted = digest_of(&job);
        prop_assert_eq!(&digest_of(&filled_in(&job).0), &wanted);
        prop_assert_eq!(&digest_of(&as_admitted(job)), &wanted);
    }

    #[test]
    fn the_digest_sees_every_change_of_what_runs(job in job(), which in 0..WAYS, other in 0..WAYS) {
        let job = with_volumes(job);
        prop_assert_ne!(digest_of(&tampered(&job, which)), digest_of(&job));
        if which != other {
            prop_assert_ne!(digest_of(&tampered(&job, which)), digest_of(&tampered(&job, other)));
        }
    }

    #[test]
    fn a_decision_is_total_and_deterministic_on_any_text(
        text in ".{0,200}",
        job in job(),
        cut in any::<prop::sample::Index>(),
        update in any::<bool>(),
    ) {
        let json = job.to_string();
        let truncated: String = json.chars().take(cut.index(json.len())).collect();
        let labels = Labels::new();
        let facts = Facts::new(Fact::Known(&labels));
        for object in [&text, &truncated, &json] {
            let change = Change {
                operation: if update { ChangeOperation::Update } else { ChangeOperation::Create },
                old_object: update.then_some(text.as_str()),
                ..Change::create("shop", "x", object)
            };
            let policies = default_policies();
            let verdict = validate(&policies, &change, &facts, now());
            prop_assert_eq!(&validate(&policies, &change, &facts, now()), &verdict);
            prop_assert_eq!(mutate(&policies, &change, &facts), mutate(&policies, &change, &facts));
            prop_assert_eq!(verdict.allowed(), verdict.message().is_empty());
        }
    }

    #[test]
    fn an_unrelated_field_changes_nothing(job in job()) {
        let mut with = job.clone();
        with["status"] = json!({"conditions": [{"type": "Complete", "x": [[[1]]]}]});
        with["spec"]["template"]["spec"]["aFieldOfTheFuture"] = json!({"deep": [1, 2, {"x": null}]});
        prop_assert_eq!(judge(&default_policies(), &with), judge(&default_policies(), &job));
    }
}

/// True when `whole` holds everything that `part` holds, at the same place.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part.iter().all(|(key, value)| {
            whole.get(key).is_some_and(|have| contains(have, value)) || value.is_null()
        }),
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(a, b)| contains(a, b))
        }
        // Kubernetes writes quantities as text.
        (Value::String(text), Value::Number(number)) => *text == number.to_string(),
        (whole, part) => whole == part,
    }
}

/// Without empty maps and lists, which typed structs leave out.
fn without_nothing(value: &Value) -> Value {
    let empty = |value: &Value| {
        value.as_object().is_some_and(serde_json::Map::is_empty)
            || value.as_array().is_some_and(Vec::is_empty)
    };
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), without_nothing(value)))
            .filter(|(_, value)| !empty(value))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(list) => list.iter().map(without_nothing).collect::<Vec<_>>().into(),
        other => other.clone(),
    }
}
