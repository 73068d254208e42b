//! From what rules found to what it does to the verdict.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::verdict::{Effect, Judged};
use crate::{
    model::Object,
    policy::{ExceptionSet, Excuse, Policy},
    rules::{Findings, Level},
};

/// What decides the effect of a finding.
pub(super) struct Terms<'t> {
    /// The policy that applies.
    pub(super) policy: &'t Policy,
    /// What may excuse it.
    pub(super) exceptions: &'t ExceptionSet,
    /// True when it is not known whether the policy applies.
    pub(super) uncertain: bool,
    /// Namespace of the object.
    pub(super) namespace: &'t str,
    /// The present.
    pub(super) now: Timestamp,
}

impl Terms<'_> {
    /// Every finding with its level and effect. `known` are those that the object had before: rule
    /// and key.
    pub(super) fn settle(
        &self,
        object: &Object<'_>,
        findings: Findings,
        known: &BTreeSet<(&str, &str)>,
    ) -> Vec<Judged> {
        let mut judged = Vec::new();
        for found in findings.found {
            let level = self.policy.level_of(found.rule);
            let settled =
                if self.uncertain { level.min(self.policy.on_undecided.level()) } else { level };
            let ratcheted = known.contains(&(found.rule, found.key.as_str()));
            let excuse = self.excuse(object, found.rule);
            judged.push(Judged {
                rule: found.rule,
                level,
                effect: if ratcheted {
                    Effect::Ratcheted
                } else {
                    excused(settled, excuse.as_ref())
                },
                at: found.at,
                evidence: found.evidence,
                what: found.what,
                mend: found.mend,
                repair: found.repair,
                undecided: self.uncertain,
                excuse,
                line: String::new(),
            });
        }
        for open in findings.undecided {
            let level = self.policy.level_of(open.rule);
            let excuse = self.excuse(object, open.rule);
            judged.push(Judged {
                rule: open.rule,
                level,
                effect: excused(level.min(self.policy.on_undecided.level()), excuse.as_ref()),
                at: open.at,
                evidence: String::new(),
                what: format!("undecided, because {}", open.why).into(),
                mend: "supply the missing fact".into(),
                repair: None,
                undecided: true,
                excuse,
                line: String::new(),
            });
        }
        judged
    }

    fn excuse(&self, object: &Object<'_>, rule: &str) -> Option<Excuse> {
        let terms = &self.policy.exceptions;
        self.exceptions.excuse(terms, self.namespace, object, rule, self.now)
    }
}

/// The effect of a finding of a level that an exception may excuse: what refuses nothing and warns
/// of nothing needs no excuse.
fn excused(level: Level, excuse: Option<&Excuse>) -> Effect {
    let holds = excuse.is_some_and(|excuse| excuse.fails.is_none());
    match effect(level) {
        Effect::Warns | Effect::Refuses if holds => Effect::Excepted,
        effect => effect,
    }
}

/// What a finding of a level does.
pub(super) fn effect(level: Level) -> Effect {
    match level {
        Level::Off | Level::Audit => Effect::Audits,
        Level::Warn => Effect::Warns,
        Level::Deny => Effect::Refuses,
    }
}
