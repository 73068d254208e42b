//! From the steps of a run to waves.

use std::collections::BTreeMap;

use super::{
    super::{Engine, Member, Release, Rollout, Run, Stage, Step},
    Assessed, Awaited, Backup, NotApplied, ObjectName, PlannedRun, PlannedStep, Role, Wave, Work,
    assessed::NamedBackup,
};
use crate::{
    detect::{Confidence, Operation},
    model::{ContainerList, Database},
};

/// Every run of a release, those that are alike as one.
pub(super) fn all(release: &Release<'_>, assessed: &[Assessed]) -> Vec<PlannedRun> {
    let mut groups: Vec<(&Run, Vec<Rollout>)> = Vec::new();
    for run in &release.runs {
        let alike = |known: &&mut (&Run, Vec<Rollout>)| {
            known.0.steps == run.steps && known.0.left_out == run.left_out
        };
        match groups.iter_mut().find(alike) {
            Some((_, rollouts)) => rollouts.push(run.rollout),
            None => groups.push((run, vec![run.rollout])),
        }
    }
    let planned = groups.into_iter().map(|(run, rollouts)| {
        let mut planner = Planner::new(release, assessed, rollouts);
        for step in &run.steps {
            planner.step(step);
        }
        planner.finish(run)
    });
    planned.collect()
}

/// A backup that is complete when the next batch starts.
struct Saved {
    number: usize,
    batch: usize,
    database: Option<Database>,
}

struct Planner<'p> {
    release: &'p Release<'p>,
    assessed: &'p [Assessed],
    unknown: Assessed,
    rollouts: Vec<Rollout>,
    waves: Vec<Wave>,
    /// Of the last wave.
    place: Option<(Stage, i64)>,
    /// By namespace, in order; those of one database once, the last one.
    saved: BTreeMap<&'p str, Vec<Saved>>,
    next: usize,
    /// The last wave of which something is waited for.
    awaited: Option<usize>,
}

impl<'p> Planner<'p> {
    fn new(release: &'p Release<'p>, assessed: &'p [Assessed], rollouts: Vec<Rollout>) -> Self {
        Self {
            release,
            assessed,
            unknown: Assessed::default(),
            rollouts,
            waves: Vec::new(),
            place: None,
            saved: BTreeMap::new(),
            next: 1,
            awaited: None,
        }
    }

    fn step(&mut self, step: &Step) {
        let Some(member) = self.release.members.get(step.member) else { return };
        let number = self.next;
        self.next = number.saturating_add(1);
        let assessed = self.assessed.get(step.member).unwrap_or(&self.unknown);
        let backup = assessed.risk.is_some().then(|| self.backup(member, step, assessed));
        let planned = PlannedStep::new(self.release, member, step, number, backup, assessed);
        if planned.role == Role::Backup && planned.awaited != Awaited::Nothing {
            self.save(member, step, number);
        }
        if self.place != Some((step.stage, step.wave)) {
            self.place = Some((step.stage, step.wave));
            let wave = self.wave(step);
            self.waves.push(wave);
        }
        if let Some(wave) = self.waves.last_mut() {
            if planned.awaited != Awaited::Nothing {
                self.awaited = Some(wave.number);
            }
            wave.steps.push(planned);
        }
    }

    /// A new wave, which waits for those before.
    fn wave(&self, step: &Step) -> Wave {
        let hook = step.stage != Stage::Resources;
        let helm = self.release.engine == Engine::Helm;
        let mut titles: Vec<&str> =
            self.rollouts.iter().map(|rollout| step.stage.title(*rollout)).collect();
        titles.dedup();
        let before = self.waves.last();
        let open = |own: &&PlannedStep| {
            own.awaited == Awaited::Nothing && matches!(own.role, Role::Backup | Role::Migration)
        };
        Wave {
            number: self.waves.len().saturating_add(1),
            stage: step.stage,
            title: titles.join(", "),
            wave: (!helm || hook).then_some(step.wave),
            one_by_one: helm && hook,
            after: self.awaited,
            not_awaited: before
                .iter()
                .flat_map(|wave| wave.steps.iter().filter(open))
                .map(|own| own.number)
                .collect(),
            steps: Vec::new(),
        }
    }

    fn save(&mut self, member: &Member<'p>, step: &Step, number: usize) {
        let saved = self.saved.entry(member.namespace).or_default();
        let database = member.database.clone();
        // A batch that has not ended saves nothing yet, so an earlier one stays.
        let own = |known: &Saved| known.database == database && known.batch == step.batch;
        if !saved.iter().any(own) {
            saved.push(Saved { number, batch: step.batch, database });
        }
    }

    /// The best that is known about a backup before a step.
    fn backup(&self, member: &Member<'_>, step: &Step, assessed: &Assessed) -> Backup {
        if saves_in_pod(member) {
            return Backup::SamePod;
        }
        let database = &member.database;
        let saved = self.saved.get(member.namespace).into_iter().flatten().rev();
        let earlier = saved.filter(|saved| saved.batch < step.batch).find(|saved| {
            !database.iter().zip(&saved.database).any(|(own, other)| own.differs_from(other))
        });
        if let Some(saved) = earlier {
            return Backup::Step { number: saved.number };
        }
        match assessed.backup {
            NamedBackup::Waived => Backup::Waived,
            NamedBackup::Named => Backup::Named,
            NamedBackup::WaiverDoesNotHold => Backup::WaiverDoesNotHold,
            NamedBackup::WaiverUndecided => Backup::WaiverUndecided,
            NamedBackup::None => Backup::None,
        }
    }

    fn finish(self, run: &Run) -> PlannedRun {
        let left_out = run.left_out.iter().filter_map(|(index, why)| {
            let member = self.release.members.get(*index)?;
            let assessed = self.assessed.get(*index).unwrap_or(&self.unknown);
            Some(NotApplied {
                object: ObjectName::of(member),
                why: *why,
                work: Work::all(member),
                findings: assessed.findings.clone(),
            })
        });
        let left_out = left_out.collect();
        PlannedRun { rollouts: self.rollouts, waves: self.waves, left_out }
    }
}

/// True when a container of the same Pod, or an earlier command of the same one, saves data before
/// the first that migrates.
fn saves_in_pod(member: &Member<'_>) -> bool {
    for detection in &member.detections {
        let saves =
            |operation, confidence| operation == Operation::Backup && confidence > Confidence::Name;
        if detection.is_migration() {
            let mut certain = detection
                .invocations
                .iter()
                .filter(|invocation| invocation.confidence > Confidence::Name);
            let first =
                certain.find(|it| it.operation.is_migration() || it.operation == Operation::Backup);
            return first.is_some_and(|first| first.operation == Operation::Backup);
        }
        let before = detection.container.list == ContainerList::Init;
        if before && saves(detection.operation(), detection.main.confidence) {
            return true;
        }
    }
    false
}
