//! Approvals of the cluster: which there are, and which Job used one.

pub(super) mod status;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use kube::{Api, Client, core::ApiResource, runtime::watcher::Event};
use serde::Deserialize;
use tokio::sync::Notify;

use super::{Raw, approval_kind, follow::follow};
use crate::{
    metrics::{Cache, Metrics},
    model::{Fact, GrantedApproval, Object},
    policy::{self, ApprovalStatus, Condition, JobReference, LoadError},
};

/// How long an approval counts as used by a Job that was let in before the watch has told of the
/// Job. Another webhook may have refused it after us; then the approval is free again.
const SPENT: Duration = Duration::from_secs(30);
/// Most Jobs that are remembered until the approvals have been read.
const EARLY: usize = 50_000;

/// Names an approval: namespace, name.
pub(super) type Key = (String, String);

/// An approval as last read.
#[derive(Debug)]
struct Entry {
    uid: String,
    generation: Option<i64>,
    created: Timestamp,
    /// It, or what is wrong with it.
    read: Result<GrantedApproval, String>,
    /// What the cluster says about it.
    status: ApprovalStatus,
    /// The Job that this replica saw run under it.
    used: Option<JobReference>,
}

impl Entry {
    fn used_by(&self) -> Option<&JobReference> {
        self.status.used_by.as_ref().or(self.used.as_ref())
    }
}

/// An approval that a Job was let in under a moment ago.
#[derive(Debug)]
struct Spent {
    approval: Key,
    approval_uid: String,
    job_uid: String,
    until: Instant,
}

/// A Job that runs, or ran.
#[derive(Debug)]
struct Seen {
    job: JobReference,
    digest: String,
    began: Timestamp,
}

#[derive(Debug, Default)]
struct State {
    approvals: BTreeMap<Key, Entry>,
    spent: Vec<Spent>,
    /// Jobs that were seen before the approvals had been read.
    early: Vec<Seen>,
}

/// What requests see.
#[derive(Debug, Default)]
struct Published {
    by_namespace: BTreeMap<String, Arc<Vec<GrantedApproval>>>,
    /// When the first approval in it is free again.
    until: Option<Instant>,
}

/// The approvals of the cluster.
#[derive(Debug, Default)]
pub struct Approvals {
    watched: bool,
    synced: AtomicBool,
    state: Mutex<State>,
    current: ArcSwap<Published>,
    /// Told when a status may have to be written.
    pub(super) changed: Notify,
}

impl Approvals {
    /// To be filled by a watch.
    pub fn watched() -> Self {
        Self { watched: true, ..Self::default() }
    }

    /// True while they cannot be told.
    pub(super) fn is_awaited(&self) -> bool {
        self.watched && !self.synced.load(Ordering::Acquire)
    }

    /// Those of a namespace.
    pub fn of(&self, namespace: &str, now: Instant) -> Fact<Arc<Vec<GrantedApproval>>> {
        if !self.watched {
            return Fact::NotAsked;
        }
        if self.is_awaited() {
            return Fact::Unknown("the approvals of the cluster have not been read yet".into());
        }
        let mut current = self.current.load_full();
        if current.until.is_some_and(|until| until <= now) {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            current = self.publish(&mut state, now);
        }
        Fact::Known(current.by_namespace.get(namespace).map(Arc::clone).unwrap_or_default())
    }

    /// Notes that a Job was let in under these approvals, each of which may cover one Job only. False,
    /// and nothing is noted, where another Job used one of them since they were read.
    pub fn spend(&self, namespace: &str, names: &[String], job_uid: &str, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.publish(&mut state, now);
        let all = current.by_namespace.get(namespace).map(Arc::clone).unwrap_or_default();
        let is_free = |name: &String| {
            let found = all.iter().find(|granted| granted.name == *name);
            let used = found.map(|granted| granted.used_by.as_deref());
            used.is_some_and(|used| used.is_none_or(|uid| uid == job_uid && !uid.is_empty()))
        };
        if !names.iter().all(is_free) {
            return false;
        }
        let until = now.checked_add(SPENT).unwrap_or(now);
        for name in names {
            let approval = (namespace.to_owned(), name.clone());
            let Some(entry) = state.approvals.get(&approval) else { continue };
            let (approval_uid, job_uid) = (entry.uid.clone(), job_uid.to_owned());
            state.spent.push(Spent { approval, approval_uid, job_uid, until });
        }
        self.publish(&mut state, now);
        true
    }

    /// Puts what is known where requests see it.
    fn publish(&self, state: &mut State, now: Instant) -> Arc<Published> {
        let State { approvals, spent, .. } = state;
        spent.retain(|one| {
            let entry = approvals.get(&one.approval);
            one.until > now
                && entry.is_some_and(|it| it.uid == one.approval_uid && it.used_by().is_none())
        });
        let mut by_namespace: BTreeMap<String, Vec<GrantedApproval>> = BTreeMap::new();
        for (key, entry) in approvals.iter() {
            let Ok(granted) = &entry.read else { continue };
            let reserved = || spent.iter().find(|one| one.approval == *key);
            let used_by = entry.used_by().map(|job| job.uid.clone());
            let used_by = used_by.or_else(|| Some(reserved()?.job_uid.clone()));
            let granted = GrantedApproval { used_by, ..granted.clone() };
            by_namespace.entry(key.0.clone()).or_default().push(granted);
        }
        let published = Arc::new(Published {
            by_namespace: by_namespace.into_iter().map(|(of, all)| (of, Arc::new(all))).collect(),
            until: spent.iter().map(|one| one.until).min(),
        });
        self.current.store(Arc::clone(&published));
        published
    }

    /// Keeps the approvals as the API server has them. Never ends.
    pub(super) async fn watch(&self, client: Client, metrics: &Metrics) {
        let resource = approval_kind();
        let api: Api<Raw> = Api::all_with(client, &resource);
        let mut fresh: Option<BTreeMap<Key, Raw>> = None;
        follow(Cache::Approvals, api, metrics, |event| {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Event::Init => fresh = Some(BTreeMap::new()),
                Event::InitApply(raw) => {
                    fresh.get_or_insert_default().insert(key(&raw), raw);
                }
                Event::InitDone => {
                    let fresh = fresh.take().unwrap_or_default();
                    state.approvals.retain(|key, _| fresh.contains_key(key));
                    for raw in fresh.values() {
                        state.read(raw, &resource);
                    }
                    for seen in std::mem::take(&mut state.early) {
                        state.use_by(seen);
                    }
                }
                Event::Apply(raw) => state.read(&raw, &resource),
                Event::Delete(raw) => {
                    state.approvals.remove(&key(&raw));
                }
            }
            if fresh.is_none() {
                self.publish(&mut state, Instant::now());
                self.synced.store(true, Ordering::Release);
                self.changed.notify_one();
            }
            state.approvals.len()
        })
        .await;
    }

    /// Notes a Job that the watch tells of, whose text is `text`: the first that runs under an
    /// approval used it.
    pub(super) fn job(&self, raw: &Raw, text: &str) {
        if !self.watched {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_awaited = self.is_awaited();
        // Few namespaces have an approval that nobody used, and only there a Job is looked into.
        if !is_awaited && !state.has_unused(raw.namespace()) {
            return;
        }
        let Some(seen) = seen(raw, text) else { return };
        if is_awaited {
            if state.early.len() < EARLY {
                state.early.push(seen);
            }
        } else if state.use_by(seen) {
            self.publish(&mut state, Instant::now());
            self.changed.notify_one();
        }
    }

    /// Every approval whose status is to be written, with its uid; and when the next one ends.
    pub(super) fn due(
        &self,
        now: Timestamp,
    ) -> (Vec<(Key, String, ApprovalStatus)>, Option<Timestamp>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = state.approvals.iter().filter_map(|(key, entry)| {
            let wanted = wanted(entry, now);
            (wanted != entry.status).then(|| (key.clone(), entry.uid.clone(), wanted))
        });
        let ends = state.approvals.values().filter_map(|entry| entry.read.as_ref().ok());
        let ends = ends.map(|granted| granted.expires).filter(|end| *end > now);
        (wanted.collect(), ends.min())
    }

    /// Notes that a status was written, before the watch tells so.
    pub(super) fn wrote(&self, key: &Key, uid: &str, status: ApprovalStatus) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = state.approvals.get_mut(key).filter(|entry| entry.uid == uid) {
            entry.status = status;
        }
    }
}

fn key(raw: &Raw) -> Key {
    (raw.namespace().to_owned(), raw.name().to_owned())
}

/// What is read beside what is approved, of an approval and of a Job.
#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    metadata: ViewMetadata,
    spec: ViewSpec,
    status: ViewStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ViewMetadata {
    creation_timestamp: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ViewSpec {
    suspend: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ViewStatus {
    start_time: Option<Timestamp>,
}

impl State {
    /// Reads an approval into its place.
    fn read(&mut self, raw: &Raw, resource: &ApiResource) {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Told {
            metadata: ViewMetadata,
            status: ApprovalStatus,
        }
        let text = raw.text(resource);
        let key = key(raw);
        let name = format!("{}/{}", key.0, key.1);
        let read = policy::read_approval(&text, &name)
            .map_err(|errors| errors.iter().map(LoadError::brief).collect::<Vec<_>>().join("; "));
        let Told { metadata, status } = serde_json::from_str(&text).unwrap_or_default();
        // Another object of the same name is another approval.
        let before = self.approvals.remove(&key).filter(|entry| entry.uid == raw.uid());
        let entry = Entry {
            uid: raw.uid().to_owned(),
            generation: raw.metadata.generation,
            created: metadata.creation_timestamp.unwrap_or(Timestamp::UNIX_EPOCH),
            read,
            status,
            used: before.and_then(|entry| entry.used),
        };
        self.approvals.insert(key, entry);
    }

    fn of<'s>(&'s mut self, namespace: &'s str) -> impl Iterator<Item = &'s mut Entry> {
        let from = (namespace.to_owned(), String::new());
        let all = self.approvals.range_mut(from..);
        all.take_while(move |(key, _)| key.0 == namespace).map(|(_, entry)| entry)
    }

    fn has_unused(&mut self, namespace: &str) -> bool {
        self.of(namespace).any(|entry| entry.read.is_ok() && entry.used_by().is_none())
    }

    /// Notes that a Job used the approvals that cover it and that nobody used. All of them: which one it
    /// was let in under is known to nobody but the replica that did, and whether the others hold is
    /// the policy's to say. True when there was one to note.
    fn use_by(&mut self, Seen { job, digest, began }: Seen) -> bool {
        let namespace = job.namespace.clone();
        let covers = |entry: &Entry| {
            let granted = entry.read.as_ref().ok();
            let granted = granted.filter(|granted| granted.digest == digest);
            granted.is_some_and(|granted| entry.created <= began && began < granted.expires)
        };
        let mut any = false;
        for entry in self.of(&namespace).filter(|entry| entry.used_by().is_none()) {
            if covers(entry) {
                entry.used = Some(job.clone());
                any = true;
            }
        }
        any
    }
}

/// A Job that runs or ran; none while it is suspended. One that was created before its approval and
/// resumed under it began when it was resumed.
fn seen(raw: &Raw, text: &str) -> Option<Seen> {
    let View { metadata, spec, status } = serde_json::from_str(text).ok()?;
    if spec.suspend == Some(true) {
        return None;
    }
    let object = Object::parse(text).ok()?;
    Some(Seen {
        job: JobReference {
            namespace: raw.namespace().to_owned(),
            name: raw.name().to_owned(),
            uid: raw.uid().to_owned(),
        },
        digest: policy::digest(&object).to_string(),
        began: metadata.creation_timestamp.max(status.start_time)?,
    })
}

/// What the status of an approval is to say. What it says already keeps its time.
fn wanted(entry: &Entry, now: Timestamp) -> ApprovalStatus {
    let used_by = entry.used_by().cloned();
    let ended = entry.read.as_ref().is_ok_and(|granted| granted.expires <= now);
    let (ready, reason, message) = match &entry.read {
        Err(wrong) => (false, "Invalid", wrong.clone()),
        Ok(_) if ended => (false, "Expired", "it has ended".to_owned()),
        Ok(_) => (true, "InForce", "it covers what its digest names".to_owned()),
    };
    let used = match &used_by {
        Some(job) => (true, "Used", format!("Job {} ran under it", job.name)),
        None => (false, "Unused", "no Job ran under it yet".to_owned()),
    };
    let expired = if ended {
        (true, "Expired", "it has ended".to_owned())
    } else {
        (false, "InTime", "it has not ended".to_owned())
    };
    let seconds = now.round(jiff::Unit::Second).unwrap_or(now).to_string();
    let condition = |kind: &str, (holds, reason, message): (bool, &str, String)| {
        let status = if holds { "True" } else { "False" };
        let before = entry.status.conditions.iter().find(|it| it.kind == kind);
        let since = before.filter(|it| it.status == status).map(|it| &it.last_transition_time);
        Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message,
            last_transition_time: since.unwrap_or(&seconds).clone(),
            observed_generation: entry.generation,
        }
    };
    ApprovalStatus {
        observed_generation: entry.generation,
        used_by,
        conditions: vec![
            condition("Ready", (ready, reason, message)),
            condition("Used", used),
            condition("Expired", expired),
        ],
    }
}

#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod tests;
