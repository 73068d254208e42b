//! A rollout put into words: what is applied when, what it does, and what is known about it.
//!
//! ```text
//! Release + Assessed of each member -> Plan { runs -> waves -> steps, risk, checklist }
//! Plan + Plan -> PlanDiff
//! ```
//!
//! A [`Plan`] is plain data, the same for every format. What is not known is said as such: nothing
//! here is left out because a manifest does not tell it.

mod assessed;
mod checklist;
mod diff;
mod limits;
mod run;
mod step;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Engine, LeftOut, Release, Rollout, Stage};
use crate::detect::Operation;

pub use assessed::{Approved, Assessed, Basis, NamedBackup, Noted, StepRisk};
pub use checklist::ChecklistItem;
pub use diff::{Difference, DifferenceKind, PlanDiff, Shift};
pub use limits::{Attempts, Deadline, Limits};
pub use step::{Awaited, Backup, ObjectName, PlannedStep, Role, Work};

/// How one release is rolled out.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The application that the objects belong to, where the manifests tell.
    pub name: Option<String>,
    /// Who rolls it out.
    pub engine: Engine,
    /// What the Argo CD Application says about the sync; null where none is among the manifests.
    pub application: Option<SyncPolicy>,
    /// How many objects belong to it.
    pub objects: usize,
    /// What it does to databases, as a whole.
    pub risk: ReleaseRisk,
    /// A sync of Argo CD; or an installation and an upgrade with Helm, as one where they are alike.
    pub runs: Vec<PlannedRun>,
    /// What else to know: what an engine does that a manifest does not show.
    pub notes: Vec<PlanNote>,
    /// What a reviewer has to see before it is merged.
    pub checklist: Vec<ChecklistItem>,
}

/// Something to know of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanNote {
    /// A word for it that stays the same.
    pub id: &'static str,
    /// The object that it is about; null where it is about all of them.
    pub object: Option<ObjectName>,
    /// What is so.
    pub text: String,
}

/// What an Argo CD Application says about its sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncPolicy {
    /// Its name.
    pub name: String,
    /// True when it syncs by itself.
    pub automated: bool,
    /// True when what drifted is put back: without hooks.
    pub self_heal: bool,
    /// True when what is no longer in the set is deleted.
    pub prune: bool,
    /// How often a failed sync is tried again; null when without limit.
    pub retries: Option<u32>,
}

/// What a whole release does to databases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseRisk {
    /// The most telling operation of all steps; null when nothing is recognised as a migration.
    pub operation: Option<Operation>,
    /// The object that does it.
    pub object: Option<ObjectName>,
    /// How many Jobs and Pods run of which nobody knows what they do.
    pub unrecognised: usize,
}

/// One rollout from beginning to end.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRun {
    /// What sets it off; several where they are alike.
    pub rollouts: Vec<Rollout>,
    /// In order.
    pub waves: Vec<Wave>,
    /// What is never applied by it, and why.
    pub left_out: Vec<NotApplied>,
}

/// Steps of one phase and wave, or hooks of one weight.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Wave {
    /// Counted from 1.
    pub number: usize,
    /// The part of the rollout.
    pub stage: Stage,
    /// What the engine calls that part, such as `PreSync`.
    pub title: String,
    /// The sync wave, or the weight of Helm hooks; null where the engine knows none.
    pub wave: Option<i64>,
    /// True when its steps run one after another, as Helm's hooks do; otherwise they start together.
    pub one_by_one: bool,
    /// The last wave that has to be done before; null when nobody waits for anything.
    pub after: Option<usize>,
    /// Numbers of the backups and migrations of the wave before that nobody waits for.
    pub not_awaited: Vec<usize>,
    /// In the order in which they are applied.
    pub steps: Vec<PlannedStep>,
}

/// An object that a rollout leaves out.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotApplied {
    /// Which one.
    pub object: ObjectName,
    /// Why.
    pub why: LeftOut,
    /// What it would do to a database.
    pub work: Vec<Work>,
    /// What the rules found in it.
    pub findings: Vec<Noted>,
}

impl Plan {
    /// The plan of a release. `assessed` has what is known about each member, by its place; what is
    /// missing there is taken to be unknown.
    pub fn of(release: &Release<'_>, assessed: &[Assessed]) -> Self {
        let runs = run::all(release, assessed);
        let application = release.application.as_ref().map(|own| SyncPolicy {
            name: own.name.clone(),
            automated: own.automated,
            self_heal: own.self_heal,
            prune: own.prune,
            retries: own.retries(),
        });
        let notes = release.notes().into_iter().map(|note| PlanNote {
            id: note.id,
            object: note.member.and_then(|it| release.members.get(it)).map(ObjectName::of),
            text: note.text,
        });
        let mut plan = Self {
            name: release.name.clone(),
            engine: release.engine,
            application,
            objects: release.members.len(),
            risk: ReleaseRisk::of(&runs),
            runs,
            notes: notes.collect(),
            checklist: Vec::new(),
        };
        plan.checklist = checklist::of(&plan, None);
        plan
    }

    /// Fills in the checklist again, now that it is known what was there before.
    pub fn check_against(&mut self, diff: &PlanDiff) {
        self.checklist = checklist::of(self, Some(diff));
    }

    /// The run that a change of what is there goes through: a sync or an upgrade.
    pub fn main_run(&self) -> Option<&PlannedRun> {
        let upgrades = |run: &&PlannedRun| !run.rollouts.contains(&Rollout::Install);
        let both = |run: &&PlannedRun| run.rollouts.len() > 1;
        let mut runs = self.runs.iter();
        runs.clone().find(both).or_else(|| runs.clone().find(upgrades)).or_else(|| runs.next())
    }

    /// Every step of every run.
    pub fn steps(&self) -> impl Iterator<Item = &PlannedStep> {
        self.runs.iter().flat_map(PlannedRun::steps)
    }
}

impl PlannedRun {
    /// Every step, in order.
    pub fn steps(&self) -> impl Iterator<Item = &PlannedStep> {
        self.waves.iter().flat_map(|wave| &wave.steps)
    }
}

impl ReleaseRisk {
    fn of(runs: &[PlannedRun]) -> Self {
        let mut risk = Self { operation: None, object: None, unrecognised: 0 };
        for run in runs {
            let mut unrecognised: usize = 0;
            // What a schedule does later is no part of the rollout.
            for step in run.steps().filter(|step| step.role != Role::Scheduled) {
                if step.is_unrecognised() {
                    unrecognised = unrecognised.saturating_add(1);
                }
                let operation = step.risk.map(|own| own.operation);
                if operation > risk.operation {
                    risk.operation = operation;
                    risk.object = Some(step.object.clone());
                }
            }
            risk.unrecognised = risk.unrecognised.max(unrecognised);
        }
        risk
    }
}
