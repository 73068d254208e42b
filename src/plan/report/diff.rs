//! What a change of the manifests adds to a rollout, takes from it and changes in it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::{Approved, Backup, Deadline, ObjectName, Plan, PlannedStep, ReleaseRisk, Role, Wave};
use crate::plan::Stage;

/// What changes in the rollout of one release.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanDiff {
    /// The application that the objects belong to, where the manifests tell.
    pub name: Option<String>,
    /// What the release did to databases; null where it was not there.
    pub risk_before: Option<ReleaseRisk>,
    /// What it does now; null where it is gone.
    pub risk_after: Option<ReleaseRisk>,
    /// Objects that are new, gone or different: in the order of the new rollout, then those that
    /// are gone.
    pub changes: Vec<Difference>,
    /// How many objects stay as they are.
    pub unchanged: usize,
}

/// An object that is new, gone or different.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Which of them.
    pub kind: DifferenceKind,
    /// The object.
    pub object: ObjectName,
    /// What it is in the rollout; what it was, where it is gone.
    pub role: Role,
    /// Where it is applied, such as `PreSync wave 0`; where it was, where it is gone.
    pub place: String,
    /// What is different; empty unless it changed.
    pub shifts: Vec<Shift>,
}

/// Whether an object is new, gone or different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is different.
    Changed,
}

/// One thing that is different about an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shift {
    /// What: `place`, `does`, `risk`, `approval`, `backup`, `deadline`, `runs`, `image`, or
    /// `manifest` where nothing of these is different.
    pub what: &'static str,
    /// What it was; empty for a manifest.
    pub before: String,
    /// What it is; empty for a manifest.
    pub after: String,
}

/// A step and where it stands.
type Placed<'p> = (&'p Wave, &'p PlannedStep);
/// An object in one part of a rollout: one of two phases is two of these.
type Key<'p> = (&'p ObjectName, Option<Stage>);

impl PlanDiff {
    /// What is different between the plans of one release.
    pub fn between(before: Option<&Plan>, after: Option<&Plan>) -> Self {
        let (old, new) = (placed(before), placed(after));
        let known: BTreeMap<Key<'_>, Placed<'_>> = old.iter().copied().collect();
        let mut changes = Vec::new();
        let mut unchanged: usize = 0;
        let mut seen: BTreeSet<Key<'_>> = BTreeSet::new();
        for (key, (wave, step)) in &new {
            seen.insert(*key);
            let difference = |kind, shifts| Difference {
                kind,
                object: step.object.clone(),
                role: step.role,
                place: wave.place(),
                shifts,
            };
            match known.get(key) {
                None => changes.push(difference(DifferenceKind::Added, Vec::new())),
                Some(was) => {
                    let shifts = shifts(*was, (wave, step));
                    if shifts.is_empty() {
                        unchanged = unchanged.saturating_add(1);
                    } else {
                        changes.push(difference(DifferenceKind::Changed, shifts));
                    }
                }
            }
        }
        changes.extend(old.iter().filter(|(key, _)| !seen.contains(key)).map(
            |(_, (wave, step))| Difference {
                kind: DifferenceKind::Removed,
                object: step.object.clone(),
                role: step.role,
                place: wave.place(),
                shifts: Vec::new(),
            },
        ));
        Self {
            name: after.or(before).and_then(|plan| plan.name.clone()),
            risk_before: before.map(|plan| plan.risk.clone()),
            risk_after: after.map(|plan| plan.risk.clone()),
            changes,
            unchanged,
        }
    }
}

impl Wave {
    /// Where it is in the rollout: `PreSync wave 0`, `pre-upgrade weight -5`, `resources`.
    pub fn place(&self) -> String {
        let word = if self.one_by_one { "weight" } else { "wave" };
        match self.wave {
            Some(wave) => format!("{} {word} {wave}", self.title),
            None => self.title.clone(),
        }
    }
}

/// The steps of the run that a change goes through. An object that moves to another phase is the same
/// object there, unless it runs in several.
fn placed(plan: Option<&Plan>) -> Vec<(Key<'_>, Placed<'_>)> {
    let run = plan.and_then(Plan::main_run);
    let steps: Vec<Placed<'_>> = run
        .into_iter()
        .flat_map(|run| &run.waves)
        .flat_map(|wave| wave.steps.iter().map(move |step| (wave, step)))
        .collect();
    let mut count: BTreeMap<&ObjectName, usize> = BTreeMap::new();
    for (_, step) in &steps {
        let times = count.entry(&step.object).or_default();
        *times = times.saturating_add(1);
    }
    let key = |(wave, step): Placed<'_>| {
        count.get(&step.object).is_some_and(|times| *times > 1).then_some(wave.stage)
    };
    steps.iter().map(|placed| ((&placed.1.object, key(*placed)), *placed)).collect()
}

/// What is different about a step.
fn shifts((from, old): Placed<'_>, (to, new): Placed<'_>) -> Vec<Shift> {
    let does = |step: &PlannedStep| {
        let words: Vec<&str> = step.work.iter().map(|work| work.words.as_str()).collect();
        words.join(", ")
    };
    let risk =
        |step: &PlannedStep| step.risk.map_or("none", |risk| risk.operation.as_str()).to_owned();
    let images = |step: &PlannedStep| step.images.join(", ");
    let mut shifts: Vec<Shift> = [
        ("place", from.place(), to.place()),
        ("does", does(old), does(new)),
        ("risk", risk(old), risk(new)),
        ("approval", approval(old), approval(new)),
        ("backup", backup(old), backup(new)),
        ("deadline", deadline(old), deadline(new)),
        ("runs", runs(old), runs(new)),
        ("image", images(old), images(new)),
    ]
    .into_iter()
    .filter(|(_, before, after)| before != after)
    .map(|(what, before, after)| Shift { what, before, after })
    .collect();
    if shifts.is_empty() && old.fingerprint != new.fingerprint {
        shifts.push(Shift { what: "manifest", before: String::new(), after: String::new() });
    }
    shifts
}

fn approval(step: &PlannedStep) -> String {
    let Some(approval) = &step.approval else { return "not needed".to_owned() };
    match approval {
        Approved::NotNeeded => "not needed".to_owned(),
        Approved::Valid { by, until } => {
            let by = by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
            let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
            format!("valid{by}{until}")
        }
        Approved::Missing => "missing".to_owned(),
        Approved::Expired { until } => format!("expired at {until}"),
        Approved::Invalid { .. } => "does not hold".to_owned(),
        Approved::Undecided { .. } => "not known".to_owned(),
        Approved::NoPolicy => "no policy".to_owned(),
    }
}

/// Without the number of a step, which changes with what stands before it.
fn backup(step: &PlannedStep) -> String {
    match step.backup {
        None => "",
        Some(Backup::Step { .. }) => "in an earlier step",
        Some(Backup::SamePod) => "in the same Pod",
        Some(Backup::Named) => "named",
        Some(Backup::Waived) => "waived",
        Some(Backup::WaiverDoesNotHold) => "a waiver that does not hold",
        Some(Backup::WaiverUndecided) => "a waiver of which nothing is known",
        Some(Backup::None) => "none",
    }
    .to_owned()
}

fn deadline(step: &PlannedStep) -> String {
    match step.limits.as_ref().map(|limits| limits.deadline) {
        None => String::new(),
        Some(Deadline::Job { seconds, .. }) => format!("{seconds} s"),
        Some(Deadline::Pod { seconds }) => format!("{seconds} s a Pod"),
        Some(Deadline::None) => "none".to_owned(),
    }
}

fn runs(step: &PlannedStep) -> String {
    let Some(limits) = &step.limits else { return String::new() };
    limits.runs.map_or_else(|| "not bounded".to_owned(), |runs| runs.to_string())
}
