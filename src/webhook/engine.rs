//! What the server asks its engine, and what it gets.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;

use crate::model::{Change, Facts};

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
