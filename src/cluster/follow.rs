//! One watch: listed, followed, tried again.

use std::fmt::Debug;

use futures_util::TryStreamExt as _;
use kube::{
    Api,
    runtime::{WatchStreamExt as _, watcher, watcher::Event},
};
use serde::de::DeserializeOwned;

use crate::metrics::{Cache, CacheMetrics, Metrics};

/// Hands every event of a watch to `on_event`, which says how many entries there are. Never ends:
/// what fails is tried again, ever more slowly, and decisions go on with what was last heard.
///
/// A kind that the cluster does not have is one of which there are no objects: `on_event` is told
/// so as of an empty list, and the watch waits for the kind to appear.
pub(super) async fn follow<K>(
    cache: Cache,
    api: Api<K>,
    metrics: &Metrics,
    mut on_event: impl FnMut(Event<K>) -> usize,
) where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let CacheMetrics { synced, entries, errors, .. } = metrics.cache(cache);
    // Lists come in pages of 500.
    let config = watcher::Config::default();
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    let mut absent = false;
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                absent = false;
                let complete = !matches!(event, Event::Init | Event::InitApply(_));
                let count = on_event(event);
                if complete {
                    synced.set(1);
                }
                entries.set(i64::try_from(count).unwrap_or(i64::MAX));
            }
            // The watcher's stream does not end; if it did, decisions would go on all the same.
            Ok(None) => std::future::pending().await,
            Err(error) if is_absent(&error) => {
                if !absent {
                    tracing::info!(cache = cache.as_str(), "the cluster does not have this kind");
                    on_event(Event::Init);
                    entries.set(i64::try_from(on_event(Event::InitDone)).unwrap_or(i64::MAX));
                    synced.set(1);
                }
                absent = true;
            }
            Err(error) => {
                errors.inc();
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::warn!(cache = cache.as_str(), error, "a watch failed and is tried again");
            }
        }
    }
}

/// True when the API server does not know the kind: its definition is not installed.
fn is_absent(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(source) | watcher::Error::WatchStartFailed(source)) =
        error
    else {
        return false;
    };
    matches!(source, kube::Error::Api(status) if status.code == 404)
}
