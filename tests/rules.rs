//! Every file under `tests/rules/<rule id>/` is one test of that rule alone.
//!
//! - `fail-*.yaml`: the rule finds something
//! - `undecided-*.yaml`: it finds nothing and cannot tell, because a fact is missing
//! - `pass-*.yaml`: it finds nothing
//! - `fix-*.yaml`: it finds something, and nothing after what mutation fills in; filled in twice is
//!   filled in once
//!
//! The snapshot beside a file shows what was found.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::allow_attributes,
    reason = "a test fails by panicking; the allowance of clippy.toml covers #[test] functions only"
)]

#[path = "common/fixture.rs"]
mod fixture;

use std::path::Path;

use fixture::Fixture;
use serde_json::Value;
use tidegate::{
    decision::mutate,
    model::{Change, Fact, Facts, Labels},
    policy::{PolicySet, built_in},
    rules::{self, Findings},
};

#[expect(clippy::needless_pass_by_value, reason = "the harness passes a String")]
fn check(path: &Path, text: String) -> datatest_stable::Result<()> {
    let (folder, name) = (path.parent().unwrap(), path.file_stem().unwrap().to_str().unwrap());
    let id = folder.file_name().unwrap().to_str().unwrap();
    let rule = rules::find(id).expect("folder is named after a rule");
    let fixture = Fixture::parse(&text);
    let (mut found, mut undecided) = (Vec::new(), Vec::new());
    let all = fixture.run_all(rule);
    for (index, Findings { found: wrong, undecided: open }) in all.into_iter().enumerate() {
        let object = &fixture.objects[index];
        // Where there are several objects, it matters which one is meant.
        let several = fixture.objects.len() > 1;
        let subject = if several { fixture.subject(index) + " " } else { String::new() };
        found.extend(
            wrong
                .iter()
                .map(|one| format!("{} {subject}{}: {}; {}", one.rule, one.at, one.what, one.mend)),
        );
        undecided.extend(open.iter().map(|one| {
            format!("{} {subject}{}: undecided, because {}", one.rule, one.at, one.why)
        }));
        if name.starts_with("fix-") {
            let patched = fill_in(object.clone());
            assert_eq!(fixture.run(rule, &patched).found, [], "{name}: left after mutation");
            assert_eq!(fill_in(patched.clone()), patched, "{name}: filled in twice");
        }
    }
    let is = (!found.is_empty(), !undecided.is_empty());
    let wanted = match name.split_once('-').map(|(kind, _what)| kind) {
        Some("fail" | "fix") => (true, false),
        Some("undecided") => (false, true),
        Some("pass") => (false, false),
        _ => panic!("{name}: call it fail-, undecided-, pass- or fix-<what>"),
    };
    let shown = [found, undecided].concat().join("\n");
    assert_eq!(is, wanted, "{name} (found, undecided):\n{shown}");
    if !shown.is_empty() {
        let beside = std::fs::canonicalize(folder)?;
        insta::with_settings!({
            snapshot_path => beside, prepend_module_to_snapshot => false, omit_expression => true
        }, {
            insta::assert_snapshot!(name, shown);
        });
    }
    Ok(())
}

/// The object with what mutation fills in.
fn fill_in(mut object: Value) -> Value {
    let policies = PolicySet::new(vec![built_in()]);
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    let json = object.to_string();
    let mutation = mutate(&policies, &Change::create("shop", "job", &json), &facts);
    json_patch::patch(&mut object, &mutation.patch).unwrap();
    object
}

datatest_stable::harness! {
    { test = check, root = "tests/rules", pattern = r"/(fail|undecided|pass|fix)-[^/]*\.yaml$" },
}
