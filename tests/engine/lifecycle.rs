//! The life of approvals: a model of when a Job may run, and the engine beside it, through any
//! sequence of what people, keys, policies and time do.
//!
//! The model knows nothing of digests, annotations and signatures. It remembers who meant what: an
//! approval is of the content, the namespace and the moment that it was given for, and a signature is
//! of the approval as it was when it was signed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock, Mutex},
};

use jiff::{SignedDuration, Timestamp};
use proptest::{prelude::*, strategy::ValueTree as _};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use serde_json::{Value, json};
use ssh_key::{HashAlg, LineEnding, PrivateKey, private::Ed25519Keypair};
use tidegate::{
    decision::validate,
    model::{Change, Fact, Facts, GrantedApproval, Labels, Object},
    policy::{PolicySet, SIGNATURE_NAMESPACE, digest, signed_text},
};

use super::support::policy;

const RULE: &str = "unapproved-destructive-migration";
const PEOPLE: [&str; 3] = ["alice@example.com", "bob@example.com", "argocd"];
const NAMESPACES: [&str; 2] = ["shop", "prod"];
/// The longest time that an approval may have left, in hours.
const MAX_AGE: i64 = 72;
/// Annotations that say what was approved, without the signature.
const SAID: [&str; 6] = [
    "approved-by",
    "approval-ticket",
    "approved-namespace",
    "approved-until",
    "approved-digest",
    "approval-reason",
];

/// What is approved, by whom and until when; hours since the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Statement {
    content: usize,
    namespace: usize,
    by: usize,
    until: i64,
    ticket: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Granted {
    said: Statement,
    /// The Job that it was used by.
    used_by: Option<usize>,
}

/// What the policy says of approvals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wanted {
    /// Annotations, signed or not, or resources.
    Either,
    /// Annotations must be signed.
    Signed,
    /// Resources only.
    Resources,
    /// Resources only, each for one Job.
    SingleUse,
    /// Annotations only.
    Annotations,
    /// Annotations only, and whoever asks is not the approver.
    Separate,
}

const WANTED: [Wanted; 6] = [
    Wanted::Either,
    Wanted::Signed,
    Wanted::Resources,
    Wanted::SingleUse,
    Wanted::Annotations,
    Wanted::Separate,
];

/// The world as the model sees it.
#[derive(Clone, Debug)]
struct World {
    now: i64,
    /// What the Job does.
    content: usize,
    namespace: usize,
    /// Which Job of that name it is.
    job: usize,
    /// Who asks for it.
    asks: usize,
    annotated: Option<Statement>,
    /// The key, and what stood there when it signed.
    signed: Option<(usize, Statement)>,
    granted: Vec<Granted>,
    revoked: BTreeSet<usize>,
    wanted: Wanted,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Annotate {
        by: usize,
        hours: i64,
        ticket: bool,
    },
    Sign {
        key: usize,
    },
    Unannotate,
    Grant {
        by: usize,
        hours: i64,
        ticket: bool,
    },
    Withdraw,
    /// A Job runs under every approval resource that there is: this one, or another.
    Use {
        own: bool,
    },
    Edit {
        content: usize,
    },
    Move {
        namespace: usize,
    },
    Recreate,
    Pass {
        hours: i64,
    },
    Revoke {
        key: usize,
    },
    Ask {
        user: usize,
    },
    Want {
        wanted: Wanted,
    },
}

impl World {
    fn now_until(&self, by: usize, hours: i64, ticket: bool) -> Statement {
        let Self { now, content, namespace, .. } = *self;
        Statement { content, namespace, by, until: now + hours, ticket }
    }

    /// What is said is of this Job, here and now.
    fn covers(&self, said: &Statement) -> bool {
        let left = said.until - self.now;
        (said.content, said.namespace) == (self.content, self.namespace)
            && said.ticket
            && left > 0
            && left <= MAX_AGE
    }

    fn annotations_hold(&self) -> bool {
        let Some(said) = &self.annotated else { return false };
        let signature = match self.signed {
            None => self.wanted != Wanted::Signed,
            // Each of them has one key, and it is for nothing but their own approvals.
            Some((key, over)) => key == said.by && over == *said && !self.revoked.contains(&key),
        };
        let separate = self.wanted != Wanted::Separate || self.asks != said.by;
        self.covers(said) && signature && separate
    }

    fn resource_holds(&self, granted: &Granted) -> bool {
        let unused = granted.used_by.is_none_or(|job| job == self.job);
        self.covers(&granted.said)
            && self.asks != granted.said.by
            && (self.wanted != Wanted::SingleUse || unused)
    }

    fn may_run(&self) -> bool {
        let annotations = !matches!(self.wanted, Wanted::Resources | Wanted::SingleUse);
        let resources = !matches!(self.wanted, Wanted::Annotations | Wanted::Separate);
        annotations && self.annotations_hold()
            || resources && self.granted.iter().any(|granted| self.resource_holds(granted))
    }
}

impl ReferenceStateMachine for World {
    type State = Self;
    type Transition = Event;

    fn init_state() -> BoxedStrategy<Self> {
        (0..WANTED.len())
            .prop_map(|wanted| Self {
                now: 0,
                content: 0,
                namespace: 0,
                job: 0,
                asks: 2,
                annotated: None,
                signed: None,
                granted: Vec::new(),
                revoked: BTreeSet::new(),
                wanted: WANTED[wanted],
            })
            .boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Event> {
        let given = || {
            (0..2_usize, prop_oneof![3 => 1..72_i64, 1 => 72..100_i64], prop::bool::weighted(0.9))
        };
        prop_oneof![
            4 => given().prop_map(|(by, hours, ticket)| Event::Annotate { by, hours, ticket }),
            4 => (0..2_usize).prop_map(|key| Event::Sign { key }),
            1 => Just(Event::Unannotate),
            4 => given().prop_map(|(by, hours, ticket)| Event::Grant { by, hours, ticket }),
            1 => Just(Event::Withdraw),
            2 => any::<bool>().prop_map(|own| Event::Use { own }),
            2 => (0..3_usize).prop_map(|content| Event::Edit { content }),
            1 => (0..2_usize).prop_map(|namespace| Event::Move { namespace }),
            1 => Just(Event::Recreate),
            2 => (1..40_i64).prop_map(|hours| Event::Pass { hours }),
            1 => (0..2_usize).prop_map(|key| Event::Revoke { key }),
            2 => (0..3_usize).prop_map(|user| Event::Ask { user }),
            3 => (0..WANTED.len()).prop_map(|wanted| Event::Want { wanted: WANTED[wanted] }),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, event: &Event) -> bool {
        match event {
            Event::Sign { .. } | Event::Unannotate => state.annotated.is_some(),
            Event::Withdraw | Event::Use { .. } => !state.granted.is_empty(),
            Event::Grant { .. } => state.granted.len() < 3,
            _ => true,
        }
    }

    fn apply(mut state: Self, event: &Event) -> Self {
        match *event {
            Event::Annotate { by, hours, ticket } => {
                state.annotated = Some(state.now_until(by, hours, ticket));
            }
            Event::Sign { key } => state.signed = state.annotated.map(|said| (key, said)),
            Event::Unannotate => (state.annotated, state.signed) = (None, None),
            Event::Grant { by, hours, ticket } => {
                let said = state.now_until(by, hours, ticket);
                state.granted.push(Granted { said, used_by: None });
            }
            Event::Withdraw => drop(state.granted.pop()),
            Event::Use { own } => {
                let job = if own { state.job } else { usize::MAX };
                for granted in &mut state.granted {
                    granted.used_by.get_or_insert(job);
                }
            }
            Event::Edit { content } => state.content = content,
            Event::Move { namespace } => state.namespace = namespace,
            Event::Recreate => state.job += 1,
            Event::Pass { hours } => state.now += hours,
            Event::Revoke { key } => drop(state.revoked.insert(key)),
            Event::Ask { user } => state.asks = user,
            Event::Want { wanted } => state.wanted = wanted,
        }
        state
    }
}

fn key(person: usize) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[person as u8 + 1; 32]))
}

/// The policy that says so; each is read once.
fn policies(wanted: Wanted, revoked: &BTreeSet<usize>) -> Arc<PolicySet> {
    type Known = BTreeMap<(Wanted, BTreeSet<usize>), Arc<PolicySet>>;
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    let read = || {
        let public = |person| key(person).public_key().to_openssh().unwrap();
        let signers: Vec<_> =
            (0..2).map(|person| format!("{} {}\n", PEOPLE[person], public(person))).collect();
        let revoked: Vec<_> = revoked.iter().map(|person| public(*person)).collect();
        let mut approvals = json!({"signatures": {
            "required": wanted == Wanted::Signed,
            "allowedSigners": signers.concat(), "revokedKeys": revoked,
        }});
        let (field, value) = match wanted {
            Wanted::Either | Wanted::Signed => ("resources", json!("Accept")),
            Wanted::Resources => ("resources", json!("Require")),
            Wanted::SingleUse => {
                approvals["singleUse"] = json!(true);
                ("resources", json!("Require"))
            }
            Wanted::Annotations => ("resources", json!("Ignore")),
            Wanted::Separate => {
                approvals["separationOfDuties"] = json!(true);
                ("resources", json!("Ignore"))
            }
        };
        approvals[field] = value;
        let spec = json!({"onUndecided": "Deny", "approvals": approvals,
            "rules": {"destructive-without-backup": {"level": "Off"}}});
        Arc::new(PolicySet::new(vec![policy(&spec.to_string())]))
    };
    let mut known = KNOWN.lock().unwrap();
    Arc::clone(known.entry((wanted, revoked.clone())).or_insert_with(read))
}

/// The same world as the engine sees it.
struct Engine {
    job: Value,
    granted: Vec<GrantedApproval>,
}

impl Engine {
    fn digest(&self) -> String {
        digest(&Object::parse(&self.job.to_string()).unwrap()).to_string()
    }

    fn annotations(&mut self) -> &mut serde_json::Map<String, Value> {
        self.job["metadata"]["annotations"].as_object_mut().unwrap()
    }

    fn annotate(&mut self, key: &str, value: Option<String>) {
        let key = format!("tidegate.dev/{key}");
        match value {
            Some(value) => drop(self.annotations().insert(key, json!(value))),
            None => drop(self.annotations().remove(&key)),
        }
    }

    fn sign(&mut self, person: usize) {
        let text = signed_text(|key| self.job["metadata"]["annotations"][key].as_str());
        let made = key(person).sign(SIGNATURE_NAMESPACE, HashAlg::Sha512, text.as_bytes());
        let signature = made.unwrap().to_pem(LineEnding::LF).unwrap();
        self.annotate("approval-signature", Some(signature));
    }

    fn is_admitted(&self, world: &World) -> bool {
        let labels = Labels::new();
        let namespace = NAMESPACES[world.namespace];
        let of_namespace: Vec<_> =
            self.granted.iter().filter(|granted| granted.namespace == namespace).cloned().collect();
        let facts =
            Facts { approvals: Fact::Known(&of_namespace), ..Facts::new(Fact::Known(&labels)) };
        let json = self.job.to_string();
        let user = PEOPLE[world.asks];
        let change = Change { user, ..Change::create(namespace, "drop", &json) };
        let policies = policies(world.wanted, &world.revoked);
        let verdict = validate(&policies, &change, &facts, at(world.now));
        // Nothing else is wrong with it, and what is wrong can be told.
        let rules: BTreeSet<_> = verdict.findings.iter().map(|finding| finding.rule).collect();
        assert!(verdict.allowed() || rules.contains(RULE), "{verdict:#?}");
        assert!(verdict.findings.iter().all(|finding| !finding.undecided), "{verdict:#?}");
        verdict.allowed()
    }
}

/// A moment, in hours since the beginning.
fn at(hours: i64) -> Timestamp {
    "2026-06-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours)
}

fn args(content: usize) -> Value {
    json!(["-c", format!("DROP TABLE t{content}")])
}

impl StateMachineTest for Engine {
    type SystemUnderTest = Self;
    type Reference = World;

    fn init_test(_: &World) -> Self {
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "drop", "uid": "job-0", "annotations": {}},
            "spec": {"backoffLimit": 0, "activeDeadlineSeconds": 60, "template": {"spec": {
                "restartPolicy": "Never", "securityContext": {"runAsNonRoot": true},
                "containers": [{
                    "name": "sql", "image": "postgres:16", "command": ["psql"], "args": args(0),
                    "env": [{"name": "PGHOST", "value": "db"}],
                    "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
                }],
            }}}
        });
        Self { job, granted: Vec::new() }
    }

    fn apply(mut engine: Self, world: &World, event: Event) -> Self {
        let namespace = NAMESPACES[world.namespace].to_owned();
        let ticket = |ticket: bool| ticket.then(|| "DB-1".to_owned());
        match event {
            Event::Annotate { by, hours, ticket: has } => {
                let digest = engine.digest();
                engine.annotate("approved-by", Some(PEOPLE[by].to_owned()));
                engine.annotate("approval-ticket", ticket(has));
                engine.annotate("approved-namespace", Some(namespace));
                engine.annotate("approved-until", Some(at(world.now + hours).to_string()));
                engine.annotate("approved-digest", Some(digest));
            }
            Event::Sign { key } => engine.sign(key),
            Event::Unannotate => {
                for key in SAID.into_iter().chain(["approval-signature"]) {
                    engine.annotate(key, None);
                }
            }
            Event::Grant { by, hours, ticket: has } => {
                let granted = GrantedApproval {
                    name: format!("a{}", engine.granted.len()),
                    namespace,
                    approver: PEOPLE[by].to_owned(),
                    digest: engine.digest(),
                    content: None,
                    job: None,
                    ticket: ticket(has),
                    reason: None,
                    backup: None,
                    backup_waiver: None,
                    expires: at(world.now + hours),
                    used_by: None,
                };
                engine.granted.push(granted);
            }
            Event::Withdraw => drop(engine.granted.pop()),
            Event::Use { own } => {
                let uid = engine.job["metadata"]["uid"].as_str().unwrap().to_owned();
                let uid = if own { uid } else { "job-of-others".to_owned() };
                for granted in &mut engine.granted {
                    granted.used_by.get_or_insert_with(|| uid.clone());
                }
            }
            Event::Edit { content } => {
                engine.job["spec"]["template"]["spec"]["containers"][0]["args"] = args(content);
            }
            Event::Recreate => {
                engine.job["metadata"]["uid"] = json!(format!("job-{}", world.job));
            }
            Event::Move { .. }
            | Event::Pass { .. }
            | Event::Revoke { .. }
            | Event::Ask { .. }
            | Event::Want { .. } => {}
        }
        engine
    }

    fn check_invariants(engine: &Self, world: &World) {
        assert_eq!(engine.is_admitted(world), world.may_run(), "{world:#?}\n{:#}", engine.job);
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_job_runs_exactly_while_it_is_approved(sequential 1..40 => Engine);
}

/// The model would be no yardstick if it hardly ever let anything run.
#[test]
fn the_model_meets_every_verdict_under_every_policy() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut met: BTreeMap<Wanted, BTreeSet<bool>> = BTreeMap::new();
    for _ in 0..200 {
        let tree = World::sequential_strategy(1..40).new_tree(&mut runner).unwrap();
        let (mut world, events, _) = tree.current();
        for event in events {
            world = <World as ReferenceStateMachine>::apply(world, &event);
            met.entry(world.wanted).or_default().insert(world.may_run());
        }
    }
    assert_eq!(met.len(), WANTED.len());
    assert!(met.values().all(|met| met.len() == 2), "{met:?}");
}
