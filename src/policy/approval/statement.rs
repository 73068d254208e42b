//! What somebody stated who approves, wherever it is written down.

use jiff::Timestamp;

use crate::model::{GrantedApproval, Object, annotation};

/// The fields of an approval resource, each with the annotation that says the same.
const FIELDS: [(&str, &str); 9] = [
    (annotation::DIGEST, "spec.digest"),
    (annotation::CONTENT, "spec.content"),
    (annotation::APPROVED_BY, "spec.approver"),
    (annotation::TICKET, "spec.ticket"),
    (annotation::REASON, "spec.reason"),
    (annotation::NAMESPACE, "metadata.namespace"),
    (annotation::UNTIL, "spec.expires"),
    (annotation::BACKUP, "spec.backup"),
    (annotation::BACKUP_WAIVER, "spec.backupWaiver"),
];

/// An approval as it is written down. Its fields go by the keys of the annotations.
#[derive(Clone, Copy, Debug)]
pub(super) enum Statement<'s> {
    /// On the object itself, by whoever may write it.
    Annotations(&'s Object<'s>),
    /// In an object of its own, by whoever the API server authenticated.
    Resource(&'s GrantedApproval),
}

impl<'s> Statement<'s> {
    /// A field without the white space around it, which YAML's block scalars leave there.
    pub(super) fn raw(self, key: &str) -> Option<&'s str> {
        let text = match self {
            Self::Annotations(object) => object.metadata.annotation(key),
            Self::Resource(granted) => field(granted, key),
        };
        text.map(str::trim)
    }

    /// A field, where it says something.
    pub(super) fn read(self, key: &str) -> Option<&'s str> {
        self.raw(key).filter(|value| !value.is_empty())
    }

    /// What messages call one of these fields.
    pub(super) fn call(self, keys: &[&str]) -> String {
        match self {
            Self::Annotations(_) => format!("`{}`", keys.join("` or `")),
            Self::Resource(GrantedApproval { name, .. }) => {
                let known = FIELDS.iter().filter(|(key, _)| keys.contains(key));
                let fields: Vec<&str> = known.map(|(_, field)| *field).collect();
                format!("`{}` of MigrationApproval `{name}`", fields.join("` or `"))
            }
        }
    }

    /// What messages call the whole of it.
    pub(super) fn name(self) -> String {
        match self {
            Self::Annotations(_) => "it".to_owned(),
            Self::Resource(GrantedApproval { name, .. }) => format!("MigrationApproval `{name}`"),
        }
    }

    /// The moment from which it covers nothing.
    pub(super) fn end(self) -> Result<Timestamp, String> {
        let key = annotation::UNTIL;
        match self {
            Self::Resource(granted) => Ok(granted.expires),
            Self::Annotations(_) => {
                let text = self.read(key).ok_or_else(|| format!("`{key}` is missing"))?;
                text.parse().map_err(|_error| {
                    format!("`{key}` is no RFC 3339 time such as 2026-01-31T18:00:00Z")
                })
            }
        }
    }
}

fn field<'g>(granted: &'g GrantedApproval, key: &str) -> Option<&'g str> {
    match key {
        annotation::DIGEST => Some(&granted.digest),
        annotation::CONTENT => granted.content.as_deref(),
        annotation::APPROVED_BY => Some(&granted.approver),
        annotation::TICKET => granted.ticket.as_deref(),
        annotation::REASON => granted.reason.as_deref(),
        annotation::NAMESPACE => Some(&granted.namespace),
        annotation::BACKUP => granted.backup.as_deref(),
        annotation::BACKUP_WAIVER => granted.backup_waiver.as_deref(),
        _ => None,
    }
}
