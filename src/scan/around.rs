//! What the cluster around an object tells about it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde::Deserialize;

use crate::{
    model::{
        ActiveMigration, DatabaseSecret, Fact, Facts, GrantedApproval, Lifetime, NetworkPolicy,
        Object, PodTemplate, database_secrets,
    },
    plan::is_data_store,
    policy::{self, ApprovalStatus},
};

/// What was listed so far that rules ask for.
#[derive(Clone, Debug)]
pub(super) struct Around {
    network_policies: Fact<BTreeMap<String, Vec<NetworkPolicy>>>,
    secrets: BTreeMap<String, Vec<DatabaseSecret>>,
    /// Why not all Secrets that are in use are known.
    secrets_unknown: Option<Cow<'static, str>>,
    approvals: Fact<BTreeMap<String, Vec<GrantedApproval>>>,
    /// Migrations that run.
    pub(super) active: Fact<Vec<ActiveMigration>>,
}

impl Default for Around {
    fn default() -> Self {
        Self {
            network_policies: Fact::Known(BTreeMap::new()),
            secrets: BTreeMap::new(),
            secrets_unknown: None,
            approvals: Fact::Known(BTreeMap::new()),
            active: Fact::Known(Vec::new()),
        }
    }
}

impl Around {
    /// Adds a NetworkPolicy by the text of its `spec`.
    pub(super) fn network_policy(&mut self, namespace: &str, spec: &str) {
        let Some(policy) = NetworkPolicy::parse(spec).filter(|policy| policy.limits_egress) else {
            return;
        };
        if let Fact::Known(all) = &mut self.network_policies {
            all.entry(namespace.to_owned()).or_default().push(policy);
        }
    }

    /// Adds an approval by its text.
    pub(super) fn approval(&mut self, text: &str) {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct View {
            status: ApprovalStatus,
        }
        let Ok(mut granted) = policy::read_approval(text, "approval") else { return };
        let View { status } = serde_json::from_str(text).unwrap_or_default();
        granted.used_by = status.used_by.map(|job| job.uid);
        if let Fact::Known(all) = &mut self.approvals {
            all.entry(granted.namespace.clone()).or_default().push(granted);
        }
    }

    /// Approvals cannot be listed.
    pub(super) fn no_approvals(&mut self, why: Cow<'static, str>) {
        self.approvals = Fact::Unknown(why);
    }

    /// NetworkPolicies cannot be listed.
    pub(super) fn no_network_policies(&mut self, why: Cow<'static, str>) {
        self.network_policies = Fact::Unknown(why);
    }

    /// Not every workload that keeps running was seen.
    pub(super) fn no_secrets(&mut self, why: Cow<'static, str>) {
        self.secrets_unknown.get_or_insert(why);
    }

    /// Notes which Secrets a workload takes its way into a database from, if it keeps running.
    pub(super) fn workload(&mut self, namespace: &str, object: &Object<'_>) {
        if object.workload.lifetime() != Lifetime::LongRunning || object.replicas == Some(0) {
            return;
        }
        let containers = || object.templates.iter().flat_map(|template| &template.containers);
        let mut main = object.templates.iter().flat_map(PodTemplate::main_containers);
        if main.next().is_some_and(|container| is_data_store(&container.image)) {
            return;
        }
        let found: BTreeSet<DatabaseSecret> = containers().flat_map(database_secrets).collect();
        if found.is_empty() {
            return;
        }
        let known = self.secrets.entry(namespace.to_owned()).or_default();
        for secret in found {
            if let Err(place) = known.binary_search(&secret) {
                known.insert(place, secret);
            }
        }
    }

    /// Adds what is known around an object. A Job that has finished runs beside nothing.
    pub(super) fn add_to<'f>(
        &'f self,
        facts: &mut Facts<'f>,
        namespace: &str,
        object: Option<&Object<'_>>,
        is_finished: bool,
    ) {
        facts.runtime_secrets = match (&self.secrets_unknown, self.secrets.get(namespace)) {
            (Some(why), _) => Fact::Unknown(why.clone()),
            (None, known) => Fact::Known(known.map_or(&[], Vec::as_slice)),
        };
        facts.active_migrations = match &self.active {
            _ if is_finished => Fact::Known(&[]),
            Fact::Known(active) => Fact::Known(active),
            Fact::Unknown(why) => Fact::Unknown(why.clone()),
            Fact::NotAsked => Fact::NotAsked,
        };
        facts.approvals = match &self.approvals {
            Fact::Known(all) => Fact::Known(all.get(namespace).map_or(&[], Vec::as_slice)),
            Fact::Unknown(why) => Fact::Unknown(why.clone()),
            Fact::NotAsked => Fact::NotAsked,
        };
        facts.egress_is_limited = match &self.network_policies {
            Fact::Known(all) => {
                let labels = object.and_then(|it| Some(&it.templates.first()?.labels));
                let own = all.get(namespace).into_iter().flatten();
                Fact::Known(
                    labels.is_some_and(|labels| own.into_iter().any(|it| it.selects(labels))),
                )
            }
            Fact::Unknown(why) => Fact::Unknown(why.clone()),
            Fact::NotAsked => Fact::NotAsked,
        };
    }
}
