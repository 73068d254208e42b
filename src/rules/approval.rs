//! What is approved of an object, operation by operation.

use std::collections::{BTreeMap, BTreeSet};

use crate::detect::{Invocation, Operation};

/// What the annotations of an object and the approvals of its namespace approve, and what the
/// annotations declare.
///
/// Made by [`policy::assess`](crate::policy::assess); the default is an object in which nothing
/// needs an approval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approval {
    /// Of every operation that needs an approval: whether there is one that holds.
    pub(crate) standings: BTreeMap<Operation, Standing>,
    /// The operations that the annotations themselves cover.
    pub(crate) annotated: BTreeSet<Operation>,
    /// The approval resource that covers an operation.
    pub(crate) granted: BTreeMap<Operation, Grant>,
    /// The digest of what will run; worked out only where an operation needs an approval.
    pub(crate) digest: Option<String>,
    /// `tidegate.dev/risk`.
    pub(crate) risk: Option<Risk>,
    /// `tidegate.dev/backup`, where it is not empty.
    pub(crate) backup: Option<String>,
    /// `tidegate.dev/backup-waiver`, where it is not empty.
    pub(crate) waiver: Option<String>,
}

/// What rests on an approval resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Its name.
    pub(crate) name: String,
    /// What it says was or will be backed up.
    pub(crate) backup: Option<String>,
    /// Why it says nothing is.
    pub(crate) waiver: Option<String>,
    /// Whether the policy lets it cover one Job only.
    pub(crate) single_use: bool,
}

/// Whether an approval covers one operation of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The operation needs none.
    NotNeeded,
    /// There is none.
    Missing {
        /// How to get one: a clause in the imperative that names the digest.
        ask: String,
    },
    /// There is one and it does not hold.
    Invalid {
        /// Every reason, each a clause such as `it ended at 2026-01-02T03:04:05Z`.
        reasons: Vec<String>,
        /// How to get one that holds.
        ask: String,
    },
    /// There is one, nothing that is known speaks against it, and a fact is missing.
    Undecided {
        /// Why: a clause that reads on after "undecided because".
        why: String,
    },
    /// There is one and it holds.
    Valid,
}

/// Whether the object states a reason for running without a backup, and whether that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupWaiver<'a> {
    /// No reason is stated.
    Absent,
    /// A reason is stated inside an approval that holds.
    Holds {
        /// The reason, in the words of whoever gave it: it is the user's text, so never quote it
        /// in a finding.
        reason: &'a str,
    },
    /// A reason is stated, but a waiver counts only inside an approval that holds.
    DoesNotHold,
    /// A reason is stated, and whether the approval around it holds cannot be told.
    Undecided {
        /// Why: a clause that reads on after "undecided because".
        why: &'a str,
    },
}

/// The declared risk of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Risk {
    /// What is declared.
    pub(crate) operation: Operation,
    /// Whether the policy lets it stand below what was detected.
    pub(crate) may_lower: bool,
}

impl Approval {
    /// Whether an approval covers `operation`.
    pub fn standing(&self, operation: Operation) -> &Standing {
        self.standings.get(&operation).unwrap_or(&Standing::NotNeeded)
    }

    /// Every operation of the object that needs an approval, and whether there is one.
    pub fn standings(&self) -> impl Iterator<Item = (Operation, &Standing)> {
        self.standings.iter().map(|(operation, standing)| (*operation, standing))
    }

    /// What the migration does: what was detected, or what `tidegate.dev/risk` declares where that
    /// is more, or where it is less and the policy lets it stand.
    pub fn operation(&self, invocation: &Invocation<'_>) -> Operation {
        let detected = invocation.operation;
        // What is no migration is not made one by what stands beside it.
        match self.risk {
            Some(risk) if detected.is_migration() && risk.replaces(detected) => risk.operation,
            _ => detected,
        }
    }

    /// What `tidegate.dev/risk` declares, if it declares anything.
    pub fn declared_risk(&self) -> Option<Operation> {
        self.risk.map(|risk| risk.operation)
    }

    /// What was or will be backed up: the text of `tidegate.dev/backup`, or of the approval that
    /// holds. It is a claim, and proves nothing alone.
    pub fn backup(&self) -> Option<&str> {
        let granted = || self.granted.values().find_map(|grant| grant.backup.as_deref());
        self.backup.as_deref().or_else(granted)
    }

    /// Names of the approval resources that cover an operation, as far as they are `wanted`.
    pub(crate) fn granted(&self, wanted: impl Fn(&Grant) -> bool) -> Vec<String> {
        let wanted = self.granted.values().filter(|grant| wanted(grant));
        let mut names: Vec<String> = wanted.map(|grant| grant.name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The digest to approve, where an operation has no approval that holds.
    pub(crate) fn wanted_digest(&self) -> Option<&str> {
        let wants = |standing: &Standing| {
            matches!(standing, Standing::Missing { .. } | Standing::Invalid { .. })
        };
        self.digest.as_deref().filter(|_| self.standings.values().any(wants))
    }

    /// The waiver of the backup before `operation`: bound to the digest and ending as the approval
    /// around it.
    pub fn backup_waiver(&self, operation: Operation) -> BackupWaiver<'_> {
        // Whoever wrote the one approval did not see what stands in the other.
        let granted = self.granted.get(&operation).and_then(|grant| grant.waiver.as_ref());
        if let Some(reason) = granted {
            return BackupWaiver::Holds { reason };
        }
        let Some(reason) = &self.waiver else { return BackupWaiver::Absent };
        match self.standing(operation) {
            Standing::Valid if self.annotated.contains(&operation) => {
                BackupWaiver::Holds { reason }
            }
            Standing::Valid => BackupWaiver::DoesNotHold,
            Standing::Undecided { why } => BackupWaiver::Undecided { why },
            Standing::NotNeeded | Standing::Missing { .. } | Standing::Invalid { .. } => {
                BackupWaiver::DoesNotHold
            }
        }
    }
}

impl Risk {
    /// Of two, the greater counts, unless the policy takes the word of whoever declares.
    fn replaces(self, detected: Operation) -> bool {
        self.operation > detected || self.may_lower
    }
}
