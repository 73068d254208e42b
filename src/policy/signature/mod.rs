//! Signatures of approvals: OpenSSH signatures (`ssh-keygen -Y sign`), held against the keys that a
//! policy allows.
//!
//! A signature covers a text of one line for each annotation of the approval, so people approve
//! with the key that signs their commits, and anybody can check one with `ssh-keygen -Y verify`.

mod allowed;
mod key;

use std::borrow::Cow;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ssh_key::{HashAlg, SshSig, encoding::Decode as _, public::KeyData};

pub use allowed::{AllowedSigners, RevokedKey};

use crate::model::annotation;

/// The namespace of every signature, which keeps one that was made for something else, such as a
/// commit, from being an approval.
pub const NAMESPACE: &str = "tidegate.dev/approval";

/// First line of the text that is signed. A change of its form changes this line.
const VERSION: &str = "tidegate.dev/approval/v1\n";

/// The longest signature that is read, in bytes: twice one of the largest RSA key.
const LONGEST: usize = 8_192;

/// Every annotation that a signature covers, in the order in which they stand in the text.
pub(super) const SIGNED: [&str; 10] = [
    annotation::DIGEST,
    annotation::CONTENT,
    annotation::APPROVED_BY,
    annotation::TICKET,
    annotation::REASON,
    annotation::NAMESPACE,
    annotation::UNTIL,
    annotation::BACKUP,
    annotation::BACKUP_WAIVER,
    annotation::RISK,
];

/// Whether approvals must be signed, and by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Signatures {
    /// Whether an approval without a signature never holds. One that carries a signature only
    /// holds with it wherever `allowedSigners` says something. Default: false.
    pub required: bool,
    /// Who may sign with which key, as an OpenSSH allowed-signers file (`ssh-keygen`, "ALLOWED
    /// SIGNERS") says it. Principals are compared with `tidegate.dev/approved-by`; times must be
    /// in UTC, with a `Z`; certificate authorities are not supported.
    #[schemars(with = "String")]
    pub allowed_signers: AllowedSigners,
    /// Keys that no longer count, each a public key or a fingerprint such as `SHA256:…`.
    #[schemars(with = "Vec<String>")]
    pub revoked_keys: Vec<RevokedKey>,
}

/// The text that a signature covers: a version line, then `key: value` for each annotation of the
/// approval that says something. White space around values does not count.
///
/// `read` gives the value of an annotation.
pub fn signed_text<'a>(read: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut text = VERSION.to_owned();
    for key in SIGNED {
        if let Some(value) = read(key).map(str::trim).filter(|value| !value.is_empty()) {
            text.push_str(key);
            text.push_str(": ");
            text.push_str(value);
            text.push('\n');
        }
    }
    text
}

/// Who made a signature: the fingerprint of the key, such as `SHA256:…`, and its algorithm. Nothing
/// is checked.
///
/// # Errors
///
/// The text is no OpenSSH signature.
pub fn signer(signature: &str) -> Result<(String, String), String> {
    let signature = read(signature)?;
    let key = signature.public_key();
    Ok((fingerprint(key), key.algorithm().to_string()))
}

impl Signatures {
    /// What is wrong with the policy itself.
    pub(super) fn problem(&self) -> Option<&'static str> {
        (self.required && self.allowed_signers.is_empty())
            .then_some("must name a key, because `required` is true")
    }

    /// What speaks against a signature of `text` by `approver`, each a clause; nothing when it is
    /// good. `signature` is the annotation.
    pub(super) fn check(
        &self,
        signature: Option<&str>,
        approver: Option<&str>,
        text: &str,
        now: Timestamp,
    ) -> Result<(), String> {
        let key = annotation::SIGNATURE;
        let Some(signature) = signature else {
            return if self.required { Err(format!("`{key}` is missing")) } else { Ok(()) };
        };
        if self.allowed_signers.is_empty() && !self.required {
            return Ok(());
        }
        let signature = read(signature).map_err(|problem| format!("`{key}` {problem}"))?;
        if signature.namespace() != NAMESPACE {
            return Err(format!("`{key}` was made for another purpose than `{NAMESPACE}`"));
        }
        let signer = signature.public_key();
        let name = fingerprint(signer);
        if self.revoked_keys.iter().any(|revoked| revoked.is(signer)) {
            return Err(format!("`{key}` is by the key {name}, which is revoked"));
        }
        let approver = approver.unwrap_or_default();
        self.allowed_signers
            .allow(signer, approver, now)
            .map_err(|problem| format!("`{key}` is by the key {name}, {problem}"))?;
        key::verify(&signature, text.as_bytes()).map_err(|problem| format!("`{key}` {problem}"))
    }
}

fn read(text: &str) -> Result<SshSig, &'static str> {
    const NONE: &str = "is no OpenSSH signature";
    if text.len() > LONGEST {
        return Err("is longer than any OpenSSH signature");
    }
    let bytes = BASE64_STANDARD.decode(bare(text).as_bytes()).map_err(|_error| NONE)?;
    let mut rest = bytes.as_slice();
    let signature = SshSig::decode(&mut rest).map_err(|_error| NONE)?;
    // What follows, or is reserved, would be text that travels along unsigned.
    let whole = rest.is_empty() && signature.reserved().is_empty();
    if whole && signature.version() == SshSig::VERSION { Ok(signature) } else { Err(NONE) }
}

/// The base64 of a signature, which stands in one line or as `ssh-keygen` writes it.
fn bare(text: &str) -> Cow<'_, str> {
    if !text.contains(['-', '\n']) {
        return Cow::Borrowed(text.trim());
    }
    let text = text.trim();
    let text = text.strip_prefix("-----BEGIN SSH SIGNATURE-----").unwrap_or(text);
    let text = text.strip_suffix("-----END SSH SIGNATURE-----").unwrap_or(text);
    Cow::Owned(text.split_ascii_whitespace().collect())
}

fn fingerprint(key: &KeyData) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

#[cfg(test)]
mod tests;
