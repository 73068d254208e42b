//! Policies and labels that change while a request is judged, in every order: `loom` runs the real
//! policies behind cells of its own.
//!
//! What it proves is that a request which takes each of them once, as the webhook does, gets a verdict
//! that one policy in one version gives for one state of the namespace. That the webhook does take them
//! once is seen by T32 of the torture harness.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use loom::{sync::RwLock, thread};
use serde_json::json;
use tidegate::{
    decision::validate,
    model::{Change, Fact, Facts, Labels},
    policy::PolicySet,
};

use super::support;

/// Two rules that the Job breaks. Each version of a policy enforces one of them alone.
const RULES: [&str; 2] = ["root-migration", "unlimited-migration"];
const ENVIRONMENTS: [&str; 2] = ["staging", "production"];

/// A cell whose content is replaced as a whole.
struct Cell<T>(RwLock<Arc<T>>);

impl<T> Cell<T> {
    fn new(value: &Arc<T>) -> Self {
        Self(RwLock::new(Arc::clone(value)))
    }

    fn load(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap())
    }

    fn store(&self, value: &Arc<T>) {
        *self.0.write().unwrap() = Arc::clone(value);
    }
}

fn policies(version: usize) -> Arc<PolicySet> {
    let rules: serde_json::Map<_, _> = tidegate::rules::ALL
        .iter()
        .map(|rule| {
            let enforced = rule.id == RULES[version];
            (rule.id.to_owned(), json!({"level": if enforced { "Deny" } else { "Off" }}))
        })
        .collect();
    let own = |environment: &str| {
        let selector = json!({"matchLabels": {"environment": environment}});
        let spec = json!({"match": {"namespaceSelector": selector}, "rules": rules});
        let mut policy = support::policy(&spec.to_string());
        policy.name = format!("{environment}-{version}");
        policy
    };
    Arc::new(PolicySet::new(ENVIRONMENTS.map(own).into()))
}

fn labels(environment: usize) -> Arc<Labels> {
    let label = ("environment".to_owned(), ENVIRONMENTS[environment].to_owned());
    Arc::new(Labels::from_iter([label]))
}

/// The policy that applied, and which rules refused.
fn judge(policies: &PolicySet, labels: &Labels) -> String {
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"},
        "spec": {"template": {"spec": {"containers": [
            {"name": "a", "image": "flyway/flyway:11", "args": ["migrate"]}]}}}})
    .to_string();
    let facts = Facts::new(Fact::Known(labels));
    let verdict = validate(policies, &Change::create("shop", "a", &job), &facts, support::now());
    let rules: BTreeSet<_> = verdict.findings.iter().map(|finding| finding.rule).collect();
    format!("{} {rules:?}", verdict.policy.unwrap_or_default())
}

/// What a request took: policies, labels, and policies again where it looked twice.
type Taken = (Arc<PolicySet>, Arc<Labels>, Arc<PolicySet>);

/// Every verdict that a request can get while both are replaced. It is judged afterwards, from what was
/// taken: `loom` gives threads too small a stack for that.
fn met(request: fn(&Cell<PolicySet>, &Cell<Labels>) -> Taken) -> BTreeSet<String> {
    let (before, after) = ((policies(0), labels(0)), (policies(1), labels(1)));
    let taken: Arc<Mutex<Vec<Taken>>> = Arc::default();
    let found = Arc::clone(&taken);
    loom::model(move || {
        let cells = loom::sync::Arc::new((Cell::new(&before.0), Cell::new(&before.1)));
        let (policies, labels) = (Arc::clone(&after.0), Arc::clone(&after.1));
        let of_policies = loom::sync::Arc::clone(&cells);
        let of_labels = loom::sync::Arc::clone(&cells);
        let writers = [
            thread::spawn(move || of_policies.0.store(&policies)),
            thread::spawn(move || of_labels.1.store(&labels)),
        ];
        let new = request(&cells.0, &cells.1);
        let same = |old: &Taken| {
            Arc::ptr_eq(&old.0, &new.0)
                && Arc::ptr_eq(&old.1, &new.1)
                && Arc::ptr_eq(&old.2, &new.2)
        };
        let mut found = found.lock().unwrap();
        if !found.iter().any(same) {
            found.push(new);
        }
        drop(found);
        for writer in writers {
            writer.join().unwrap();
        }
    });
    let taken = taken.lock().unwrap();
    let verdicts = taken.iter().map(|(first, labels, second)| {
        let (first, second) = (judge(first, labels), judge(second, labels));
        if first == second { first } else { format!("{first} and {second}") }
    });
    verdicts.collect()
}

/// The verdicts of each policy in each version.
fn whole() -> BTreeSet<String> {
    let versions = [0, 1].into_iter().flat_map(|version| [0, 1].map(|state| (version, state)));
    versions.map(|(version, state)| judge(&policies(version), &labels(state))).collect()
}

#[test]
fn a_request_sees_one_policy_in_one_version() {
    let whole = whole();
    assert_eq!(whole.len(), 4, "{whole:?}");
    let once = met(|policies, labels| {
        let policies = policies.load();
        (Arc::clone(&policies), labels.load(), policies)
    });
    assert_eq!(once, whole);
}

/// The model sees what it is there for: a request that looks twice.
#[test]
fn a_request_that_looked_twice_would_see_two() {
    let twice = met(|policies, labels| (policies.load(), labels.load(), policies.load()));
    assert!(twice.iter().any(|verdict| verdict.contains(" and ")), "{twice:?}");
}
