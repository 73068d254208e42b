//! What rules find.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use super::{Repair, Rule};
use crate::detect::Detection;

/// What the rules found in a release, by the place of the object among its members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetFindings {
    by_member: BTreeMap<usize, Findings>,
}

impl SetFindings {
    /// What was found in one member.
    pub fn on(&mut self, member: usize) -> &mut Findings {
        self.by_member.entry(member).or_default()
    }

    /// Every member that something was found in, in order.
    pub fn into_members(self) -> impl Iterator<Item = (usize, Findings)> {
        self.by_member.into_iter()
    }
}

/// One thing that is wrong at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule that says so.
    pub rule: &'static str,
    /// Path of the field, such as `spec.template.spec.initContainers[1].command`.
    pub at: String,
    /// What makes two findings the same over an update: the place by name instead of by index,
    /// and the evidence.
    pub key: String,
    /// The part of the key that is not the place. The same in every release, because baselines
    /// keep a digest of it. May hold what must not be shown.
    pub evidence: String,
    /// What is wrong: a clause without a full stop. Never holds a value that may be a secret.
    pub what: Cow<'static, str>,
    /// How to mend it: a clause in the imperative, without a full stop.
    pub mend: Cow<'static, str>,
    /// How it is mended without a person, where there is one clear answer.
    pub repair: Option<Repair>,
}

/// What a rule could not tell, because a fact is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecided {
    /// The rule that could not tell.
    pub rule: &'static str,
    /// Path of the field in question.
    pub at: String,
    /// Why: a clause that reads on after "undecided because".
    pub why: Cow<'static, str>,
}

/// What the rules found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What is wrong.
    pub found: Vec<Finding>,
    /// What could not be told.
    pub undecided: Vec<Undecided>,
}

impl Findings {
    /// Something is wrong with a field of the object itself.
    pub fn object(
        &mut self,
        rule: &Rule,
        at: impl Into<String>,
        evidence: impl fmt::Display,
        what: impl Into<Cow<'static, str>>,
        mend: impl Into<Cow<'static, str>>,
    ) {
        let (at, evidence) = (at.into(), evidence.to_string());
        let key = format!("{at}|{evidence}");
        let (what, mend) = (what.into(), mend.into());
        self.found.push(Finding { rule: rule.id, at, key, evidence, what, mend, repair: None });
    }

    /// Something is wrong with a container; `field` is the field in it, or empty. What is returned
    /// can be made more exact.
    pub fn container(
        &mut self,
        rule: &Rule,
        detection: &Detection<'_>,
        field: &str,
        evidence: impl fmt::Display,
        what: impl Into<Cow<'static, str>>,
        mend: impl Into<Cow<'static, str>>,
    ) -> &mut Finding {
        let container = detection.container;
        let dot = if field.is_empty() { "" } else { "." };
        let at = format!("{}{dot}{field}", container.path);
        let evidence = evidence.to_string();
        let key = format!(
            "{}|{:?}|{}{dot}{field}|{evidence}",
            detection.template.spec_path, container.list, container.name
        );
        let (what, mend) = (what.into(), mend.into());
        let repair = None;
        self.found.push_mut(Finding { rule: rule.id, at, key, evidence, what, mend, repair })
    }

    /// How the last finding is mended without a person.
    pub fn mended_by(&mut self, repair: Repair) {
        if let Some(last) = self.found.last_mut() {
            last.repair = Some(repair);
        }
    }

    /// A fact that the rule needs is missing.
    pub fn undecided(
        &mut self,
        rule: &Rule,
        at: impl Into<String>,
        why: impl Into<Cow<'static, str>>,
    ) {
        self.undecided.push(Undecided { rule: rule.id, at: at.into(), why: why.into() });
    }
}
