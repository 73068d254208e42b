//! A certificate that is replaced while handshakes begin, in every order: `loom` runs the real
//! [`Loaded::turn`] with cells of its own in place of the pointer, the gauge and the files.
//!
//! What may be served is said by the real check of every pair that can be read, made beforehand, since
//! `loom` gives threads too small a stack for it. That [`TlsStore`] keeps to one pointer, and the
//! listener takes it once for each connection, is a matter of reading their few lines, and of T2 and T32
//! of the torture harness.

use std::{collections::BTreeSet, sync::Mutex};

use loom::{
    sync::{
        RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};
use rustls::sign::CertifiedKey;

use super::*;

/// Pairs that come one after the other.
const GENERATIONS: usize = 3;
/// What the files hold, one after the other: the chain of one, the key of the other.
const WRITTEN: [Read; 3] = [(1, 1), (2, 1), (2, 2)];
/// How often the files are looked at while they are changed.
const TURNS: usize = 2;

/// Which generations chain and key are of.
type Read = (usize, usize);
/// What a handshake uses: the chain of one, the key of the other.
type Taken = (Arc<CertifiedKey>, Arc<CertifiedKey>);

/// A cell whose content is replaced as a whole.
struct Cell<T>(RwLock<T>);

impl<T: Clone> Cell<T> {
    fn new(value: T) -> Self {
        Self(RwLock::new(value))
    }

    fn load(&self) -> T {
        self.0.read().unwrap().clone()
    }

    fn store(&self, value: T) {
        *self.0.write().unwrap() = value;
    }
}

/// A pair that may be served, and when it ends.
type Good = (Arc<CertifiedKey>, Timestamp);

/// Three pairs, and what the real check says of each chain with each key.
struct Pairs {
    checked: Vec<(Read, Option<Good>)>,
}

impl Pairs {
    fn new() -> Self {
        let provider = rustls::crypto::ring::default_provider();
        // Years apart, so that each can be told by its end.
        let years: [Timestamp; GENERATIONS] =
            ["2025", "2026", "2027"].map(|year| format!("{year}-06-01T00:00:00Z").parse().unwrap());
        let issued = years.map(|year| Issued::new(&["localhost".to_owned()], year).unwrap());
        let all = (0..GENERATIONS).flat_map(|chain| (0..GENERATIONS).map(move |key| (chain, key)));
        let check = |(chain, key): Read| {
            let now = years[1];
            let (chain, key): (&Issued, &Issued) = (&issued[chain], &issued[key]);
            let ca = Some(chain.ca.as_bytes());
            certificate::check(chain.chain.as_bytes(), key.key.as_bytes(), ca, &provider, now)
                .ok()
                .map(|checked| (checked.key, checked.leaf_until))
        };
        Self { checked: all.map(|read| (read, check(read))).collect() }
    }

    fn good(&self, read: Read) -> Option<&Good> {
        self.checked.iter().find(|(known, _)| *known == read)?.1.as_ref()
    }

    /// The generation whose pair this is.
    fn generation(&self, key: &Arc<CertifiedKey>) -> usize {
        let own = |number: &usize| self.good((*number, *number)).unwrap();
        (0..GENERATIONS).find(|number| Arc::ptr_eq(&own(number).0, key)).unwrap()
    }

    /// The generation that ends then.
    fn ending(&self, end: u64) -> usize {
        let own = |number: &usize| self.good((*number, *number)).unwrap();
        (0..GENERATIONS).find(|number| seconds(own(number).1) == end).unwrap()
    }
}

fn seconds(end: Timestamp) -> u64 {
    end.as_second().unsigned_abs()
}

/// How the pair lies in the files.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Folder {
    /// Behind one link, or in one Secret in memory: changed and read as a whole.
    Linked,
    /// In two files, the one changed after the other.
    Loose,
}

/// What is done otherwise than [`TlsStore`] does it.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Chain and key are two pointers.
    Halves,
    /// The gauge is set as soon as the pair is known to be good.
    Early,
    /// What does not fit together is served.
    Unchecked,
}

/// The shape of [`TlsStore`], and of what it reads.
struct Model {
    pairs: Arc<Pairs>,
    folder: Folder,
    fault: Fault,
    /// The second is not used when both lie behind a link.
    files: (Cell<Read>, Cell<usize>),
    served: Cell<Taken>,
    /// Where the key is taken from if it is another pointer.
    other: Cell<Taken>,
    /// The metrics are atomic numbers without an order, and so is this.
    told: AtomicU64,
    /// The newest generation whose replacement is over.
    replaced: AtomicUsize,
}

impl Model {
    fn new(pairs: &Arc<Pairs>, folder: Folder, fault: Fault) -> Self {
        let (pair, end) = pairs.good((0, 0)).unwrap().clone();
        let first = (Arc::clone(&pair), pair);
        Self {
            pairs: Arc::clone(pairs),
            folder,
            fault,
            files: (Cell::new((0, 0)), Cell::new(0)),
            served: Cell::new(first.clone()),
            other: Cell::new(first),
            told: AtomicU64::new(seconds(end)),
            replaced: AtomicUsize::new(0),
        }
    }

    /// Somebody replaces the pair.
    fn write(&self, (chain, key): Read) {
        self.files.0.store((chain, key));
        if self.folder == Folder::Loose {
            self.files.1.store(key);
        }
    }

    /// Looks at the files once, as [`TlsStore`] does.
    fn reload(&self, loaded: &mut Loaded) {
        if loaded.turn(Ok(self.read()), self) {
            self.replaced.store(usize::from(loaded.served.chain[0]), Ordering::Release);
        }
    }

    fn read(&self) -> Files {
        let (chain, key) = self.files.0.load();
        let key = if self.folder == Folder::Loose { self.files.1.load() } else { key };
        files((chain, key))
    }

    /// What a handshake takes.
    fn handshake(&self) -> Taken {
        let (chain, key) = self.served.load();
        (chain, if self.fault == Fault::Halves { self.other.load().1 } else { key })
    }
}

/// The generations stand for their bytes.
fn files((chain, key): Read) -> Files {
    let byte = |number: usize| vec![u8::try_from(number).unwrap()];
    Files { chain: byte(chain), key: byte(key), ca: Some(byte(chain)), client_ca: None }
}

impl Place for Model {
    type Served = Taken;

    fn build(&self, files: &Files) -> Result<(Taken, Ends), TlsError> {
        let (chain, key) = (usize::from(files.chain[0]), usize::from(files.key[0]));
        let own = |number| self.pairs.good((number, number)).cloned();
        let (served, leaf) = match self.pairs.good((chain, key)).cloned() {
            Some((pair, end)) => ((Arc::clone(&pair), pair), end),
            None if self.fault == Fault::Unchecked => {
                let ((chain, end), (key, _)) = own(chain).zip(own(key)).unwrap();
                ((chain, key), end)
            }
            None => {
                let source = CertificateError::Nameless;
                return Err(TlsError::Certificate { path: PathBuf::new(), source });
            }
        };
        let ends = Ends { leaf, ca: None, client_ca: None };
        if self.fault == Fault::Early {
            self.tell(&ends);
        }
        Ok((served, ends))
    }

    fn serve(&self, served: Taken) {
        self.served.store(served.clone());
        if self.fault == Fault::Halves {
            self.other.store(served);
        }
    }

    fn tell(&self, ends: &Ends) {
        self.told.store(seconds(ends.leaf), Ordering::Relaxed);
    }

    fn refuse(&self, _: &TlsError) {}
}

/// What others saw, by generation.
#[derive(Debug, Default)]
struct Seen {
    /// Chain and key of every handshake.
    taken: BTreeSet<Read>,
    /// The pair whose replacement was over, and what a handshake got that began then.
    after: BTreeSet<(usize, usize)>,
    /// What one handshake got, and what the next did.
    again: BTreeSet<(usize, usize)>,
    /// Whose end the gauge told, and what a handshake got that began then.
    told: BTreeSet<(usize, usize)>,
    /// What is served in the end.
    last: BTreeSet<Read>,
}

type Found = Arc<Mutex<Seen>>;

fn other(
    model: &loom::sync::Arc<Model>,
    found: &Found,
    does: fn(&Model, &Found),
) -> thread::JoinHandle<()> {
    let (model, found) = (loom::sync::Arc::clone(model), Arc::clone(found));
    thread::spawn(move || does(&model, &found))
}

impl Model {
    fn generations(&self, (chain, key): &Taken) -> Read {
        (self.pairs.generation(chain), self.pairs.generation(key))
    }

    /// Connects, and connects again.
    fn client(&self, found: &Found) {
        let over = self.replaced.load(Ordering::Acquire);
        let first = self.generations(&self.handshake());
        let second = self.generations(&self.handshake());
        let mut seen = found.lock().unwrap();
        seen.taken.extend([first, second]);
        seen.after.insert((over, first.0));
        seen.again.insert((first.0, second.0));
    }

    /// Looks at the gauge, and connects.
    fn scraper(&self, found: &Found) {
        let told = self.pairs.ending(self.told.load(Ordering::Relaxed));
        let taken = self.generations(&self.handshake());
        found.lock().unwrap().told.insert((told, taken.0));
    }
}

/// Everything that can be seen while files are changed and looked at.
fn seen(folder: Folder, fault: Fault) -> Seen {
    let pairs = Arc::new(Pairs::new());
    let seen = Found::default();
    let found = Arc::clone(&seen);
    let mut builder = loom::model::Builder::new();
    // More changes of the thread that runs take more orders than there is time for.
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let model = loom::sync::Arc::new(Model::new(&pairs, folder, fault));
        let client = other(&model, &found, Model::client);
        let mut loaded = Loaded { served: files((0, 0)), refused: None };
        let others = match folder {
            // It is read as it was at one moment or another.
            Folder::Linked => {
                let scraper = other(&model, &found, Model::scraper);
                for written in WRITTEN {
                    model.write(written);
                    model.reload(&mut loaded);
                }
                scraper
            }
            Folder::Loose => {
                let writer = other(&model, &found, |model, _| {
                    for written in WRITTEN {
                        model.write(written);
                    }
                });
                for _ in 0..TURNS {
                    model.reload(&mut loaded);
                }
                writer
            }
        };
        for thread in [client, others] {
            thread.join().unwrap();
        }
        model.reload(&mut loaded);
        let last = model.generations(&model.handshake());
        found.lock().unwrap().last.insert(last);
    });
    std::mem::take(&mut seen.lock().unwrap())
}

/// Whether a client could be served by this chain with this key.
fn fits((chain, key): Read) -> bool {
    let pairs = Pairs::new();
    let own = |number: usize| Arc::clone(&pairs.good((number, number)).unwrap().0);
    CertifiedKey::new(own(chain).cert.clone(), Arc::clone(&own(key).key)).keys_match().is_ok()
}

#[test]
fn a_handshake_gets_one_pair_and_never_an_older_one() {
    for folder in [Folder::Linked, Folder::Loose] {
        let Seen { taken, after, again, last, .. } = seen(folder, Fault::None);
        // Every pair is met, none in part, and what did not fit together is not among them.
        assert_eq!(taken, BTreeSet::from([(0, 0), (1, 1), (2, 2)]), "{folder:?}");
        assert!(taken.iter().all(|taken| fits(*taken)));
        for older in [after, again] {
            assert!(older.iter().all(|(known, taken)| taken >= known), "{folder:?}: {older:?}");
            assert!(older.contains(&(0, 0)) && older.contains(&(0, 1)), "{folder:?}: {older:?}");
        }
        assert_eq!(last, BTreeSet::from([(2, 2)]), "{folder:?}");
    }
}

#[test]
fn the_end_that_is_told_is_that_of_a_pair_that_was_served() {
    let Seen { told, .. } = seen(Folder::Linked, Fault::None);
    assert!(told.iter().all(|(told, taken)| taken >= told), "{told:?}");
    assert!(told.contains(&(0, 2)) && told.contains(&(2, 2)), "{told:?}");
}

/// The model sees what it is there for: half of one pair and half of another.
#[test]
fn two_pointers_would_give_half_of_each() {
    let Seen { taken, .. } = seen(Folder::Linked, Fault::Halves);
    assert!(taken.iter().any(|taken| !fits(*taken)), "{taken:?}");
}

/// And an end that is told of what nobody can get yet.
#[test]
fn a_gauge_that_is_set_early_would_tell_of_what_is_not_served() {
    let Seen { told, .. } = seen(Folder::Linked, Fault::Early);
    assert!(told.iter().any(|(told, taken)| taken < told), "{told:?}");
}

/// And files that are read in the middle of a change.
#[test]
fn without_the_check_what_was_half_written_would_be_served() {
    let Seen { taken, .. } = seen(Folder::Loose, Fault::Unchecked);
    assert!(taken.iter().any(|taken| !fits(*taken)), "{taken:?}");
}

/// What a place did, where time passes from one look to the next.
#[derive(Default)]
struct Patient(std::cell::RefCell<Vec<&'static str>>);

impl Patient {
    fn note(&self, what: &'static str) {
        self.0.borrow_mut().push(what);
    }
}

impl Place for Patient {
    type Served = ();

    fn build(&self, _: &Files) -> Result<((), Ends), TlsError> {
        self.note("looked");
        if self.0.borrow().iter().filter(|did| **did == "looked").count() > 2 {
            return Ok(((), Ends { leaf: Timestamp::MAX, ca: None, client_ca: None }));
        }
        let (from, until, now) = (Timestamp::MAX, Timestamp::MAX, Timestamp::UNIX_EPOCH);
        let source = CertificateError::Expired { from, until, now };
        Err(TlsError::Certificate { path: PathBuf::new(), source })
    }

    fn serve(&self, (): ()) {
        self.note("served");
    }

    fn tell(&self, _: &Ends) {
        self.note("told");
    }

    fn refuse(&self, _: &TlsError) {
        self.note("refused");
    }
}

/// A clock may be behind that of whoever made the pair.
#[test]
fn a_pair_that_came_before_its_time_is_taken_when_that_comes() {
    let (place, mut loaded) = (Patient::default(), Loaded { served: files((0, 0)), refused: None });
    let taken = [0; 4].map(|_| loaded.turn(Ok(files((1, 1))), &place));
    assert_eq!(taken, [false, false, true, false]);
    let did = ["looked", "refused", "looked", "looked", "served", "told"];
    assert_eq!(*place.0.borrow(), did);
}
