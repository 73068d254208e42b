//! Migrations that run: the unfinished Jobs of the cluster that change a schema, and those that were
//! let in a moment ago and are not there yet.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::{Api, Client, core::ApiResource, runtime::watcher::Event};

use super::{
    Approvals, Documents, Happened, Lookup, Namespaces, Raw,
    follow::follow,
    rollouts::{Rolling, Rollouts},
};
use crate::{
    decision::{self, JOB, Running},
    metrics::{Cache, Metrics, MigrationLabels, OutcomeLabels},
    model::{ActiveMigration, Database, Fact, JobStatus, Labels},
    report::{Finished, Resource},
};

/// How long a Job that was let in counts as running before the watch has told of it. Another webhook
/// may have refused it after us; then nothing else runs for so long.
const RESERVED: Duration = Duration::from_secs(10);

/// A Job that is about to migrate a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What it migrates.
    pub database: Database,
}

/// Everything that runs, at one moment.
#[derive(Debug, Default)]
pub struct Active {
    /// It.
    pub migrations: Vec<ActiveMigration>,
    /// When the first thing in it ends that ends by itself.
    until: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    uid: String,
    running: Running,
    started: Option<Timestamp>,
}

/// What runs and what was let in: all that [`Jobs`] knows, without its locks.
#[derive(Debug, Default)]
pub(super) struct State {
    jobs: BTreeMap<(String, String), Entry>,
    /// Workloads that migrate while they roll out.
    pub(super) rollouts: Rollouts,
    reserved: Vec<(Claim, Instant)>,
}

impl State {
    /// Everything that runs, or may begin to. Claims that are over are let go.
    fn active(&mut self, now: Instant) -> Active {
        let Self { jobs, rollouts, reserved } = self;
        reserved.retain(|(claim, until)| {
            let seen = jobs.contains_key(&(claim.namespace.clone(), claim.name.clone()));
            *until > now && !seen
        });
        let running = jobs.iter().filter_map(|((namespace, name), entry)| {
            Some(ActiveMigration {
                kind: JOB,
                namespace: namespace.clone(),
                name: name.clone(),
                database: entry.running.database.clone()?,
            })
        });
        let claimed = reserved.iter().map(|(claim, _)| ActiveMigration {
            kind: JOB,
            namespace: claim.namespace.clone(),
            name: claim.name.clone(),
            database: claim.database.clone(),
        });
        let until = reserved.iter().map(|(_, until)| *until).chain(rollouts.ends(now)).min();
        let migrations = running.chain(claimed).chain(rollouts.active(now)).collect();
        Active { migrations, until }
    }

    /// As [`Jobs::reserve`].
    fn reserve(&mut self, claim: Claim, seen: &Active, now: Instant) -> bool {
        let is_itself = |other: &ActiveMigration| {
            other.kind == JOB && (&other.namespace, &other.name) == (&claim.namespace, &claim.name)
        };
        let is_other = |other: &ActiveMigration| {
            !is_itself(other) && claim.database.is_same_as(&other.database)
        };
        let active = self.active(now).migrations;
        if active.iter().any(|other| !seen.migrations.contains(other) && is_other(other)) {
            return false;
        }
        let until = now.checked_add(RESERVED).unwrap_or(now);
        self.reserved.retain(|(other, _)| {
            (&other.namespace, &other.name) != (&claim.namespace, &claim.name)
        });
        self.reserved.push((claim, until));
        true
    }
}

/// The migrations that run.
#[derive(Debug, Default)]
pub struct Jobs {
    watched: bool,
    has_rollouts: bool,
    synced: AtomicBool,
    /// How many other watches tell of migrations and have not yet.
    pub(super) awaited: AtomicUsize,
    pub(super) state: Mutex<State>,
    active: ArcSwap<Active>,
}

impl Jobs {
    /// To be filled by a watch.
    pub fn watched() -> Self {
        Self { watched: true, ..Self::default() }
    }

    /// To be filled by a watch of Jobs, and by those of workloads that roll out.
    pub fn watched_with_rollouts() -> Self {
        let awaited = AtomicUsize::new(Rolling::ALL.len());
        Self { has_rollouts: true, awaited, ..Self::watched() }
    }

    /// Whether workloads that roll out are watched.
    pub(super) fn has_rollouts(&self) -> bool {
        self.has_rollouts
    }

    /// What runs now.
    pub fn active(&self, now: Instant) -> Fact<Arc<Active>> {
        if !self.watched {
            return Fact::NotAsked;
        }
        if !self.synced.load(Ordering::Acquire) {
            return Fact::Unknown("the Jobs of the cluster have not been read yet".into());
        }
        if self.awaited.load(Ordering::Acquire) > 0 {
            return Fact::Unknown("the workloads of the cluster have not been read yet".into());
        }
        let active = self.active.load_full();
        if active.until.is_some_and(|until| until <= now) {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            return Fact::Known(self.publish(&mut state, now));
        }
        Fact::Known(active)
    }

    /// Notes that a Job was let in which migrates a database, unless another of the same database
    /// has been since `seen`: then nothing is noted, and it has to be judged again.
    pub fn reserve(&self, claim: Claim, seen: &Arc<Active>, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let reserved = state.reserve(claim, seen, now);
        self.publish(&mut state, now);
        reserved
    }

    /// Puts what runs where requests see it.
    pub(super) fn publish(&self, state: &mut State, now: Instant) -> Arc<Active> {
        let active = Arc::new(state.active(now));
        self.active.store(Arc::clone(&active));
        active
    }

    /// Keeps the migrations as the API server has them. Never ends.
    pub(super) async fn watch(&self, client: Client, around: Around<'_>) {
        let api: Api<Raw> = Api::all_with(client, &ApiResource::erase::<Job>(&()));
        let (reader, metrics) = (Reader { around, since: Timestamp::now() }, around.metrics);
        let mut fresh: Option<BTreeMap<(String, String), Entry>> = None;
        follow(Cache::Jobs, api, metrics, |event| {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let jobs = &mut state.jobs;
            match event {
                Event::Init => fresh = Some(BTreeMap::new()),
                Event::InitApply(raw) => {
                    let entry = reader.read(&raw, jobs.get(&key(&raw)));
                    fresh.get_or_insert_default().extend(entry.map(|entry| (key(&raw), entry)));
                }
                Event::InitDone => *jobs = fresh.take().unwrap_or_default(),
                Event::Apply(raw) => {
                    let before = jobs.remove(&key(&raw));
                    let entry = reader.read(&raw, before.as_ref());
                    jobs.extend(entry.map(|entry| (key(&raw), entry)));
                }
                Event::Delete(raw) => {
                    jobs.remove(&key(&raw));
                }
            }
            if fresh.is_none() {
                reader.count(&state.jobs);
                self.publish(&mut state, Instant::now());
                self.synced.store(true, Ordering::Release);
            }
            state.jobs.len()
        })
        .await;
    }
}

fn key(raw: &Raw) -> (String, String) {
    (raw.namespace().to_owned(), raw.name().to_owned())
}

/// What a watch of Jobs needs to know, and whom it tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'r> {
    /// The policies in force.
    pub(super) documents: &'r Documents,
    /// The labels that choose among them.
    pub(super) namespaces: &'r Namespaces,
    /// What is used up by the Jobs that are seen.
    pub(super) approvals: &'r Approvals,
    /// Who wants to know of what has ended.
    pub(super) happened: Option<&'r Happened>,
    /// Where it is counted.
    pub(super) metrics: &'r Metrics,
}

impl Around<'_> {
    /// The labels of a namespace, where they are known.
    pub(super) fn labels(&self, namespace: &str) -> Option<Arc<Labels>> {
        match self.namespaces.labels(namespace) {
            Lookup::Known(labels) => Some(labels),
            Lookup::Missing | Lookup::NotSynced | Lookup::Off(_) => None,
        }
    }
}

/// From a Job to what it migrates.
struct Reader<'r> {
    around: Around<'r>,
    /// What ended before is not counted: another replica has, or this one before it was restarted.
    since: Timestamp,
}

impl Reader<'_> {
    /// Reads a Job, which was `before` when it was last read: one that runs is kept, one that has
    /// ended is counted.
    fn read(&self, raw: &Raw, before: Option<&Entry>) -> Option<Entry> {
        let text = raw.text(&ApiResource::erase::<Job>(&()));
        self.around.approvals.job(raw, &text);
        let view = JobStatus::parse(&text)?;
        let ended = view.ended();
        if let Some((_, at)) = ended {
            let ran = before.is_some_and(|entry| entry.uid == raw.uid());
            if !ran && at.is_none_or(|at| at < self.since) {
                return None;
            }
        }
        let running = self.running(raw, &text)?;
        let started = view.started();
        match ended {
            Some((result, at)) => {
                self.ended(raw, &running, result, (started, at));
                None
            }
            // A suspended Job runs nothing until somebody resumes it.
            None if view.is_suspended() => None,
            None => Some(Entry { uid: raw.uid().to_owned(), running, started }),
        }
    }

    fn running(&self, raw: &Raw, text: &str) -> Option<Running> {
        let policies = self.around.documents.current();
        let labels = self.around.labels(raw.namespace());
        decision::running(&policies, raw.namespace(), labels.as_deref(), text)
    }

    fn ended(
        &self,
        raw: &Raw,
        running: &Running,
        result: &'static str,
        (started, at): (Option<Timestamp>, Option<Timestamp>),
    ) {
        let Running { tool, operation, .. } = running;
        let labels = OutcomeLabels { tool, operation: operation.as_str(), result };
        let migrations = &self.around.metrics.migrations;
        migrations.ended.get_or_create(&labels).inc();
        if let (Some(started), Some(at)) = (started, at) {
            let took = at.duration_since(started).as_secs_f64().max(0.0);
            migrations.duration.get_or_create(&labels).observe(took);
        }
        if let Some(happened) = self.around.happened {
            let seconds =
                started.zip(at).map(|(from, to)| to.duration_since(from).as_secs().max(0));
            happened.finished(Finished {
                resource: Resource {
                    api_version: "batch/v1".to_owned(),
                    kind: "Job".to_owned(),
                    namespace: raw.namespace().to_owned(),
                    name: raw.name().to_owned(),
                    uid: raw.uid().to_owned(),
                },
                tool,
                operation: operation.as_str(),
                result,
                seconds,
                at: at.unwrap_or_else(Timestamp::now),
            });
        }
    }

    /// Counts what runs.
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
    fn count(&self, jobs: &BTreeMap<(String, String), Entry>) {
        let migrations = &self.around.metrics.migrations;
        migrations.active.clear();
        for Entry { running: Running { tool, operation, .. }, .. } in jobs.values() {
            let labels = MigrationLabels { tool, operation: operation.as_str() };
            migrations.active.get_or_create(&labels).inc();
        }
        let oldest = jobs.values().filter_map(|entry| entry.started).min();
        migrations.oldest_start.set(oldest.map_or(0.0, |oldest| oldest.as_second() as f64));
    }
}

#[cfg(test)]
mod model;
