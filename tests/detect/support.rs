//! What detection says about one container, for the tables.

use serde_json::{Value, json};
use tidegate::{
    detect::{Confidence, Detector, Site},
    model::{ConfigMaps, Object},
};

/// What was found in the one container of a Job, in short.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) tool: String,
    pub(crate) operation: String,
    pub(crate) path: String,
    pub(crate) words: String,
    pub(crate) serves_after: bool,
}

/// A Job with this container.
pub(crate) fn job(container: &Value) -> String {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "task"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    })
    .to_string()
}

/// What the built-in catalogue says of a container; an operation that is a hint ends in `?`.
pub(crate) fn said(container: &Value) -> Option<Said> {
    said_by(Detector::built_in(), container)
}

/// What a detector says of a container.
pub(crate) fn said_by(detector: &Detector, container: &Value) -> Option<Said> {
    let json = job(container);
    let object = Object::parse(&json).unwrap();
    let detections = detector.detect(&object, ConfigMaps::NONE);
    let detection = detections.iter().find(|detection| detection.site == Site::Command)?;
    let main = &detection.main;
    let hint = if main.confidence == Confidence::Name { "?" } else { "" };
    Some(Said {
        tool: main.tool.to_owned(),
        operation: format!("{}{hint}", main.operation),
        path: main.path.clone(),
        words: main.words.clone(),
        serves_after: detection.serves_after,
    })
}
