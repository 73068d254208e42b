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

/// One of Kubernetes' own controllers.
#[derive(Clone, Copy, Debug)]
pub struct BuiltInController {
    /// Its service account in `kube-system`.
    pub service_account: &'static str,
    /// `group/Kind` of the owner; a core kind has no group.
    pub owner: &'static str,
    /// `group/Kind` of what it creates for the owner.
    pub creates: &'static str,
}

impl BuiltInController {
    const fn new(
        service_account: &'static str,
        owner: &'static str,
        creates: &'static str,
    ) -> Self {
        Self { service_account, owner, creates }
    }

    /// The users that it authenticates as: its own, or the one that distributions use which run
    /// the controllers without a service account each.
    pub fn users(&self) -> [String; 2] {
        [format!("{SERVICE_ACCOUNT}{}", self.service_account), CONTROLLER_MANAGER.to_owned()]
    }
}

/// Kubernetes' own controllers, and what they create for whom.
pub const BUILT_IN_CONTROLLERS: [BuiltInController; 7] = [
    BuiltInController::new("deployment-controller", "apps/Deployment", "apps/ReplicaSet"),
    BuiltInController::new("replicaset-controller", "apps/ReplicaSet", "Pod"),
    BuiltInController::new("statefulset-controller", "apps/StatefulSet", "Pod"),
    BuiltInController::new("daemon-set-controller", "apps/DaemonSet", "Pod"),
    BuiltInController::new("job-controller", "batch/Job", "Pod"),
    BuiltInController::new("cronjob-controller", "batch/CronJob", "batch/Job"),
    BuiltInController::new("replication-controller", "ReplicationController", "Pod"),
];

const SERVICE_ACCOUNT: &str = "system:serviceaccount:kube-system:";
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
    let built_in = BUILT_IN_CONTROLLERS.iter().any(|controller| {
        let by_user = change.user == CONTROLLER_MANAGER
            || change.user.strip_prefix(SERVICE_ACCOUNT) == Some(controller.service_account);
        by_user && fits(controller.owner, controller.creates)
    });
    built_in
        || extra.iter().any(|controller| {
            controller.user == change.user && fits(&controller.owner, &controller.creates)
        })
}
