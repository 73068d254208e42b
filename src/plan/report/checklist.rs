//! What a reviewer has to see before a release is merged.
//!
//! A box is ticked by what the manifests prove, never because nothing speaks against it: what
//! cannot be known from manifests stays open, with what would tick it.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Backup, Basis, DifferenceKind, Plan, PlanDiff, PlannedRun, PlannedStep, Role};
use crate::{detect::Operation, plan::LeftOut};

/// One box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChecklistItem {
    /// Stable: `backward-compatible`, `destructive-alone`, `dry-run`, `backup-or-waiver` or
    /// `rollout-noted`.
    pub id: &'static str,
    /// What is asserted.
    pub text: &'static str,
    /// True when the manifests prove it.
    pub ticked: bool,
    /// What proves it; or why it is open, and what would tick it.
    pub because: String,
}

/// Whether a box is ticked, and why.
struct Answer {
    ticked: bool,
    because: String,
}

fn yes(because: impl Into<String>) -> Answer {
    Answer { ticked: true, because: because.into() }
}

fn open(because: impl Into<String>) -> Answer {
    Answer { ticked: false, because: because.into() }
}

/// The boxes of a plan. `diff` is what changes, where that is known.
pub(super) fn of(plan: &Plan, diff: Option<&PlanDiff>) -> Vec<ChecklistItem> {
    let look = Look::at(plan);
    [
        (
            "backward-compatible",
            "The migration is backward compatible: code that runs now works on the new schema",
            look.backward_compatible(),
        ),
        (
            "destructive-alone",
            "No destructive step goes together with a code change",
            look.destructive_alone(diff),
        ),
        (
            "dry-run",
            "The migration was tried in a dry run, or on a copy of the data",
            look.dry_run(),
        ),
        (
            "backup-or-waiver",
            "A backup is taken before, or a waiver says why not",
            look.backup_or_waiver(),
        ),
        ("rollout-noted", "How it is rolled out is noted for the reviewer", look.noted()),
    ]
    .into_iter()
    .map(|(id, text, Answer { ticked, because })| ChecklistItem { id, text, ticked, because })
    .collect()
}

/// What the boxes ask of a plan, looked up once.
struct Look<'p> {
    /// Steps that change a database, of an installation as of an upgrade.
    migrations: Vec<&'p PlannedStep>,
    /// A Job or Pod of which nobody knows what it does.
    unrecognised: Option<&'p PlannedStep>,
    /// A step that only reads a database before the first migration.
    check: Option<&'p PlannedStep>,
    applications: bool,
    dropped: Option<String>,
}

impl<'p> Look<'p> {
    fn at(plan: &'p Plan) -> Self {
        let main = plan.main_run();
        let first = main.and_then(|run| run.steps().position(PlannedStep::migrates));
        Self {
            migrations: plan.steps().filter(|step| step.migrates()).collect(),
            unrecognised: plan.steps().find(|step| step.is_unrecognised()),
            check: main
                .into_iter()
                .flat_map(PlannedRun::steps)
                .take(first.unwrap_or_default())
                .find(|step| matches!(step.role, Role::Check | Role::Verification)),
            applications: plan.steps().any(|step| step.role == Role::Application),
            dropped: main
                .into_iter()
                .flat_map(|run| &run.left_out)
                .find(|own| own.why == LeftOut::Dropped)
                .map(|own| own.object.to_string()),
        }
    }

    /// The answer where nothing migrates; none where something does.
    fn nothing(&self) -> Option<Answer> {
        if !self.migrations.is_empty() {
            return None;
        }
        Some(match self.unrecognised {
            None => yes("nothing in this release migrates"),
            Some(step) => open(format!(
                "what {} does is not known: look at it, or declare it with tidegate.dev/risk",
                step.object
            )),
        })
    }

    fn backward_compatible(&self) -> Answer {
        if let Some(answer) = self.nothing() {
            return answer;
        }
        let operation = |step: &PlannedStep| step.risk.map(|risk| risk.operation);
        let breaks = self.migrations.iter().find(|step| {
            operation(step).is_some_and(|it| it >= Operation::Rollback)
                || step
                    .work
                    .iter()
                    .any(|work| matches!(work.statements, Some("incompatible" | "destructive")))
        });
        if let Some(step) = breaks {
            return open(format!(
                "{} may break code that runs now ({}): expand first, contract in a later release",
                step.object,
                word(step)
            ));
        }
        let changes = self.migrations.iter().find(|step| {
            operation(step).is_none_or(Operation::is_schema_change)
                && operation(step) != Some(Operation::HistoryOnly)
        });
        match (changes, self.unrecognised) {
            (Some(step), _) => open(format!(
                "what {} changes stands in files outside of these manifests: somebody who has read \
                 them ticks it",
                step.object
            )),
            (None, Some(step)) => open(format!("what {} does is not known", step.object)),
            (None, None) => yes("no step changes the schema"),
        }
    }

    fn destructive_alone(&self, diff: Option<&PlanDiff>) -> Answer {
        if let Some(answer) = self.nothing() {
            return answer;
        }
        if !self.applications {
            return yes("no application is in this release");
        }
        if let Some(diff) = diff {
            let changes = diff.changes.iter().find(|change| {
                change.role == Role::Application && change.kind != DifferenceKind::Removed
            });
            let Some(change) = changes else {
                return yes("no application changes, compared with what is there now");
            };
            return self.destructive().map_or_else(
                || yes("no step is destructive, as they declare themselves"),
                |why| open(format!("{why}, and {} changes with it", change.object)),
            );
        }
        match self.destructive() {
            None => yes("no step is destructive, as they declare themselves"),
            Some(why) => open(format!(
                "{why}, and whether code changes with it is not known: compare with what is there \
                 now (--diff)"
            )),
        }
    }

    /// The first step that removes something or may do so, and why.
    fn destructive(&self) -> Option<String> {
        self.migrations.iter().find_map(|step| {
            let risk = step.risk?;
            let name = &step.object;
            let why = match risk.operation {
                Operation::Destructive | Operation::Contract | Operation::Rollback => {
                    format!("{name} is {}", word(step))
                }
                Operation::Declarative => format!("{name} applies a difference, which may drop"),
                Operation::Apply | Operation::Unknown if risk.basis == Basis::Found => format!(
                    "what {name} applies is not known (tidegate.dev/risk: apply on it says that it \
                     removes nothing)"
                ),
                Operation::Unknown => format!("what {name} does is not known"),
                _ => return None,
            };
            Some(why)
        })
    }

    fn dry_run(&self) -> Answer {
        if let Some(answer) = self.nothing() {
            return answer;
        }
        match self.check {
            Some(step) => open(format!(
                "{} only reads before the migration; whether that is a dry run is not known: whoever \
                 has seen one ticks it",
                step.object
            )),
            None => open("manifests do not tell: whoever has seen it ticks it"),
        }
    }

    fn backup_or_waiver(&self) -> Answer {
        if let Some(answer) = self.nothing() {
            return answer;
        }
        let mut proofs = Vec::new();
        for step in &self.migrations {
            let name = &step.object;
            let proof = match step.backup.as_ref().unwrap_or(&Backup::None) {
                Backup::Step { number } => format!("step {number} before {name}"),
                Backup::SamePod => format!("{name} saves first"),
                Backup::Waived => format!("{name} has a waiver, which is approved"),
                Backup::Named => {
                    return open(format!(
                        "{name} names a backup in tidegate.dev/backup: whoever knows that it is there \
                         ticks it"
                    ));
                }
                Backup::WaiverDoesNotHold => {
                    return open(format!("the waiver of {name} is in no approval that holds"));
                }
                Backup::WaiverUndecided => {
                    return open(format!("whether the waiver of {name} holds is not known"));
                }
                Backup::None => {
                    return open(format!(
                        "no backup is complete before {name}: take one in an earlier wave, or state \
                         a reason in tidegate.dev/backup-waiver and have it approved"
                    ));
                }
            };
            if !proofs.contains(&proof) && proofs.len() < 3 {
                proofs.push(proof);
            }
        }
        yes(proofs.join(", "))
    }

    fn noted(&self) -> Answer {
        match &self.dropped {
            Some(object) => open(format!("{object} is never applied: mend its hook annotation")),
            None => yes("this plan"),
        }
    }
}

/// What a step is, in a sentence.
fn word(step: &PlannedStep) -> &'static str {
    match step.risk.map_or(Operation::Unknown, |risk| risk.operation) {
        Operation::Contract => "a contract step",
        Operation::Rollback => "a rollback",
        other => other.as_str(),
    }
}
