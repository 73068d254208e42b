//! What is waited for before the next step.

use super::Engine;
use crate::model::GroupVersionKind;

/// Kinds whose health Argo CD judges. Any other kind counts as done as soon as it is applied.
///
/// **Source:** argo-cd `gitops-engine/pkg/health` and `resource_customizations/`, as of 3.6; only
/// the kinds that a release with migrations meets are named.
const WITH_HEALTH: &[(&str, &str)] = &[
    ("", "PersistentVolumeClaim"),
    ("", "Pod"),
    ("", "Service"),
    ("apiregistration.k8s.io", "APIService"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("argoproj.io", "Rollout"),
    ("argoproj.io", "Workflow"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("batch", "Job"),
    ("bitnami.com", "SealedSecret"),
    ("cert-manager.io", "Certificate"),
    ("db.atlasgo.io", "AtlasMigration"),
    ("db.atlasgo.io", "AtlasSchema"),
    ("external-secrets.io", "ExternalSecret"),
    ("k8s.mariadb.com", "Backup"),
    ("k8s.mariadb.com", "SqlJob"),
    ("networking.k8s.io", "Ingress"),
    ("postgresql.cnpg.io", "Cluster"),
    ("snapshot.storage.k8s.io", "VolumeSnapshot"),
];

/// True when the engine waits until an object of this kind has done its work before it goes on.
///
/// Helm waits for hooks alone, and of those only for Jobs and Pods.
pub fn is_waited_for(engine: Engine, gvk: &GroupVersionKind<'_>, hook: bool) -> bool {
    match engine {
        Engine::ArgoCd => WITH_HEALTH.contains(&(gvk.group, gvk.kind)),
        Engine::Helm => hook && matches!((gvk.group, gvk.kind), ("batch", "Job") | ("", "Pod")),
    }
}
