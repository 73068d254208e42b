//! The verdict on one change.

use std::{borrow::Cow, cmp::Reverse, collections::BTreeSet};

use jiff::Timestamp;

use super::{
    controllers,
    verdict::{Effect, Judged, Outcome, Verdict},
};
use crate::{
    model::{Change, ChangeOperation, Facts, Object, ParseError},
    policy::{
        CustomSubject, ExceptionSet, Excuse, Policy, PolicySet, Subject, UNREADABLE_OBJECT, assess,
        run_custom,
    },
    rules::{Context, Findings, Level},
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
    let object = match Object::parse(change.object.unwrap_or_default()) {
        Ok(object) => object,
        Err(error) => return judge.unreadable(change, &error),
    };
    if object.templates.is_empty()
        && object.resource.is_none()
        && object.hooks == crate::model::Hooks::default()
    {
        return Verdict::plain(Outcome::NotJudged);
    }
    if controllers::is_child(&policy.controllers, change, &object) {
        return Verdict::plain(Outcome::ControllerChild);
    }
    judge.object(change, &object)
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

impl Judge<'_> {
    fn object(&self, change: &Change<'_>, object: &Object<'_>) -> Verdict {
        let updated = change.old_object.filter(|_| change.operation == ChangeOperation::Update);
        if updated.is_some_and(|old| object.is_same_as(old)) {
            return Verdict::plain(Outcome::Unchanged);
        }
        let json = change.object.unwrap_or_default();
        let findings = self.run(object, json, updated);
        if findings.found.is_empty() && findings.undecided.is_empty() {
            return self.verdict(Vec::new(), String::new());
        }
        let old = updated.and_then(|json| Some((Object::parse(json).ok()?, json)));
        let had = match &old {
            Some((old, json)) if !resumes(old, object) => self.run(old, json, None),
            _ => Findings::default(),
        };
        let known: BTreeSet<_> = had.found.iter().map(|had| (had.rule, had.key.as_str())).collect();
        let judged = self.settle(object, &findings, &known);
        let name =
            if change.name.is_empty() { object.metadata.display_name() } else { change.name };
        self.verdict(judged, format!("{}/{name}", object.kind))
    }

    /// Every finding with its level and effect.
    fn settle(
        &self,
        object: &Object<'_>,
        findings: &Findings,
        known: &BTreeSet<(&str, &str)>,
    ) -> Vec<Judged> {
        let mut judged = Vec::new();
        for found in &findings.found {
            let level = self.level(found.rule);
            let settled =
                if self.uncertain { level.min(self.policy.on_undecided.level()) } else { level };
            let ratcheted = known.contains(&(found.rule, found.key.as_str()));
            let excuse = self.excuse(object, found.rule);
            judged.push(Judged {
                rule: found.rule,
                level,
                effect: if ratcheted {
                    Effect::Ratcheted
                } else {
                    excused(settled, excuse.as_ref())
                },
                at: found.at.clone(),
                evidence: found.evidence.clone(),
                what: found.what.clone(),
                mend: found.mend.clone(),
                undecided: self.uncertain,
                excuse,
                line: String::new(),
            });
        }
        for open in &findings.undecided {
            let level = self.level(open.rule);
            let excuse = self.excuse(object, open.rule);
            judged.push(Judged {
                rule: open.rule,
                level,
                effect: excused(level.min(self.policy.on_undecided.level()), excuse.as_ref()),
                at: open.at.clone(),
                evidence: String::new(),
                what: format!("undecided, because {}", open.why).into(),
                mend: "supply the missing fact".into(),
                undecided: true,
                excuse,
                line: String::new(),
            });
        }
        judged
    }

    fn excuse(&self, object: &Object<'_>, rule: &str) -> Option<Excuse> {
        let terms = &self.policy.exceptions;
        self.exceptions.excuse(terms, self.change.namespace, object, rule, self.now)
    }

    fn level(&self, rule: &str) -> Level {
        self.policy.level_of(rule)
    }

    /// What every rule finds in an object, whose text is `json`; `old` is what it was before.
    fn run(&self, object: &Object<'_>, json: &str, old: Option<&str>) -> Findings {
        let detections = self.policy.detector.detect(object, self.facts.config_maps);
        let subject = Subject {
            object,
            detections: &detections,
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
            detections: &detections,
            approval: &approval,
            facts: self.facts,
            now: self.now,
        };
        let mut findings = Findings::default();
        for configured in &self.policy.rules {
            configured.check.check(&context, &mut findings);
        }
        if !self.policy.custom.is_empty() {
            let subject = CustomSubject {
                object,
                json,
                old,
                namespace: self.change.namespace,
                user: self.change.user,
                detections: &detections,
                facts: self.facts,
            };
            run_custom(&self.policy.custom, &subject, &mut findings);
        }
        findings
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
            undecided: self.uncertain,
            excuse: None,
            line: String::new(),
        };
        self.verdict(vec![judged], name.to_owned())
    }

    fn verdict(&self, findings: Vec<Judged>, subject: String) -> Verdict {
        let mut findings: Vec<Judged> =
            findings.into_iter().map(|finding| finding.with_line(&subject)).collect();
        findings.sort_by(|a, b| {
            (Reverse(a.effect), a.rule, &a.at).cmp(&(Reverse(b.effect), b.rule, &b.at))
        });
        let refused = findings.iter().any(|finding| finding.effect == Effect::Refuses);
        Verdict {
            outcome: if refused { Outcome::Refused } else { Outcome::Admitted },
            subject,
            policy: Some(self.policy.name.clone()),
            findings,
        }
    }
}

/// The effect of a finding of a level that an exception may excuse: what refuses nothing and warns
/// of nothing needs no excuse.
fn excused(level: Level, excuse: Option<&Excuse>) -> Effect {
    let holds = excuse.is_some_and(|excuse| excuse.fails.is_none());
    match effect(level) {
        Effect::Warns | Effect::Refuses if holds => Effect::Excepted,
        effect => effect,
    }
}

fn effect(level: Level) -> Effect {
    match level {
        Level::Off | Level::Audit => Effect::Audits,
        Level::Warn => Effect::Warns,
        Level::Deny => Effect::Refuses,
    }
}

/// True when the update lets a suspended Job run: only now does it do what it was admitted with.
fn resumes(old: &Object<'_>, new: &Object<'_>) -> bool {
    let suspended = |object: &Object<'_>| {
        object.templates.iter().filter_map(|template| template.job.as_ref()).any(|job| job.suspend)
    };
    suspended(old) && !suspended(new)
}

/// True for a kind that is not one of Kubernetes' own, or that cannot be told.
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
