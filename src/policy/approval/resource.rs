//! The approval that is an object of the cluster.
//!
//! ```text
//! YAML -> MigrationApproval (strict, with positions) -> GrantedApproval (a fact)
//! ```

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    model::GrantedApproval,
    policy::{
        Condition,
        document::API_VERSION,
        exception::check_text,
        load::{LoadError, Loader},
    },
};

/// The `kind` of an approval.
const KIND: &str = "MigrationApproval";
/// Longest reason, in characters: it is a sentence, not an archive.
const REASON_LENGTH: usize = 1_000;
/// Longest ticket, in characters: it stands in lists.
const TICKET_LENGTH: usize = 100;
/// Longest name pattern of a Job, in characters.
const JOB_LENGTH: usize = 253;

/// An approval of one exact migration in one namespace until one moment. It cannot be changed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MigrationApproval {
    /// `tidegate.dev/v1alpha1`.
    pub api_version: String,
    /// `MigrationApproval`.
    pub kind: String,
    /// The usual metadata; the name and the namespace are read.
    pub metadata: ApprovalMeta,
    /// What is approved.
    pub spec: ApprovalSpec,
    /// What became of it; written by tidegate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ApprovalStatus>,
}

impl MigrationApproval {
    /// A document.
    pub fn new(metadata: ApprovalMeta, spec: ApprovalSpec) -> Self {
        let (api_version, kind) = (API_VERSION.to_owned(), KIND.to_owned());
        Self { api_version, kind, metadata, spec, status: None }
    }
}

/// The usual metadata; the name and the namespace are read.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApprovalMeta {
    /// Name of the approval: it appears in refusals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the API server makes a name from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generate_name: Option<String>,
    /// The only namespace that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// What is approved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalSpec {
    /// The digest of exactly what may run, as the refusal and `tidegate digest` name it.
    #[schemars(regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub digest: String,
    /// The digest of what the ConfigMaps hold that it reads, as `tidegate digest --content` names
    /// it. Left out: what they hold is not covered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub content: Option<String>,
    /// Names of Jobs that it is for; `*` stands for any text. The digest holds the name already:
    /// this is for those who read lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub job: Option<String>,
    /// Where it was agreed. A policy may demand one, and does by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub ticket: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    pub reason: Option<String>,
    /// What was or will be backed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    pub backup: Option<String>,
    /// Why it runs without a backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    pub backup_waiver: Option<String>,
    /// The moment from which it covers nothing any more, RFC 3339, such as
    /// `2026-03-31T00:00:00Z`; not further away than the policy's `maxAge`.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub expires: String,
    /// Who approved: the user that the API server authenticated. Written by tidegate; whoever
    /// writes another name is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub approver: Option<String>,
}

/// What became of an approval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApprovalStatus {
    /// `metadata.generation` of the approval that the conditions are about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The first Job that ran under it. Once written it never changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_by: Option<JobReference>,
    /// What holds: `Ready`, `Used`, `Expired`.
    pub conditions: Vec<Condition>,
}

/// A Job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct JobReference {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid, which tells it from a later one of the same name.
    pub uid: String,
}

/// The JSON Schema of the approval document, for editors.
pub fn approval_schema() -> serde_json::Value {
    schemars::schema_for!(MigrationApproval).to_value()
}

/// Reads the approval in `text`, JSON or YAML; `file` is its name in errors.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn read_approval(text: &str, file: &str) -> Result<GrantedApproval, Vec<LoadError>> {
    Loader::only(text, file, KIND, compile)
}

fn compile(loader: &mut Loader<'_>, document: MigrationApproval) -> GrantedApproval {
    let MigrationApproval { metadata, spec, status, .. } = document;
    let ApprovalMeta { name, generate_name, namespace } = metadata;
    for (field, digest) in [("digest", Some(&spec.digest)), ("content", spec.content.as_ref())] {
        if digest.is_some_and(|digest| !is_digest(digest)) {
            let message = "must be `sha256:` and 64 hexadecimal digits in lower case";
            loader.fail(&format!("spec.{field}"), message);
        }
    }
    for (field, text, most) in [
        ("job", &spec.job, JOB_LENGTH),
        ("ticket", &spec.ticket, TICKET_LENGTH),
        ("reason", &spec.reason, REASON_LENGTH),
        ("backup", &spec.backup, REASON_LENGTH),
        ("backupWaiver", &spec.backup_waiver, REASON_LENGTH),
        ("approver", &spec.approver, REASON_LENGTH),
    ] {
        if let Some(text) = text {
            check_text(loader, &format!("spec.{field}"), text, most);
        }
    }
    let expires = spec.expires.trim().parse::<Timestamp>().unwrap_or_else(|_error| {
        loader.fail("spec.expires", "is no RFC 3339 time such as 2026-03-31T00:00:00Z");
        Timestamp::UNIX_EPOCH
    });
    GrantedApproval {
        name: name.or(generate_name).unwrap_or_default(),
        namespace: namespace.unwrap_or_default(),
        approver: spec.approver.unwrap_or_default(),
        digest: spec.digest,
        content: spec.content,
        job: spec.job,
        ticket: spec.ticket,
        reason: spec.reason,
        backup: spec.backup,
        backup_waiver: spec.backup_waiver,
        expires,
        used_by: status.and_then(|status| status.used_by).map(|job| job.uid),
    }
}

/// True for a digest as it is written everywhere.
fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(spec: &str) -> String {
        format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationApproval\n\
             metadata: {{name: drop, namespace: shop}}\nspec:\n{spec}"
        )
    }

    fn good() -> String {
        format!(
            "  digest: sha256:{}\n  expires: 2026-06-01T12:00:00Z\n  approver: alice\n",
            "a".repeat(64)
        )
    }

    #[test]
    fn an_approval_is_read_with_what_became_of_it() {
        let text = format!(
            "{}status: {{usedBy: {{namespace: shop, name: drop, uid: u-1}}, conditions: []}}\n",
            text(&good())
        );
        let read = read_approval(&text, "a.yaml").unwrap();
        assert_eq!((read.name.as_str(), read.namespace.as_str()), ("drop", "shop"));
        assert_eq!((read.approver.as_str(), read.used_by.as_deref()), ("alice", Some("u-1")));
        assert_eq!(read.expires.to_string(), "2026-06-01T12:00:00Z");
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_with_its_field() {
        let wrong = "  digest: SHA256:00\n  content: x\n  ticket: ' '\n  expires: soon\n";
        let errors = read_approval(&text(wrong), "a.yaml").unwrap_err();
        let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["spec.digest", "spec.content", "spec.ticket", "spec.expires"]);
        for (text, says) in [
            (text(&format!("{}  approvr: bob\n", good())), "approvr"),
            (text(&good()).replace("MigrationApproval", "MigrationAproval"), "MigrationAproval"),
            (text(&good()) + "---\n" + &text(&good()), "one document"),
            (String::new(), "one document"),
        ] {
            let errors = read_approval(&text, "a.yaml").unwrap_err();
            assert!(errors[0].to_string().contains(says), "{errors:?}");
        }
    }

    #[test]
    fn a_digest_is_sixty_four_digits_in_lower_case() {
        let hex = "0123456789abcdef".repeat(4);
        assert!(is_digest(&format!("sha256:{hex}")));
        for text in [&hex, &format!("sha256:{}", hex.to_uppercase()), "sha256:", ""] {
            assert!(!is_digest(text), "{text}");
        }
    }
}
