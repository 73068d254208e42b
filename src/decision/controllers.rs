//! What controllers create for an owner that was judged.
//!
//! Denying a ReplicaSet or a Pod of a controller leaves an accepted but dead owner, and a Job whose
//! Pods are denied never fails. So children are not judged again. Who is such a controller is
//! decided by the requesting user together with the owner: an `ownerReference` alone proves
//! nothing, because anyone can write one.

use crate::{
    model::{Change, Object},
    policy::Controller,
};

/// Kubernetes' own controllers: the last part of the user, the owner's kind, the child's kind.
const BUILT_IN: [(&str, &str, &str); 7] = [
    ("deployment-controller", "apps/Deployment", "apps/ReplicaSet"),
    ("replicaset-controller", "apps/ReplicaSet", "Pod"),
    ("statefulset-controller", "apps/StatefulSet", "Pod"),
    ("daemon-set-controller", "apps/DaemonSet", "Pod"),
    ("job-controller", "batch/Job", "Pod"),
    ("cronjob-controller", "batch/CronJob", "batch/Job"),
    ("replication-controller", "ReplicationController", "Pod"),
];

const SERVICE_ACCOUNT: &str = "system:serviceaccount:kube-system:";
/// What distributions use that run the controllers without a service account each.
const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";

/// True when `change` is a controller's work on a child of an owner that was judged.
pub(super) fn is_child(extra: &[Controller], change: &Change<'_>, object: &Object<'_>) -> bool {
    let Some(owner) = object.metadata.owner_references.iter().find(|owner| owner.controller) else {
        return false;
    };
    let is = |wanted: &str, api_version: &str, kind: &str| {
        let (group, wanted_kind) = wanted.split_once('/').unwrap_or(("", wanted));
        let have = api_version.split_once('/').map_or("", |(group, _)| group);
        group == have && wanted_kind == kind
    };
    let fits = |owner_kind: &str, child: &str| {
        is(owner_kind, &owner.api_version, &owner.kind)
            && is(child, &object.api_version, &object.kind)
    };
    let built_in = BUILT_IN.iter().any(|(controller, owner_kind, child)| {
        let by_user = change.user == CONTROLLER_MANAGER
            || change.user.strip_prefix(SERVICE_ACCOUNT) == Some(controller);
        by_user && fits(owner_kind, child)
    });
    built_in
        || extra.iter().any(|controller| {
            controller.user == change.user && fits(&controller.owner, &controller.creates)
        })
}
