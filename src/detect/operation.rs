//! What a container does to a database, and how well we know.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one command does to a database.
///
/// The order is the order of precedence: of the commands of one container, the greatest speaks for
/// it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Reads or waits: status, lint, dry run, listing, verification.
    ReadOnly,
    /// Saves data elsewhere.
    Backup,
    /// Changes rows: backfill, seed.
    Data,
    /// Touches only the tool's own bookkeeping, or breaks its lock.
    HistoryOnly,
    /// Runs forward migrations; what they do is in files that nobody showed us.
    Apply,
    /// A migration is recognised, its effect is not.
    Unknown,
    /// Compares a model with the live schema and applies the difference, which may drop.
    Declarative,
    /// Reverts one or more steps.
    Rollback,
    /// The second half of expand and contract: removes what old code still needs.
    Contract,
    /// Drops or empties by design, or reverts everything.
    Destructive,
}

impl Operation {
    /// True for everything that changes schema, data or history.
    pub fn is_migration(self) -> bool {
        !matches!(self, Self::ReadOnly | Self::Backup)
    }

    /// True for everything that changes the schema or may do so: not for data alone.
    pub fn is_schema_change(self) -> bool {
        self.is_migration() && self != Self::Data
    }

    /// The operation that `tidegate.dev/risk` declares with a word; none for another word.
    pub fn from_declared(word: &str) -> Option<Self> {
        let declarable = [
            Self::Destructive,
            Self::Contract,
            Self::Rollback,
            Self::Declarative,
            Self::Unknown,
            Self::Apply,
            Self::HistoryOnly,
            Self::Data,
        ];
        declarable.into_iter().find(|operation| operation.as_str() == word.trim())
    }

    /// The word, as it is in labels, metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Backup => "backup",
            Self::Data => "data",
            Self::HistoryOnly => "history-only",
            Self::Apply => "apply",
            Self::Unknown => "unknown",
            Self::Declarative => "declarative",
            Self::Rollback => "rollback",
            Self::Contract => "contract",
            Self::Destructive => "destructive",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How well we know what a container does; greater is better.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Something is called like it. A hint: it never refuses anything.
    Name,
    /// A variable that a known image acts on.
    Env,
    /// What a known image does without a command.
    Image,
    /// The command says so.
    Command,
}

impl Confidence {
    /// The word, as it is in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Env => "env",
            Self::Image => "image",
            Self::Command => "command",
        }
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
