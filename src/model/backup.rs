//! What `tidegate.dev/backup` names, where it names an object of the cluster.

use std::fmt;

use jiff::Timestamp;

/// A kind of object that tells whether a backup is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupKind {
    /// `batch/v1` Job.
    Job,
    /// `VolumeSnapshot` of `snapshot.storage.k8s.io/v1`.
    VolumeSnapshot,
    /// `velero.io/v1` Backup, which stands in Velero's own namespace.
    Velero,
    /// `postgresql.cnpg.io/v1` Backup of `CloudNativePG`.
    Cnpg,
}

/// The namespace that Velero is installed into, unless somebody chooses another.
const VELERO: &str = "velero";

/// The kinds, by what they are called in a reference.
const KINDS: [(&str, BackupKind); 9] = [
    ("job", BackupKind::Job),
    ("job.batch", BackupKind::Job),
    ("jobs", BackupKind::Job),
    ("volumesnapshot", BackupKind::VolumeSnapshot),
    ("volumesnapshot.snapshot.storage.k8s.io", BackupKind::VolumeSnapshot),
    ("backup.velero.io", BackupKind::Velero),
    ("velero", BackupKind::Velero),
    ("backup.postgresql.cnpg.io", BackupKind::Cnpg),
    ("cnpg", BackupKind::Cnpg),
];

/// A reference to an object that saved data: `job/NAME`, `volumesnapshot/NAME`,
/// `backup.velero.io/[NAMESPACE/]NAME`, `backup.postgresql.cnpg.io/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupReference {
    /// What it is.
    pub kind: BackupKind,
    /// Its namespace, where the reference names one: only Velero's are elsewhere.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl BackupReference {
    /// Reads a reference; none for a text that says in other words what was saved.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.trim().split_once('/')?;
        let kind = kind.to_ascii_lowercase();
        let (_, kind) = KINDS.into_iter().find(|(word, _)| *word == kind)?;
        let (namespace, name) = match rest.split_once('/') {
            Some((namespace, name)) if kind == BackupKind::Velero => (Some(namespace), name),
            Some(_) => return None,
            None => (None, rest),
        };
        let is_name = |name: &str| {
            let is_part = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.'
            };
            !name.is_empty() && name.len() <= 253 && name.bytes().all(is_part)
        };
        let fits = is_name(name) && namespace.is_none_or(is_name);
        fits.then(|| Self { kind, namespace: namespace.map(str::to_owned), name: name.to_owned() })
    }

    /// True when both name the same object, as far as an object of one namespace is concerned.
    pub fn is_same_as(&self, other: &Self) -> bool {
        (self.kind, &self.name, self.home()) == (other.kind, &other.name, other.home())
    }

    /// The namespace that the object is in, where that is another than that of whoever names it.
    pub fn home(&self) -> Option<&str> {
        match self.kind {
            BackupKind::Velero => Some(self.namespace.as_deref().unwrap_or(VELERO)),
            // A Job of another namespace says nothing about the data of this one.
            BackupKind::Job | BackupKind::VolumeSnapshot | BackupKind::Cnpg => None,
        }
    }
}

impl fmt::Display for BackupReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            BackupKind::Job => "job",
            BackupKind::VolumeSnapshot => "volumesnapshot",
            BackupKind::Velero => "backup.velero.io",
            BackupKind::Cnpg => "backup.postgresql.cnpg.io",
        };
        write!(f, "{kind}/")?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

/// What became of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupState {
    /// It is complete since this moment.
    Complete(Timestamp),
    /// It is not complete yet.
    Unfinished,
    /// It failed.
    Failed,
    /// There is no such object.
    Missing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_told_from_a_sentence() {
        for (text, shown) in [
            ("job/backup-1", Some("job/backup-1")),
            (" Job.batch/a ", Some("job/a")),
            ("volumesnapshot/pg-1", Some("volumesnapshot/pg-1")),
            ("velero/nightly", Some("backup.velero.io/nightly")),
            ("backup.velero.io/ops/nightly", Some("backup.velero.io/ops/nightly")),
            ("cnpg/a", Some("backup.postgresql.cnpg.io/a")),
            ("job/other/backup", None),
            ("s3://bucket/key", None),
            ("pg_dump to s3/a", None),
            ("job/", None),
            ("job/../x", None),
            ("job/A", None),
            ("nightly dump", None),
        ] {
            let parsed = BackupReference::parse(text).map(|reference| reference.to_string());
            assert_eq!(parsed.as_deref(), shown, "{text}");
        }
    }
}
