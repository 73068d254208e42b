//! What others know about a member of a release: its policy, its rules, its annotations.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::detect::Operation;

/// What is known about one object from outside of the release.
#[derive(Clone, Debug, Default)]
pub struct Assessed {
    /// What it does to a database, where something in it migrates.
    pub risk: Option<StepRisk>,
    /// Whether somebody approved that.
    pub approval: Approved,
    /// What its annotations say of a backup.
    pub backup: NamedBackup,
    /// The deadline that admission fills in, in seconds; none when it fills in none.
    pub filled_in_deadline: Option<u64>,
    /// What the rules found in it, the most severe first.
    pub findings: Vec<Noted>,
    /// Tells whether two manifests are the same; of no meaning outside of this process.
    pub fingerprint: u64,
}

/// What an object does to a database, and how that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepRisk {
    /// The most telling operation.
    pub operation: Operation,
    /// Where that comes from.
    pub basis: Basis,
}

/// How an operation is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// It was recognised.
    Found,
    /// It was recognised, and `tidegate.dev/risk` says the same.
    Confirmed,
    /// Only `tidegate.dev/risk` says so.
    Declared,
}

/// Whether a step is approved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Approved {
    /// It needs no approval.
    NotNeeded,
    /// Somebody approved it.
    Valid {
        /// Who, in the words of the annotation; null where the policy does not ask.
        by: Option<String>,
        /// Until when.
        #[schemars(with = "Option<String>")]
        until: Option<Timestamp>,
    },
    /// Nobody approved it.
    Missing,
    /// Its approval has ended.
    Expired {
        /// When.
        #[schemars(with = "String")]
        until: Timestamp,
    },
    /// Its approval does not hold.
    Invalid {
        /// Why not.
        reasons: Vec<String>,
    },
    /// Whether its approval holds cannot be told from manifests.
    Undecided {
        /// Why not.
        why: String,
    },
    /// No policy is for its namespace, so nobody asks.
    #[default]
    NoPolicy,
}

impl Approved {
    /// True when something has to be done before it may run.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Missing
            | Self::Expired { .. }
            | Self::Invalid { .. }
            | Self::Undecided { .. } => true,
            Self::NotNeeded | Self::Valid { .. } | Self::NoPolicy => false,
        }
    }
}

/// What the annotations of an object say of a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NamedBackup {
    /// Nothing.
    #[default]
    None,
    /// `tidegate.dev/backup` names one.
    Named,
    /// `tidegate.dev/backup-waiver`, inside of an approval that holds.
    Waived,
    /// A waiver that no approval covers.
    WaiverDoesNotHold,
    /// A waiver, and whether the approval around it holds cannot be told.
    WaiverUndecided,
}

/// A finding of a rule, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Noted {
    /// The rule.
    pub rule: &'static str,
    /// `deny`, `warn`, `excepted`, `existing` or `audit`.
    pub effect: &'static str,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub mend: String,
}
