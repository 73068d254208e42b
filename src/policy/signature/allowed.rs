//! Who may sign: the allowed-signers list, read once when a policy is loaded.
//!
//! The form is that of `ssh-keygen`, "ALLOWED SIGNERS":
//!
//! ```text
//! alice@example.com,*@dba.example.com namespaces="tidegate.dev/approval" ssh-ed25519 AAAA… comment
//! ```

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};
use ssh_key::{HashAlg, PublicKey, public::KeyData};

use super::{NAMESPACE, key};
use crate::policy::name::{Letters, fits};

/// The longest list that is read, in bytes: some thousand keys.
const LONGEST: usize = 1 << 20;

/// Who may sign with which key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AllowedSigners {
    text: String,
    signers: Vec<Signer>,
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Signer {
    principals: Vec<Pattern>,
    options: Options,
    key: KeyData,
}

/// What limits a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Options {
    /// What the key may sign; none for everything.
    namespaces: Option<Vec<Pattern>>,
    valid_after: Option<Timestamp>,
    valid_before: Option<Timestamp>,
}

/// A pattern with `*` and `?`; one that starts with `!` excludes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    text: String,
    excludes: bool,
}

impl AllowedSigners {
    /// True for a list without a key.
    pub fn is_empty(&self) -> bool {
        self.signers.is_empty()
    }

    /// Whether `key` may sign as `approver` at `now`; else why not, as a clause that reads on after
    /// "is by the key SHA256:…,".
    pub(super) fn allow(
        &self,
        key: &KeyData,
        approver: &str,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        let mut why = "which the policy does not list";
        for signer in self.signers.iter().filter(|signer| signer.key == *key) {
            let problem = signer.problem(approver, now);
            match problem {
                None => return Ok(()),
                Some(problem) => why = problem,
            }
        }
        Err(why)
    }
}

impl Signer {
    fn problem(&self, approver: &str, now: Timestamp) -> Option<&'static str> {
        let Options { namespaces, valid_after, valid_before } = &self.options;
        if !matches(&self.principals, approver) {
            return Some("which may not sign as the one whom `tidegate.dev/approved-by` names");
        }
        if namespaces.as_ref().is_some_and(|namespaces| !matches(namespaces, NAMESPACE)) {
            return Some("which may not sign approvals");
        }
        if valid_after.is_some_and(|after| now < after) {
            return Some("which is not valid yet");
        }
        if valid_before.is_some_and(|before| now >= before) {
            return Some("which is no longer valid");
        }
        None
    }
}

/// As OpenSSH has it: one pattern fits, and none that excludes does.
fn matches(patterns: &[Pattern], text: &str) -> bool {
    let fit = |excludes: bool, letters: Letters| {
        patterns
            .iter()
            .any(|pattern| pattern.excludes == excludes && fits(&pattern.text, text, letters))
    };
    fit(false, Letters::Ascii) && !fit(true, Letters::Any)
}

impl TryFrom<String> for AllowedSigners {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("is longer than {LONGEST} bytes"));
        }
        let mut signers = Vec::new();
        for (number, line) in (1_usize..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let signer = Signer::read(line).map_err(|problem| format!("line {number}: {problem}"));
            signers.push(signer?);
        }
        Ok(Self { text, signers })
    }
}

impl From<AllowedSigners> for String {
    fn from(signers: AllowedSigners) -> Self {
        signers.text
    }
}

impl Signer {
    fn read(line: &str) -> Result<Self, String> {
        let (principals, rest) = word(line);
        let principals = patterns("principals", unquoted(principals))?;
        let (next, after) = word(rest);
        let (options, key) = if next.is_empty() || is_key_type(next) {
            (Options::default(), rest)
        } else {
            (Options::read(next)?, after)
        };
        if key.is_empty() {
            return Err("key: is missing: a line is PRINCIPALS [OPTIONS] TYPE KEY".to_owned());
        }
        let key = PublicKey::from_openssh(key)
            .map_err(|_error| "key: is no public key such as `ssh-ed25519 AAAA…`".to_owned())?;
        key::check(key.key_data()).map_err(|problem| format!("key: {problem}"))?;
        Ok(Self { principals, options, key: key.key_data().clone() })
    }
}

impl Options {
    fn read(text: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for option in split(text) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let value = unquoted(value);
            match name.to_ascii_lowercase().as_str() {
                "namespaces" => options.namespaces = Some(patterns("namespaces", value)?),
                "valid-after" => options.valid_after = Some(time("valid-after", value)?),
                "valid-before" => options.valid_before = Some(time("valid-before", value)?),
                "cert-authority" => {
                    return Err("cert-authority: certificates are not supported: list the keys \
                                themselves"
                        .to_owned());
                }
                _ => {
                    return Err(format!(
                        "options: there is no option `{}`, only namespaces, valid-after and \
                         valid-before",
                        name.escape_debug()
                    ));
                }
            }
        }
        Ok(options)
    }
}

fn is_key_type(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-", "rsa-"].iter().any(|prefix| word.starts_with(prefix))
}

/// The first word, which may hold white space between quotes, and what follows.
fn word(text: &str) -> (&str, &str) {
    let mut quoted = false;
    let end = text.find(|char: char| {
        quoted ^= char == '"';
        !quoted && char.is_ascii_whitespace()
    });
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    (word, rest.trim_start())
}

/// Splits at commas outside quotes.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |char: char| {
        quoted ^= char == '"';
        !quoted && char == ','
    })
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

fn patterns(field: &str, text: &str) -> Result<Vec<Pattern>, String> {
    let pattern = |text: &str| {
        let (text, excludes) = text.strip_prefix('!').map_or((text, false), |text| (text, true));
        Pattern { text: text.to_owned(), excludes }
    };
    let patterns: Vec<Pattern> =
        text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(pattern).collect();
    if patterns.iter().all(|pattern| pattern.excludes) {
        return Err(format!("{field}: nothing is named that may match"));
    }
    Ok(patterns)
}

/// `YYYYMMDDZ`, `YYYYMMDDHHMMZ` or `YYYYMMDDHHMMSSZ`. Without the `Z` it would be the local time of
/// a policy, which has none.
fn time(field: &str, text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("{field}: is no time in UTC such as 20260131Z or 20260131180000Z");
    let digits = text.strip_suffix(['Z', 'z']).ok_or_else(wrong)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    // `ssh-keygen` lets the time of day be left out, or its seconds.
    let padded = match digits.len() {
        8 => format!("{digits}000000"),
        12 => format!("{digits}00"),
        14 => digits.to_owned(),
        _ => return Err(wrong()),
    };
    DateTime::strptime("%Y%m%d%H%M%S", &padded)
        .and_then(|time| time.to_zoned(TimeZone::UTC))
        .map(|time| time.timestamp())
        .map_err(|_error| wrong())
}

/// A key that no longer counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RevokedKey {
    text: String,
    fingerprint: String,
}

impl RevokedKey {
    pub(super) fn is(&self, key: &KeyData) -> bool {
        super::fingerprint(key) == self.fingerprint
    }
}

impl TryFrom<String> for RevokedKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let trimmed = text.trim();
        let fingerprint = match trimmed.parse::<ssh_key::Fingerprint>() {
            Ok(fingerprint) if fingerprint.algorithm() == HashAlg::Sha256 => {
                fingerprint.to_string()
            }
            _ => PublicKey::from_openssh(trimmed)
                .map(|key| super::fingerprint(key.key_data()))
                .map_err(|_error| "is neither a public key nor a fingerprint such as `SHA256:…`")?,
        };
        Ok(Self { text, fingerprint })
    }
}

impl From<RevokedKey> for String {
    fn from(key: RevokedKey) -> Self {
        key.text
    }
}
