//! What was found as objects that other tools read: reports of `openreports.io` and of
//! `wgpolicyk8s.io`, which are the same but for their names.
//!
//! ```text
//! Scanned, Refused, Finished -> Entry -> shards of a namespace, and its history
//! ```
//!
//! There is never an object for every finding or every admission: what a namespace has is divided
//! into a few objects of bounded size, so that a change of one workload changes one of them.

mod entry;
mod history;
mod shard;

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

pub use entry::{Entry, Finished, Outcome, Refused, Resource, Severity, Stamp, of_object};
pub use history::{HISTORY, History};
pub use shard::{MOST_BYTES, MOST_OBJECTS, Report, shards};

/// Who writes the reports: the source of every result, and the value of the label of every object.
pub const SOURCE: &str = "tidegate";
/// The label that tells our reports from those of others.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The annotation with the digest of what a report says, without its times.
pub const CONTENT: &str = "tidegate.dev/report-digest";
/// The annotation with how many results had no room.
pub const LEFT_OUT: &str = "tidegate.dev/left-out";

/// One of the two families of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `openreports.io/v1alpha1`.
    OpenReports,
    /// `wgpolicyk8s.io/v1alpha2`, of the Kubernetes policy working group.
    PolicyReports,
}

impl Dialect {
    /// Both, the one that is preferred first.
    pub const ALL: [Self; 2] = [Self::OpenReports, Self::PolicyReports];

    /// API group.
    pub fn group(self) -> &'static str {
        match self {
            Self::OpenReports => "openreports.io",
            Self::PolicyReports => "wgpolicyk8s.io",
        }
    }

    /// API version.
    pub fn version(self) -> &'static str {
        match self {
            Self::OpenReports => "v1alpha1",
            Self::PolicyReports => "v1alpha2",
        }
    }

    /// `apiVersion`.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::OpenReports => "openreports.io/v1alpha1",
            Self::PolicyReports => "wgpolicyk8s.io/v1alpha2",
        }
    }

    /// `kind` of the reports of a namespace, or of the cluster where it is empty.
    pub fn kind(self, namespace: &str) -> &'static str {
        match (self, namespace) {
            (Self::OpenReports, "") => "ClusterReport",
            (Self::OpenReports, _) => "Report",
            (Self::PolicyReports, "") => "ClusterPolicyReport",
            (Self::PolicyReports, _) => "PolicyReport",
        }
    }

    /// The kind's plural name, as in a URL.
    pub fn plural(self, namespace: &str) -> &'static str {
        match (self, namespace) {
            (Self::OpenReports, "") => "clusterreports",
            (Self::OpenReports, _) => "reports",
            (Self::PolicyReports, "") => "clusterpolicyreports",
            (Self::PolicyReports, _) => "policyreports",
        }
    }
}

/// A digest of some texts, in hex. The length before each keeps neighbours apart.
fn digest<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(text);
    }
    let bytes = hash.finalize();
    bytes.iter().take(16).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
