//! Annotations and labels of tidegate, all on the object that runs the migration.

/// Prefix of every annotation and label of tidegate.
pub const PREFIX: &str = "tidegate.dev/";
/// Who approved.
pub const APPROVED_BY: &str = "tidegate.dev/approved-by";
/// The ticket under which it was approved.
pub const TICKET: &str = "tidegate.dev/approval-ticket";
/// Why it was approved.
pub const REASON: &str = "tidegate.dev/approval-reason";
/// The digest of what was approved.
pub const DIGEST: &str = "tidegate.dev/approved-digest";
/// The moment until which the approval holds, RFC 3339.
pub const UNTIL: &str = "tidegate.dev/approved-until";
/// The namespace for which it was approved.
pub const NAMESPACE: &str = "tidegate.dev/approved-namespace";
/// The digest of what the ConfigMaps held that the approver saw.
pub const CONTENT: &str = "tidegate.dev/approved-content";
/// An OpenSSH signature over the approval.
pub const SIGNATURE: &str = "tidegate.dev/approval-signature";
/// What was backed up before, or will be: a reference.
pub const BACKUP: &str = "tidegate.dev/backup";
/// Why it runs without a backup.
pub const BACKUP_WAIVER: &str = "tidegate.dev/backup-waiver";
/// What the migration does, in the words of whoever wrote it.
pub const RISK: &str = "tidegate.dev/risk";
/// The name of the database, by which runs are told apart.
pub const DATABASE: &str = "tidegate.dev/database";
/// The tenant that a Job migrates: makes parallel runs legitimate.
pub const TENANT: &str = "tidegate.dev/tenant";
/// How large the containers of a Job are: the name of a size that the policy defines.
pub const SIZE: &str = "tidegate.dev/size";
/// What mutation filled in; written by tidegate, read by people.
pub const DEFAULTED: &str = "tidegate.dev/defaulted";
/// The label that mutation puts on hook Jobs that migrate and on their Pods: `true`.
pub const MIGRATION_LABEL: &str = "tidegate.dev/migration";
/// The annotation by which Argo CD knows its objects: `application:group/Kind:namespace/name`.
pub const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";
