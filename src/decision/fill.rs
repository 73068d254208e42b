//! Entries added to an object in its text, so that the rest of it need not become values.

use json_patch::{Patch, PatchOperation};
use serde_json::{Value, value::RawValue};

use crate::model::json::Cursor;

/// The object with what a patch adds to maps that are there. None where it does anything else.
pub(super) fn filled(json: &str, patch: &Patch) -> Option<String> {
    let added = patch.0.iter().map(|operation| match operation {
        PatchOperation::Add(add) => {
            let tokens = add.path.tokens().map(|token| token.decoded().into_owned());
            Some(Added { path: tokens.collect(), value: &add.value })
        }
        _ => None,
    });
    let added: Vec<Added<'_>> = added.collect::<Option<_>>()?;
    let mut text = String::with_capacity(json.len().saturating_add(1_024));
    write(json, &added.iter().collect::<Vec<_>>(), 0, &mut text)?;
    Some(text)
}

/// One entry of a map that is added.
struct Added<'p> {
    path: Vec<String>,
    value: &'p Value,
}

/// Writes the value at the first `depth` tokens of what is `added`, which is in or below it.
fn write(json: &str, added: &[&Added<'_>], depth: usize, text: &mut String) -> Option<()> {
    // Of paths of one depth all end here or none does: a value is added once.
    let below = |token: &str| -> Vec<&Added<'_>> {
        added
            .iter()
            .filter(|add| add.path.get(depth).is_some_and(|own| own == token))
            .copied()
            .collect()
    };
    let next = depth.saturating_add(1);
    let mut done: usize = 0;
    let mut separator = "";
    if json.starts_with('[') {
        text.push('[');
        for (index, item) in
            serde_json::from_str::<Vec<&RawValue>>(json).ok()?.into_iter().enumerate()
        {
            text.push_str(std::mem::replace(&mut separator, ","));
            let own = below(&index.to_string());
            done = done.saturating_add(own.len());
            match own.as_slice() {
                [] => text.push_str(item.get()),
                own => write(item.get(), own, next, text)?,
            }
        }
        text.push(']');
        return (done == added.len()).then_some(());
    }
    let mut fields = Cursor::new(json);
    fields.enter().ok()?;
    text.push('{');
    while let Some(key) = fields.key().ok()? {
        let value = fields.value().ok()?;
        text.push_str(std::mem::replace(&mut separator, ","));
        push(&key, text)?;
        let own = below(&key);
        done = done.saturating_add(own.len());
        match own.as_slice() {
            [] => text.push_str(value),
            own => write(value, own, next, text)?,
        }
    }
    let mut new: Vec<&str> = Vec::new();
    for add in added.iter().filter(|add| add.path.len() == next) {
        let key = add.path.last()?;
        if new.contains(&key.as_str()) {
            return None;
        }
        new.push(key);
        text.push_str(std::mem::replace(&mut separator, ","));
        push(key, text)?;
        text.push_str(&serde_json::to_string(add.value).ok()?);
        done = done.saturating_add(1);
    }
    text.push('}');
    (done == added.len()).then_some(())
}

/// Writes a key and the colon.
fn push(key: &str, text: &mut String) -> Option<()> {
    text.push_str(&serde_json::to_string(key).ok()?);
    text.push(':');
    Some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patch(operations: &Value) -> Patch {
        serde_json::from_value(operations.clone()).unwrap()
    }

    #[test]
    fn what_is_added_in_the_text_is_what_the_patch_adds() {
        let object = json!({
            "metadata": {"annotations": {"a.io/b~c": "1", "quote\"": "\u{e4}\n"}},
            "spec": {"list": [{"name": "a"}, {"name": "b", "inner": {}}], "empty": {}, "none": null}
        });
        for (operations, works) in [
            (json!([]), true),
            (json!([["/spec/x", 1]]), true),
            (json!([["/spec/x", {"a": [1]}], ["/spec/y", null], ["/z", "\""]]), true),
            (
                json!([["/spec/list/1/inner/x", 1], ["/spec/list/0/x", 2], ["/spec/empty/x", 3]]),
                true,
            ),
            (json!([["/metadata/annotations/a.io~1d~0", "x"]]), true),
            // What does not only add to a map that is there.
            (json!([["/spec/x", 1], ["/spec/x/y", 1]]), false),
            (json!([["/spec/empty", 1]]), false),
            (json!([["/spec/x", 1], ["/spec/x", 2]]), false),
            (json!([["/spec/none/x", 1]]), false),
            (json!([["/spec/list/0", 1]]), false),
            (json!([["/spec/list/-", 1]]), false),
            (json!([["/spec/list/7/x", 1]]), false),
            (json!([["", 1]]), false),
        ] {
            let add = |it: &Value| json!({"op": "add", "path": it[0], "value": it[1]});
            let patch = patch(&operations.as_array().unwrap().iter().map(add).collect());
            let text = filled(&object.to_string(), &patch);
            let Some(text) = text else {
                assert!(!works, "{operations}");
                continue;
            };
            let mut want = object.clone();
            json_patch::patch(&mut want, &patch).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), want, "{operations}");
            assert!(works, "{operations}");
        }
        let remove = patch(&json!([{"op": "remove", "path": "/spec"}]));
        assert_eq!(filled(&object.to_string(), &remove), None);
    }
}
