//! Annotations that tidegate reads, all on the object that runs the migration.

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
/// The name of the database, by which runs are told apart.
pub const DATABASE: &str = "tidegate.dev/database";
/// The tenant that a Job migrates: makes parallel runs legitimate.
pub const TENANT: &str = "tidegate.dev/tenant";
/// How large the containers of a Job are: the name of a size that the policy defines.
pub const SIZE: &str = "tidegate.dev/size";
/// What mutation filled in; written by tidegate, read by people.
pub const DEFAULTED: &str = "tidegate.dev/defaulted";
