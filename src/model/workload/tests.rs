//! What is scanned is what the parser would have read.

use std::fmt::Debug;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::source::mapping;

/// A Pod template with every field that is read.
fn template() -> Value {
    json!({
        "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}, "name": "other"},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": 5,
            "securityContext": {"runAsNonRoot": true},
            "hostNetwork": true,
            "hostPID": false,
            "hostIPC": false,
            "serviceAccountName": "migrator",
            "automountServiceAccountToken": false,
            "imagePullSecrets": [{"name": "s"}],
            "volumes": [{"name": "v", "configMap": {"name": "m", "items": [{"key": "k", "path": "p"}]}}],
            "resources": {"limits": {"cpu": "1"}},
            "os": {"name": "linux"},
            "schedulerName": "other",
            "initContainers": [container(), {"name": "b", "restartPolicy": "Always"}],
            "containers": [container()],
            "ephemeralContainers": [{"name": "c", "image": "d"}],
        },
    })
}

fn container() -> Value {
    json!({
        "name": "a",
        "image": "ghcr.io/a/b:c",
        "command": ["sh", "-c"],
        "args": ["alembic upgrade head\n\"ä\""],
        "workingDir": "/w",
        "env": [
            {"name": "A", "value": "1\\2"},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "C"},
        ],
        "envFrom": [{"configMapRef": {"name": "m"}, "prefix": "P_"}],
        "resources": {"requests": {"memory": "1Gi"}, "limits": {"cpu": 1}},
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": "v", "mountPath": "/p", "subPath": "s"}],
        "source": "echo",
        "restartPolicy": "Always",
        "lifecycle": {"postStart": {"exec": {"command": ["a"]}}},
        "imagePullPolicy": "Always",
    })
}

fn replicated() -> Value {
    json!({
        "replicas": 3,
        "selector": {"matchLabels": {"a": "b"}},
        "strategy": {"type": "Recreate"},
        "template": template(),
    })
}

fn job() -> Value {
    json!({
        "activeDeadlineSeconds": 600,
        "backoffLimit": 1,
        "parallelism": 2,
        "completions": 3,
        "suspend": true,
        "ttlSecondsAfterFinished": 60,
        "manualSelector": false,
        "template": template(),
    })
}

fn shown(read: Option<impl Debug>) -> Option<String> {
    read.map(|read| format!("{read:?}"))
}

/// What is scanned, and what the parser reads.
type Read = (Option<String>, Option<String>);

fn read_replicated(spec: &str) -> Read {
    (shown(Replicated::scan(spec)), shown(mapping::from_str::<Replicated<'_>>(spec).ok()))
}

fn read_job(spec: &str) -> Read {
    (shown(RawJob::scan(spec)), shown(mapping::from_str::<RawJob<'_>>(spec).ok()))
}

#[test]
fn what_is_as_it_should_be_is_scanned_as_the_parser_reads_it() {
    for (scanned, parsed) in [
        read_replicated(&replicated().to_string()),
        read_replicated(&serde_json::to_string_pretty(&replicated()).unwrap()),
        read_replicated("{}"),
        read_job(&job().to_string()),
        read_job(&serde_json::to_string_pretty(&job()).unwrap()),
        read_job("{}"),
    ] {
        assert!(scanned.is_some(), "{parsed:?}");
        assert_eq!(scanned, parsed);
    }
}

#[test]
fn what_is_given_twice_or_is_of_another_type_is_left_to_the_parser() {
    for spec in [
        r#"{"replicas":1,"replicas":2}"#,
        r#"{"replicas":"1"}"#,
        r#"{"template":{},"template":{}}"#,
        r#"{"template":{"spec":{"containers":[],"containers":[]}}}"#,
        r#"{"template":{"spec":{"containers":[{"name":"a","name":"b"}]}}}"#,
        r#"{"template":{"spec":{"containers":[{"args":"a"}]}}}"#,
        r#"{"template":{"spec":{"containers":[{"env":[{"name":"A","value":1}]}]}}}"#,
        r#"{"template":{"spec":{"hostNetwork":"true"}}}"#,
        "{} {}",
        "[]",
    ] {
        assert_eq!(read_replicated(spec).0, None, "{spec}");
    }
    assert_eq!(read_job(r#"{"suspend":1}"#).0, None);
    assert_eq!(read_job(r#"{"template":null}"#).0, None);
}

/// Every place in a value: of a list its elements, of an object its fields.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| places(value, &format!("{at}/{key}"), found));
        }
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(index, value)| places(value, &format!("{at}/{index}"), found)),
        _ => {}
    }
}

fn other() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(7),
        json!(1.5),
        json!(""),
        json!("a\tb\u{e4}"),
        json!([]),
        json!([null]),
        json!(["a"]),
        json!([{}]),
        json!({}),
        json!({"name": "x", "value": "y"}),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]
    #[test]
    fn nothing_is_ever_scanned_as_the_parser_would_not_read_it(
        is_job in any::<bool>(),
        pretty in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), other()), 1..4),
    ) {
        let mut spec = if is_job { job() } else { replicated() };
        for (at, other) in changes {
            let mut found = Vec::new();
            places(&spec, "", &mut found);
            let place = at.get(&found);
            if let Some(value) = spec.pointer_mut(place) {
                *value = other;
            }
        }
        let text = if pretty { serde_json::to_string_pretty(&spec).unwrap() } else { spec.to_string() };
        let (scanned, parsed) = if is_job { read_job(&text) } else { read_replicated(&text) };
        prop_assert!(scanned.is_none() || scanned == parsed, "{text}\n{scanned:?}\n{parsed:?}");
    }
}
