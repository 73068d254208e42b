//! Workloads that migrate while they roll out: under a policy that only reports, or an exception, an
//! initContainer or a start command may. While Pods start, the database is in their hands.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use kube::{Api, Client, core::ApiResource, runtime::watcher::Event};

use super::{Jobs, Raw, follow::follow, jobs::Around};
use crate::{
    decision,
    metrics::Cache,
    model::{ActiveMigration, Database, RolloutStatus},
};

/// How long one generation of a workload counts at most, from when it was first seen to roll out. One
/// that cannot come up would otherwise keep out for ever the Job that is to replace its migration. As
/// long as a Deployment has by default (`progressDeadlineSeconds`).
const LONGEST: Duration = Duration::from_mins(10);

/// A kind that rolls out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rolling {
    Deployment,
    StatefulSet,
    DaemonSet,
}

impl Rolling {
    /// Every one.
    pub(super) const ALL: [Self; 3] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet];

    fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
        }
    }

    /// Its cache.
    pub(super) fn cache(self) -> Cache {
        match self {
            Self::Deployment => Cache::Deployments,
            Self::StatefulSet => Cache::StatefulSets,
            Self::DaemonSet => Cache::DaemonSets,
        }
    }

    fn resource(self) -> ApiResource {
        match self {
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
            Self::DaemonSet => ApiResource::erase::<DaemonSet>(&()),
        }
    }
}

/// A workload that migrates and was seen to roll out: all that is kept of it.
#[derive(Clone, Debug)]
struct Rollout {
    uid: String,
    generation: Option<i64>,
    database: Database,
    /// When this generation was first seen to roll out.
    since: Instant,
    is_rolling: bool,
}

impl Rollout {
    fn ends(&self) -> Option<Instant> {
        self.since.checked_add(LONGEST)
    }

    fn counts(&self, now: Instant) -> bool {
        self.is_rolling && self.ends().is_some_and(|ends| now < ends)
    }
}

type Kept = BTreeMap<(String, String), Rollout>;

/// The workloads that migrate and were seen to roll out. Of all the others nothing is kept.
#[derive(Debug, Default)]
pub(super) struct Rollouts(BTreeMap<Rolling, Kept>);

impl Rollouts {
    /// The migrations in them, now.
    pub(super) fn active(&self, now: Instant) -> impl Iterator<Item = ActiveMigration> {
        let all = self.0.iter().flat_map(|(kind, kept)| kept.iter().map(move |it| (kind, it)));
        let rolling = all.filter(move |(_, (_, rollout))| rollout.counts(now));
        rolling.map(|(kind, ((namespace, name), rollout))| ActiveMigration {
            kind: kind.as_str(),
            namespace: namespace.clone(),
            name: name.clone(),
            database: rollout.database.clone(),
        })
    }

    /// When those end that count now.
    pub(super) fn ends(&self, now: Instant) -> impl Iterator<Item = Instant> {
        let all = self.0.values().flat_map(BTreeMap::values);
        all.filter(move |rollout| rollout.counts(now)).filter_map(Rollout::ends)
    }

    fn of(&mut self, kind: Rolling) -> &mut Kept {
        self.0.entry(kind).or_default()
    }
}

impl Jobs {
    /// Keeps the workloads of a kind that migrate while they roll out as the API server has them.
    /// Never ends.
    pub(super) async fn watch_rollouts(&self, kind: Rolling, client: Client, around: Around<'_>) {
        let resource = kind.resource();
        let api: Api<Raw> = Api::all_with(client, &resource);
        let mut fresh: Option<Kept> = None;
        let mut is_awaited = true;
        follow(kind.cache(), api, around.metrics, |event| {
            let now = Instant::now();
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = state.rollouts.of(kind);
            // Most events are about workloads of which nothing is kept: they change nothing.
            let is_news = match event {
                Event::Init => {
                    fresh = Some(Kept::new());
                    false
                }
                Event::InitApply(raw) => {
                    let rollout = read(&raw, &resource, kept.get(&key(&raw)), around, now);
                    fresh.get_or_insert_default().extend(rollout.map(|it| (key(&raw), it)));
                    false
                }
                Event::InitDone => {
                    *kept = fresh.take().unwrap_or_default();
                    true
                }
                Event::Apply(raw) => {
                    let before = kept.remove(&key(&raw));
                    let rollout = read(&raw, &resource, before.as_ref(), around, now);
                    let is_news = before.is_some() || rollout.is_some();
                    kept.extend(rollout.map(|it| (key(&raw), it)));
                    is_news
                }
                Event::Delete(raw) => kept.remove(&key(&raw)).is_some(),
            };
            let count = kept.len();
            if is_news {
                self.publish(&mut state, now);
            }
            if is_awaited && fresh.is_none() {
                is_awaited = false;
                self.awaited.fetch_sub(1, Ordering::AcqRel);
            }
            count
        })
        .await;
    }
}

fn key(raw: &Raw) -> (String, String) {
    (raw.namespace().to_owned(), raw.name().to_owned())
}

/// What there is to keep of a workload, of which `before` was kept. Only one that rolls out is looked
/// into, and each generation once.
fn read(
    raw: &Raw,
    resource: &ApiResource,
    before: Option<&Rollout>,
    around: Around<'_>,
    now: Instant,
) -> Option<Rollout> {
    let text = raw.text(resource);
    let is_rolling = RolloutStatus::parse(&text)?.is_rolling;
    let same = before
        .filter(|before| before.uid == raw.uid() && before.generation == raw.metadata.generation);
    if let Some(same) = same {
        // That it comes and goes gives it no more time.
        return Some(Rollout { is_rolling, ..same.clone() });
    }
    if !is_rolling {
        return None;
    }
    let policies = around.documents.current();
    let labels = around.labels(raw.namespace());
    let database =
        decision::migrated_at_start(&policies, raw.namespace(), labels.as_deref(), &text)?;
    Some(Rollout {
        uid: raw.uid().to_owned(),
        generation: raw.metadata.generation,
        database,
        since: now,
        is_rolling,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_comes_up_counts_for_a_while_and_what_is_up_not_at_all() {
        let start = Instant::now();
        let rollout = |is_rolling| Rollout {
            uid: "u".to_owned(),
            generation: Some(1),
            database: Database::declared("orders"),
            since: start,
            is_rolling,
        };
        let mut rollouts = Rollouts::default();
        let kept = rollouts.of(Rolling::StatefulSet);
        kept.insert(("shop".to_owned(), "web".to_owned()), rollout(true));
        kept.insert(("shop".to_owned(), "up".to_owned()), rollout(false));
        let names = |now| rollouts.active(now).map(|it| it.name).collect::<Vec<_>>();
        assert_eq!(names(start), ["web"]);
        assert_eq!(rollouts.ends(start).collect::<Vec<_>>(), [start + LONGEST]);
        assert_eq!(names(start + LONGEST), [""; 0]);
        assert_eq!(rollouts.ends(start + LONGEST).count(), 0);
    }
}
