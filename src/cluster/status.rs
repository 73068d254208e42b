//! What became of policies and exceptions, written into their status by the replica that leads.

use std::time::Duration;

use jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::json;

use super::{
    Documents, FIELD_MANAGER, Key, Kind, Leader, Standing,
    events::{Events, Regarding, Told},
};
use crate::policy::{Condition, Status};

/// How long a status that could not be written waits.
const RETRY: Duration = Duration::from_secs(5);

/// The condition of a document that is in force.
const IN_FORCE: &str = "it is in force";

/// Writes a status whenever it has to change. Never ends.
pub(super) async fn keep(client: Client, documents: &Documents, leader: Leader, events: &Events) {
    let work = || {
        documents.all_dirty();
        write_all(&client, documents, events)
    };
    leader.while_leading(work).await;
}

async fn write_all(client: &Client, documents: &Documents, events: &Events) {
    loop {
        let mut failed = false;
        for (key, standing) in documents.take_dirty() {
            if is_written(&standing) {
                continue;
            }
            match write(client, &key, &standing).await {
                Ok(()) => tell(&key, &standing, events),
                // It was deleted meanwhile.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => {
                    let error = format!("{:#}", anyhow::Error::from(error));
                    tracing::warn!(kind = key.0.as_str(), name = key.2, error, "no status written");
                    documents.dirty(key);
                    failed = true;
                }
            }
        }
        if failed {
            tokio::time::sleep(RETRY).await;
        } else {
            documents.changed.notified().await;
        }
    }
}

/// True when the document says so already.
fn is_written(standing: &Standing) -> bool {
    let (ready, message) = message(standing);
    standing.written == Some((ready, message, standing.generation))
}

fn message(standing: &Standing) -> (bool, String) {
    match &standing.wrong {
        None => (true, IN_FORCE.to_owned()),
        Some(wrong) if standing.earlier_holds => {
            (false, format!("{wrong} (what was right before stays in force)"))
        }
        Some(wrong) => (false, wrong.clone()),
    }
}

async fn write(client: &Client, key: &Key, standing: &Standing) -> kube::Result<()> {
    let (kind, namespace, name) = key;
    let resource = kind.resource();
    let api: Api<DynamicObject> = match kind {
        Kind::Policy => Api::all_with(client.clone(), &resource),
        Kind::Exception => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    let (ready, message) = message(standing);
    let condition = Condition {
        kind: "Ready".to_owned(),
        status: if ready { "True" } else { "False" }.to_owned(),
        reason: if ready { "InForce" } else { "Invalid" }.to_owned(),
        message,
        last_transition_time: Timestamp::now()
            .round(jiff::Unit::Second)
            .unwrap_or_default()
            .to_string(),
        observed_generation: standing.generation,
    };
    let status = Status { observed_generation: standing.generation, conditions: vec![condition] };
    let body = json!({
        "apiVersion": resource.api_version, "kind": resource.kind,
        "metadata": {"name": name}, "status": status,
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let written = api.patch_status(name, &parameters, &Patch::Apply(body)).await?;
    tracing::info!(
        kind = kind.as_str(),
        namespace,
        name = written.name_any(),
        ready,
        "status written"
    );
    Ok(())
}

/// An Event for a document that is not in force.
fn tell(key: &Key, standing: &Standing, events: &Events) {
    let Some(wrong) = &standing.wrong else { return };
    let (kind, namespace, name) = key;
    let resource = kind.resource();
    events.tell(Told {
        application: None,
        regarding: Regarding {
            api_version: resource.api_version,
            kind: resource.kind,
            namespace: namespace.clone(),
            name: name.clone(),
            uid: Some(standing.uid.clone()),
        },
        reason: "Invalid",
        action: "Load",
        note: wrong.clone(),
    });
}
