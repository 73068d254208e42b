//! Kubernetes Events: what users look at first.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Mutex,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::sync::mpsc;

use crate::metrics::Metrics;

/// How many Events wait to be written; more are counted and left out.
const WAITING: usize = 256;
/// For how long the same thing is not told again.
const QUIET: Duration = Duration::from_mins(5);
/// How many Events a namespace gets before they come at [`PACE`].
const BURST: u32 = 10;
/// How often a namespace that had its burst gets one more.
const PACE: Duration = Duration::from_secs(10);
/// Most namespaces and most things that are remembered.
const REMEMBERED: usize = 4_096;
/// Longest note that the API server takes, in bytes.
pub const NOTE: usize = 1_024;

/// What an Event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Regarding {
    /// Such as `batch/v1`.
    pub api_version: String,
    /// Such as `Job`.
    pub kind: String,
    /// Its namespace; empty when it is cluster-scoped.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid, where it is known.
    pub uid: Option<String>,
}

/// An Argo CD Application.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Application {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Told {
    /// What it is about.
    pub regarding: Regarding,
    /// Where else to tell it, if there is one of that name.
    pub application: Option<Application>,
    /// Why, in one word, such as `MigrationRefused`.
    pub reason: &'static str,
    /// What was done, in one word.
    pub action: &'static str,
    /// What happened, for people.
    pub note: String,
}

/// Where Events are left to be written. Never waits: what is too much is counted and left out.
#[derive(Debug)]
pub struct Events {
    queue: Option<mpsc::Sender<Told>>,
    recent: Mutex<Recent>,
    /// The namespace of Argo CD; empty where there is none.
    argocd: String,
    metrics: std::sync::Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Recent {
    /// When something was last told.
    told: BTreeMap<u64, Instant>,
    /// What is left of a namespace's burst, and since when.
    left: BTreeMap<String, (u32, Instant)>,
}

impl Events {
    /// Nobody writes them.
    pub fn off(metrics: std::sync::Arc<Metrics>) -> Self {
        Self { queue: None, recent: Mutex::default(), argocd: String::new(), metrics }
    }

    /// Events, and what has to write them.
    pub fn new(client: Client, metrics: std::sync::Arc<Metrics>) -> (Self, Writer) {
        let (queue, waiting) = mpsc::channel(WAITING);
        let reporter =
            Reporter { controller: "tidegate".to_owned(), instance: crate::settings::own_name() };
        let events = Self { queue: Some(queue), ..Self::off(metrics) };
        (events, Writer { waiting, reporter, client })
    }

    /// Tells at Applications too what the Argo CD of this namespace is refused; of none where it is
    /// empty.
    #[must_use]
    pub fn with_argocd(self, namespace: impl Into<String>) -> Self {
        Self { argocd: namespace.into(), ..self }
    }

    /// The namespace of Argo CD; empty where there is none.
    pub fn argocd(&self) -> &str {
        &self.argocd
    }

    /// Leaves something to be told, unless it was told a moment ago or its namespace has had enough.
    pub fn tell(&self, told: Told) {
        let Some(queue) = &self.queue else { return };
        let dropped = {
            let mut recent = self.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match recent.admit(&told, Instant::now()) {
                Admitted::Again => return,
                Admitted::TooMuch => Some("rate"),
                Admitted::Yes => queue.try_send(told).is_err().then_some("queue"),
            }
        };
        if let Some(reason) = dropped {
            self.metrics.events_dropped(reason);
        }
    }
}

enum Admitted {
    Yes,
    Again,
    TooMuch,
}

impl Recent {
    fn admit(&mut self, told: &Told, now: Instant) -> Admitted {
        if self.told.len() >= REMEMBERED {
            self.told.retain(|_, at| now.duration_since(*at) < QUIET);
        }
        if self.left.len() >= REMEMBERED {
            self.left.retain(|_, (left, at)| *left < BURST && now.duration_since(*at) < QUIET);
        }
        let mut hasher = DefaultHasher::new();
        told.hash(&mut hasher);
        let key = hasher.finish();
        if self.told.get(&key).is_some_and(|at| now.duration_since(*at) < QUIET) {
            return Admitted::Again;
        }
        let namespace = told.regarding.namespace.clone();
        let is_new = !self.left.contains_key(&namespace);
        if self.told.len() >= REMEMBERED || (is_new && self.left.len() >= REMEMBERED) {
            return Admitted::TooMuch;
        }
        let (left, at) = self.left.entry(namespace).or_insert((BURST, now));
        let earned = now.duration_since(*at).as_secs().checked_div(PACE.as_secs()).unwrap_or(0);
        if earned > 0 {
            *left = left.saturating_add(u32::try_from(earned).unwrap_or(BURST)).min(BURST);
            *at = now;
        }
        if *left == 0 {
            return Admitted::TooMuch;
        }
        *left = left.saturating_sub(1);
        self.told.insert(key, now);
        Admitted::Yes
    }
}

/// Writes what was left to be told.
pub struct Writer {
    waiting: mpsc::Receiver<Told>,
    reporter: Reporter,
    client: Client,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    /// Writes one after the other. Never ends while anybody may tell something.
    pub(super) async fn run(mut self, metrics: &Metrics) {
        while let Some(told) = self.waiting.recv().await {
            let Told { regarding, application, reason, action, note } = told;
            let reference = ObjectReference {
                api_version: Some(regarding.api_version),
                kind: Some(regarding.kind),
                namespace: Some(regarding.namespace).filter(|namespace| !namespace.is_empty()),
                name: Some(regarding.name),
                uid: regarding.uid,
                ..ObjectReference::default()
            };
            let event = Event {
                type_: EventType::Warning,
                reason: reason.to_owned(),
                action: action.to_owned(),
                note: Some(cut(note)),
                secondary: None,
            };
            let mut written = self.publish(&event, &reference).await;
            if let (Ok(()), Some(application)) = (&written, application) {
                written = self.tell_at(&application, &event).await;
            }
            if let Err(error) = written {
                metrics.events_dropped("write");
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::warn!(error, "an Event was not written");
            }
        }
    }

    /// Writes an Event of its own. A recorder that is kept would write the second refusal at one place
    /// as a repetition of the first, with the text of the first: another Job, another digest. What is
    /// told twice was left out before it came here.
    async fn publish(&self, event: &Event, reference: &ObjectReference) -> kube::Result<()> {
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        recorder.publish(event, reference).await
    }

    /// Tells it at an Application, if there is one.
    async fn tell_at(&self, application: &Application, event: &Event) -> kube::Result<()> {
        let Application { namespace, name } = application;
        let resource = application_kind();
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &resource);
        let Some(found) = api.get_metadata_opt(name).await? else { return Ok(()) };
        let reference = ObjectReference {
            api_version: Some(resource.api_version),
            kind: Some(resource.kind),
            namespace: Some(namespace.clone()),
            name: Some(name.clone()),
            uid: found.metadata.uid,
            ..ObjectReference::default()
        };
        self.publish(event, &reference).await
    }
}

/// `Application` of Argo CD, as in a URL.
fn application_kind() -> ApiResource {
    ApiResource {
        group: "argoproj.io".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "argoproj.io/v1alpha1".to_owned(),
        kind: "Application".to_owned(),
        plural: "applications".to_owned(),
    }
}

/// The start of a note that is too long.
fn cut(mut note: String) -> String {
    if note.len() > NOTE {
        let end = note.floor_char_boundary(NOTE.saturating_sub('…'.len_utf8()));
        note.truncate(end);
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(namespace: &str, note: usize) -> Told {
        Told {
            regarding: Regarding {
                api_version: "v1".to_owned(),
                kind: "Namespace".to_owned(),
                namespace: namespace.to_owned(),
                name: namespace.to_owned(),
                uid: None,
            },
            application: None,
            reason: "MigrationRefused",
            action: "Admit",
            note: note.to_string(),
        }
    }

    #[test]
    fn the_same_is_told_once_and_a_namespace_cannot_crowd_out_others() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        let mut admitted = |namespace: &str, note, after: u64| {
            let now = start + Duration::from_secs(after);
            matches!(recent.admit(&told(namespace, note), now), Admitted::Yes)
        };
        assert!(admitted("a", 0, 0));
        assert!(!admitted("a", 0, 1), "told a moment ago");
        assert!(
            (1..100).filter(|note| admitted("a", *note, 1)).count() == 9,
            "the rest of the burst"
        );
        assert!(admitted("b", 1, 1), "another namespace has its own");
        assert!(admitted("a", 200, 11), "one more after a while");
        assert!(!admitted("a", 201, 12));
        assert!(admitted("a", 0, 400), "and the same again after long enough");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        for namespace in 0..10_000 {
            let _admitted = recent.admit(&told(&namespace.to_string(), 0), now);
        }
        assert!(recent.told.len() <= REMEMBERED && recent.left.len() <= REMEMBERED);
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let note = cut("é".repeat(2_000));
        assert!(note.len() <= NOTE && note.ends_with("é…"), "{}", note.len());
    }
}
