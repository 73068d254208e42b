//! Kinds that save data.

use crate::model::GroupVersionKind;

/// Objects that are one backup each: whoever creates one asks an operator to take it. Schedules are
/// not among them, since nobody can say when they run.
///
/// **Sources:** the API references of Velero, `CloudNativePG`, MariaDB Operator, Percona's operators,
/// Kanister, K8up, `KubeStash` and the CSI snapshotter.
const KINDS: &[(&str, &str)] = &[
    ("cr.kanister.io", "ActionSet"),
    ("core.kubestash.com", "BackupSession"),
    ("k8s.mariadb.com", "Backup"),
    ("k8s.mariadb.com", "PhysicalBackup"),
    ("k8up.io", "Backup"),
    ("pgv2.percona.com", "PerconaPGBackup"),
    ("postgresql.cnpg.io", "Backup"),
    ("ps.percona.com", "PerconaServerMySQLBackup"),
    ("psmdb.percona.com", "PerconaServerMongoDBBackup"),
    ("pxc.percona.com", "PerconaXtraDBClusterBackup"),
    ("snapshot.storage.k8s.io", "VolumeSnapshot"),
    ("velero.io", "Backup"),
];

/// True for a kind of which every object is one backup.
pub fn is_backup_kind(gvk: &GroupVersionKind<'_>) -> bool {
    KINDS.contains(&(gvk.group, gvk.kind))
}
