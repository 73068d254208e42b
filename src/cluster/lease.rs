//! The Lease that settles which replica writes, kept as client-go's leader election keeps it: by
//! versions, so that of two who want it one gets it, and by one's own clock alone, because those of
//! two machines differ.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};

use super::FIELD_MANAGER;

/// Name of the Lease.
pub const LEASE: &str = "tidegate";
/// How long a Lease lasts that was given up, in seconds: the least that the API server takes.
const GIVEN_UP: i32 = 1;

/// A replica that wants the Lease.
#[derive(Debug)]
pub(super) struct Candidate {
    api: Api<Lease>,
    identity: String,
    /// How long the Lease lasts after it was renewed, in seconds.
    seconds: i32,
    /// What it said when another held it, and since when it has.
    seen: Option<(LeaseSpec, Instant)>,
}

impl Candidate {
    /// One for the Lease of `namespace`, which is `identity` in it and would hold it for `duration`.
    pub(super) fn new(
        client: Client,
        namespace: &str,
        identity: String,
        duration: Duration,
    ) -> Self {
        let seconds = i32::try_from(duration.as_secs()).unwrap_or(i32::MAX).max(1);
        Self { api: Api::namespaced(client, namespace), identity, seconds, seen: None }
    }

    /// Takes the Lease, or renews it. True when this replica holds it now.
    ///
    /// # Errors
    ///
    /// When it cannot be read or written. Who holds it is unknown then.
    pub(super) async fn attempt(&mut self) -> kube::Result<bool> {
        // Again only after somebody else has written it.
        loop {
            let Some(lease) = self.api.get_opt(LEASE).await? else {
                let first = lease(None, self.taken(&LeaseSpec::default()));
                match self.api.create(&PostParams::default(), &first).await {
                    Ok(_) => return Ok(true),
                    Err(error) if is_conflict(&error) => continue,
                    Err(error) => return Err(error),
                }
            };
            let spec = lease.spec.unwrap_or_default();
            if self.is_held(&spec, Instant::now()) {
                return Ok(false);
            }
            match self.write(lease.metadata.resource_version, self.taken(&spec)).await {
                Ok(()) => return Ok(true),
                Err(error) if is_conflict(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives the Lease up, if this replica holds it: another need not wait for its end. True when it
    /// did.
    ///
    /// # Errors
    ///
    /// As [`Self::attempt`].
    pub(super) async fn release(&self) -> kube::Result<bool> {
        loop {
            let lease = self.api.get_opt(LEASE).await?.unwrap_or_default();
            let spec = lease.spec.unwrap_or_default();
            if spec.holder_identity.as_ref() != Some(&self.identity) {
                return Ok(false);
            }
            let now = Some(MicroTime(Timestamp::now()));
            let free = LeaseSpec {
                holder_identity: Some(String::new()),
                lease_duration_seconds: Some(GIVEN_UP),
                acquire_time: now.clone(),
                renew_time: now,
                ..spec
            };
            match self.write(lease.metadata.resource_version, free).await {
                Err(error) if is_conflict(&error) => {}
                written => return written.map(|()| true),
            }
        }
    }

    /// True while another replica holds it: it was not given up, and was renewed lately.
    fn is_held(&mut self, spec: &LeaseSpec, now: Instant) -> bool {
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if holder.is_empty() || holder == self.identity {
            return false;
        }
        let since = match &self.seen {
            Some((seen, since)) if seen == spec => *since,
            _ => {
                self.seen = Some((spec.clone(), now));
                now
            }
        };
        let seconds = spec.lease_duration_seconds.and_then(|it| u64::try_from(it).ok());
        now.duration_since(since) < Duration::from_secs(seconds.unwrap_or_default())
    }

    /// What the Lease says when this replica holds it, after `before`.
    fn taken(&self, before: &LeaseSpec) -> LeaseSpec {
        let now = Some(MicroTime(Timestamp::now()));
        let is_ours = before.holder_identity.as_ref() == Some(&self.identity);
        let transitions = before.lease_transitions;
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(self.seconds),
            acquire_time: if is_ours { before.acquire_time.clone() } else { now.clone() },
            renew_time: now,
            lease_transitions: if is_ours {
                transitions
            } else {
                Some(transitions.map_or(0, |number| number.saturating_add(1)))
            },
            ..LeaseSpec::default()
        }
    }

    /// Writes it in the place of that `version`.
    async fn write(&self, version: Option<String>, spec: LeaseSpec) -> kube::Result<()> {
        let parameters =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(lease(version, spec));
        self.api.patch(LEASE, &parameters, &patch).await.map(drop)
    }
}

/// A version of the Lease, or the first.
fn lease(version: Option<String>, spec: LeaseSpec) -> Lease {
    Lease {
        metadata: ObjectMeta {
            name: Some(LEASE.to_owned()),
            resource_version: version,
            ..ObjectMeta::default()
        },
        spec: Some(spec),
    }
}

/// True when somebody else was faster.
fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate() -> Candidate {
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let client = Client::try_from(config).unwrap();
        Candidate::new(client, "tidegate", "b".to_owned(), Duration::from_secs(15))
    }

    fn held(by: &str, seconds: i32, renewed: i64) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(by.to_owned()),
            lease_duration_seconds: Some(seconds),
            renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
            ..LeaseSpec::default()
        }
    }

    #[tokio::test]
    async fn a_lease_ends_by_our_own_clock_after_its_last_change() {
        let (mut candidate, start) = (candidate(), Instant::now());
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        // What the other's clock says does not matter: it is far behind.
        let first = held("a", 15, 0);
        assert!(candidate.is_held(&first, start));
        assert!(candidate.is_held(&first, after(14)));
        let renewed = held("a", 15, 10);
        assert!(candidate.is_held(&renewed, after(15)), "it was renewed meanwhile");
        assert!(candidate.is_held(&renewed, after(29)));
        assert!(!candidate.is_held(&renewed, after(30)));
    }

    #[tokio::test]
    async fn a_lease_that_was_given_up_or_is_our_own_or_says_nothing_is_free() {
        let (mut candidate, now) = (candidate(), Instant::now());
        for free in [held("", 1, 0), held("b", 15, 0), held("a", -1, 0), LeaseSpec::default()] {
            assert!(!candidate.is_held(&free, now), "{free:?}");
        }
        assert!(candidate.is_held(&held("a", i32::MAX, 0), now));
    }

    #[tokio::test]
    async fn who_takes_it_counts_a_transition_and_who_renews_it_does_not() {
        let candidate = candidate();
        let first = candidate.taken(&LeaseSpec::default());
        assert_eq!((first.lease_transitions, first.lease_duration_seconds), (Some(0), Some(15)));
        let second = candidate.taken(&LeaseSpec { lease_transitions: Some(4), ..held("a", 15, 0) });
        assert_eq!(second.lease_transitions, Some(5));
        assert_eq!(second.holder_identity.as_deref(), Some("b"));
        let renewed = candidate.taken(&second);
        assert_eq!(renewed.acquire_time, second.acquire_time);
        assert_eq!(renewed.lease_transitions, Some(5));
    }
}
