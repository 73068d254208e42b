//! What was found, as text for people and for machines.
//!
//! Everything here returns text; only `cli` writes it. A [`Report`] holds nothing that may be a
//! secret: excerpts of files are masked before they get into one.

pub mod detected;
mod diff;
mod excerpt;
pub mod explain;
mod fingerprint;
mod github;
mod gitlab;
mod html;
mod human;
mod json;
mod jsonl;
mod junit;
mod markdown;
pub mod plan;
pub mod rule_page;
mod sarif;
pub mod scan;
mod stream;
pub mod tested;
mod text;
mod uri;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use serde::Serialize;

use crate::{
    decision::{Effect, Outcome},
    policy::Excuse,
    rules::{Level, Repair},
    source::{Position, Span},
};

pub use diff::diff;
pub use excerpt::{Excerpt, excerpt, near};
pub use fingerprint::{Identified, fingerprint};
pub use github::Github;
pub use gitlab::gitlab;
pub use html::html;
pub use human::{Human, STDIN};
pub use json::Json;
pub use jsonl::Jsonl;
pub use junit::junit;
pub use markdown::markdown;
pub use sarif::sarif;
pub use stream::{Stream, text_of};
pub use text::plural;

/// Everything that was read and judged.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Objects and errors, in the order of the input. Those that a format does not tell of may be
    /// left out.
    pub entries: Vec<Entry>,
    /// What they come to, with those that were left out.
    pub totals: Totals,
}

/// What all entries of a report come to.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// How much was looked at.
    pub counts: Counts,
    /// How many findings there are of each effect.
    pub tally: Tally,
    /// The most severe effect there is.
    pub worst: Option<Effect>,
    /// The names of the policies that applied.
    pub policies: BTreeSet<String>,
    /// What is to be said of the exceptions and of the baseline.
    pub remarks: Vec<Remark>,
    /// The baseline that findings were compared with.
    pub baseline: Option<String>,
}

/// Something to know that is about no object, such as an exception that expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Remark {
    /// The file, as it was named by the user.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// True when somebody should act.
    pub warns: bool,
    /// What there is to know, in one line.
    pub message: String,
}

/// One thing that was read.
#[derive(Clone, Debug)]
pub enum Entry {
    /// An object that was judged.
    Object(Box<Checked>),
    /// Something that could not be read.
    Error(InputError),
}

/// How much was looked at, and what was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Files that could be read.
    pub files: usize,
    /// Objects that were judged.
    pub checked: usize,
    /// Objects of kinds that run nothing and are no hooks.
    pub not_judged: usize,
    /// Objects in namespaces that no policy is for.
    pub no_policy: usize,
    /// Documents that are no Kubernetes objects.
    pub foreign: usize,
    /// Policies and other documents for tidegate itself.
    pub own: usize,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    /// The file.
    pub file: String,
    /// Where in it; none when it is the file as a whole.
    pub position: Option<Position>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for InputError {
    /// `file:line:column: message`, as compilers write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(Position { line, column, .. }) => write!(f, "{}:{line}:{column}: ", self.file)?,
            None => write!(f, "{}: ", self.file)?,
        }
        f.write_str(&self.message)
    }
}

/// An object that was judged.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Its place in the whole input, counted from 0.
    pub number: usize,
    /// The file.
    pub file: Arc<str>,
    /// Where the object starts.
    pub position: Position,
    /// Where a template engine says that it comes from.
    pub origin: Option<Box<str>>,
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// Namespace that it was judged for; none for a cluster-scoped kind.
    pub namespace: Option<String>,
    /// Name, or the prefix that a name is generated from.
    pub name: String,
    /// The policy that applied.
    pub policy: Option<String>,
    /// What becomes of it.
    pub outcome: Outcome,
    /// What mutation would fill in.
    pub filled_in: Vec<String>,
    /// What was found, the most severe first.
    pub findings: Vec<Located>,
}

/// A finding and where it stands.
#[derive(Clone, Debug)]
pub struct Located {
    /// The rule's id.
    pub rule: &'static str,
    /// The level that the policy gives it.
    pub level: Level,
    /// What it does to the verdict.
    pub effect: Effect,
    /// Path of the field in the document.
    pub path: String,
    /// Path of the field in the object, with names in place of indices.
    pub place: String,
    /// What the finding rests on beside its place. May be a secret: only digests are written.
    pub evidence: String,
    /// What is wrong.
    pub what: Cow<'static, str>,
    /// How to mend it.
    pub mend: Cow<'static, str>,
    /// Everything in one line, as the webhook says it.
    pub message: String,
    /// True when a fact was missing and `onUndecided` settled it.
    pub undecided: bool,
    /// The exception that covers it, whether it holds or not.
    pub excuse: Option<Excuse>,
    /// Where the field stands, or its nearest ancestor.
    pub span: Span,
    /// The lines in question, masked; none where they must not be shown.
    pub excerpt: Option<Excerpt>,
    /// How the object would have to change, where that needs no person.
    pub repair: Option<Repair>,
    /// How its file would have to change for it, where that was asked for.
    pub fix: Option<Fix>,
}

/// A change of a file that mends a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What it does, in one line.
    pub description: String,
    /// Parts of the file and what is to stand there instead.
    pub edits: Vec<(Span, String)>,
}

/// How bad something is, in the three words that most tools know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Reported only.
    Note,
    /// Admitted with a warning.
    Warning,
    /// Refused, or not readable.
    Error,
}

impl Severity {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl From<Effect> for Severity {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Refuses => Self::Error,
            Effect::Warns => Self::Warning,
            Effect::Audits | Effect::Ratcheted | Effect::Excepted | Effect::Baselined => Self::Note,
        }
    }
}

impl From<Level> for Severity {
    fn from(level: Level) -> Self {
        match level {
            Level::Deny => Self::Error,
            Level::Warn => Self::Warning,
            Level::Off | Level::Audit => Self::Note,
        }
    }
}

/// How often a rule found something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCount {
    /// The rule's id.
    pub rule: &'static str,
    /// Findings that refuse.
    pub errors: usize,
    /// Findings that warn.
    pub warnings: usize,
    /// Findings that are reported only, or that an exception excuses.
    pub notes: usize,
    /// Findings that a baseline names.
    pub baselined: usize,
}

/// How many findings there are of each effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Objects that are refused for something that no baseline names.
    pub refused: usize,
    /// Findings that refuse.
    pub denials: usize,
    /// Findings that warn.
    pub warnings: usize,
    /// Findings that are reported only.
    pub notes: usize,
    /// Findings that a baseline names.
    pub baselined: usize,
    /// Things that could not be read.
    pub errors: usize,
}

impl Counts {
    /// Adds what was looked at elsewhere.
    pub fn add(&mut self, other: Self) {
        let Self { files, checked, not_judged, no_policy, foreign, own } = other;
        for (count, more) in [
            (&mut self.files, files),
            (&mut self.checked, checked),
            (&mut self.not_judged, not_judged),
            (&mut self.no_policy, no_policy),
            (&mut self.foreign, foreign),
            (&mut self.own, own),
        ] {
            *count = count.saturating_add(more);
        }
    }
}

impl Totals {
    /// Counts one more entry.
    pub fn add(&mut self, entry: &Entry) {
        let Self { tally, worst, policies, .. } = self;
        let object = match entry {
            Entry::Object(object) => object,
            Entry::Error(_) => {
                tally.errors = tally.errors.saturating_add(1);
                return;
            }
        };
        if let Some(policy) = object.policy.as_ref().filter(|policy| !policies.contains(*policy)) {
            policies.insert(policy.clone());
        }
        let refused = object.findings.iter().any(|found| found.effect == Effect::Refuses);
        tally.refused = tally.refused.saturating_add(usize::from(refused));
        for finding in &object.findings {
            let count = match finding.effect {
                Effect::Refuses => &mut tally.denials,
                Effect::Warns => &mut tally.warnings,
                Effect::Audits | Effect::Ratcheted | Effect::Excepted => &mut tally.notes,
                Effect::Baselined => &mut tally.baselined,
            };
            *count = count.saturating_add(1);
            *worst = (*worst).max(Some(finding.effect));
        }
    }

    /// The names of the policies that applied, sorted.
    fn policies(&self) -> Vec<&str> {
        self.policies.iter().map(String::as_str).collect()
    }
}

impl Report {
    /// Adds an entry and counts it.
    pub fn add(&mut self, entry: Entry) {
        self.totals.add(&entry);
        self.entries.push(entry);
    }

    /// How often each rule found something: those that refuse first, then by name.
    pub fn by_rule(&self) -> Vec<RuleCount> {
        let mut counts: BTreeMap<&'static str, RuleCount> = BTreeMap::new();
        for found in self.findings() {
            let empty = RuleCount { rule: found.rule, ..RuleCount::default() };
            let row = counts.entry(found.rule).or_insert(empty);
            let count = match found.effect {
                Effect::Refuses => &mut row.errors,
                Effect::Warns => &mut row.warnings,
                Effect::Audits | Effect::Ratcheted | Effect::Excepted => &mut row.notes,
                Effect::Baselined => &mut row.baselined,
            };
            *count = count.saturating_add(1);
        }
        let mut rows: Vec<RuleCount> = counts.into_values().collect();
        rows.sort_by_key(|row| (row.errors == 0, row.warnings == 0));
        rows
    }

    /// Every finding, in order.
    pub fn findings(&self) -> impl Iterator<Item = &Located> {
        self.objects().flat_map(|object| &object.findings)
    }

    /// Everything that could not be read.
    pub fn errors(&self) -> impl Iterator<Item = &InputError> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Error(error) => Some(error),
            Entry::Object(_) => None,
        })
    }

    /// Every object that was judged, in order.
    pub fn objects(&self) -> impl Iterator<Item = &Checked> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Object(object) => Some(&**object),
            Entry::Error(_) => None,
        })
    }
}

impl Located {
    /// Why it does not count, when something says that it does not.
    fn excused_by(&self, baseline: Option<&str>) -> Option<String> {
        match self.effect {
            Effect::Baselined => {
                Some(format!("in the baseline {}", baseline.unwrap_or_default()).trim().to_owned())
            }
            Effect::Excepted => self.excuse.as_ref().map(Excuse::text),
            Effect::Ratcheted => Some("the object had it before".to_owned()),
            Effect::Audits | Effect::Warns | Effect::Refuses => None,
        }
    }

    /// What is wrong and how to mend it, in one line.
    fn sentence(&self) -> String {
        text::one_line(&format!("{}; {}", self.what, self.mend))
    }
}

impl Checked {
    /// `Kind/name`.
    pub fn subject(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }
}
