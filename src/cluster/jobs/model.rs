//! Every order in which requests and the watch can meet, as far as one of them can tell: `loom` runs
//! the real [`State`] under locks of its own, in all of them.
//!
//! What it proves is the protocol: read what runs without a lock, judge, then claim under the lock what
//! was judged. That [`Jobs`] keeps to it with `Mutex` and `ArcSwap` is a matter of reading its few lines,
//! and of the case of the torture harness that races two real requests.

use std::sync::atomic::{AtomicUsize, Ordering};

use loom::{
    sync::{Mutex, RwLock},
    thread,
};

use super::*;
use crate::{decision::Running, detect::Operation};

/// How often a change is judged, as in the webhook.
const TRIES: usize = 3;

type Reserve = fn(&mut State, Claim, &Active, Instant) -> bool;

/// The shape of [`Jobs`].
struct Model {
    state: Mutex<State>,
    active: RwLock<Arc<Active>>,
    reserve: Reserve,
    now: Instant,
}

impl Model {
    fn new(reserve: Reserve, now: Instant) -> Self {
        Self { state: Mutex::default(), active: RwLock::default(), reserve, now }
    }

    fn publish(&self, state: &mut State) {
        let active = Arc::new(state.active(self.now));
        *self.active.write().unwrap() = active;
    }

    /// One request for a Job that may not run beside another of its database. True when it is let in.
    fn ask(&self, name: &str) -> bool {
        for tries in 1..=TRIES {
            let seen = Arc::clone(&self.active.read().unwrap());
            if seen.migrations.iter().any(|other| other.name != name) {
                return false;
            }
            if tries == TRIES {
                break;
            }
            let mut state = self.state.lock().unwrap();
            let reserved = (self.reserve)(&mut state, claim(name), &seen, self.now);
            self.publish(&mut state);
            if reserved {
                break;
            }
        }
        true
    }

    /// The watch tells of the Job, which takes the place of its claim.
    fn begins(&self, name: &str) {
        let Claim { namespace, name, database } = claim(name);
        let running =
            Running { tool: "flyway", operation: Operation::Apply, database: Some(database) };
        let entry = Entry { uid: "u".to_owned(), running, started: None };
        let mut state = self.state.lock().unwrap();
        state.jobs.insert((namespace, name), entry);
        self.publish(&mut state);
    }
}

fn claim(name: &str) -> Claim {
    Claim {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        database: Database::declared("orders"),
    }
}

/// The least and the most of `names` that are let in together, over every order. Each that is let in
/// is told of by the watch afterwards.
fn let_in(names: &'static [&'static str], reserve: Reserve) -> (usize, usize) {
    let (least, most) = (Arc::new(AtomicUsize::new(usize::MAX)), Arc::new(AtomicUsize::new(0)));
    let (low, high) = (Arc::clone(&least), Arc::clone(&most));
    let now = Instant::now();
    let mut builder = loom::model::Builder::new();
    // More threads take more orders than there is time for; nearly every fault shows within three
    // changes of the one that runs.
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let model = loom::sync::Arc::new(Model::new(reserve, now));
        let ask = |name: &'static str| {
            let model = loom::sync::Arc::clone(&model);
            move || {
                let admitted = model.ask(name);
                if admitted {
                    model.begins(name);
                }
                usize::from(admitted)
            }
        };
        let (first, others) = names.split_first().unwrap();
        let others: Vec<_> = others.iter().map(|name| thread::spawn(ask(name))).collect();
        let own = ask(first)();
        let others = others.into_iter().map(|other| other.join().unwrap());
        let count: usize = others.chain([own]).sum();
        low.fetch_min(count, Ordering::Relaxed);
        high.fetch_max(count, Ordering::Relaxed);
    });
    (least.load(Ordering::Relaxed), most.load(Ordering::Relaxed))
}

#[test]
fn of_migrations_that_come_at_once_exactly_one_is_let_in() {
    assert_eq!(let_in(&["a", "b"], State::reserve), (1, 1));
    assert_eq!(let_in(&["a", "b", "c"], State::reserve), (1, 1));
}

#[test]
fn one_that_is_asked_for_twice_does_not_stand_in_its_own_way() {
    assert_eq!(let_in(&["a", "a"], State::reserve), (2, 2));
}

/// The model sees what it is there for: claims that do not look at what was let in meanwhile.
#[test]
fn claims_that_do_not_look_let_two_in() {
    let blind: Reserve = |state, claim, _, now| {
        let seen = state.active(now);
        state.reserve(claim, &seen, now)
    };
    assert_eq!(let_in(&["a", "b"], blind), (1, 2));
}
