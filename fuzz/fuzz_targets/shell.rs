//! Any text as a shell script: an answer, the same one twice, and no value in the evidence.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use tidegate::{
    detect::Detector,
    model::{ConfigMaps, Object},
};

fuzz_target!(|text: &str| {
    let json = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "task"},
        "spec": {"template": {"spec": {"containers": [{
            "name": "main",
            "image": "app",
            "command": ["bash", "-c", text],
            "env": [{"name": "A", "value": "flyway"}, {"name": "B", "value": "{} $A \\"}],
        }]}}},
    })
    .to_string();
    let object = Object::parse(&json).expect("a Job");
    let first = Detector::built_in().detect(&object, ConfigMaps::NONE);
    for invocation in first.iter().flat_map(|detection| &detection.invocations) {
        assert!(!invocation.words.contains(['\u{FFFC}', '\u{1F}', '\n']), "{}", invocation.words);
    }
    let second = Detector::built_in().detect(&object, ConfigMaps::NONE);
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
});
