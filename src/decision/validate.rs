//! The verdict on one change.

use std::{borrow::Cow, collections::BTreeSet};

use jiff::Timestamp;

use super::{
    controllers,
    create::Looked,
    settle::{Terms, effect},
    verdict::{Judged, Outcome, Verdict, Wants, Work},
};
use crate::{
    detect::Detection,
    model::{
        BackupReference, Change, ChangeOperation, Fact, Facts, Object, ParseError, WorkloadKind,
    },
    policy::{
        CustomSubject, ExceptionSet, Policy, PolicySet, Subject, UNREADABLE_OBJECT, assess,
        config_maps,
    },
    rules::{self, Approval, Context, Findings, Level, Standing},
};

/// Judges one change.
///
/// Total: it never fails and never panics, and the same arguments always give the same verdict.
pub fn validate(
    policies: &PolicySet,
    change: &Change<'_>,
    facts: &Facts<'_>,
    now: Timestamp,
) -> Verdict {
    validate_looked(policies, change, facts, now, None)
}

/// The same for an object that was `looked` at already, with the ConfigMaps of the facts.
pub(super) fn validate_looked(
    policies: &PolicySet,
    change: &Change<'_>,
    facts: &Facts<'_>,
    now: Timestamp,
    looked: Option<Looked<'_>>,
) -> Verdict {
    if !is_judged(change) {
        return Verdict::plain(Outcome::NotJudged);
    }
    let selection = policies.select(change.namespace, facts);
    let Some(policy) = selection.policy else { return Verdict::plain(Outcome::NoPolicy) };
    let judge = Judge {
        change,
        policy,
        exceptions: policies.exceptions(),
        uncertain: selection.uncertain,
        facts,
        now,
    };
    let parsed;
    let looked = if let Some(looked) = looked {
        looked
    } else {
        parsed = match judge.read() {
            Ok(Some(object)) => object,
            Ok(None) => return Verdict::plain(Outcome::Unchanged),
            Err(error) => return judge.unreadable(change, &error),
        };
        Looked { object: &parsed, detections: None }
    };
    let object = looked.object;
    if object.templates.is_empty()
        && object.resource.is_none()
        && object.hooks == crate::model::Hooks::default()
    {
        return Verdict::plain(Outcome::NotJudged);
    }
    if controllers::is_child(&policy.controllers, change, object) {
        return Verdict::plain(Outcome::ControllerChild);
    }
    judge.object(looked)
}

/// CREATE and UPDATE of the object itself, and the containers that `kubectl debug` adds.
fn is_judged(change: &Change<'_>) -> bool {
    matches!(change.operation, ChangeOperation::Create | ChangeOperation::Update)
        && matches!(change.subresource, "" | "ephemeralcontainers")
}

struct Judge<'j> {
    change: &'j Change<'j>,
    policy: &'j Policy,
    exceptions: &'j ExceptionSet,
    uncertain: bool,
    facts: &'j Facts<'j>,
    now: Timestamp,
}

impl<'j> Judge<'j> {
    /// The object of the change; none when an update changes nothing that anything reads.
    fn read(&self) -> Result<Option<Object<'j>>, ParseError> {
        let json = self.change.object.unwrap_or_default();
        match self.updated() {
            Some(old) => Object::parse_changed(json, old),
            None => Object::parse(json).map(Some),
        }
    }

    /// What the object was before an update.
    fn updated(&self) -> Option<&'j str> {
        self.change.old_object.filter(|_| self.change.operation == ChangeOperation::Update)
    }

    fn object(&self, looked: Looked<'_>) -> Verdict {
        let object = looked.object;
        let updated = self.updated();
        let json = self.change.object.unwrap_or_default();
        let (findings, work) = self.run(looked, json, updated);
        if findings.found.is_empty() && findings.undecided.is_empty() {
            return Verdict { work, ..self.verdict(Vec::new(), String::new()) };
        }
        let old = updated.and_then(|json| Some((Object::parse(json).ok()?, json)));
        let had = match &old {
            Some((old, json)) if !resumes(old, object) => {
                self.run(Looked { object: old, detections: None }, json, None).0
            }
            _ => Findings::default(),
        };
        let known: BTreeSet<_> = had.found.iter().map(|had| (had.rule, had.key.as_str())).collect();
        let terms = Terms {
            policy: self.policy,
            exceptions: self.exceptions,
            uncertain: self.uncertain,
            namespace: self.change.namespace,
            now: self.now,
        };
        let judged = terms.settle(object, findings, &known);
        let name = if self.change.name.is_empty() {
            object.metadata.display_name()
        } else {
            self.change.name
        };
        Verdict { work, ..self.verdict(judged, format!("{}/{name}", object.kind)) }
    }

    /// What every rule finds in an object, whose text is `json`, and what it does to a database; `old`
    /// is what it was before.
    fn run(&self, looked: Looked<'_>, json: &str, old: Option<&str>) -> (Findings, Work) {
        let object = looked.object;
        let found;
        let detections = if let Some(detections) = looked.detections {
            detections
        } else {
            found = self.policy.detector.detect(object, self.facts.config_maps);
            &found
        };
        let subject = Subject {
            object,
            detections,
            facts: self.facts,
            namespace: self.change.namespace,
            requester: self.change.user,
            now: self.now,
        };
        let approval = assess(&self.policy.approvals, &subject);
        let context = Context {
            object,
            namespace: self.change.namespace,
            is_update: self.change.operation == ChangeOperation::Update,
            detector: &self.policy.detector,
            detections,
            approval: &approval,
            facts: self.facts,
            now: self.now,
        };
        let mut findings = Findings::default();
        for configured in &self.policy.rules {
            configured.check.check(&context, &mut findings);
        }
        let subject = CustomSubject {
            object,
            json,
            old,
            namespace: self.change.namespace,
            user: self.change.user,
            detections,
            facts: self.facts,
        };
        self.policy.custom.run(&subject, &mut findings);
        (findings, self.work(object, detections, &approval))
    }

    fn work(&self, object: &Object<'_>, detections: &[Detection<'_>], approval: &Approval) -> Work {
        let valid = approval.standings().filter(|(_, standing)| **standing == Standing::Valid);
        let in_cluster = self.facts.active_migrations != Fact::NotAsked;
        let work = Work {
            approved: valid.map(|(operation, _)| operation).max(),
            uid: object.metadata.uid.to_string(),
            granted: approval.granted(|_| true),
            spent: approval.granted(|grant| grant.single_use),
            wanted_digest: approval.wanted_digest().map(str::to_owned),
            ..Work::default()
        };
        // Without a cluster there is nothing to run beside and nothing to look up.
        if !in_cluster || !detections.iter().any(Detection::is_migration) {
            return work;
        }
        let is_job = object.workload == WorkloadKind::Job;
        let database = || rules::migrated_database(object, self.change.namespace, detections);
        Work {
            database: is_job.then(database).flatten(),
            wants: self.wants(object, detections, approval),
            ..work
        }
    }

    /// What nobody has looked up yet and the rules would make use of.
    fn wants(
        &self,
        object: &Object<'_>,
        detections: &[Detection<'_>],
        approval: &Approval,
    ) -> Wants {
        let mut wants = Wants::default();
        if self.facts.config_maps.is_none() {
            wants.config_maps = config_maps(object).into_iter().map(str::to_owned).collect();
        }
        if self.facts.named_backup == Fact::NotAsked && rules::destroys(detections, approval) {
            wants.backup = approval.backup().and_then(BackupReference::parse);
        }
        wants
    }

    /// An object that Kubernetes' own API serves and that we cannot read is refused under a policy
    /// that refuses: something is hidden in it. The shape of a custom resource is its author's to
    /// change, so that one is let in with a warning.
    fn unreadable(&self, change: &Change<'_>, error: &ParseError) -> Verdict {
        if let (ChangeOperation::Update, Some(old)) = (change.operation, change.old_object)
            && Object::parse(old).is_err()
        {
            return Verdict::plain(Outcome::Unchanged);
        }
        let mut level = self.policy.level;
        if is_custom(change.object.unwrap_or_default()) {
            level = level.min(Level::Warn);
        }
        if self.uncertain {
            level = level.min(self.policy.on_undecided.level());
        }
        if level == Level::Off {
            return self.verdict(Vec::new(), String::new());
        }
        let name = if change.name.is_empty() { "object" } else { change.name };
        let judged = Judged {
            rule: UNREADABLE_OBJECT,
            level,
            effect: effect(level),
            at: error.path.clone(),
            evidence: String::new(),
            what: Cow::Owned(format!("the object cannot be read: {}", error.message)),
            mend: "give the field the type that its API documents".into(),
            repair: None,
            undecided: self.uncertain,
            excuse: None,
            line: String::new(),
        };
        self.verdict(vec![judged], name.to_owned())
    }

    fn verdict(&self, findings: Vec<Judged>, subject: String) -> Verdict {
        Verdict::of(findings, subject, self.policy.name.clone())
    }
}

/// True when the update lets a suspended Job run: only now does it do what it was admitted with.
fn resumes(old: &Object<'_>, new: &Object<'_>) -> bool {
    let suspended = |object: &Object<'_>| {
        object.templates.iter().filter_map(|template| template.job.as_ref()).any(|job| job.suspend)
    };
    suspended(old) && !suspended(new)
}

/// True for a kind that is not one of Kubernetes' own; one that cannot be told counts as one of them.
fn is_custom(json: &str) -> bool {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        api_version: String,
    }
    let group = serde_json::from_str::<Kind>(json)
        .map(|kind| kind.api_version.split_once('/').map_or(String::new(), |(g, _)| g.to_owned()));
    !matches!(group.as_deref(), Ok("" | "apps" | "batch" | "extensions") | Err(_))
}
