//! The objects of one application, in the order in which they are rolled out.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Application, Member, Reference,
    index::Index,
    is_waited_for,
    order::{self, HelmOperation, Item},
};
use crate::model::{ArgoPhase, Hooks, WaveSource};

/// Who rolls a release out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Argo CD: phases and waves.
    ArgoCd,
    /// Helm: hooks by weight, around the resources.
    Helm,
}

impl Engine {
    /// Its name.
    pub fn title(self) -> &'static str {
        match self {
            Self::ArgoCd => "Argo CD",
            Self::Helm => "Helm",
        }
    }

    /// The engine that the objects are written for. Argo CD runs Helm's hooks too, so that only a
    /// set with nothing but those is Helm's.
    pub fn of<'m>(members: impl Iterator<Item = &'m Member<'m>>) -> Self {
        let mut helm = false;
        for member in members {
            let hooks = &member.object.hooks;
            let own = !hooks.argo.phases.is_empty() && !hooks.argo.from_helm;
            let dropped = (hooks.argo.dropped || hooks.argo.skipped) && !hooks.helm.present;
            if own || dropped || hooks.argo.wave_source == WaveSource::SyncWave {
                return Self::ArgoCd;
            }
            helm |= hooks.helm.present;
        }
        if helm { Self::Helm } else { Self::ArgoCd }
    }
}

/// What sets a rollout off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rollout {
    /// A sync of Argo CD.
    Sync,
    /// `helm install`.
    Install,
    /// `helm upgrade`.
    Upgrade,
}

impl Rollout {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Install => "install",
            Self::Upgrade => "upgrade",
        }
    }
}

/// The part of a rollout that a step belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Before the application's resources.
    Before,
    /// With them.
    Resources,
    /// After them.
    After,
    /// Only when something failed.
    OnFailure,
}

impl Stage {
    /// What the engine calls it.
    pub fn title(self, rollout: Rollout) -> &'static str {
        match (self, rollout) {
            (Self::Before, Rollout::Sync) => "PreSync",
            (Self::Resources, Rollout::Sync) => "Sync",
            (Self::After, Rollout::Sync) => "PostSync",
            (Self::OnFailure, _) => "SyncFail",
            (Self::Before, Rollout::Install) => "pre-install",
            (Self::Before, Rollout::Upgrade) => "pre-upgrade",
            (Self::Resources, _) => "resources",
            (Self::After, Rollout::Install) => "post-install",
            (Self::After, Rollout::Upgrade) => "post-upgrade",
        }
    }

    fn of(phase: ArgoPhase) -> Self {
        match phase {
            ArgoPhase::PreSync => Self::Before,
            ArgoPhase::PostSync => Self::After,
            ArgoPhase::SyncFail => Self::OnFailure,
            ArgoPhase::Sync | ArgoPhase::PreDelete | ArgoPhase::PostDelete => Self::Resources,
        }
    }
}

/// One object applied once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The place of the object among the members.
    pub member: usize,
    /// The part of the rollout.
    pub stage: Stage,
    /// The wave of Argo CD, or the weight of a Helm hook.
    pub wave: i64,
    /// Steps of one number start without waiting for each other; those of the next one after
    /// everything that is waited for is done. Counted from 0.
    pub batch: usize,
    /// True when the engine runs it as a hook.
    pub hook: bool,
    /// True when Argo CD moved it to where something needs it.
    pub moved: bool,
}

/// Why an object has no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOut {
    /// Argo CD drops it, or Helm discards it, because of a hook annotation that it does not know.
    Dropped,
    /// `Skip`.
    Skipped,
    /// It is applied when the application is deleted.
    OnDelete,
    /// A Helm hook of another event, such as a test or a rollback.
    OtherEvent,
}

/// One rollout from beginning to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What sets it off.
    pub rollout: Rollout,
    /// In the order in which they are applied. Those of [`Stage::OnFailure`] are the last.
    pub steps: Vec<Step>,
    /// Members without a step, and why.
    pub left_out: Vec<(usize, LeftOut)>,
    /// By member: the places of its steps.
    of_member: BTreeMap<usize, Vec<usize>>,
}

impl Run {
    fn new(rollout: Rollout, steps: Vec<Step>, left_out: Vec<(usize, LeftOut)>) -> Self {
        let mut of_member: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, step) in steps.iter().enumerate() {
            of_member.entry(step.member).or_default().push(place);
        }
        Self { rollout, steps, left_out, of_member }
    }

    /// The steps of a member: none when it is left out, two for a hook of two phases.
    pub fn steps_of(&self, member: usize) -> impl Iterator<Item = &Step> {
        let places = self.of_member.get(&member).into_iter().flatten();
        places.filter_map(|place| self.steps.get(*place))
    }

    /// What the engine calls the time of a step, such as `PreSync wave -1`.
    pub fn when(&self, step: &Step) -> String {
        let stage = step.stage.title(self.rollout);
        match self.rollout {
            Rollout::Sync => format!("{stage} wave {}", step.wave),
            Rollout::Install | Rollout::Upgrade => stage.to_owned(),
        }
    }
}

/// How one step stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// It is done before the other starts.
    Before,
    /// It starts before the other, and nobody waits until it is done.
    NotAwaited,
    /// Both start together.
    Together,
    /// It starts after the other.
    After,
}

/// The objects of one application.
#[derive(Debug)]
pub struct Release<'m> {
    /// Its name, where there is one.
    pub name: Option<String>,
    /// Who rolls it out.
    pub engine: Engine,
    /// The Argo CD Application that it belongs to, where the set has it.
    pub application: Option<Application>,
    /// Its objects, in the order of the input.
    pub members: Vec<Member<'m>>,
    /// A sync, or an installation and an upgrade.
    pub runs: Vec<Run>,
    index: Index<'m>,
}

impl<'m> Release<'m> {
    /// Puts objects in order. `namespace` is where objects go that name none; Argo CD counts
    /// cluster-scoped ones among these.
    pub fn new(
        name: Option<String>,
        engine: Engine,
        application: Option<Application>,
        namespace: &str,
        members: Vec<Member<'m>>,
    ) -> Self {
        let runs = runs(engine, namespace, &members);
        let last = runs.last();
        let index = Index::new(&members, |member| {
            let step = last.and_then(|run: &Run| run.steps_of(member).next());
            step.map_or(usize::MAX, |step| step.batch)
        });
        Self { name, engine, application, members, runs, index }
    }

    /// The members that migrate and are done then, in the order of the input.
    pub fn migrations(&self) -> impl Iterator<Item = (usize, &Member<'m>)> {
        self.each(self.index.migrations())
    }

    /// The members that save data, in the order of the input.
    pub fn backups(&self) -> impl Iterator<Item = (usize, &Member<'m>)> {
        self.each(self.index.backups())
    }

    /// The members that make what a Pod of a namespace refers to.
    pub fn providers(
        &self,
        namespace: &str,
        reference: &Reference<'_>,
    ) -> impl Iterator<Item = (usize, &Member<'m>)> {
        self.each(self.index.providers(namespace, reference))
    }

    fn each(&self, places: &[usize]) -> impl Iterator<Item = (usize, &Member<'m>)> {
        places.iter().filter_map(|place| Some((*place, self.members.get(*place)?)))
    }

    /// How `one` stands to `other` in the same run.
    pub fn place(&self, one: &Step, other: &Step) -> Place {
        if one.batch > other.batch {
            return Place::After;
        }
        if one.batch == other.batch {
            return Place::Together;
        }
        let waited = self
            .members
            .get(one.member)
            .is_some_and(|member| is_waited_for(self.engine, &member.object.gvk(), one.hook));
        if waited { Place::Before } else { Place::NotAwaited }
    }

    /// The applications that need what a migration does: those that run its image or use its
    /// database; where none is known to, all of its namespace.
    pub fn dependents(&self, migration: &Member<'m>) -> Vec<usize> {
        let lists = self.index.dependents(&self.members, migration);
        let all: BTreeSet<usize> = lists.into_iter().flatten().collect();
        all.into_iter().collect()
    }

    /// True when there is an application that needs what a migration does.
    pub fn has_dependents(&self, migration: &Member<'m>) -> bool {
        !self.index.dependents(&self.members, migration).is_empty()
    }

    /// The first application in the last of the runs that needs what a migration does, that `step` is
    /// not done before, and that `counts`; with its own step.
    pub fn first_too_early<'r>(
        &'r self,
        migration: &'r Member<'m>,
        step: &Step,
        counts: impl Fn(&Member<'m>, &Step) -> bool,
    ) -> Option<(&'r Member<'m>, &'r Step)> {
        let run = self.runs.last()?;
        self.index.dependents(&self.members, migration).into_iter().find_map(|list| {
            let starts = list.filter_map(|application| {
                Some((self.members.get(application)?, run.steps_of(application).next()?))
            });
            // They are in the order in which they start: what one is done before, the next is too.
            let mut early =
                starts.take_while(|(_, start)| self.place(step, start) != Place::Before);
            early.find(|(application, start)| counts(application, start))
        })
    }

    /// How often a container of a Job may be started for one release, at most: retries of the sync
    /// times those of the Job. None where a limit is not known.
    pub fn most_runs(&self, member: &Member<'_>) -> Option<u64> {
        let job = member.object.templates.first()?.job.as_ref()?;
        // The API server's default.
        let retries = u64::try_from(job.backoff_limit.unwrap_or(6)).ok()?;
        let syncs = match (&self.application, self.engine) {
            (Some(application), Engine::ArgoCd) => u64::from(application.retries()?),
            (None, Engine::ArgoCd) => return None,
            (_, Engine::Helm) => 0,
        };
        Some(syncs.saturating_add(1).saturating_mul(retries.saturating_add(1)))
    }
}

fn runs(engine: Engine, namespace: &str, members: &[Member<'_>]) -> Vec<Run> {
    let items: Vec<Item<'_>> = members
        .iter()
        .map(|member| {
            let gvk = member.object.gvk();
            let defines = member.defines.as_ref();
            Item {
                group: gvk.group,
                kind: gvk.kind,
                namespace: if member.namespace.is_empty() { namespace } else { member.namespace },
                name: member.object.metadata.display_name(),
                hooks: &member.object.hooks,
                defines: defines.map(|(group, kind)| (group.as_str(), kind.as_str())),
            }
        })
        .collect();
    match engine {
        Engine::ArgoCd => vec![sync(&items)],
        Engine::Helm => vec![
            helm(&items, Rollout::Install, HelmOperation::Install),
            helm(&items, Rollout::Upgrade, HelmOperation::Upgrade),
        ],
    }
}

fn sync(items: &[Item<'_>]) -> Run {
    let order = order::argocd(items);
    let mut steps: Vec<Step> = Vec::with_capacity(order.tasks.len());
    for task in &order.tasks {
        let stage = Stage::of(task.phase);
        let batch = steps.last().map_or(0, |last| {
            let same = (last.stage, last.wave) == (stage, task.wave);
            if same { last.batch } else { last.batch.saturating_add(1) }
        });
        let (member, wave, hook, moved) = (task.item, task.wave, task.hook, task.moved);
        steps.push(Step { member, stage, wave, batch, hook, moved });
    }
    let why = |list: Vec<usize>, why| list.into_iter().map(move |member| (member, why));
    // Helm knows what the hook is for, and a sync has no such event.
    let is_other = |member: &usize| {
        items.get(*member).is_some_and(|item| {
            let Hooks { argo, helm } = item.hooks;
            argo.unknown.is_empty() && helm.present && !helm.discarded
        })
    };
    let (other, dropped) = order.dropped.into_iter().partition(is_other);
    let left_out = why(dropped, LeftOut::Dropped)
        .chain(why(other, LeftOut::OtherEvent))
        .chain(why(order.skipped, LeftOut::Skipped))
        .chain(why(order.on_delete, LeftOut::OnDelete))
        .collect();
    Run::new(Rollout::Sync, steps, left_out)
}

fn helm(items: &[Item<'_>], rollout: Rollout, operation: HelmOperation) -> Run {
    let order = order::helm(items, operation);
    let weight = |member: usize| items.get(member).map_or(0, |item| item.hooks.helm.weight);
    let mut steps: Vec<Step> = Vec::new();
    let next = |steps: &[Step]| steps.last().map_or(0, |last| last.batch.saturating_add(1));
    let hook = |steps: &[Step], member, stage| Step {
        member,
        stage,
        wave: weight(member),
        // One after the other.
        batch: next(steps),
        hook: true,
        moved: false,
    };
    for member in order.before {
        steps.push(hook(&steps, member, Stage::Before));
    }
    let batch = next(&steps);
    for member in order.resources {
        let stage = Stage::Resources;
        steps.push(Step { member, stage, wave: 0, batch, hook: false, moved: false });
    }
    for member in order.after {
        steps.push(hook(&steps, member, Stage::After));
    }
    let why = |list: Vec<usize>, why| list.into_iter().map(move |member| (member, why));
    let left_out = why(order.discarded, LeftOut::Dropped)
        .chain(why(order.other_events, LeftOut::OtherEvent))
        .collect();
    Run::new(rollout, steps, left_out)
}
