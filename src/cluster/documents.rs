//! Policies and exceptions of the cluster: which are in force, and what is wrong with the rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use kube::{Api, Client, core::ApiResource, runtime::watcher::Event};
use tokio::sync::{Notify, watch};

use super::{Raw, follow::follow, own_kind};
use crate::{
    metrics::{Cache, KindLabels, Metrics},
    policy::{self, Exception, ExceptionSet, LoadError, Policy, PolicySet},
};

/// Kinds of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `MigrationPolicy`.
    Policy,
    /// `MigrationException`.
    Exception,
}

impl Kind {
    /// As in `kind:`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "MigrationPolicy",
            Self::Exception => "MigrationException",
        }
    }

    /// As in a URL.
    pub fn resource(self) -> ApiResource {
        match self {
            Self::Policy => own_kind("MigrationPolicy", "migrationpolicies"),
            Self::Exception => own_kind("MigrationException", "migrationexceptions"),
        }
    }
}

/// Names a document: kind, namespace (empty for a policy), name.
pub type Key = (Kind, String, String);

/// What became of a document: what its status is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its uid.
    pub uid: String,
    /// The generation that was read.
    pub generation: Option<i64>,
    /// The message of its `Ready` condition in the cluster, with the generation it is about.
    pub written: Option<(bool, String, Option<i64>)>,
    /// What is wrong; none when it is in force.
    pub wrong: Option<String>,
    /// True when an earlier generation stays in force.
    pub earlier_holds: bool,
}

/// A document as last read.
struct Entry<T> {
    /// The last generation that was right.
    good: Option<Arc<T>>,
    standing: Standing,
}

#[derive(Default)]
struct State {
    policies: BTreeMap<Key, Entry<Policy>>,
    exceptions: BTreeMap<Key, Entry<Exception>>,
    /// Whose status may have to be written.
    dirty: BTreeSet<Key>,
}

type Publish = dyn Fn(PolicySet) + Send + Sync;

/// The policies and exceptions of the cluster, before a base of files.
///
/// Whatever is read is compiled at once; the set in force is replaced as a whole. A document that is
/// wrong changes nothing: the last right generation of it stays in force.
pub struct Documents {
    base: PolicySet,
    state: Mutex<State>,
    current: ArcSwap<PolicySet>,
    publish: Box<Publish>,
    policies_synced: AtomicBool,
    exceptions_synced: AtomicBool,
    /// Told when a status may have to be written.
    pub changed: Notify,
    /// Counts the sets that were in force.
    generation: watch::Sender<u64>,
}

impl fmt::Debug for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Documents").finish_non_exhaustive()
    }
}

impl Documents {
    /// Nothing of the cluster yet, `base` from files. `publish` takes every new set into use.
    pub fn new(base: PolicySet, publish: impl Fn(PolicySet) + Send + Sync + 'static) -> Self {
        Self {
            current: ArcSwap::from_pointee(base.clone()),
            base,
            state: Mutex::default(),
            publish: Box::new(publish),
            policies_synced: AtomicBool::new(false),
            exceptions_synced: AtomicBool::new(false),
            changed: Notify::new(),
            generation: watch::Sender::new(0),
        }
    }

    /// What is in force now.
    pub fn current(&self) -> Arc<PolicySet> {
        self.current.load_full()
    }

    /// Tells whenever another set has come into force.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Takes a whole list in, in place of what was there.
    pub(super) fn load(&self, kind: Kind, all: Vec<Raw>, metrics: &Metrics) {
        let key = |raw: &Raw| (kind, raw.namespace().to_owned(), raw.name().to_owned());
        let mut fresh = Some(all.into_iter().map(|raw| (key(&raw), raw)).collect());
        self.on_event(kind, &kind.resource(), Event::InitDone, &mut fresh, metrics);
    }

    /// The caches that are not filled yet.
    pub fn waits_for(&self) -> impl Iterator<Item = Cache> {
        let policies = (!self.policies_synced.load(Ordering::Acquire)).then_some(Cache::Policies);
        let synced = self.exceptions_synced.load(Ordering::Acquire);
        policies.into_iter().chain((!synced).then_some(Cache::Exceptions))
    }

    /// The documents whose status may have to be written, with what it is to say; each is handed out
    /// once for every change.
    pub fn take_dirty(&self) -> Vec<(Key, Standing)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let dirty = std::mem::take(&mut state.dirty);
        dirty.into_iter().filter_map(|key| Some((key.clone(), state.standing(&key)?))).collect()
    }

    /// Hands a document out again.
    pub fn dirty(&self, key: Key) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).dirty.insert(key);
    }

    /// Hands every document out again: whoever wrote before may not have finished.
    pub fn all_dirty(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = state.policies.keys().chain(state.exceptions.keys()).cloned();
        let keys: Vec<_> = keys.collect();
        state.dirty.extend(keys);
        drop(state);
        self.changed.notify_one();
    }

    /// Keeps the policies as the API server has them. Never ends.
    pub(super) async fn watch_policies(&self, client: Client, metrics: &Metrics) {
        let resource = Kind::Policy.resource();
        let api: Api<Raw> = Api::all_with(client, &resource);
        let mut fresh: Option<BTreeMap<Key, Raw>> = None;
        follow(Cache::Policies, api, metrics, |event| {
            self.on_event(Kind::Policy, &resource, event, &mut fresh, metrics);
            self.state.lock().unwrap_or_else(PoisonError::into_inner).policies.len()
        })
        .await;
    }

    /// Keeps the exceptions as the API server has them. Never ends.
    pub(super) async fn watch_exceptions(&self, client: Client, metrics: &Metrics) {
        let resource = Kind::Exception.resource();
        let api: Api<Raw> = Api::all_with(client, &resource);
        let mut fresh: Option<BTreeMap<Key, Raw>> = None;
        follow(Cache::Exceptions, api, metrics, |event| {
            self.on_event(Kind::Exception, &resource, event, &mut fresh, metrics);
            self.state.lock().unwrap_or_else(PoisonError::into_inner).exceptions.len()
        })
        .await;
    }

    fn on_event(
        &self,
        kind: Kind,
        resource: &ApiResource,
        event: Event<Raw>,
        fresh: &mut Option<BTreeMap<Key, Raw>>,
        metrics: &Metrics,
    ) {
        let key = |raw: &Raw| (kind, raw.namespace().to_owned(), raw.name().to_owned());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => return *fresh = Some(BTreeMap::new()),
            Event::InitApply(raw) => {
                fresh.get_or_insert_default().insert(key(&raw), raw);
                return;
            }
            Event::InitDone => {
                let fresh = fresh.take().unwrap_or_default();
                state.policies.retain(|key, _| key.0 != kind || fresh.contains_key(key));
                state.exceptions.retain(|key, _| key.0 != kind || fresh.contains_key(key));
                for (key, raw) in fresh {
                    state.read(key, &raw, resource);
                }
            }
            Event::Apply(raw) => state.read(key(&raw), &raw, resource),
            Event::Delete(raw) => {
                let key = key(&raw);
                state.policies.remove(&key);
                state.exceptions.remove(&key);
            }
        }
        let set = state.set(&self.base);
        for kind in [Kind::Policy, Kind::Exception] {
            let labels = KindLabels { kind: kind.as_str() };
            metrics.documents_rejected.get_or_create(&labels).set(state.rejected(kind));
        }
        drop(state);
        metrics.policies(set.policies().map(|policy| policy.name.clone()));
        (self.publish)(set.clone());
        self.current.store(Arc::new(set));
        let synced = match kind {
            Kind::Policy => &self.policies_synced,
            Kind::Exception => &self.exceptions_synced,
        };
        synced.store(true, Ordering::Release);
        self.generation.send_modify(|number| *number = number.wrapping_add(1));
        self.changed.notify_one();
    }
}

impl State {
    fn standing(&self, key: &Key) -> Option<Standing> {
        let policy = self.policies.get(key).map(|entry| &entry.standing);
        policy.or_else(|| self.exceptions.get(key).map(|entry| &entry.standing)).cloned()
    }

    fn rejected(&self, kind: Kind) -> i64 {
        let policies = self.policies.iter().map(|(key, entry)| (key, &entry.standing));
        let exceptions = self.exceptions.iter().map(|(key, entry)| (key, &entry.standing));
        let wrong = policies.chain(exceptions);
        let wrong = wrong.filter(|(key, standing)| key.0 == kind && standing.wrong.is_some());
        i64::try_from(wrong.count()).unwrap_or(i64::MAX)
    }

    /// Reads a document into its place.
    fn read(&mut self, key: Key, raw: &Raw, resource: &ApiResource) {
        let text = raw.text(resource);
        // In errors; positions in a text that nobody sees would say nothing.
        let name = if key.1.is_empty() { key.2.clone() } else { format!("{}/{}", key.1, key.2) };
        let loaded = policy::read(&text, &name);
        let mut standing = Standing {
            uid: raw.uid().to_owned(),
            generation: raw.metadata.generation,
            written: written(&text),
            wrong: loaded.as_ref().err().map(|errors| told(errors)),
            earlier_holds: false,
        };
        let loaded = loaded.unwrap_or_default();
        match key.0 {
            Kind::Policy => {
                let good = loaded.policies.into_iter().next().map(Arc::new);
                settle(&mut self.policies, key.clone(), good, &mut standing);
            }
            Kind::Exception => {
                let good = loaded.exceptions.into_iter().next().map(Arc::new);
                settle(&mut self.exceptions, key.clone(), good, &mut standing);
            }
        }
        self.dirty.insert(key);
    }

    /// What is in force, with the base of files behind it.
    fn set(&mut self, base: &PolicySet) -> PolicySet {
        let policies = self.policies.values().filter_map(|entry| entry.good.clone()).collect();
        let set = base.behind(policies);
        let mut exceptions: Vec<Exception> = Vec::new();
        for (key, entry) in &mut self.exceptions {
            let Some(exception) = &entry.good else { continue };
            exceptions.push(Exception::clone(exception));
            // A rule that no policy knows excuses nothing. It is told, and the rest of the
            // exception holds: the policy that brings the rule may come a moment later.
            let unknown = set.unknown_rules(exception);
            let unknown: Vec<_> = unknown.into_iter().map(|(_, message)| message).collect();
            let wrong =
                (!unknown.is_empty()).then(|| format!("spec.rules: {}", unknown.join("; ")));
            if !entry.standing.earlier_holds && entry.standing.wrong != wrong {
                entry.standing.wrong = wrong;
                self.dirty.insert(key.clone());
            }
        }
        let files = base.exceptions().iter().map(|(namespace, exception)| {
            let mut exception = Exception::clone(exception);
            exception.namespace.get_or_insert_with(|| namespace.to_owned());
            exception
        });
        set.with_exceptions(ExceptionSet::new(files.chain(exceptions), ""))
    }
}

/// Puts what was read in the place of what was: a wrong generation leaves the right one before it.
fn settle<T>(
    entries: &mut BTreeMap<Key, Entry<T>>,
    key: Key,
    good: Option<Arc<T>>,
    standing: &mut Standing,
) {
    // Another object of the same name is another document.
    let before = entries.get(&key).filter(|entry| entry.standing.uid == standing.uid);
    let good = match good {
        Some(good) => Some(good),
        None => before.and_then(|entry| entry.good.clone()),
    };
    standing.earlier_holds = standing.wrong.is_some() && good.is_some();
    if let Some(wrong) = &standing.wrong {
        let (kind, namespace, name) = &key;
        tracing::warn!(
            kind = kind.as_str(),
            namespace,
            name,
            wrong,
            earlier_holds = standing.earlier_holds,
            "a document is not in force"
        );
    }
    entries.insert(key, Entry { good, standing: standing.clone() });
}

/// What is wrong, with the field and without the position, which nobody could look up.
fn told(errors: &[LoadError]) -> String {
    errors.iter().map(LoadError::brief).collect::<Vec<_>>().join("; ")
}

/// The `Ready` condition that a document has in the cluster.
fn written(text: &str) -> Option<(bool, String, Option<i64>)> {
    #[derive(serde::Deserialize)]
    struct View {
        status: Option<policy::Status>,
    }
    let status = serde_json::from_str::<View>(text).ok()?.status?;
    let ready = status.conditions.into_iter().find(|condition| condition.kind == "Ready")?;
    Some((ready.status == "True", ready.message, ready.observed_generation))
}
