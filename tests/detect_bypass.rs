//! What is found however it is hidden, and what is not found however much it looks like it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::fmt::Write;

use serde_json::{Value, json};
use tidegate::{
    detect::Detector,
    model::{ConfigMaps, Object},
};

fn says(container: &Value) -> Value {
    let json = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "task"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    })
    .to_string();
    let object = Object::parse(&json).unwrap();
    let detections = Detector::built_in().detect(&object, ConfigMaps::NONE);
    detections.first().map_or(json!("none"), |detection| {
        let main = &detection.main;
        json!([main.tool, main.operation, main.confidence])
    })
}

#[test]
fn what_runs_is_found_and_what_does_not_is_not() {
    let groups: Value = serde_saphyr::from_str(include_str!("detect/bypass.yaml")).unwrap();
    let (mut count, mut wrong) = (0, String::new());
    let mut check = |what: &Value, shown: &Value, container: &Value, expected: &Value| {
        count += 1;
        let found = says(container);
        if found != *expected {
            writeln!(wrong, "{what}: {shown}\n  expected {expected}\n  found    {found}").unwrap();
        }
    };
    for group in groups.as_array().unwrap() {
        for line in group["lines"].as_array().into_iter().flatten() {
            let container =
                json!({"name": "main", "image": "app", "command": ["bash", "-c", line]});
            check(&group["what"], line, &container, &group["says"]);
        }
        for row in group["containers"].as_array().into_iter().flatten() {
            check(&group["what"], &row["container"], &row["container"], &row["says"]);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 350, "{count} rows");
}
