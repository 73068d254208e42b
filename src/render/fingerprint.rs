//! What a finding is known by from one run to the next.
//!
//! It is SHA-256 over the rule, the object (API group, kind, namespace and name), the path of the
//! field with names in place of indices, and what the finding rests on. File, line and wording are
//! left out, so that it survives a file that is moved, lines that are added and messages that are
//! written better.

use std::{collections::BTreeMap, fmt::Write as _};

use sha2::{Digest as _, Sha256};

use super::{Checked, Located, Report};

/// The first text that is hashed. A change of what is hashed changes this text.
const VERSION: &str = "tidegate.dev/fingerprint/v1";
/// How many bytes of the digest are kept: enough that no two findings share them by chance.
const LENGTH: usize = 16;

/// A finding with what it is known by.
#[derive(Clone, Debug)]
pub struct Identified<'r> {
    /// The object.
    pub object: &'r Checked,
    /// The finding.
    pub finding: &'r Located,
    /// 32 hex digits.
    pub fingerprint: String,
    /// Counts, from 1, the findings of one report that share a fingerprint, such as those of one
    /// object in two overlays.
    pub ordinal: usize,
}

/// What a finding in an object is known by: 32 hex digits.
pub fn fingerprint(object: &Checked, finding: &Located) -> String {
    let group = object.api_version.split_once('/').map_or("", |(group, _version)| group);
    digest(&[
        VERSION,
        finding.rule,
        group,
        &object.kind,
        object.namespace.as_deref().unwrap_or_default(),
        &object.name,
        &finding.place,
        &finding.evidence,
    ])
}

/// A digest of some texts, in hex. The length before each keeps neighbours apart.
pub(super) fn digest(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        hash.update(length.to_be_bytes());
        hash.update(text);
    }
    hash.finalize().iter().take(LENGTH).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

impl Report {
    /// Every finding, in order, with what it is known by.
    pub fn identified(&self) -> Vec<Identified<'_>> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut identified = Vec::new();
        for object in self.objects() {
            for finding in &object.findings {
                let fingerprint = fingerprint(object, finding);
                let ordinal = seen.entry(fingerprint.clone()).or_default();
                *ordinal = ordinal.saturating_add(1);
                let ordinal = *ordinal;
                identified.push(Identified { object, finding, fingerprint, ordinal });
            }
        }
        identified
    }
}
