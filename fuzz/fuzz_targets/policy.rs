//! Any text as policies, exceptions, an approval and tests of policies: loaded, or refused with a
//! place that is in the text.

#![no_main]

mod common;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tidegate::{
    decision::{mutate, validate},
    model::{Change, Fact, Facts, Labels},
    policy::{self, LoadError, PolicySet},
    policy_test,
};

static JOB: LazyLock<String> = LazyLock::new(|| common::object("0"));

fuzz_target!(|text: &str| {
    // To YAML a carriage return alone ends a line too.
    let lines = text.split(['\n', '\r']).count() + 1;
    let check = |errors: &[LoadError]| {
        for error in errors {
            assert!((1..=lines).contains(&error.line), "{error}");
            assert!(error.column > 0 && !error.message.is_empty(), "{error}");
        }
    };
    if let Err(errors) = policy::read_approval(text, "a.yaml") {
        assert!(!errors.is_empty());
        check(&errors);
    }
    check(&policy_test::parse(text, "t.yaml").errors);
    match policy::read(text, "p.yaml") {
        Err(errors) => {
            assert!(!errors.is_empty());
            check(&errors);
        }
        Ok(loaded) => in_force(loaded.policies),
    }
});

/// A policy that loads can be judged by.
fn in_force(policies: Vec<policy::Policy>) {
    if policies.is_empty() {
        return;
    }
    let policies = PolicySet::new(policies);
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    let change = Change::create("prod", "migrate", &JOB);
    let verdict = validate(&policies, &change, &facts, *common::NOW);
    assert_eq!(validate(&policies, &change, &facts, *common::NOW), verdict);
    let mutation = mutate(&policies, &change, &facts);
    let filled_in = mutation.applied(&JOB);
    let again = mutate(&policies, &Change { object: Some(&filled_in), ..change }, &facts);
    assert!(again.is_empty(), "{again:?}");
}
