//! Labels of namespaces, from a watch of their metadata.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt as _, core::PartialObjectMeta, runtime::watcher::Event};
use tokio::sync::Notify;

use super::follow::follow;
use crate::{
    metrics::{Cache, Metrics},
    model::Labels,
};

type Map = BTreeMap<String, Arc<Labels>>;

/// What is known of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Its labels.
    Known(Arc<Labels>),
    /// All namespaces are known and it is none of them.
    Missing,
    /// Not all namespaces are known yet.
    NotSynced,
    /// Nobody will ever know, because of this.
    Off(&'static str),
}

/// The labels of every namespace, as last heard.
#[derive(Debug)]
pub struct Namespaces {
    off: Option<&'static str>,
    map: ArcSwap<Map>,
    synced: AtomicBool,
    changed: Notify,
}

impl Namespaces {
    /// To be filled by a watch.
    pub fn watched() -> Self {
        Self::new(None)
    }

    /// Never known, because of `why`.
    pub fn off(why: &'static str) -> Self {
        Self::new(Some(why))
    }

    fn new(off: Option<&'static str>) -> Self {
        Self {
            off,
            map: ArcSwap::default(),
            synced: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }

    /// What is known of `namespace`.
    pub fn labels(&self, namespace: &str) -> Lookup {
        if let Some(why) = self.off {
            return Lookup::Off(why);
        }
        if !self.synced.load(Ordering::Acquire) {
            return Lookup::NotSynced;
        }
        self.map.load().get(namespace).map_or(Lookup::Missing, |l| Lookup::Known(Arc::clone(l)))
    }

    /// True when nothing is waited for any more: all namespaces are known, or never will be.
    pub fn ready(&self) -> bool {
        self.off.is_some() || self.synced.load(Ordering::Acquire)
    }

    /// Waits until `namespace` is known, for at most `patience`.
    pub async fn wait_for(&self, namespace: &str, patience: Duration) {
        let known = async {
            loop {
                let changed = self.changed.notified();
                if matches!(self.labels(namespace), Lookup::Known(_) | Lookup::Off(_)) {
                    break;
                }
                changed.await;
            }
        };
        // Whether it came in time is seen by whoever looks next.
        let _ = tokio::time::timeout(patience, known).await;
    }

    fn replace(&self, map: Map) {
        self.map.store(Arc::new(map));
        self.synced.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    fn change(&self, change: impl FnOnce(&mut Map)) {
        // Labels are shared, so that this copies names only. There is one writer.
        let mut map = Map::clone(&self.map.load());
        change(&mut map);
        self.map.store(Arc::new(map));
        self.changed.notify_waiters();
    }
}

/// Keeps `namespaces` as the API server has them. Never ends.
pub(super) async fn watch(client: Client, namespaces: &Namespaces, metrics: &Metrics) {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client);
    let mut fresh = Map::new();
    follow(Cache::Namespaces, api, metrics, |event| {
        apply(namespaces, &mut fresh, event);
        namespaces.map.load().len()
    })
    .await;
}

fn apply(namespaces: &Namespaces, fresh: &mut Map, event: Event<PartialObjectMeta<Namespace>>) {
    let entry = |namespace: PartialObjectMeta<Namespace>| {
        (namespace.name_any(), Arc::new(namespace.metadata.labels.unwrap_or_default()))
    };
    match event {
        Event::Init => fresh.clear(),
        Event::InitApply(namespace) => fresh.extend([entry(namespace)]),
        Event::InitDone => namespaces.replace(std::mem::take(fresh)),
        Event::Apply(namespace) => namespaces.change(|map| map.extend([entry(namespace)])),
        Event::Delete(namespace) => namespaces.change(|map| {
            map.remove(&namespace.name_any());
        }),
    }
}
