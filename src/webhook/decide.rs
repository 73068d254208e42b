//! From a body to its answer, on one thread and without waiting.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
    time::Instant,
};

use jiff::Timestamp;

use super::{
    App,
    answer::Answer,
    deadline::{Deadline, share},
    decision_log::{Decision, DecisionFinding},
    engine::{Defaulted, Engine, Judgement, Noted},
    handler::{Entry, guarded},
    own, refusal,
    review::{Gvk, Parsed, Review, V1},
    spend,
};
use crate::{
    cluster::{Claim, Evidence, Lookup},
    decision::{Effect, Wants},
    metrics::{FindingLabels, OperationLabels, ReviewLabels, RuleLabels},
    model::{
        Change, ChangeOperation, Fact, Facts, GrantedApproval, GroupVersionKind, Labels,
        WorkloadKind,
    },
    telemetry::Foreign,
};

/// What a body came to.
#[derive(Debug)]
pub(super) enum Decided {
    /// An answer to send.
    Answer(Vec<u8>),
    /// Nothing that could be answered.
    NoUid,
    /// The cluster's facts are not there yet.
    NotSynced,
    /// A namespace that was perhaps created a moment ago.
    NewNamespace(String),
    /// Something has to be looked up for an object of this namespace.
    LookUp(String, Wants),
}

/// Decides as often as something had to be waited for, each at most once.
pub(super) async fn settle(
    app: &App,
    entry: Entry,
    body: &[u8],
    deadline: Deadline,
    mut stage: Stage<'_>,
) -> Decided {
    let mut evidence = None;
    loop {
        match decide(app, entry, body, deadline, stage, evidence.as_ref()) {
            Decided::NewNamespace(namespace) if !matches!(stage, Stage::Last) => {
                let patience = app.limits.new_namespace.min(deadline.patience());
                app.cluster.namespaces.wait_for(&namespace, patience).await;
                stage = Stage::Last;
            }
            Decided::LookUp(namespace, wants) if evidence.is_none() => {
                let Some(inquiry) = &app.cluster.inquiry else { return Decided::NotSynced };
                let patience = share(deadline.left(), 1, 2);
                evidence = Some(inquiry.gather(&namespace, &wants, patience).await);
            }
            decided => return decided,
        }
    }
}

/// How often this body was tried already, and whether somebody needs to know its uid early.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage<'s> {
    /// The first try.
    First,
    /// The first try, on a thread of its own: the uid is noted for an answer at the deadline.
    Noting(&'s OnceLock<String>),
    /// The last: a namespace that is still unknown is an unknown fact.
    Last,
}

/// Decides and answers; counts and logs what it answered.
fn decide(
    app: &App,
    entry: Entry,
    body: &[u8],
    deadline: Deadline,
    stage: Stage<'_>,
    evidence: Option<&Evidence>,
) -> Decided {
    let review = match Parsed::read(body) {
        Parsed::Review(review) => review,
        Parsed::Malformed { uid, version, why } => {
            return Decided::Answer(malformed(app, entry, &uid, version, why));
        }
        Parsed::NoUid => return Decided::NoUid,
    };
    if let Stage::Noting(uid) = stage {
        uid.get_or_init(|| review.uid.clone().into_owned());
    }
    if let Some(kind) = own::Kind::of(&review.kind) {
        return own(app, entry, kind, &review, deadline, stage);
    }
    if !knows_policies(app) {
        return Decided::NotSynced;
    }
    let engine = app.engines.current();
    let labels = match labels(app, engine.as_ref().as_ref(), &review, stage) {
        Ok(labels) => labels,
        Err(decided) => return decided,
    };
    let mut facts = Facts::new(borrowed(&labels));
    if let Some(Evidence { backup, config_maps }) = evidence {
        facts.named_backup = backup.clone();
        facts.config_maps = config_maps.seen_from(&review.namespace, 0);
    }
    let change = Change {
        operation: review.operation,
        namespace: &review.namespace,
        name: &review.name,
        subresource: &review.subresource,
        user: &review.user,
        object: review.object,
        old_object: review.old_object,
    };
    Decided::Answer(match entry {
        Entry::Validate => {
            let engine = engine.as_ref().as_ref();
            match validate(app, engine, &review, &change, &facts, deadline, evidence.is_some()) {
                Ok(answer) => answer,
                Err(wants) => {
                    return Decided::LookUp(review.namespace.clone().into_owned(), wants);
                }
            }
        }
        Entry::Mutate => mutate(app, engine.as_ref().as_ref(), &review, &change, &facts, deadline),
    })
}

/// Whether the policies of the cluster were read: without them the wrong ones would decide.
fn knows_policies(app: &App) -> bool {
    app.cluster.documents.as_ref().is_none_or(|them| them.waits_for().next().is_none())
}

/// Decides on a review of one of our own kinds.
fn own(
    app: &App,
    entry: Entry,
    kind: own::Kind,
    review: &Review<'_>,
    deadline: Deadline,
    stage: Stage<'_>,
) -> Decided {
    if entry == Entry::Mutate {
        let defaulted = guarded(app, || own::mutate(kind, review));
        return Decided::Answer(answer_defaulted(app, review, defaulted, deadline));
    }
    // An approval that is made is held against the policy of its namespace, the rest against nothing.
    let is_made = kind == own::Kind::Approval && review.operation == ChangeOperation::Create;
    if is_made && !knows_policies(app) {
        return Decided::NotSynced;
    }
    let engine = app.engines.current();
    let engine = engine.as_ref().as_ref();
    let labels = if is_made { labels(app, engine, review, stage) } else { Ok(Fact::NotAsked) };
    let labels = match labels {
        Ok(labels) => labels,
        Err(decided) => return decided,
    };
    let (facts, now) = (Facts::new(borrowed(&labels)), Timestamp::now());
    let grant = |granted: &GrantedApproval| engine.grant(granted, &facts, now);
    let judged = guarded(app, || own::validate(kind, review, now, &grant));
    Decided::Answer(answer(app, review, &judged.unwrap_or_else(panicked), deadline))
}

fn borrowed<T>(fact: &Fact<Arc<T>>) -> Fact<&T> {
    match fact {
        Fact::Known(known) => Fact::Known(known.as_ref()),
        Fact::Unknown(why) => Fact::Unknown(why.clone()),
        Fact::NotAsked => Fact::NotAsked,
    }
}

fn validate(
    app: &App,
    engine: &dyn Engine,
    review: &Review<'_>,
    change: &Change<'_>,
    facts: &Facts<'_>,
    deadline: Deadline,
    looked_up: bool,
) -> Result<Vec<u8>, Wants> {
    let may_look = !looked_up && app.cluster.inquiry.is_some();
    let judge = |facts: &Facts<'_>| judge(app, engine, review, change, facts, may_look);
    let judged = guarded(app, || spend::judge(app, review, facts, may_look, judge));
    let judgement = judged.unwrap_or_else(panicked);
    if may_look && !judgement.work.wants.is_empty() {
        return Err(judgement.work.wants);
    }
    Ok(answer(app, review, &judgement, deadline))
}

fn panicked() -> Judgement {
    Judgement {
        outcome: "panic",
        message: "tidegate: an internal error kept this change from being judged, so it is \
                  refused; please report it with the uid of this request"
            .to_owned(),
        ..Judgement::default()
    }
}

fn answer(app: &App, review: &Review<'_>, judgement: &Judgement, deadline: Deadline) -> Vec<u8> {
    let answer = Answer::judged(V1, &review.uid, judgement).encode();
    record(app, Entry::Validate, review, judgement.outcome, deadline);
    if !review.dry_run {
        count(app, judgement);
        let told = app.cluster.events.as_ref().filter(|_| !judgement.allowed);
        if let Some(events) = told {
            refusal::tell(events, review, judgement);
        }
        if let (false, Some(happened)) = (judgement.allowed, &app.cluster.happened) {
            refusal::remember(happened, review, judgement);
        }
    }
    log_judgement(review, judgement, deadline);
    if let Some(decisions) = &app.decisions {
        decisions.note(&judged_decision(review, judgement, deadline), &app.metrics);
    }
    answer
}

/// How often a change is judged again because another migration was let in meanwhile.
const AGAIN: usize = 3;

/// Judges a change among the migrations that run. One that is let in counts as running from here on,
/// so that of two that are judged at the same moment the second sees the first.
fn judge(
    app: &App,
    engine: &dyn Engine,
    review: &Review<'_>,
    change: &Change<'_>,
    facts: &Facts<'_>,
    may_look: bool,
) -> Judgement {
    let (now, instant) = (Timestamp::now(), Instant::now());
    let mut tries: usize = 0;
    loop {
        let active = app.cluster.jobs.active(instant);
        let migrations = match &active {
            Fact::Known(active) => Fact::Known(active.migrations.as_slice()),
            Fact::Unknown(why) => Fact::Unknown(why.clone()),
            Fact::NotAsked => Fact::NotAsked,
        };
        let judgement =
            engine.validate(change, &Facts { active_migrations: migrations, ..facts.clone() }, now);
        tries = tries.saturating_add(1);
        if may_look && !judgement.work.wants.is_empty() {
            return judgement;
        }
        let Fact::Known(seen) = &active else { return judgement };
        let Some(database) = judgement.work.database.clone() else { return judgement };
        let starts = review.operation == ChangeOperation::Create;
        if !judgement.allowed || review.dry_run || !starts || change.name.is_empty() {
            return judgement;
        }
        let claim = Claim {
            namespace: change.namespace.to_owned(),
            name: change.name.to_owned(),
            database,
        };
        if tries >= AGAIN || app.cluster.jobs.reserve(claim, seen, instant) {
            return judgement;
        }
    }
}

/// Counts what was found and what was made use of.
fn count(app: &App, judgement: &Judgement) {
    let metrics = &app.metrics;
    for Noted { rule, effect, undecided, .. } in &judgement.findings {
        metrics.findings.get_or_create(&FindingLabels { rule, effect }).inc();
        let labels = RuleLabels { rule };
        if *undecided {
            metrics.undecided.get_or_create(&labels).inc();
        }
        if *effect == Effect::Excepted.as_str() {
            metrics.exceptions_used.get_or_create(&labels).inc();
        }
    }
    if let Some(operation) = judgement.work.approved.filter(|_| judgement.allowed) {
        let labels = OperationLabels { operation: operation.as_str() };
        metrics.approvals_used.get_or_create(&labels).inc();
    }
}

fn mutate(
    app: &App,
    engine: &dyn Engine,
    review: &Review<'_>,
    change: &Change<'_>,
    facts: &Facts<'_>,
    deadline: Deadline,
) -> Vec<u8> {
    let defaulted = guarded(app, || engine.mutate(change, facts));
    answer_defaulted(app, review, defaulted, deadline)
}

fn answer_defaulted(
    app: &App,
    review: &Review<'_>,
    defaulted: Option<Defaulted>,
    deadline: Deadline,
) -> Vec<u8> {
    let defaulted = defaulted.unwrap_or(Defaulted { outcome: "panic", patch: None });
    let answer = Answer::defaulted(V1, &review.uid, Some(&defaulted)).encode();
    record(app, Entry::Mutate, review, defaulted.outcome, deadline);
    log_defaulted(review, &defaulted, deadline);
    if let Some(decisions) = &app.decisions {
        let decision = decision(Entry::Mutate, review, defaulted.outcome, deadline);
        decisions.note(&decision, &app.metrics);
    }
    answer
}

/// The labels of the review's namespace, as far as anybody needs them.
fn labels(
    app: &App,
    engine: &dyn Engine,
    review: &Review<'_>,
    stage: Stage<'_>,
) -> Result<Fact<Arc<Labels>>, Decided> {
    if review.namespace.is_empty() {
        return Ok(Fact::Known(Arc::default()));
    }
    match app.cluster.namespaces.labels(&review.namespace) {
        Lookup::Known(labels) => Ok(Fact::Known(labels)),
        // There is no cluster to ask.
        Lookup::Off(_) => Ok(Fact::NotAsked),
        // Deciding without them would let the wrong policy decide.
        Lookup::NotSynced if engine.needs_labels() => Err(Decided::NotSynced),
        Lookup::Missing if engine.needs_labels() => match stage {
            Stage::First | Stage::Noting(_) => {
                Err(Decided::NewNamespace(review.namespace.clone().into_owned()))
            }
            Stage::Last => {
                Ok(Fact::Unknown(Cow::Borrowed("the watch has not seen the namespace yet")))
            }
        },
        Lookup::NotSynced | Lookup::Missing => {
            Ok(Fact::Unknown(Cow::Borrowed("the namespaces of the cluster have not been read yet")))
        }
    }
}

/// A request with a uid and an envelope that cannot be read: never a failure of ours.
fn malformed(
    app: &App,
    entry: Entry,
    uid: &str,
    version: &'static str,
    why: &'static str,
) -> Vec<u8> {
    app.metrics.unreadable.inc();
    tracing::warn!(uid = %Foreign(uid), path = entry.as_str(), why, "review cannot be read");
    match entry {
        Entry::Validate => {
            let message = format!("tidegate: the AdmissionReview cannot be read: {why}");
            Answer::refused(version, uid, &message).encode()
        }
        Entry::Mutate => Answer::defaulted(version, uid, None).encode(),
    }
}

fn record(app: &App, entry: Entry, review: &Review<'_>, outcome: &'static str, deadline: Deadline) {
    let labels = ReviewLabels {
        path: entry.as_str(),
        operation: operation(review.operation),
        kind: kind_class(&review.kind),
        outcome,
    };
    app.metrics.answered(&labels, deadline.start.elapsed());
}

fn operation(operation: ChangeOperation) -> &'static str {
    match operation {
        ChangeOperation::Create => "CREATE",
        ChangeOperation::Update => "UPDATE",
        ChangeOperation::Delete => "DELETE",
        ChangeOperation::Connect => "CONNECT",
    }
}

/// The label of a kind in metrics: one of a fixed set.
fn kind_class(kind: &Gvk<'_>) -> &'static str {
    let gvk = GroupVersionKind { group: &kind.group, version: "", kind: &kind.kind };
    match WorkloadKind::of(&gvk) {
        WorkloadKind::Other => "other",
        WorkloadKind::Pod => "pod",
        WorkloadKind::PodTemplate => "pod-template",
        WorkloadKind::ReplicationController => "replication-controller",
        WorkloadKind::Deployment => "deployment",
        WorkloadKind::StatefulSet => "stateful-set",
        WorkloadKind::DaemonSet => "daemon-set",
        WorkloadKind::ReplicaSet => "replica-set",
        WorkloadKind::Job => "job",
        WorkloadKind::CronJob => "cron-job",
        WorkloadKind::Rollout | WorkloadKind::Experiment | WorkloadKind::Analysis => {
            "argo-rollouts"
        }
        WorkloadKind::Workflow | WorkloadKind::CronWorkflow => "argo-workflows",
        WorkloadKind::KruiseWorkload
        | WorkloadKind::BroadcastJob
        | WorkloadKind::AdvancedCronJob
        | WorkloadKind::UnitedDeployment
        | WorkloadKind::SidecarSet => "kruise",
        WorkloadKind::DeploymentConfig => "deployment-config",
        WorkloadKind::KnativeService | WorkloadKind::KnativeRevision => "knative",
        WorkloadKind::JobSet => "job-set",
        WorkloadKind::ScaledJob => "scaled-job",
    }
}

/// One line for each decision: who asked for what, and what became of it. Refusals and warnings at
/// `info`, the rest at `debug`.
fn log_judgement(review: &Review<'_>, judgement: &Judgement, deadline: Deadline) {
    macro_rules! line {
        ($log:ident) => {
            tracing::$log!(
                path = "validate",
                uid = %Foreign(&review.uid),
                operation = operation(review.operation),
                kind = %Foreign(&review.kind.kind),
                namespace = %Foreign(&review.namespace),
                name = %Foreign(&review.name),
                subresource = %Foreign(&review.subresource),
                user = %Foreign(&review.user),
                dry_run = review.dry_run,
                outcome = judgement.outcome,
                policy = judgement.policy.as_deref().unwrap_or_default(),
                rules = rules(judgement),
                elapsed_us = elapsed_us(deadline),
                "decided"
            )
        };
    }
    if judgement.outcome == "panic" {
        line!(error);
    } else if !judgement.allowed || !judgement.warnings.is_empty() {
        line!(info);
    } else {
        line!(debug);
    }
}

fn log_defaulted(review: &Review<'_>, defaulted: &Defaulted, deadline: Deadline) {
    macro_rules! line {
        ($log:ident) => {
            tracing::$log!(
                path = "mutate",
                uid = %Foreign(&review.uid),
                operation = operation(review.operation),
                kind = %Foreign(&review.kind.kind),
                namespace = %Foreign(&review.namespace),
                name = %Foreign(&review.name),
                user = %Foreign(&review.user),
                dry_run = review.dry_run,
                outcome = defaulted.outcome,
                elapsed_us = elapsed_us(deadline),
                "defaulted"
            )
        };
    }
    if defaulted.outcome == "panic" {
        line!(error);
    } else if defaulted.patch.is_some() {
        line!(info);
    } else {
        line!(debug);
    }
}

/// What the decision log says of an answer, without findings.
fn decision<'r>(
    entry: Entry,
    review: &'r Review<'_>,
    outcome: &'static str,
    deadline: Deadline,
) -> Decision<'r> {
    Decision {
        time: Timestamp::now(),
        uid: &review.uid,
        path: entry.as_str(),
        operation: operation(review.operation),
        group: &review.kind.group,
        kind: &review.kind.kind,
        namespace: &review.namespace,
        name: &review.name,
        subresource: &review.subresource,
        user: &review.user,
        dry_run: review.dry_run,
        allowed: true,
        outcome,
        policy: None,
        findings: Vec::new(),
        approved: None,
        elapsed_us: elapsed_us(deadline),
    }
}

fn judged_decision<'r>(
    review: &'r Review<'_>,
    judgement: &'r Judgement,
    deadline: Deadline,
) -> Decision<'r> {
    let findings = judgement.findings.iter().map(|noted| DecisionFinding {
        rule: noted.rule,
        effect: noted.effect,
        at: &noted.at,
        undecided: noted.undecided,
    });
    Decision {
        allowed: judgement.allowed,
        policy: judgement.policy.as_deref(),
        findings: findings.collect(),
        approved: judgement.work.approved.map(crate::detect::Operation::as_str),
        ..decision(Entry::Validate, review, judgement.outcome, deadline)
    }
}

/// The rules that found something, with what it came to, each once.
fn rules(judgement: &Judgement) -> String {
    let mut rules: Vec<String> = judgement
        .findings
        .iter()
        .map(|Noted { rule, effect, .. }| format!("{rule}={effect}"))
        .collect();
    rules.sort_unstable();
    rules.dedup();
    rules.join(",")
}

fn elapsed_us(deadline: Deadline) -> u64 {
    u64::try_from(deadline.start.elapsed().as_micros()).unwrap_or(u64::MAX)
}
