//! For machines that read line by line: one JSON object for every finding and every error.
//! `docs/output-formats.md` describes it.

use serde::Serialize;

use super::{
    Checked, Entry, Report,
    json::{ErrorOut, FindingOut},
};

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'r> {
    Finding {
        #[serde(flatten)]
        object: ObjectOut<'r>,
        #[serde(flatten)]
        finding: FindingOut<'r>,
    },
    Error(ErrorOut<'r>),
    Remark(&'r super::Remark),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectOut<'r> {
    file: &'r str,
    origin: Option<&'r str>,
    api_version: &'r str,
    kind: &'r str,
    namespace: Option<&'r str>,
    name: &'r str,
    policy: Option<&'r str>,
}

/// A report as JSON Lines; an empty text when there is nothing to say.
pub fn jsonl(report: &Report) -> String {
    let mut text = String::new();
    for entry in &report.entries {
        match entry {
            Entry::Error(error) => add(&mut text, &Line::Error(ErrorOut::of(error))),
            Entry::Object(object) => {
                for found in &object.findings {
                    let finding = FindingOut::of(object, found);
                    add(&mut text, &Line::Finding { object: ObjectOut::of(object), finding });
                }
            }
        }
    }
    for remark in &report.remarks {
        add(&mut text, &Line::Remark(remark));
    }
    text
}

fn add(text: &mut String, line: &Line<'_>) {
    // Strings, numbers and lists: there is nothing in it that JSON could not hold.
    text.push_str(&serde_json::to_string(line).unwrap_or_default());
    text.push('\n');
}

impl<'r> ObjectOut<'r> {
    fn of(object: &'r Checked) -> Self {
        Self {
            file: &object.file,
            origin: object.origin.as_deref(),
            api_version: &object.api_version,
            kind: &object.kind,
            namespace: object.namespace.as_deref(),
            name: &object.name,
            policy: object.policy.as_deref(),
        }
    }
}
