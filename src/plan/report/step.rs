//! One object applied once, with everything that is known about it.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    super::{Engine, Member, Release, Stage, Step, is_waited_for},
    Approved, Assessed, Limits, Noted, StepRisk,
};
use crate::{
    detect::{Confidence, Detection, Invocation, Operation, UNKNOWN_TOOL, sql::Class},
    model::{ContainerList, Lifetime, WorkloadKind},
};

/// One object applied once.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// In the order in which they are applied, counted from 1 in every run.
    pub number: usize,
    /// Which object.
    pub object: ObjectName,
    /// What it is in the rollout.
    pub role: Role,
    /// True when the engine runs it as a hook.
    pub hook: bool,
    /// True when Argo CD moves it away from its own wave, to where something needs it.
    pub moved: bool,
    /// What the engine waits for before it goes on.
    pub awaited: Awaited,
    /// What its containers do with databases; of a resource, what an operator does for it.
    pub work: Vec<Work>,
    /// What that comes to; null when it migrates nothing, as far as one can tell.
    pub risk: Option<StepRisk>,
    /// Whether that is approved; null when it migrates nothing.
    pub approval: Option<Approved>,
    /// What saves the data before; null when it migrates nothing, or later on by itself.
    pub backup: Option<Backup>,
    /// What bounds it; null for what keeps running, and where an operator decides.
    pub limits: Option<Limits>,
    /// The images of its main containers.
    pub images: Vec<String>,
    /// What the rules found in it, the most severe first.
    pub findings: Vec<Noted>,
    #[serde(skip)]
    pub(super) fingerprint: u64,
}

/// Which object is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectName {
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// The namespace that it is applied to; null for a cluster-scoped kind.
    pub namespace: Option<String>,
    /// Its name, or the prefix that one is generated from.
    pub name: String,
}

impl ObjectName {
    pub(super) fn of(member: &Member<'_>) -> Self {
        let object = member.object;
        Self {
            api_version: object.api_version.to_string(),
            kind: object.kind.to_string(),
            namespace: (!member.namespace.is_empty()).then(|| member.namespace.to_owned()),
            name: object.metadata.display_name().to_owned(),
        }
    }
}

impl fmt::Display for ObjectName {
    /// `Kind/name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// What an object is in a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It saves data and is done.
    Backup,
    /// It migrates and is done.
    Migration,
    /// It runs once after the application, and only reads a database or is called after a check.
    Verification,
    /// It only reads a database, before or beside the rest.
    Check,
    /// It runs once, and nobody knows what it does.
    Unrecognised,
    /// It keeps running.
    Application,
    /// It keeps running, and keeps data.
    DataStore,
    /// It starts by itself later on: a CronJob and the like.
    Scheduled,
    /// Anything else: configuration, network, access.
    Other,
}

impl Role {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Migration => "migration",
            Self::Verification => "verification",
            Self::Check => "check",
            Self::Unrecognised => "unrecognised",
            Self::Application => "application",
            Self::DataStore => "data store",
            Self::Scheduled => "scheduled",
            Self::Other => "other",
        }
    }

    fn of(member: &Member<'_>, step: &Step) -> Self {
        if member.is_migration_step() {
            return Self::Migration;
        }
        if member.is_backup() {
            return Self::Backup;
        }
        // A Pod that starts again whenever it ends is no step of a rollout.
        let keeps_running = member.object.workload == WorkloadKind::Pod && !step.hook;
        if member.runs_to_completion() && !keeps_running {
            return match (reads_only(member), step.stage) {
                (true, Stage::After) => Self::Verification,
                (true, _) => Self::Check,
                (false, Stage::After) if is_called_after_checks(member) => Self::Verification,
                (false, _) => Self::Unrecognised,
            };
        }
        match member.object.workload.lifetime() {
            _ if keeps_running => Self::Application,
            Lifetime::LongRunning if member.is_data_store() => Self::DataStore,
            Lifetime::LongRunning => Self::Application,
            Lifetime::Repeated => Self::Scheduled,
            Lifetime::Once | Lifetime::AsWritten => Self::Other,
        }
    }
}

/// True when its main containers are known to do no more than read a database. What waits before
/// them says nothing about them.
fn reads_only(member: &Member<'_>) -> bool {
    member.detections.iter().any(|it| {
        it.operation() == Operation::ReadOnly
            && it.main.confidence > Confidence::Name
            && it.container.list == ContainerList::Main
    })
}

/// True when its name says that it checks something: there are more ways to do so than tools.
fn is_called_after_checks(member: &Member<'_>) -> bool {
    let name = member.object.metadata.display_name().to_ascii_lowercase();
    name.split(|char: char| !char.is_ascii_alphanumeric()).any(|word| {
        matches!(
            word,
            "check"
                | "e2e"
                | "healthcheck"
                | "smoke"
                | "smoketest"
                | "test"
                | "tests"
                | "validate"
                | "validation"
                | "verification"
                | "verify"
        )
    })
}

/// What an engine waits for before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Awaited {
    /// Until it is complete; a failure ends the rollout.
    Complete,
    /// Until it is healthy.
    Healthy,
    /// For nothing: it counts as done when it is applied.
    Nothing,
}

impl Awaited {
    fn of(engine: Engine, member: &Member<'_>, step: &Step) -> Self {
        if !is_waited_for(engine, &member.object.gvk(), step.hook) {
            Self::Nothing
        } else if member.runs_to_completion() || member.is_backup() {
            Self::Complete
        } else {
            Self::Healthy
        }
    }
}

/// What one container does with a database, or an operator on behalf of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// Name of the container; null for an operator's resource.
    pub container: Option<String>,
    /// True for an initContainer, which runs before the rest of its Pod.
    pub init: bool,
    /// Id of the tool; null where only a script is known.
    pub tool: Option<String>,
    /// What it does.
    pub operation: Operation,
    /// How well that is known; null for an operator's resource, whose kind says it.
    pub confidence: Option<Confidence>,
    /// The words that say so: names of programs, verbs and flags; empty for an operator's resource.
    pub words: String,
    /// How dangerous the statements are that are seen, as the most dangerous of them; null where no
    /// statement is seen.
    pub statements: Option<&'static str>,
}

impl Work {
    /// What an object does, container by container.
    pub(super) fn all(member: &Member<'_>) -> Vec<Self> {
        let mut work: Vec<Self> = member.detections.iter().map(Self::of).collect();
        let own = member.asks_operator_for().filter(|_| work.is_empty());
        work.extend(own.map(|operation| Self {
            container: None,
            init: false,
            tool: None,
            operation,
            confidence: None,
            words: String::new(),
            statements: None,
        }));
        work
    }

    fn of(detection: &Detection<'_>) -> Self {
        let main = &detection.main;
        let seen = detection.invocations.iter().flat_map(Invocation::seen);
        let class = seen.map(|(_, statement)| statement.class).max();
        Self {
            container: Some(detection.container.name.to_string()),
            init: detection.container.list == ContainerList::Init,
            tool: (main.tool != UNKNOWN_TOOL).then(|| main.tool.to_owned()),
            operation: main.operation,
            confidence: Some(main.confidence),
            words: main.words.clone(),
            statements: class.map(Class::as_str),
        }
    }

    /// True when more than a name says so.
    pub fn is_certain(&self) -> bool {
        self.confidence != Some(Confidence::Name)
    }
}

/// What saves the data before a step changes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Backup {
    /// A step of the same run that is complete before.
    Step {
        /// Its number.
        number: usize,
    },
    /// Another container of the same Pod, or an earlier command of the same script.
    SamePod,
    /// `tidegate.dev/backup` names one; whether it is there cannot be told from manifests.
    Named,
    /// There is none, and `tidegate.dev/backup-waiver` gives a reason inside of an approval that
    /// holds.
    Waived,
    /// There is none, and its waiver does not hold: no approval that holds covers it.
    WaiverDoesNotHold,
    /// There is none, and whether its waiver holds cannot be told from manifests.
    WaiverUndecided,
    /// There is none among the manifests.
    None,
}

impl PlannedStep {
    pub(super) fn new(
        release: &Release<'_>,
        member: &Member<'_>,
        step: &Step,
        number: usize,
        backup: Option<Backup>,
        assessed: &Assessed,
    ) -> Self {
        let role = Role::of(member, step);
        let bounded = role <= Role::Unrecognised;
        let limits = Limits::of(release, member, step, assessed.filled_in_deadline);
        Self {
            number,
            object: ObjectName::of(member),
            role,
            hook: step.hook,
            moved: step.moved,
            awaited: Awaited::of(release.engine, member, step),
            work: Work::all(member),
            risk: assessed.risk,
            approval: assessed.risk.is_some().then(|| assessed.approval.clone()),
            backup: backup.filter(|_| role != Role::Scheduled),
            limits: limits.filter(|_| bounded),
            images: member.images().filter(|image| !image.is_empty()).map(str::to_owned).collect(),
            findings: assessed.findings.clone(),
            fingerprint: assessed.fingerprint,
        }
    }

    /// True when a reader has to see it by itself, and not only counted among others of its kind.
    pub fn stands_out(&self) -> bool {
        self.role != Role::Other || self.moved || !self.findings.is_empty() || self.risk.is_some()
    }

    /// True when it runs once, and no container of it works with a tool that is known.
    pub fn is_unrecognised(&self) -> bool {
        let once = matches!(self.role, Role::Unrecognised | Role::Verification);
        once && !self.work.iter().any(|work| work.is_certain() && !work.init)
    }

    /// True when it changes a database and is part of the rollout: a step for which a backup counts.
    pub fn migrates(&self) -> bool {
        self.risk.is_some() && self.role != Role::Scheduled
    }
}
