//! `unapproved-rollback`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Rule, Topic, configure, example, gate, parameters,
};
use crate::detect::Operation;

pub(super) static RULE: Rule = Rule {
    id: "unapproved-rollback",
    summary: "a migration is reverted without an approval that holds",
    why: "A down migration is rarely tested, usually drops what the up migration added, and with it \
          every row that was written since. Run by mistake, or a second time by a retry, it takes \
          away one step more.",
    fix: "Prefer a new forward migration. Where the rollback is meant, have it approved: \
          `tidegate approve` prints the annotations. Set `backoffLimit: 0`.",
    sources: &[
        "https://documentation.red-gate.com/fd/undo-184127461.html",
        "https://argo-cd.readthedocs.io/en/stable/user-guide/auto_sync/",
    ],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Destructive,
    places: Place::EVERYWHERE,
    example: example!("unapproved-rollback"),
    configure: configure::<UnapprovedRollback>,
    parameters: parameters::<UnapprovedRollback>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct UnapprovedRollback {}

impl Check for UnapprovedRollback {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        gate(&RULE, context, findings, |operation| operation == Operation::Rollback);
    }
}
