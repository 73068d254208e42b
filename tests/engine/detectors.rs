//! Tools that a policy adds: they refuse and label under that policy, and under no other.

use serde_json::{Value, json};
use tidegate::{
    decision::{mutate, validate},
    model::{Change, Fact, Facts, Labels},
    policy::{PolicySet, built_in},
};

use super::support::{now, policy};

const DETECTORS: &str = "
  match: {namespaces: [shop]}
  detectors:
    - {id: shopctl, name: Shop, executables: [shopctl],
       verbs: {apply: [advance], destructive: [retreat]}}
    - {id: trial, name: Trial, evidence: recalled, executables: [trialctl],
       verbs: {destructive: [drop]}}";

fn policies() -> PolicySet {
    PolicySet::new(vec![built_in(), policy(DETECTORS)])
}

fn job(command: &[&str]) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "annotations": {"argocd.argoproj.io/hook": "PreSync"}},
        "spec": {"backoffLimit": 0, "activeDeadlineSeconds": 60, "template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "c", "image": "x", "command": command}],
        }}},
    })
}

/// The rules that find something, in a namespace.
fn found(namespace: &str, command: &[&str]) -> Vec<&'static str> {
    let json = job(command).to_string();
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    let change = Change::create(namespace, "j", &json);
    let verdict = validate(&policies(), &change, &facts, now());
    verdict.findings.iter().map(|finding| finding.rule).collect()
}

const DESTRUCTIVE: &str = "unapproved-destructive-migration";

#[test]
fn a_tool_of_the_policy_refuses_where_the_policy_applies() {
    assert!(found("shop", &["shopctl", "retreat"]).contains(&DESTRUCTIVE));
    assert_eq!(found("other", &["shopctl", "retreat"]), [] as [&str; 0]);
}

#[test]
fn an_entry_on_trial_refuses_nothing() {
    assert!(!found("shop", &["trialctl", "drop"]).contains(&DESTRUCTIVE));
    let beside = ["sh", "-c", "shopctl advance && trialctl drop"];
    assert!(!found("shop", &beside).contains(&DESTRUCTIVE));
    let beside = ["sh", "-c", "shopctl advance && shopctl retreat"];
    assert!(found("shop", &beside).contains(&DESTRUCTIVE));
}

#[test]
fn a_hook_is_labelled_with_a_tool_of_the_policy() {
    let json = job(&["shopctl", "advance"]).to_string();
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    let filled_in = |namespace: &str| {
        let change = Change::create(namespace, "j", &json);
        mutate(&policies(), &change, &facts)
    };
    let patch = serde_json::to_string(&filled_in("shop").patch).unwrap();
    assert!(patch.contains(r#""shopctl""#), "{patch}");
    assert!(filled_in("other").is_empty());
}
