//! Every file under `tests/rules/<rule id>/` is one test of that rule alone.
//!
//! - `fail-*.yaml`: the rule finds something
//! - `pass-*.yaml`: it finds nothing
//! - `fix-*.yaml`: it finds something, and nothing after what mutation fills in; filled in twice is
//!   filled in once
//!
//! A first line `# params: {…}` gives parameters. The snapshot beside a file shows what was found.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_in_result,
    clippy::allow_attributes,
    reason = "a test fails by panicking; the allowance of clippy.toml covers #[test] functions only"
)]

use std::path::Path;

use serde_json::{Value, json};
use tidegate::{
    decision::mutate,
    detect::Detector,
    model::{Change, ConfigMaps, Fact, Facts, Labels, Object},
    policy::{PolicySet, Requirements, Subject, assess, built_in},
    rules::{self, Context, Finding, Findings, Rule},
    source::documents,
};

/// The present of every fixture.
const NOW: &str = "2026-06-01T12:00:00Z";

#[expect(clippy::needless_pass_by_value, reason = "the harness passes a String")]
fn fixture(path: &Path, text: String) -> datatest_stable::Result<()> {
    let (folder, name) = (path.parent().unwrap(), path.file_stem().unwrap().to_str().unwrap());
    let id = folder.file_name().unwrap();
    let rule = rules::ALL.iter().find(|rule| id == rule.id).expect("folder is named after a rule");
    let params = match text.lines().next().and_then(|line| line.strip_prefix("# params: ")) {
        Some(params) => documents(params).remove(0).unwrap().value().clone(),
        None => json!({}),
    };
    let mut shown = Vec::new();
    for document in documents(&text) {
        let object = document.unwrap().value().clone();
        let found = run(rule, &params, &object);
        shown.extend(
            found.iter().map(|found| {
                format!("{} {}: {}; {}", found.rule, found.at, found.what, found.mend)
            }),
        );
        if name.starts_with("fix-") {
            let patched = fill_in(object);
            assert_eq!(run(rule, &params, &patched), [], "{name}: left after mutation");
            assert_eq!(fill_in(patched.clone()), patched, "{name}: filled in twice");
        }
    }
    match name.split_once('-').map(|(kind, _what)| kind) {
        Some("fail" | "fix") => assert!(!shown.is_empty(), "{name}: nothing found"),
        Some("pass") => assert!(shown.is_empty(), "{name}: {shown:#?}"),
        _ => panic!("{name}: call it fail-<what>, pass-<what> or fix-<what>"),
    }
    if !shown.is_empty() {
        let beside = std::fs::canonicalize(folder)?;
        insta::with_settings!({
            snapshot_path => beside, prepend_module_to_snapshot => false, omit_expression => true
        }, {
            insta::assert_snapshot!(name, shown.join("\n"));
        });
    }
    Ok(())
}

fn run(rule: &Rule, params: &Value, object: &Value) -> Vec<Finding> {
    let json = object.to_string();
    let object = Object::parse(&json).unwrap();
    let detections = Detector::built_in().detect(&object, ConfigMaps::NONE);
    let now = NOW.parse().unwrap();
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    let subject = Subject {
        object: &object,
        detections: &detections,
        facts: &facts,
        namespace: "shop",
        requester: "",
        now,
    };
    let approval = assess(&Requirements::default(), &subject);
    let context = Context {
        object: &object,
        detections: &detections,
        approval: &approval,
        facts: &facts,
        now,
    };
    let mut findings = Findings::default();
    (rule.configure)(params.clone()).unwrap().check(&context, &mut findings);
    findings.found
}

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
    { test = fixture, root = "tests/rules", pattern = r"/(fail|pass|fix)-[^/]*\.yaml$" },
}
