//! One object after the other, as admission would judge its creation.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    around::Around,
    owners::Owners,
    result::{Counts, ExceptionNote, Found, Limits, Scan, Scanned},
};
use crate::{
    decision::{self, Outcome, Verdict, Wants},
    model::{
        ActiveMigration, BackupState, Change, ConfigMapSet, Fact, Facts, Hooks, JobStatus, Labels,
        Object, WorkloadKind,
    },
    policy::{Exception, PolicySet},
    rules::Level,
};

/// How to scan.
#[derive(Clone, Debug)]
pub struct Options {
    /// The label that says who an object belongs to, looked up on the object and then on its
    /// namespace.
    pub team_label: String,
    /// True when only a part of the objects is listed.
    pub partial: bool,
    /// How much of what is found is kept.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            team_label: "app.kubernetes.io/part-of".to_owned(),
            partial: false,
            limits: Limits::default(),
        }
    }
}

/// An object as it was listed.
#[derive(Clone, Copy, Debug)]
pub struct Item<'i> {
    /// Its namespace; empty when it is cluster-scoped.
    pub namespace: &'i str,
    /// Its name.
    pub name: &'i str,
    /// Its uid.
    pub uid: &'i str,
    /// Its labels.
    pub labels: Option<&'i Labels>,
    /// The object as JSON.
    pub text: &'i str,
}

/// What was looked up for one object.
#[derive(Clone, Debug)]
pub struct LookedUp<'l> {
    /// What became of the backup that it names.
    pub backup: Fact<BackupState>,
    /// The ConfigMaps that it refers to, as far as they could be had.
    pub config_maps: &'l ConfigMapSet,
}

/// Judges what it is handed, and remembers what it found.
///
/// Namespaces and facts come first, then objects in the order of [`kinds`](super::kinds()).
#[derive(Clone, Debug)]
pub struct Scanner {
    policies: PolicySet,
    enforced: PolicySet,
    options: Options,
    now: Timestamp,
    labels: BTreeMap<Arc<str>, Arc<Labels>>,
    around: Around,
    owners: Owners,
    /// Exceptions that covered something, with why they do not hold where they do not.
    covered: BTreeMap<(Arc<str>, String), Option<String>>,
    /// Names that many objects share.
    words: BTreeSet<Arc<str>>,
    kept: usize,
    scan: Scan,
}

impl Scanner {
    /// Nothing was listed yet.
    pub fn new(policies: PolicySet, options: Options, now: Timestamp) -> Self {
        let scan = Scan { partial: options.partial, ..Scan::default() };
        let mut around = Around::default();
        if options.partial {
            around.no_secrets("only a part of the workloads was listed".into());
        }
        Self {
            enforced: policies.enforced(),
            policies,
            options,
            now,
            labels: BTreeMap::new(),
            around,
            owners: Owners::default(),
            covered: BTreeMap::new(),
            words: BTreeSet::new(),
            kept: 0,
            scan,
        }
    }

    /// Adds a namespace.
    pub fn namespace(&mut self, name: &str, labels: Labels) {
        let name: Arc<str> = name.into();
        let facts = Facts::new(Fact::Known(&labels));
        let policy = self.policies.select(&name, &facts).policy;
        let tally = self.scan.namespaces.entry(Arc::clone(&name)).or_default();
        tally.policy = policy.map(|policy| policy.name.as_str().into());
        tally.enforces = policy.is_some_and(|policy| policy.level == Level::Deny);
        self.labels.insert(name, Arc::new(labels));
        self.scan.counts.namespaces = self.scan.counts.namespaces.saturating_add(1);
    }

    /// Adds a NetworkPolicy by its JSON.
    pub fn network_policy(&mut self, namespace: &str, text: &str) {
        if let Ok(object) = Object::parse(text) {
            self.around.network_policy(namespace, object.spec);
        }
    }

    /// NetworkPolicies cannot be listed; `why` reads on after "because".
    pub fn no_network_policies(&mut self, why: impl Into<Cow<'static, str>>) {
        self.around.no_network_policies(why.into());
    }

    /// Adds an approval by its text. One that cannot be read covers nothing.
    pub fn approval(&mut self, text: &str) {
        self.around.approval(text);
    }

    /// Approvals cannot be listed; `why` reads on after "because".
    pub fn no_approvals(&mut self, why: impl Into<Cow<'static, str>>) {
        self.around.no_approvals(why.into());
    }

    /// Adds what runs now, or why that is not known.
    pub fn active(&mut self, active: Fact<Vec<ActiveMigration>>) {
        self.around.active = active;
    }

    /// Something could not be looked at, of which workloads that keep running may be a part.
    pub fn error(&mut self, message: String) {
        self.around.no_secrets("not every kind of workload could be listed".into());
        self.scan.errors.push(message);
    }

    /// A kind that the cluster does not have.
    pub fn absent(&mut self, kind: String) {
        self.scan.absent.push(kind);
    }

    /// How much was looked at so far.
    pub fn counts(&self) -> Counts {
        self.scan.counts
    }

    /// The migration that a Job runs now, by the policy of its namespace.
    pub fn running(&self, item: &Item<'_>) -> Option<ActiveMigration> {
        let status = JobStatus::parse(item.text)?;
        if status.ended().is_some() || status.is_suspended() {
            return None;
        }
        let labels = self.labels.get(item.namespace).map(AsRef::as_ref);
        let running = decision::running(&self.policies, item.namespace, labels, item.text)?;
        Some(ActiveMigration {
            kind: decision::JOB,
            namespace: item.namespace.to_owned(),
            name: item.name.to_owned(),
            database: running.database?,
        })
    }

    fn labels(&self, namespace: &str) -> Fact<&Labels> {
        match self.labels.get(namespace) {
            Some(labels) => Fact::Known(labels),
            None if namespace.is_empty() => Fact::Known(const { &Labels::new() }),
            None => Fact::Unknown("the namespace could not be read".into()),
        }
    }

    /// The one copy of a name.
    fn word(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.words.get(text) {
            return Arc::clone(known);
        }
        let word: Arc<str> = text.into();
        self.words.insert(Arc::clone(&word));
        word
    }

    /// Judges an object. What has to be looked up for it first is returned, and then nothing was
    /// judged yet: it is handed in again, with what was `found`.
    pub fn judge(&mut self, item: &Item<'_>, found: Option<&LookedUp<'_>>) -> Wants {
        let object = Object::parse(item.text).ok();
        if let (Some(object), None) = (&object, found) {
            let is_child = self.owners.cover(item.namespace, &object.metadata);
            // A Pod owns nothing, and there are many.
            if object.workload != WorkloadKind::Pod {
                self.owners.note(item.namespace, &object.api_version, &object.kind, item.uid);
            }
            if is_child {
                self.scan.counts.children = self.scan.counts.children.saturating_add(1);
                return Wants::default();
            }
            self.around.workload(item.namespace, object);
        }
        let finished = object.as_ref().and_then(|object| {
            let is_job = object.workload == WorkloadKind::Job;
            Some(JobStatus::parse(item.text).filter(|_| is_job)?.ended()?.0)
        });
        // A fault of ours in one object must not lose the verdict on the others.
        let decided = catch_unwind(AssertUnwindSafe(|| {
            self.decide(item, object.as_ref(), found, finished.is_some())
        }));
        match decided {
            Ok((enforced, _)) if found.is_none() && !enforced.work.wants.is_empty() => {
                return enforced.work.wants;
            }
            Ok(decided) => self.count(item, object.as_ref(), finished, decided),
            Err(_panic) => {
                let Item { namespace, name, .. } = item;
                self.error(format!(
                    "{namespace}/{name}: tidegate failed on this object: a fault of tidegate's"
                ));
            }
        }
        Wants::default()
    }

    /// The verdict if policies enforced and, where that is another one, the verdict now.
    fn decide(
        &self,
        item: &Item<'_>,
        object: Option<&Object<'_>>,
        found: Option<&LookedUp<'_>>,
        is_finished: bool,
    ) -> (Verdict, Option<Verdict>) {
        let mut facts = Facts::new(self.labels(item.namespace));
        if let Some(LookedUp { backup, config_maps }) = found {
            facts.named_backup = backup.clone();
            facts.config_maps = config_maps.seen_from(item.namespace, 0);
        }
        self.around.add_to(&mut facts, item.namespace, object, is_finished);
        let change = Change::create(item.namespace, item.name, item.text);
        // What admission does: first the mutating side fills in, then the result is judged.
        let is_hook_job = object.is_some_and(|object| {
            object.workload == WorkloadKind::Job && object.hooks != Hooks::default()
        });
        let mutation = is_hook_job.then(|| decision::mutate(&self.enforced, &change, &facts));
        let patched = mutation.as_ref().map(|mutation| mutation.applied(item.text));
        let change = Change { object: Some(patched.as_deref().unwrap_or(item.text)), ..change };
        let enforced = decision::validate(&self.enforced, &change, &facts, self.now);
        // Lifting a ceiling adds findings and takes none away.
        let differs = !enforced.findings.is_empty()
            && self
                .policies
                .select(item.namespace, &facts)
                .policy
                .is_some_and(|policy| policy.level != Level::Deny);
        let now = differs.then(|| decision::validate(&self.policies, &change, &facts, self.now));
        (enforced, now)
    }

    fn count(
        &mut self,
        item: &Item<'_>,
        object: Option<&Object<'_>>,
        finished: Option<&'static str>,
        (enforced, now): (Verdict, Option<Verdict>),
    ) {
        let counts = &mut self.scan.counts;
        let count = match enforced.outcome {
            Outcome::NotJudged | Outcome::ControllerChild | Outcome::Unchanged => {
                &mut counts.not_judged
            }
            Outcome::NoPolicy => &mut counts.no_policy,
            Outcome::Admitted | Outcome::Refused => &mut counts.judged,
        };
        *count = count.saturating_add(1);
        let Some(policy) = enforced.policy.clone() else { return };
        if finished.is_some() {
            counts.finished = counts.finished.saturating_add(1);
        }
        let namespace = self.word(item.namespace);
        let tally = self.scan.namespaces.entry(Arc::clone(&namespace)).or_default();
        tally.judged = tally.judged.saturating_add(1);
        if enforced.findings.is_empty() {
            return;
        }
        let policy = self.word(&policy);
        let (api_version, kind) = object.map_or_else(
            || named(item.text),
            |object| (object.api_version.to_string(), object.kind.to_string()),
        );
        let scanned = Scanned {
            api_version,
            kind,
            team: self.team(item),
            namespace,
            name: item.name.to_owned(),
            uid: item.uid.to_owned(),
            policy,
            outcome: now.as_ref().unwrap_or(&enforced).outcome,
            finished,
            findings: found(enforced, now),
        };
        self.keep(scanned);
    }

    fn team(&mut self, item: &Item<'_>) -> Option<Arc<str>> {
        let key = &self.options.team_label;
        let own = item.labels.and_then(|labels| labels.get(key));
        let namespace = || self.labels.get(item.namespace)?.get(key);
        let team = own.or_else(namespace)?.clone();
        Some(self.word(&team))
    }

    fn keep(&mut self, mut object: Scanned) {
        for found in &object.findings {
            self.scan.rules.entry(found.rule).or_default().add(&object.namespace, found);
            if let Some(excuse) = &found.excuse {
                let key = (Arc::clone(&object.namespace), excuse.exception.name.clone());
                let fails = self.covered.entry(key).or_insert_with(|| excuse.fails.clone());
                // It is of use when it holds for anything.
                if excuse.fails.is_none() {
                    *fails = None;
                }
            }
        }
        self.scan.teams.entry(object.team.clone()).or_default().add(&object);
        let Limits { per_namespace, total } = self.options.limits;
        let tally = self.scan.namespaces.entry(Arc::clone(&object.namespace)).or_default();
        let kept = tally.denials.saturating_add(tally.warnings).saturating_add(tally.notes);
        let kept = kept.saturating_add(tally.excepted).saturating_sub(tally.left_out);
        tally.add(&object);
        let room = per_namespace.saturating_sub(kept).min(total.saturating_sub(self.kept));
        let left_out = object.findings.len().saturating_sub(room);
        tally.left_out = tally.left_out.saturating_add(left_out);
        self.scan.counts.left_out = self.scan.counts.left_out.saturating_add(left_out);
        object.findings.truncate(room);
        self.kept = self.kept.saturating_add(object.findings.len());
        if !object.findings.is_empty() {
            self.scan.objects.push(object);
        }
    }

    /// What was found in all.
    pub fn finish(mut self) -> Scan {
        self.scan.objects.sort_by(|a, b| {
            (&a.namespace, &a.kind, &a.name, &a.uid).cmp(&(&b.namespace, &b.kind, &b.name, &b.uid))
        });
        // A part of the objects says nothing about exceptions from the others.
        if !self.options.partial {
            self.scan.exceptions = self.exceptions();
        }
        self.scan
    }

    /// The exceptions of the namespaces that were scanned which excuse nothing.
    fn exceptions(&self) -> Vec<ExceptionNote> {
        let all = self.policies.exceptions().iter();
        let own = all.filter(|(namespace, _)| self.labels.contains_key(*namespace));
        own.filter_map(|(namespace, exception)| {
            let key = (Arc::from(namespace), exception.name.clone());
            let (warns, message) = self.note(exception, self.covered.get(&key))?;
            let (namespace, name) = (namespace.to_owned(), exception.name.clone());
            Some(ExceptionNote { namespace, name, warns, message })
        })
        .collect()
    }

    fn note(
        &self,
        exception: &Exception,
        covered: Option<&Option<String>>,
    ) -> Option<(bool, String)> {
        let title = exception.title();
        if exception.expires <= self.now {
            let expires = exception.expires;
            let message =
                format!("{title} expired at {expires}: mend what it excused, or delete it");
            return Some((true, message));
        }
        match covered {
            None => Some((false, format!("{title} excuses nothing that is in its namespace"))),
            Some(Some(why)) => Some((true, format!("{title} does not hold, because {why}"))),
            Some(None) => None,
        }
    }
}

/// `apiVersion` and `kind` of an object of which nothing else may be readable.
fn named(text: &str) -> (String, String) {
    #[derive(Default, serde::Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Head {
        api_version: String,
        kind: String,
    }
    let head: Head = serde_json::from_str(text).unwrap_or_default();
    (head.api_version, head.kind)
}

/// Findings of both verdicts, as one.
fn found(enforced: Verdict, now: Option<Verdict>) -> Vec<Found> {
    let now = now.map(|now| {
        let effects = now.findings.into_iter();
        let key = |it: decision::Judged| ((it.rule, it.at, it.what, it.evidence), it.effect);
        effects.map(key).collect::<BTreeMap<_, _>>()
    });
    let findings = enforced.findings.into_iter().map(|it| {
        let key = (it.rule, it.at, it.what, it.evidence);
        let effect = match &now {
            None => Some(it.effect),
            Some(now) => now.get(&key).copied(),
        };
        let (rule, at, what, evidence) = key;
        Found {
            rule,
            level: it.level,
            effect,
            enforced: it.effect,
            at,
            evidence,
            what,
            mend: it.mend,
            undecided: it.undecided,
            excuse: it.excuse,
        }
    });
    findings.collect()
}
