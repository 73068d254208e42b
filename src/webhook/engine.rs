//! What the server asks its engine, and what it gets.

use std::{collections::BTreeMap, fmt};

use arc_swap::{ArcSwap, Guard};
use jiff::Timestamp;

use crate::{
    decision::{self, Effect, Granting, Judged, Mutation, Verdict, Work},
    model::{Change, Facts, GrantedApproval},
    policy::PolicySet,
};

/// Decides. Total and without effects: the server catches a panic, but counts it as a bug.
pub trait Engine: fmt::Debug + Send + Sync + 'static {
    /// Names of the loaded policies.
    fn policies(&self) -> Vec<String>;
    /// True when a decision needs the labels of the object's namespace.
    fn needs_labels(&self) -> bool;
    /// Judges a change.
    fn validate(&self, change: &Change<'_>, facts: &Facts<'_>, now: Timestamp) -> Judgement;
    /// Fills in defaults.
    fn mutate(&self, change: &Change<'_>, facts: &Facts<'_>) -> Defaulted;
    /// Holds an approval that somebody makes against the policy of its namespace.
    fn grant(&self, granted: &GrantedApproval, facts: &Facts<'_>, now: Timestamp) -> Granting;
}

/// The engine in force. A request takes one and keeps it to its end, so that whatever it sees is of one
/// set of policies.
#[derive(Debug)]
pub struct Engines(ArcSwap<Box<dyn Engine>>);

impl Engines {
    /// Begins with this engine.
    pub fn new(engine: Box<dyn Engine>) -> Self {
        Self(ArcSwap::from_pointee(engine))
    }

    /// Takes another engine into use.
    pub fn replace(&self, engine: Box<dyn Engine>) {
        self.0.store(std::sync::Arc::new(engine));
    }

    /// The one in force.
    pub fn current(&self) -> Guard<std::sync::Arc<Box<dyn Engine>>> {
        self.0.load()
    }
}

/// A verdict as the server passes it on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Whether the change is let in.
    pub allowed: bool,
    /// The word in metrics and logs.
    pub outcome: &'static str,
    /// What the user reads when it is not.
    pub message: String,
    /// What the user reads anyway.
    pub warnings: Vec<String>,
    /// What the audit log keeps; keys without a slash.
    pub audit: BTreeMap<&'static str, String>,
    /// The policy that applied.
    pub policy: Option<String>,
    /// Everything that was found.
    pub findings: Vec<Noted>,
    /// What is done to a database once it is let in.
    pub work: Work,
}

/// One finding, for machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// The rule's id.
    pub rule: &'static str,
    /// What it did to the verdict, in one word.
    pub effect: &'static str,
    /// True when it refuses.
    pub refuses: bool,
    /// True when a fact was missing.
    pub undecided: bool,
    /// Path of the field.
    pub at: String,
    /// What is wrong and how to mend it, in one line.
    pub line: String,
}

/// The defaults that are filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaulted {
    /// The word in metrics and logs.
    pub outcome: &'static str,
    /// A JSON Patch, or `None` when there is nothing to fill in.
    pub patch: Option<Vec<u8>>,
}

impl Engine for PolicySet {
    fn policies(&self) -> Vec<String> {
        self.policies().map(|policy| policy.name.clone()).collect()
    }

    fn needs_labels(&self) -> bool {
        self.needs_labels()
    }

    fn validate(&self, change: &Change<'_>, facts: &Facts<'_>, now: Timestamp) -> Judgement {
        decision::validate(self, change, facts, now).into()
    }

    fn mutate(&self, change: &Change<'_>, facts: &Facts<'_>) -> Defaulted {
        decision::mutate(self, change, facts).into()
    }

    fn grant(&self, granted: &GrantedApproval, facts: &Facts<'_>, now: Timestamp) -> Granting {
        decision::grant(self, granted, facts, now)
    }
}

impl From<Verdict> for Judgement {
    fn from(verdict: Verdict) -> Self {
        let noted = |finding: Judged| Noted {
            rule: finding.rule,
            effect: finding.effect.as_str(),
            refuses: finding.effect == Effect::Refuses,
            undecided: finding.undecided,
            at: finding.at,
            line: finding.line,
        };
        Self {
            allowed: verdict.allowed(),
            outcome: verdict.outcome.as_str(),
            message: verdict.message(),
            warnings: verdict.warnings(),
            audit: verdict.audit_annotations(),
            findings: verdict.findings.into_iter().map(noted).collect(),
            policy: verdict.policy,
            work: verdict.work,
        }
    }
}

impl From<Mutation> for Defaulted {
    fn from(mutation: Mutation) -> Self {
        // Operations are built from strings and numbers: serialising them cannot fail.
        let patch = (!mutation.is_empty()).then(|| serde_json::to_vec(&mutation.patch).ok());
        let outcome = if mutation.is_empty() { mutation.outcome.as_str() } else { "patched" };
        Self { outcome, patch: patch.flatten() }
    }
}
