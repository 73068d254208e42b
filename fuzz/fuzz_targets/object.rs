//! Any object: every view of it, and a verdict that is the same twice.

#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tidegate::{
    decision::validate,
    model::{Change, ChangeOperation, ConfigMaps, Fact, Facts, Labels, Object},
    policy::digest,
};

fuzz_target!(|text: &str| {
    let json = common::object(text);
    let (labels, old) = (Labels::new(), common::object("0"));
    let facts = Facts::new(Fact::Known(&labels));
    let update = ChangeOperation::Update;
    for (operation, old_object) in [(ChangeOperation::Create, None), (update, Some(&*old))] {
        let change =
            Change { operation, old_object, ..Change::create("prod", "migrate", &json) };
        let verdict = validate(&common::POLICIES, &change, &facts, *common::NOW);
        assert_eq!(validate(&common::POLICIES, &change, &facts, *common::NOW), verdict);
        assert_eq!(verdict.allowed(), verdict.message().is_empty());
        let lines = verdict.findings.iter().map(|finding| &finding.line);
        for line in lines.chain(&verdict.warnings()) {
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    }
    // What is in force stays in force: an update that changes nothing is never refused.
    let change = Change {
        operation: update,
        old_object: Some(&json),
        ..Change::create("prod", "migrate", &json)
    };
    let same = validate(&common::POLICIES, &change, &facts, *common::NOW);
    match Object::parse(&json) {
        Ok(object) => {
            views(&object);
            assert!(same.allowed(), "{}", same.message());
            written_otherwise(&json, &object);
        }
        Err(error) => assert!(!error.message.is_empty()),
    }
});

fn views(object: &Object<'_>) {
    let _ = (object.gvk(), object.metadata.display_name(), object.hooks.is_hook());
    for template in &object.templates {
        for volume in &template.spec.volumes {
            let _ = (volume.sources(), volume.references(), volume.files(ConfigMaps::NONE));
        }
        for container in template.main_containers() {
            let _ = (container.path.to_string(), container.post_start());
        }
    }
}

/// The digest is of what is said, and not of how it is written.
fn written_otherwise(json: &str, object: &Object<'_>) {
    let Ok(value) = serde_json::from_str::<Value>(json) else { return };
    let pretty = serde_json::to_string_pretty(&value).expect("a value");
    if let Ok(again) = Object::parse(&pretty) {
        assert_eq!(digest(&again), digest(object), "{json}");
    }
}
