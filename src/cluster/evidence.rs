//! What is looked up while a request waits: only for the rare migration that names a backup or takes
//! its statements from ConfigMaps, and within a share of its deadline.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, core::v1::ConfigMap as CoreConfigMap};
use kube::{Api, Client, core::ApiResource};
use serde::Deserialize;

use super::Raw;
use crate::{
    decision::Wants,
    model::{BackupKind, BackupReference, BackupState, ConfigMap, ConfigMapSet, Fact},
};

/// Most ConfigMaps that are fetched for one object; what is in more is not known.
const MAPS: usize = 16;
/// The longest that anybody waits for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// What was looked up for one object.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What became of the backup that it names.
    pub backup: Fact<BackupState>,
    /// The ConfigMaps that it refers to, as far as they could be had.
    pub config_maps: ConfigMapSet,
}

/// Looks things up.
#[derive(Clone)]
pub struct Inquiry {
    client: Client,
}

impl std::fmt::Debug for Inquiry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inquiry").finish_non_exhaustive()
    }
}

impl Inquiry {
    /// By this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Looks up what is wanted for an object of `namespace`, for at most `patience`. What cannot be
    /// had in time is unknown.
    pub async fn gather(&self, namespace: &str, wants: &Wants, patience: Duration) -> Evidence {
        let patience = patience.min(PATIENCE);
        let backup = async {
            let Some(reference) = &wants.backup else { return Fact::NotAsked };
            match tokio::time::timeout(patience, self.backup(namespace, reference)).await {
                Ok(fact) => fact,
                Err(_elapsed) => unknown("the API server did not answer in time"),
            }
        };
        let maps = wants.config_maps.iter().take(MAPS).map(|name| async move {
            let found = tokio::time::timeout(patience, self.config_map(namespace, name)).await;
            (name, found.ok().flatten())
        });
        let (backup, maps) = tokio::join!(backup, join_all(maps));
        let mut config_maps = ConfigMapSet::default();
        for (name, map) in maps {
            if let Some(map) = map {
                config_maps.add(namespace, name, 0, map);
            }
        }
        Evidence { backup, config_maps }
    }

    /// The ConfigMap, if it can be had.
    async fn config_map(&self, namespace: &str, name: &str) -> Option<ConfigMap> {
        let resource = ApiResource::erase::<CoreConfigMap>(&());
        let api: Api<Raw> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        match api.get_opt(name).await {
            Ok(found) => ConfigMap::parse(&found?.text(&resource)),
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::debug!(namespace, name, error, "a ConfigMap could not be read");
                None
            }
        }
    }

    async fn backup(&self, namespace: &str, reference: &BackupReference) -> Fact<BackupState> {
        let resource = resource(reference.kind);
        let namespace = reference.home().unwrap_or(namespace);
        let api: Api<Raw> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        match api.get_opt(&reference.name).await {
            Ok(Some(found)) => state(reference.kind, &found.text(&resource)),
            // Neither the object, nor perhaps its kind.
            Ok(None) => Fact::Known(BackupState::Missing),
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::warn!(namespace, name = reference.name, error, "a backup was not read");
                unknown("the backup that it names could not be read")
            }
        }
    }
}

fn unknown<T>(why: &'static str) -> Fact<T> {
    Fact::Unknown(why.into())
}

fn resource(kind: BackupKind) -> ApiResource {
    let own = |group: &str, kind: &str, plural: &str| ApiResource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        api_version: format!("{group}/v1"),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    match kind {
        BackupKind::Job => ApiResource::erase::<Job>(&()),
        BackupKind::VolumeSnapshot => {
            own("snapshot.storage.k8s.io", "VolumeSnapshot", "volumesnapshots")
        }
        BackupKind::Velero => own("velero.io", "Backup", "backups"),
        BackupKind::Cnpg => own("postgresql.cnpg.io", "Backup", "backups"),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    status: ViewStatus,
}

/// The fields of all four kinds; none of them means two things.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ViewStatus {
    conditions: Option<Vec<ViewCondition>>,
    completion_time: Option<Timestamp>,
    ready_to_use: Option<bool>,
    creation_time: Option<Timestamp>,
    phase: Option<String>,
    completion_timestamp: Option<Timestamp>,
    stopped_at: Option<Timestamp>,
    error: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct ViewCondition {
    r#type: String,
    status: String,
}

/// What a status says: by the documentation of each kind.
fn state(kind: BackupKind, text: &str) -> Fact<BackupState> {
    let Ok(View { status }) = serde_json::from_str(text) else {
        return unknown("the status of the backup that it names could not be read");
    };
    let holds = |name: &str| {
        let all = status.conditions.as_deref().unwrap_or_default();
        all.iter().any(|condition| condition.r#type == name && condition.status == "True")
    };
    let phase = status.phase.as_deref().unwrap_or_default();
    let (complete, failed, at) = match kind {
        BackupKind::Job => (holds("Complete"), holds("Failed"), status.completion_time),
        BackupKind::VolumeSnapshot => {
            (status.ready_to_use == Some(true), status.error.is_some(), status.creation_time)
        }
        BackupKind::Velero => (
            phase == "Completed",
            phase.contains("Failed") || phase == "Deleting",
            status.completion_timestamp,
        ),
        BackupKind::Cnpg => (phase == "completed", phase == "failed", status.stopped_at),
    };
    Fact::Known(match (complete, failed, at) {
        (true, _, Some(at)) => BackupState::Complete(at),
        (true, _, None) => {
            return unknown("the backup that it names does not say when it was complete");
        }
        (false, true, _) => BackupState::Failed,
        (false, false, _) => BackupState::Unfinished,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_as_its_documentation_says() {
        use BackupKind::{Cnpg, Job, Velero, VolumeSnapshot};
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let complete = Some(BackupState::Complete(at));
        let (unfinished, failed) = (Some(BackupState::Unfinished), Some(BackupState::Failed));
        for (kind, status, want) in [
            (
                Job,
                r#"{"conditions":[{"type":"Complete","status":"True"}],"completionTime":"2026-01-01T00:00:00Z"}"#,
                complete,
            ),
            (Job, r#"{"conditions":[{"type":"SuccessCriteriaMet","status":"True"}]}"#, unfinished),
            (Job, r#"{"conditions":[{"type":"Failed","status":"True"}]}"#, failed),
            (Job, r#"{"conditions":[{"type":"Complete","status":"True"}]}"#, None),
            (Job, "{}", unfinished),
            (
                VolumeSnapshot,
                r#"{"readyToUse":true,"creationTime":"2026-01-01T00:00:00Z"}"#,
                complete,
            ),
            (VolumeSnapshot, r#"{"readyToUse":false,"error":{"message":"x"}}"#, failed),
            (VolumeSnapshot, r#"{"readyToUse":false}"#, unfinished),
            (
                Velero,
                r#"{"phase":"Completed","completionTimestamp":"2026-01-01T00:00:00Z"}"#,
                complete,
            ),
            (
                Velero,
                r#"{"phase":"PartiallyFailed","completionTimestamp":"2026-01-01T00:00:00Z"}"#,
                failed,
            ),
            (Velero, r#"{"phase":"InProgress"}"#, unfinished),
            (Cnpg, r#"{"phase":"completed","stoppedAt":"2026-01-01T00:00:00Z"}"#, complete),
            (Cnpg, r#"{"phase":"failed"}"#, failed),
            (Cnpg, r#"{"phase":"running"}"#, unfinished),
            (Cnpg, r#"{"phase":7}"#, None),
        ] {
            let read = state(kind, &format!(r#"{{"status":{status}}}"#));
            match want {
                Some(want) => assert_eq!(read, Fact::Known(want), "{kind:?} {status}"),
                None => assert!(matches!(read, Fact::Unknown(_)), "{kind:?} {status}"),
            }
        }
    }
}
