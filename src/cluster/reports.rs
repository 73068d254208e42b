//! Reports, written into the cluster: only what has changed, and nothing stays that is not needed.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::ApiResource,
};
use serde_json::{Value, json};

use super::{FIELD_MANAGER, discovery::Discovery, pages::Pages};
use crate::{
    report::{self, CONTENT, Dialect, Entry, HISTORY, History, MANAGED_BY, Report, SOURCE, shards},
    scan::{Scan, Scanned},
};

/// Name of the webhook configuration that owns the reports, so that they go with the installation.
const OWNER: &str = "tidegate";
/// How many reports are written at a time.
const AT_ONCE: usize = 4;
/// How often a history is read again because somebody else has written it.
const TRIES: usize = 5;

/// What became of reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Written, because they are new or changed.
    pub written: usize,
    /// Left as they were.
    pub unchanged: usize,
    /// Deleted, because nothing is left to tell.
    pub deleted: usize,
    /// Not written or not deleted, because the API server refused.
    pub failed: usize,
}

/// Where reports are written to.
#[derive(Clone)]
pub struct Reports {
    client: Client,
    dialect: Dialect,
    namespaced: ApiResource,
    /// Not every installation has it.
    cluster: Option<ApiResource>,
    owner: Option<Value>,
}

impl std::fmt::Debug for Reports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reports").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

/// A report that is there: its digest and the uid of its owner.
type Known = (Option<String>, Option<String>);

enum Change {
    Write(String, Report),
    Delete(String, String),
}

impl Reports {
    /// Reports of the family of kinds that the cluster has; none where it has neither.
    ///
    /// # Errors
    ///
    /// When the API server does not answer.
    pub async fn find(client: &Client) -> kube::Result<Option<Self>> {
        let mut discovery = Discovery::read(client.clone()).await?;
        for dialect in Dialect::ALL {
            let (group, versions) = (dialect.group(), &[dialect.version()][..]);
            let namespaced = discovery.find(group, versions, dialect.plural("any")).await?;
            let Some(namespaced) = namespaced else { continue };
            let cluster = discovery.find(group, versions, dialect.plural("")).await?;
            let owner = owner(client).await;
            return Ok(Some(Self { client: client.clone(), dialect, namespaced, cluster, owner }));
        }
        Ok(None)
    }

    /// The `apiVersion` of what is written.
    pub fn api_version(&self) -> &'static str {
        self.dialect.api_version()
    }

    fn api(&self, namespace: &str) -> Option<Api<DynamicObject>> {
        if namespace.is_empty() {
            return Some(Api::all_with(self.client.clone(), self.cluster.as_ref()?));
        }
        Some(Api::namespaced_with(self.client.clone(), namespace, &self.namespaced))
    }

    /// Writes what a scan found. With a `namespace` the scan was of that one alone, and the reports
    /// of others are not touched. Nothing is deleted after a scan that could not look at everything,
    /// and nothing at all is written of a part of the objects.
    ///
    /// # Errors
    ///
    /// When the reports that are there cannot be listed. One that cannot be written is logged and
    /// counted.
    pub async fn publish(
        &self,
        scan: &Scan,
        namespace: Option<&str>,
        now: Timestamp,
    ) -> kube::Result<Published> {
        if scan.partial {
            return Ok(Published::default());
        }
        let known = self.known(namespace).await?;
        let mut published = Published::default();
        let mut wanted: BTreeSet<(String, String)> = BTreeSet::new();
        let by_namespace = scan.objects.chunk_by(|a, b| a.namespace == b.namespace);
        // A namespace at a time, so that never all reports are in memory.
        for objects in by_namespace {
            let mut changes = Vec::new();
            for (home, report) in self.wanted(scan, objects, now) {
                let key = (home.clone(), report.name.clone());
                let is = (Some(report.digest.clone()), self.owner_uid());
                if known.get(&key) == Some(&is) {
                    published.unchanged = published.unchanged.saturating_add(1);
                } else {
                    changes.push(Change::Write(home, report));
                }
                wanted.insert(key);
            }
            self.make(changes, &mut published).await;
        }
        let complete = scan.errors.is_empty();
        let is_gone = |key: &(String, String)| key.1 != HISTORY && !wanted.contains(key);
        let gone = known.into_keys().filter(|key| complete && is_gone(key));
        let gone = gone.map(|(namespace, name)| Change::Delete(namespace, name)).collect();
        self.make(gone, &mut published).await;
        Ok(published)
    }

    /// The reports of the objects of one namespace.
    fn wanted(&self, scan: &Scan, objects: &[Scanned], now: Timestamp) -> Vec<(String, Report)> {
        let Some(first) = objects.first() else { return Vec::new() };
        let home = first.namespace.to_string();
        if home.is_empty() && self.cluster.is_none() {
            return Vec::new();
        }
        let left_out = scan.namespaces.get(&first.namespace).map_or(0, |tally| tally.left_out);
        let entries = objects.iter().flat_map(|object| report::of_object(object, now)).collect();
        let reports = shards(self.dialect, &home, entries, left_out);
        reports.into_iter().map(|report| (home.clone(), report)).collect()
    }

    fn owner_uid(&self) -> Option<String> {
        self.owner.as_ref()?.get("uid")?.as_str().map(str::to_owned)
    }

    /// The reports that are ours, by namespace and name.
    async fn known(
        &self,
        namespace: Option<&str>,
    ) -> kube::Result<BTreeMap<(String, String), Known>> {
        let selector = format!("{MANAGED_BY}={SOURCE}");
        let mut apis: Vec<Api<DynamicObject>> = Vec::new();
        if let Some(namespace) = namespace {
            apis.extend(self.api(namespace));
        } else {
            apis.push(Api::all_with(self.client.clone(), &self.namespaced));
            apis.extend(self.api(""));
        }
        let mut known = BTreeMap::new();
        for api in apis {
            let mut pages = Pages::new(api, Some(&selector));
            while let Some(page) = pages.next_metadata().await? {
                for report in page {
                    let digest = report.annotations().get(CONTENT).cloned();
                    let owner = report.owner_references().first().map(|owner| owner.uid.clone());
                    let key = (report.namespace().unwrap_or_default(), report.name_any());
                    known.insert(key, (digest, owner));
                }
            }
        }
        Ok(known)
    }

    async fn make(&self, changes: Vec<Change>, published: &mut Published) {
        let changes: Vec<_> = changes.into_iter().map(|change| self.change(change)).collect();
        let mut done = stream::iter(changes).buffer_unordered(AT_ONCE);
        while let Some((is_written, result)) = done.next().await {
            let count = match result {
                Ok(()) if is_written => &mut published.written,
                Ok(()) => &mut published.deleted,
                // Its namespace is going away.
                Err(kube::Error::Api(status)) if status.code == 404 => continue,
                Err(error) => {
                    let error = format!("{:#}", anyhow::Error::from(error));
                    tracing::warn!(error, "a report was not written");
                    &mut published.failed
                }
            };
            *count = count.saturating_add(1);
        }
    }

    /// Makes a change; true for one that writes.
    async fn change(&self, change: Change) -> (bool, kube::Result<()>) {
        match change {
            Change::Write(namespace, report) => (true, self.write(&namespace, report, None).await),
            Change::Delete(namespace, name) => (false, self.delete(&namespace, &name).await),
        }
    }

    /// Applies a report; where `version` is given, only if nobody has changed it since.
    async fn write(
        &self,
        namespace: &str,
        report: Report,
        version: Option<String>,
    ) -> kube::Result<()> {
        let Some(api) = self.api(namespace) else { return Ok(()) };
        let mut object = self.owned(report.object);
        if let (Some(version), Some(metadata)) = (version, metadata(&mut object)) {
            metadata.insert("resourceVersion".to_owned(), json!(version));
        }
        let params = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(&report.name, &params, &Patch::Apply(object)).await?;
        Ok(())
    }

    fn owned(&self, mut object: Value) -> Value {
        if let (Some(owner), Some(metadata)) = (&self.owner, metadata(&mut object)) {
            metadata.insert("ownerReferences".to_owned(), json!([owner]));
        }
        object
    }

    async fn delete(&self, namespace: &str, name: &str) -> kube::Result<()> {
        let Some(api) = self.api(namespace) else { return Ok(()) };
        api.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Adds what happened in a namespace to its history. Several replicas may: whoever finds that
    /// another one has written meanwhile reads again.
    ///
    /// # Errors
    ///
    /// When the API server refuses.
    pub async fn add(
        &self,
        namespace: &str,
        entries: &[Entry],
        now: Timestamp,
    ) -> kube::Result<()> {
        let Some(api) = self.api(namespace) else { return Ok(()) };
        let mut tries: usize = 0;
        loop {
            tries = tries.saturating_add(1);
            let before = api.get_opt(HISTORY).await?;
            let written = self.add_to(&api, namespace, before, entries, now).await;
            match written {
                Err(kube::Error::Api(status)) if status.code == 409 && tries < TRIES => {}
                written => return written,
            }
        }
    }

    async fn add_to(
        &self,
        api: &Api<DynamicObject>,
        namespace: &str,
        before: Option<DynamicObject>,
        entries: &[Entry],
        now: Timestamp,
    ) -> kube::Result<()> {
        let known = before.as_ref().map(|before| History::read(&before.data)).unwrap_or_default();
        let mut history = known.clone();
        entries.iter().cloned().for_each(|entry| history.add(entry));
        if history == known && !history.is_stale(now) {
            return Ok(());
        }
        let Some(report) = history.report(self.dialect, namespace, now) else {
            return match before {
                Some(_) => self.delete(namespace, HISTORY).await,
                None => Ok(()),
            };
        };
        if let Some(before) = before {
            return self.write(namespace, report, before.resource_version()).await;
        }
        // Of two that create it one is told, and reads again.
        let object = serde_json::from_value(self.owned(report.object));
        let object: DynamicObject = object.map_err(kube::Error::SerdeError)?;
        let field_manager = Some(FIELD_MANAGER.to_owned());
        api.create(&PostParams { field_manager, ..PostParams::default() }, &object).await?;
        Ok(())
    }

    /// Lets what has become too old go from every history.
    ///
    /// # Errors
    ///
    /// When histories cannot be listed or written.
    pub async fn prune(&self, now: Timestamp) -> kube::Result<()> {
        let known = self.known(None).await?;
        for (namespace, _) in known.into_keys().filter(|(_, name)| name == HISTORY) {
            self.add(&namespace, &[], now).await?;
        }
        Ok(())
    }
}

fn metadata(object: &mut Value) -> Option<&mut serde_json::Map<String, Value>> {
    object.get_mut("metadata")?.as_object_mut()
}

/// A reference to the webhook configuration of the installation; none where there is none, or where
/// it may not be read.
async fn owner(client: &Client) -> Option<Value> {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let owner = api.get_metadata_opt(OWNER).await.ok()??;
    Some(json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "name": OWNER,
        "uid": owner.uid()?,
    }))
}
