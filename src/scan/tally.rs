//! Numbers of what a scan found.

use std::{collections::BTreeSet, sync::Arc};

use super::result::{Found, Scanned};
use crate::decision::{Effect, Outcome};

/// What was found in one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceTally {
    /// The policy that applies.
    pub policy: Option<Arc<str>>,
    /// True when that policy refuses already.
    pub enforces: bool,
    /// Objects that were judged.
    pub judged: usize,
    /// Objects that would be refused now.
    pub refused: usize,
    /// Objects that would be refused if the policy enforced.
    pub would_be_refused: usize,
    /// Findings that would refuse.
    pub denials: usize,
    /// Findings that would warn.
    pub warnings: usize,
    /// Findings that would be reported only.
    pub notes: usize,
    /// Findings that an exception excuses.
    pub excepted: usize,
    /// Findings that could not be decided.
    pub undecided: usize,
    /// Findings that were counted and not kept.
    pub left_out: usize,
}

/// How often a rule found something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleTally {
    /// Findings that refuse now.
    pub refuses: usize,
    /// Findings that would refuse if every policy enforced.
    pub denials: usize,
    /// Findings that would warn.
    pub warnings: usize,
    /// Findings that would be reported only.
    pub notes: usize,
    /// Findings that an exception excuses.
    pub excepted: usize,
    /// Findings that could not be decided.
    pub undecided: usize,
    /// The namespaces that they are in.
    pub namespaces: BTreeSet<Arc<str>>,
}

/// What was found in the objects of a team.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TeamTally {
    /// Objects that would be refused now.
    pub refused: usize,
    /// Objects that would be refused if every policy enforced.
    pub would_be_refused: usize,
    /// Findings in them, of any kind.
    pub findings: usize,
    /// The namespaces that they are in.
    pub namespaces: BTreeSet<Arc<str>>,
}

fn up(count: &mut usize) {
    *count = count.saturating_add(1);
}

impl NamespaceTally {
    pub(super) fn add(&mut self, object: &Scanned) {
        if object.outcome == Outcome::Refused {
            up(&mut self.refused);
        }
        if object.findings.iter().any(|found| found.enforced == Effect::Refuses) {
            up(&mut self.would_be_refused);
        }
        for found in &object.findings {
            if found.undecided {
                up(&mut self.undecided);
            }
            up(match found.enforced {
                Effect::Refuses => &mut self.denials,
                Effect::Warns => &mut self.warnings,
                Effect::Excepted => &mut self.excepted,
                Effect::Audits | Effect::Ratcheted | Effect::Baselined => &mut self.notes,
            });
        }
    }
}

impl RuleTally {
    pub(super) fn add(&mut self, namespace: &Arc<str>, found: &Found) {
        if found.effect == Some(Effect::Refuses) {
            up(&mut self.refuses);
        }
        if found.undecided {
            up(&mut self.undecided);
        }
        up(match found.enforced {
            Effect::Refuses => &mut self.denials,
            Effect::Warns => &mut self.warnings,
            Effect::Excepted => &mut self.excepted,
            Effect::Audits | Effect::Ratcheted | Effect::Baselined => &mut self.notes,
        });
        if !self.namespaces.contains(namespace) {
            self.namespaces.insert(Arc::clone(namespace));
        }
    }
}

impl TeamTally {
    pub(super) fn add(&mut self, object: &Scanned) {
        if object.outcome == Outcome::Refused {
            up(&mut self.refused);
        }
        if object.findings.iter().any(|found| found.enforced == Effect::Refuses) {
            up(&mut self.would_be_refused);
        }
        self.findings = self.findings.saturating_add(object.findings.len());
        self.namespaces.insert(Arc::clone(&object.namespace));
    }
}
