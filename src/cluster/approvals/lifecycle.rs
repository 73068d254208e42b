//! The life of approvals, step by step, beside a model of what may happen: a destructive Job is let in
//! exactly where an approval that holds covers it.
#![expect(clippy::arithmetic_side_effects, reason = "a test may overflow and fail")]

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    decision::validate,
    model::{Change, Facts, Labels},
    policy::PolicySet,
};

const PEOPLE: [&str; 3] = ["alice", "bob", "system:serviceaccount:argocd:controller"];
const SQL: [&str; 2] = ["DROP TABLE a", "DROP TABLE b"];
/// Longest time that an approval may hold, in minutes: the policy's default.
const MAX_AGE: i64 = 72 * 60;

/// Something that somebody does.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody approves one of the Jobs for some minutes.
    Approve { job: usize, by: usize, minutes: i64 },
    /// An approval is deleted: the one of this place among those that are there.
    Delete(usize),
    /// Somebody asks for one of the Jobs, and perhaps another webhook refuses it afterwards.
    Ask { job: usize, by: usize, comes: bool },
    /// Minutes go by.
    Wait(i64),
    /// The watch begins anew.
    Relist,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..SQL.len(), 0..PEOPLE.len(), prop_oneof![1..120_i64, MAX_AGE - 5..MAX_AGE + 5])
            .prop_map(|(job, by, minutes)| Step::Approve { job, by, minutes }),
        1 => (0..4_usize).prop_map(Step::Delete),
        5 => (0..SQL.len(), 0..PEOPLE.len(), any::<bool>())
            .prop_map(|(job, by, comes)| Step::Ask { job, by, comes }),
        2 => (0..90_i64).prop_map(Step::Wait),
        1 => Just(Step::Relist),
    ]
}

/// An approval as the model has it; times in minutes from the start.
#[derive(Clone, Debug)]
struct Model {
    raw: Value,
    job: usize,
    by: usize,
    expires: i64,
    used: bool,
    /// Until when it counts as used by a Job that nobody saw.
    spent: Option<i64>,
}

struct World {
    approvals: Approvals,
    policies: PolicySet,
    once: bool,
    model: BTreeMap<String, Model>,
    start: (Timestamp, Instant),
    minute: i64,
    serial: usize,
}

impl World {
    fn new(once: bool) -> Self {
        let terms = if once { "{resources: Require, singleUse: true}" } else { "{}" };
        let text = format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationPolicy\nmetadata: {{name: p}}\n\
             spec:\n  onUndecided: Deny\n  approvals: {terms}\n  rules: \
             {{destructive-without-backup: {{level: Off}}}}\n"
        );
        let policies = PolicySet::new(policy::parse(&text, "p").unwrap());
        let approvals = Approvals::watched();
        approvals.synced.store(true, Ordering::Release);
        let start = ("2026-06-01T12:00:00Z".parse().unwrap(), Instant::now());
        let model = BTreeMap::new();
        Self { approvals, policies, once, model, start, minute: 0, serial: 0 }
    }

    fn time(&self, minute: i64) -> Timestamp {
        self.start.0 + SignedDuration::from_mins(minute)
    }

    fn instant(&self) -> Instant {
        self.start.1 + Duration::from_secs(u64::try_from(self.minute).unwrap() * 60)
    }

    fn job(job: usize, uid: &str) -> String {
        json!({"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "drop", "namespace": "shop", "uid": uid},
            "spec": {"template": {"spec": {"containers": [
                {"name": "sql", "image": "postgres:17", "command": ["psql", "-c", SQL[job]]}]}}}})
        .to_string()
    }

    fn digest(job: usize) -> String {
        policy::digest(&Object::parse(&Self::job(job, "")).unwrap()).to_string()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.approvals.state.lock().unwrap();
        change(&mut state);
        self.approvals.publish(&mut state, self.instant());
    }

    fn read(&self, raw: &Value) {
        let raw: Raw = serde_json::from_value(raw.clone()).unwrap();
        self.change(|state| state.read(&raw, &approval_kind()));
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Approve { job, by, minutes } => {
                self.serial += 1;
                let (name, expires) = (format!("a{:04}", self.serial), self.minute + minutes);
                let raw = json!({"apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationApproval",
                    "metadata": {"name": name, "namespace": "shop", "uid": name,
                        "creationTimestamp": self.time(self.minute).to_string()},
                    "spec": {"digest": Self::digest(job), "ticket": "DB-1",
                        "expires": self.time(expires).to_string(), "approver": PEOPLE[by]}});
                self.read(&raw);
                let model = Model { raw, job, by, expires, used: false, spent: None };
                self.model.insert(name, model);
            }
            Step::Delete(place) => {
                let Some(name) = self.model.keys().nth(place).cloned() else { return Ok(()) };
                self.model.remove(&name);
                self.change(|state| drop(state.approvals.remove(&("shop".to_owned(), name))));
            }
            Step::Wait(minutes) => self.minute += minutes,
            Step::Relist => self.model.values().for_each(|model| self.read(&model.raw)),
            Step::Ask { job, by, comes } => self.ask(job, by, comes)?,
        }
        Ok(())
    }

    /// Whether an approval covers a Job that somebody asks for now.
    fn holds(&self, model: &Model, job: usize, by: usize) -> bool {
        let left = model.expires - self.minute;
        let spent = model.used || model.spent.is_some_and(|until| until > self.minute);
        model.job == job && model.by != by && left > 0 && left <= MAX_AGE && !(self.once && spent)
    }

    fn ask(&mut self, job: usize, by: usize, comes: bool) -> Result<(), TestCaseError> {
        self.serial += 1;
        let uid = format!("job-{}", self.serial);
        let json = Self::job(job, &uid);
        let labels = Labels::new();
        let Fact::Known(known) = self.approvals.of("shop", self.instant()) else { panic!() };
        let facts = Facts { approvals: Fact::Known(&known), ..Facts::new(Fact::Known(&labels)) };
        let change = Change { user: PEOPLE[by], ..Change::create("shop", "drop", &json) };
        let verdict = validate(&self.policies, &change, &facts, self.time(self.minute));
        let refused = verdict.message().contains("unapproved-destructive-migration");
        let wanted = self.model.values().any(|model| self.holds(model, job, by));
        prop_assert_eq!(!refused, wanted, "{:?}\n{}", self.model, verdict.message());
        if refused {
            return Ok(());
        }
        let spent = &verdict.work.spent;
        prop_assert_eq!(spent.is_empty(), !self.once);
        prop_assert!(self.approvals.spend("shop", spent, &uid, self.instant()));
        for name in spent {
            prop_assert!(self.holds(&self.model[name], job, by), "{name} does not hold");
            // 30 seconds: gone by the next minute.
            self.model.get_mut(name).unwrap().spent = Some(self.minute + 1);
        }
        if comes {
            let reference = JobReference { namespace: "shop".into(), name: "drop".into(), uid };
            let (digest, began) = (Self::digest(job), self.time(self.minute));
            self.change(|state| {
                state.use_by(Seen { job: reference, digest, began });
            });
            let now = self.minute;
            let there = self.model.values_mut().filter(|it| it.job == job && it.expires > now);
            there.for_each(|model| model.used = true);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_destructive_job_is_let_in_exactly_under_an_approval_that_holds(
        once in any::<bool>(),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut world = World::new(once);
        for step in &steps {
            world.take(step)?;
        }
    }
}
