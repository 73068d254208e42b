//! For machines that read line by line: one JSON object for every finding and every error.
//! `docs/formats.md` describes it.

use serde::Serialize;

use super::{
    Checked, Entry, Stream, Totals,
    json::{ErrorOut, FindingOut},
};

#[derive(Serialize)]
struct Line<T> {
    /// `finding`, `error` or `remark`.
    r#type: &'static str,
    #[serde(flatten)]
    of: T,
}

#[derive(Serialize)]
struct Finding<'r> {
    #[serde(flatten)]
    object: ObjectOut<'r>,
    #[serde(flatten)]
    finding: FindingOut<'r>,
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
#[derive(Clone, Copy, Debug, Default)]
pub struct Jsonl;

impl Stream for Jsonl {
    fn entry(&mut self, entry: &Entry, text: &mut String) {
        match entry {
            Entry::Error(error) => add(text, "error", ErrorOut::of(error)),
            Entry::Object(object) => {
                for found in &object.findings {
                    let finding = FindingOut::of(object, found);
                    let object = ObjectOut::of(object);
                    add(text, "finding", Finding { object, finding });
                }
            }
        }
    }

    fn end(&mut self, totals: &Totals, text: &mut String) {
        for remark in &totals.remarks {
            add(text, "remark", remark);
        }
    }
}

fn add(text: &mut String, r#type: &'static str, of: impl Serialize) {
    // Strings, numbers and lists: there is nothing in it that JSON could not hold.
    text.push_str(&serde_json::to_string(&Line { r#type, of }).unwrap_or_default());
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
