//! Any container: as JSON where the input is JSON, else made of the lines of the input.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tidegate::{
    detect::Detector,
    model::{ConfigMaps, Object},
};

fuzz_target!(|text: &str| {
    let container = serde_json::from_str(text).unwrap_or_else(|_| of_lines(text));
    let json = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "migrate"},
        "spec": {"template": {"spec": {
            "initContainers": [container],
            "containers": [container, {"lifecycle": {"postStart": {"exec": container}}}],
        }}},
    })
    .to_string();
    let Ok(object) = Object::parse(&json) else { return };
    for detection in Detector::built_in().detect(&object, ConfigMaps::NONE) {
        assert!(detection.invocations.contains(&detection.main));
    }
});

/// Lines as words of `command`, after an empty line of `args`, after another of `env`.
fn of_lines(text: &str) -> Value {
    let mut parts = text.split("\n\n").map(|part| part.lines().collect::<Vec<_>>());
    let (command, args) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let variables: Vec<Value> = parts
        .next()
        .unwrap_or_default()
        .iter()
        .map(|line| match line.split_once('=') {
            Some((name, value)) => json!({"name": name, "value": value}),
            None => json!({"name": line, "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}),
        })
        .collect();
    let image = parts.next().and_then(|lines| lines.first().copied()).unwrap_or("app");
    json!({"name": "main", "image": image, "command": command, "args": args, "env": variables})
}
