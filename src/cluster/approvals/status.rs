//! What became of approvals, written into their status by the replica that leads.

use std::time::Duration;

use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::json;

use super::{Approvals, Key};
use crate::{
    cluster::{FIELD_MANAGER, Leader, approval_kind},
    policy::ApprovalStatus,
};

/// How long a status that could not be written waits.
const RETRY: Duration = Duration::from_secs(5);
/// How long nothing is looked at where nothing changes and nothing ends.
const IDLE: Duration = Duration::from_hours(1);

/// Writes a status whenever it has to change, also because time went by. Never ends.
pub(in crate::cluster) async fn keep(client: Client, approvals: &Approvals, leader: Leader) {
    leader.while_leading(|| write_all(&client, approvals)).await;
}

async fn write_all(client: &Client, approvals: &Approvals) {
    loop {
        let now = Timestamp::now();
        let (due, next) = approvals.due(now);
        let mut failed = false;
        for (key, uid, status) in due {
            match write(client, &key, &uid, &status).await {
                Ok(()) => approvals.wrote(&key, &uid, status),
                // It was deleted meanwhile, or made anew.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                Err(error) => {
                    let error = format!("{:#}", anyhow::Error::from(error));
                    let (namespace, name) = key;
                    tracing::warn!(namespace, name, error, "no status of an approval written");
                    failed = true;
                }
            }
        }
        if failed {
            tokio::time::sleep(RETRY).await;
            continue;
        }
        let until = next.and_then(|next| next.duration_since(now).try_into().ok());
        tokio::select! {
            () = approvals.changed.notified() => {}
            () = tokio::time::sleep(until.unwrap_or(IDLE).min(IDLE)) => {}
        }
    }
}

async fn write(
    client: &Client,
    (namespace, name): &Key,
    uid: &str,
    status: &ApprovalStatus,
) -> kube::Result<()> {
    let resource = approval_kind();
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    // With its uid, so that one that was made anew under the same name is not taken for it.
    let body = json!({
        "apiVersion": resource.api_version, "kind": resource.kind,
        "metadata": {"name": name, "uid": uid}, "status": status,
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(name, &parameters, &Patch::Apply(body)).await?;
    let used = status.used_by.is_some();
    tracing::info!(namespace, name, used, "status of an approval written");
    Ok(())
}
