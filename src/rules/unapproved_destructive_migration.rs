//! `unapproved-destructive-migration`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Rule, Topic, configure, example, gate, parameters,
};
use crate::detect::Operation;

pub(super) static RULE: Rule = Rule {
    id: "unapproved-destructive-migration",
    summary: "a destructive migration has no approval that holds",
    why: "Dropping, renaming, truncating, resetting or cleaning cannot be undone: code that is still \
          running breaks at once, and data is gone. Whoever merges a pull request rarely sees that \
          this is what it will do.",
    fix: "Release the code that no longer needs the old schema first, take a backup, and have the \
          destructive step approved: `tidegate approve` prints the annotations, and the refusal \
          names the digest and the namespace that they must hold.",
    sources: &[
        "https://martinfowler.com/bliki/ParallelChange.html",
        "https://www.postgresql.org/docs/current/sql-altertable.html",
    ],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Destructive,
    places: Place::EVERYWHERE,
    example: example!("unapproved-destructive-migration"),
    configure: configure::<UnapprovedDestructiveMigration>,
    parameters: parameters::<UnapprovedDestructiveMigration>,
};

/// The rule's parameters.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct UnapprovedDestructiveMigration {
    /// Whether the second half of expand and contract counts as destructive.
    include_contract: bool,
}

impl Default for UnapprovedDestructiveMigration {
    fn default() -> Self {
        Self { include_contract: true }
    }
}

impl Check for UnapprovedDestructiveMigration {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        gate(&RULE, context, findings, |operation| match operation {
            // An unknown one needs an approval only where `approvals.operations` names it.
            Operation::Destructive | Operation::Unknown => true,
            Operation::Contract => self.include_contract,
            _ => false,
        });
    }
}
