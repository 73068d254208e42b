//! An object that is created: what was found out about it before is not found out again.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tidegate::{
    decision::{Created, create, mutate, validate},
    detect::{Detection, Detector, Operation},
    model::{Change, ConfigMap, ConfigMapSet, Fact, Facts, Labels, Object},
    plan::Member,
    policy::PolicySet,
    source::documents,
};

use super::support::{default_policies, now, path, policy};

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}

/// A hook whose script stands in a ConfigMap, which mutation does not read.
const MOUNTED: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: scripts}
data: {run.sh: rails db:drop}
---
apiVersion: batch/v1
kind: Job
metadata: {name: mounted, annotations: {argocd.argoproj.io/hook: PreSync}}
spec:
  template:
    spec:
      containers:
        - {name: a, image: a, command: [sh, /s/run.sh], volumeMounts: [{name: s, mountPath: /s}]}
        - {name: b, image: b, command: [rails, 'db:migrate']}
      volumes: [{name: s, configMap: {name: scripts}}]
";

/// Every object of a text, and the ConfigMaps among them.
fn read(text: &str) -> (Vec<Value>, ConfigMapSet) {
    let objects: Vec<Value> =
        documents(text).into_iter().flatten().map(|mut it| it.take_value()).collect();
    let mut maps = ConfigMapSet::default();
    for object in objects.iter().filter(|object| object["kind"] == "ConfigMap") {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        maps.add("shop", name, 0, ConfigMap::parse(&object.to_string()).unwrap_or_default());
    }
    (objects, maps)
}

#[test]
fn what_is_known_of_a_member_changes_nothing_of_its_verdict() {
    let mut found = Vec::new();
    for folder in ["tests/rules", "tests/manifests", "tests/traps", "tests/plans"] {
        files(&path(folder), &mut found);
    }
    let (policies, labels) = (default_policies(), Labels::new());
    let (mut filled_in, mut from_maps, mut refused) = (0, 0, 0);
    let texts = found.iter().map(|file| fs::read_to_string(file).unwrap());
    for text in texts.chain([MOUNTED.to_owned()]) {
        let (objects, maps) = read(&text);
        for object in objects {
            let json = object.to_string();
            let Ok(object) = Object::parse(&json) else { continue };
            let facts = Facts {
                config_maps: maps.seen_from("shop", 0),
                ..Facts::new(Fact::Known(&labels))
            };
            let member = Member::new(0, &object, "shop", Detector::built_in(), facts.clone());
            let change = Change::create("shop", object.metadata.display_name(), &json);
            let known = create(&policies, &change, &facts, now(), Some(&member));

            let mutation = mutate(&policies, &change, &facts);
            let patched = mutation.applied(&json);
            let change = Change { object: Some(&patched), ..change };
            let verdict = validate(&policies, &change, &facts, now());
            let alone = Created { verdict, filled_in: mutation.added };
            assert_eq!(known, alone, "{text}");
            let change = Change { object: Some(&json), ..change };
            assert_eq!(create(&policies, &change, &facts, now(), None), alone, "{text}");

            filled_in += usize::from(!known.filled_in.is_empty());
            refused += usize::from(!known.verdict.findings.is_empty());
            let invocations = member.detections.iter().flat_map(|it| &it.invocations);
            from_maps += usize::from(invocations.filter(|it| it.file.is_some()).count() > 0);
        }
    }
    assert!(filled_in > 50 && refused > 50 && from_maps == 1, "{filled_in} {refused} {from_maps}");
}

/// A ConfigMap can change after admission, so that what is filled in does not depend on one.
#[test]
fn what_a_config_map_holds_changes_nothing_of_what_is_filled_in() {
    let spec = "{defaults: {operations: {destructive: {activeDeadlineSeconds: 60}}}}";
    let policies = PolicySet::new(vec![policy(spec)]);
    let labels = Labels::new();
    let from = MOUNTED.replace("run.sh: rails db:drop", "TASK: db:drop");
    let script = "command: [sh, /s/run.sh], volumeMounts: [{name: s, mountPath: /s}]";
    let whole = "command: [rails, $(TASK)], envFrom: [{configMapRef: {name: scripts}}]";
    let key = "command: [rails, $(TASK)], env: [{name: TASK, valueFrom: {configMapKeyRef: \
               {name: scripts, key: TASK}}}]";
    let no_volume =
        |text: String| text.replace("      volumes: [{name: s, configMap: {name: scripts}}]\n", "");
    for text in [
        MOUNTED.to_owned(),
        no_volume(from.replace(script, whole)),
        no_volume(from.replace(script, key)),
    ] {
        let (objects, maps) = read(&text);
        let job = objects[1].to_string();
        let object = Object::parse(&job).unwrap();
        let facts =
            Facts { config_maps: maps.seen_from("shop", 0), ..Facts::new(Fact::Known(&labels)) };
        let member = Member::new(0, &object, "shop", Detector::built_in(), facts.clone());
        let worst = member.detections.iter().map(Detection::operation).max();
        assert_eq!(worst, Some(Operation::Destructive), "{text}");
        let change = Change::create("shop", "mounted", &job);
        let created = create(&policies, &change, &facts, now(), Some(&member));
        assert_eq!(created.filled_in, mutate(&policies, &change, &facts).added, "{text}");
        let deadline = created.filled_in.iter().find(|entry| entry.contains("Deadline"));
        let usual = "spec.activeDeadlineSeconds=1800";
        assert_eq!(deadline.map(String::as_str), Some(usual), "{text}");
    }
}
