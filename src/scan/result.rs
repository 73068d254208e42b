//! What a scan found.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use super::tally::{NamespaceTally, RuleTally, TeamTally};
use crate::{
    decision::{Effect, Outcome},
    policy::Excuse,
    rules::Level,
};

/// How much of what is found is kept; the rest is only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Findings of one namespace.
    pub per_namespace: usize,
    /// Findings of the whole cluster.
    pub total: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_namespace: 10_000, total: 200_000 }
    }
}

/// A finding in an object of the cluster.
#[derive(Clone, Debug)]
pub struct Found {
    /// The rule's id.
    pub rule: &'static str,
    /// The level that it has when the policy enforces.
    pub level: Level,
    /// What it does to the verdict now; none where the policy has the rule turned off.
    pub effect: Option<Effect>,
    /// What it would do if the policy enforced.
    pub enforced: Effect,
    /// Path of the field.
    pub at: String,
    /// What the finding rests on beside its place. May be a secret: only digests are written.
    pub evidence: String,
    /// What is wrong.
    pub what: Cow<'static, str>,
    /// How to mend it.
    pub mend: Cow<'static, str>,
    /// True when a fact was missing and `onUndecided` settled it.
    pub undecided: bool,
    /// The exception that covers it, whether it holds or not.
    pub excuse: Option<Excuse>,
}

/// An object in which something was found.
#[derive(Clone, Debug)]
pub struct Scanned {
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// Its namespace; empty when it is cluster-scoped.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Who it belongs to, by the label that was asked for.
    pub team: Option<Arc<str>>,
    /// The policy that applies.
    pub policy: Arc<str>,
    /// What would become of it if it were created now.
    pub outcome: Outcome,
    /// How it ended, for a Job that has: `succeeded` or `failed`.
    pub finished: Option<&'static str>,
    /// What was found, the most severe first.
    pub findings: Vec<Found>,
}

impl Scanned {
    /// `Kind/name`.
    pub fn subject(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }
}

/// Something to know of an exception of a namespace that was scanned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExceptionNote {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// True when somebody should act.
    pub warns: bool,
    /// What there is to know, in one line.
    pub message: String,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Namespaces.
    pub namespaces: usize,
    /// Objects that were judged.
    pub judged: usize,
    /// Objects whose owner was judged.
    pub children: usize,
    /// Objects of kinds that run nothing and are no hooks.
    pub not_judged: usize,
    /// Objects in namespaces that no policy is for.
    pub no_policy: usize,
    /// Jobs among the judged that have finished.
    pub finished: usize,
    /// Findings that were counted and not kept.
    pub left_out: usize,
}

/// Everything that a scan found.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// How much was looked at.
    pub counts: Counts,
    /// Objects in which something was found, by namespace, kind and name.
    pub objects: Vec<Scanned>,
    /// Every namespace that was looked at; the empty name stands for cluster-scoped objects, where
    /// there are any.
    pub namespaces: BTreeMap<Arc<str>, NamespaceTally>,
    /// Every rule that found something.
    pub rules: BTreeMap<&'static str, RuleTally>,
    /// Every team whose objects something was found in; `None` for those that nobody owns.
    pub teams: BTreeMap<Option<Arc<str>>, TeamTally>,
    /// Exceptions that excuse nothing.
    pub exceptions: Vec<ExceptionNote>,
    /// Kinds that the cluster does not have.
    pub absent: Vec<String>,
    /// What could not be looked at, and why.
    pub errors: Vec<String>,
    /// True when only a part of the objects was asked for, so that nothing can be said of a whole
    /// namespace.
    pub partial: bool,
}

impl Scan {
    /// Objects that would be refused if they were created now.
    pub fn refused(&self) -> usize {
        self.namespaces.values().map(|tally| tally.refused).sum()
    }

    /// Objects that would be refused if every policy enforced.
    pub fn would_be_refused(&self) -> usize {
        self.namespaces.values().map(|tally| tally.would_be_refused).sum()
    }

    /// True when a namespace can be enforced at once: everything in it was looked at, and nothing
    /// of it would be refused or could not be decided.
    pub fn is_safe(&self, tally: &NamespaceTally) -> bool {
        let complete = !self.partial && self.errors.is_empty();
        complete && tally.policy.is_some() && tally.would_be_refused == 0 && tally.undecided == 0
    }

    /// The names of the namespaces that could be enforced now and are not yet.
    pub fn safe_to_enforce(&self) -> impl Iterator<Item = &str> {
        let safe = self
            .namespaces
            .iter()
            .filter(|(name, tally)| !name.is_empty() && !tally.enforces && self.is_safe(tally));
        safe.map(|(name, _)| &**name)
    }
}
