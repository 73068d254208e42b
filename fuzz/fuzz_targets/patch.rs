//! What is written into objects and files: a patch that fits, adds only, and is not asked for again;
//! an edit of YAML after which the text says what was wanted.

#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tidegate::{
    decision::{mend, mutate},
    model::{Change, Fact, Facts, Labels, Object},
    source::{
        self,
        edit::{self, Wanted},
    },
};

fuzz_target!(|text: &str| {
    patch(&common::object(text));
    for chunk in source::chunks(text) {
        rewrite(text, &chunk);
    }
});

fn patch(json: &str) {
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    let change = Change::create("prod", "migrate", json);
    let mutation = mutate(&common::POLICIES, &change, &facts);
    if mutation.is_empty() {
        return;
    }
    // As the API server does it: the patch as text, on the object as text.
    let patch = serde_json::to_string(&mutation.patch).expect("a patch");
    let patch: json_patch::Patch = serde_json::from_str(&patch).expect("a patch");
    // What nobody reads need not be JSON in every detail; from the API server it always is.
    let Ok(before) = serde_json::from_str::<Value>(json) else { return };
    let mut after = before.clone();
    json_patch::patch(&mut after, &patch).expect("the patch fits");
    assert!(holds(&after, &before), "something is lost or changed: {patch:?}");
    let after = after.to_string();
    Object::parse(&after).expect("a valid object");
    let again = mutate(&common::POLICIES, &Change { object: Some(&after), ..change }, &facts);
    assert!(again.is_empty(), "asked for again: {again:?}");
}

/// `whole` has everything that `part` has, in the same place. `null` is nothing.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (_, Value::Null) => true,
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|have| holds(have, value)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(a, b)| holds(a, b))
        }
        (whole, part) => whole == part,
    }
}

/// Mends every object of the chunk in its text, as `tidegate fix` does.
fn rewrite(text: &str, chunk: &source::Chunk<'_>) {
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    for (number, document) in chunk.documents().into_iter().enumerate() {
        let Ok(document) = document else { continue };
        let mended = |json: &str| {
            let change = Change::create("prod", "migrate", json);
            mend(&common::POLICIES, &change, &facts, *common::NOW, &|_| None)
        };
        let Some(mended) = mended(&document.value().to_string()) else { continue };
        if mended.steps.is_empty() {
            continue;
        }
        let wanted = Wanted { document: number, prefix: "", value: &mended.value };
        for edits in edit::rewrite(chunk, &[wanted]).into_iter().flatten() {
            let edited = edit::apply(text, &edits);
            let values = |text: &str| -> Vec<Option<Value>> {
                let read = source::documents(text).into_iter();
                read.map(|one| one.ok().map(|mut one| one.take_value())).collect()
            };
            let (before, after) = (values(text), values(&edited));
            assert_eq!(before.len(), after.len(), "{edited}");
            let changed = before.iter().zip(&after).filter(|(before, after)| before != after);
            for (_, after) in changed {
                assert_eq!(after.as_ref(), Some(&mended.value), "{edited}");
            }
        }
    }
}
