//! What was decided, and how it reads to those who asked.

use std::{borrow::Cow, cmp::Reverse, collections::BTreeMap, fmt::Write as _};

use crate::{
    detect::Operation,
    model::{BackupReference, Database},
    policy::Excuse,
    rules::{Level, Repair},
};

/// The longest warning that the API server passes on without cutting, in characters.
const WARNING_LENGTH: usize = 256;
/// How many warnings we take of the 4,096 characters that all webhooks share.
const WARNING_COUNT: usize = 10;
/// The longest refusal, in bytes. All findings are in it up to here.
const MESSAGE_LENGTH: usize = 8_000;

/// What becomes of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is no change that tidegate judges: another operation, kind or subresource.
    NotJudged,
    /// No policy is for its namespace.
    NoPolicy,
    /// A controller made it for an owner that was judged.
    ControllerChild,
    /// It changes nothing that the policy reads.
    Unchanged,
    /// It was judged and is let in.
    Admitted,
    /// It was judged and is kept out.
    Refused,
}

impl Outcome {
    /// The word in metrics, logs and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotJudged => "not-judged",
            Self::NoPolicy => "no-policy",
            Self::ControllerChild => "controller-child",
            Self::Unchanged => "unchanged",
            Self::Admitted => "admitted",
            Self::Refused => "refused",
        }
    }
}

/// What one finding does to the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// A baseline names it: reported only. Nothing is decided so; `check` marks it afterwards.
    Baselined,
    /// Reported only.
    Audits,
    /// The old object had it already: reported only.
    Ratcheted,
    /// An exception excuses it: reported only.
    Excepted,
    /// A warning.
    Warns,
    /// A refusal.
    Refuses,
}

impl Effect {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Baselined => "baselined",
            Self::Audits => "audit",
            Self::Ratcheted => "existing",
            Self::Excepted => "excepted",
            Self::Warns => "warn",
            Self::Refuses => "deny",
        }
    }
}

/// A finding with its place in the verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The rule's id.
    pub rule: &'static str,
    /// The level that the policy gives it.
    pub level: Level,
    /// What it does to the verdict.
    pub effect: Effect,
    /// Path of the field.
    pub at: String,
    /// What the finding rests on beside its place; empty when it could not be told. Only digests
    /// of it are ever written.
    pub evidence: String,
    /// What is wrong.
    pub what: Cow<'static, str>,
    /// How to mend it.
    pub mend: Cow<'static, str>,
    /// How it is mended without a person, where there is one clear answer.
    pub repair: Option<Repair>,
    /// True when a fact was missing and `onUndecided` settled it.
    pub undecided: bool,
    /// The exception that covers it, whether it holds or not.
    pub excuse: Option<Excuse>,
    /// All of it as one line: rule id, object, field path, what, how to mend it.
    pub line: String,
}

impl Judged {
    /// Writes the line, once, for the object `subject`.
    pub(super) fn with_line(mut self, subject: &str) -> Self {
        let Self { rule, at, what, mend, .. } = &self;
        let settled =
            if self.undecided { " (undecided: the policy's onUndecided settled it)" } else { "" };
        let excuse = self.excuse.as_ref().map(|excuse| format!(" ({})", excuse.text()));
        let excuse = excuse.unwrap_or_default();
        self.line = one_line(format!("{rule}: {subject} {at}: {what}; {mend}{settled}{excuse}"));
        self
    }
}

/// The answer to one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What becomes of it.
    pub outcome: Outcome,
    /// `Kind/name` of the object, for messages; empty when nothing was judged.
    pub subject: String,
    /// The policy that applied.
    pub policy: Option<String>,
    /// What was found, the most severe first, then by rule and path.
    pub findings: Vec<Judged>,
    /// What is done to a database once it is let in.
    pub work: Work,
}

/// What an object does to a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// The database whose schema a Job changes, where it is known; looked for only where the
    /// migrations that run are known too.
    pub database: Option<Database>,
    /// The worst operation that needed an approval and has one that holds.
    pub approved: Option<Operation>,
    /// Uid of the object; empty where nobody gave it one yet.
    pub uid: String,
    /// Names of the approval resources that cover it.
    pub granted: Vec<String>,
    /// Those of them that it uses up.
    pub spent: Vec<String>,
    /// The digest to approve, where an approval is asked for.
    pub wanted_digest: Option<String>,
    /// What has to be looked up before the verdict counts.
    pub wants: Wants,
}

/// Facts that are looked up for one object alone, because few objects need them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// The backup that a destructive migration names.
    pub backup: Option<BackupReference>,
    /// The ConfigMaps that an object that migrates refers to.
    pub config_maps: Vec<String>,
}

impl Wants {
    /// True when nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.backup.is_none() && self.config_maps.is_empty()
    }
}

impl Verdict {
    /// The verdict that findings come to.
    pub(super) fn of(findings: Vec<Judged>, subject: String, policy: String) -> Self {
        let findings = findings.into_iter().map(|finding| finding.with_line(&subject)).collect();
        let mut verdict = Self {
            outcome: Outcome::Admitted,
            subject,
            policy: Some(policy),
            findings,
            work: Work::default(),
        };
        verdict.sort();
        verdict
    }

    /// Adds what was found in the same object beside the others of its release.
    pub fn add(&mut self, beside: Self) {
        let Self { subject, policy, findings, .. } = beside;
        self.subject = subject;
        self.policy = policy;
        self.findings.extend(findings);
        self.sort();
    }

    fn sort(&mut self) {
        self.findings.sort_by(|a, b| {
            (Reverse(a.effect), a.rule, &a.at).cmp(&(Reverse(b.effect), b.rule, &b.at))
        });
        let refused = self.findings.iter().any(|finding| finding.effect == Effect::Refuses);
        self.outcome = if refused { Outcome::Refused } else { Outcome::Admitted };
    }

    /// A change that is let in without a finding.
    pub(super) fn plain(outcome: Outcome) -> Self {
        Self {
            outcome,
            subject: String::new(),
            policy: None,
            findings: Vec::new(),
            work: Work::default(),
        }
    }

    /// True when the change is let in.
    pub fn allowed(&self) -> bool {
        self.outcome != Outcome::Refused
    }

    /// What the user reads when the change is refused: one line for each finding that refuses.
    pub fn message(&self) -> String {
        let mut message = String::new();
        let mut left_out: usize = 0;
        for finding in self.findings.iter().filter(|finding| finding.effect == Effect::Refuses) {
            let line = &finding.line;
            if message.len().saturating_add(line.len()) > MESSAGE_LENGTH && !message.is_empty() {
                left_out = left_out.saturating_add(1);
                continue;
            }
            if !message.is_empty() {
                message.push('\n');
            }
            message.push_str(line);
        }
        if left_out > 0 {
            let _ = write!(message, "\nand {left_out} more");
        }
        message
    }

    /// Warnings as the API server passes them on: at most 10, one line, at most 256 characters.
    ///
    /// A refused change has its refusals in the message, so that only the rest is warned about.
    pub fn warnings(&self) -> Vec<String> {
        let warned = self.findings.iter().filter(|finding| finding.effect == Effect::Warns);
        let mut warnings: Vec<String> =
            warned.map(|finding| cut(&finding.line, WARNING_LENGTH)).collect();
        if warnings.len() > WARNING_COUNT {
            let left_out = warnings.len().saturating_sub(WARNING_COUNT.saturating_sub(1));
            warnings.truncate(WARNING_COUNT.saturating_sub(1));
            warnings.push(format!("tidegate: {left_out} more warnings were left out"));
        }
        warnings
    }

    /// What the audit log keeps: the policy, the outcome, the rules by level and the approvals. Keys have no
    /// slash; the same change always gives the same values.
    pub fn audit_annotations(&self) -> BTreeMap<&'static str, String> {
        let mut annotations = BTreeMap::new();
        let Some(policy) = &self.policy else { return annotations };
        annotations.insert("policy", policy.clone());
        annotations.insert("outcome", self.outcome.as_str().to_owned());
        for (key, effect) in [
            ("denied-rules", Effect::Refuses),
            ("warned-rules", Effect::Warns),
            ("audited-rules", Effect::Audits),
            ("existing-rules", Effect::Ratcheted),
            ("excepted-rules", Effect::Excepted),
        ] {
            let mut rules: Vec<&str> = self
                .findings
                .iter()
                .filter(|finding| finding.effect == effect)
                .map(|finding| finding.rule)
                .collect();
            rules.sort_unstable();
            rules.dedup();
            if !rules.is_empty() {
                annotations.insert(key, rules.join(","));
            }
        }
        if !self.work.granted.is_empty() {
            annotations.insert("approvals", self.work.granted.join(","));
        }
        annotations
    }
}

/// Control characters break warnings (the API server drops them whole) and logs.
fn one_line(text: String) -> String {
    if text.contains(char::is_control) { text.replace(char::is_control, " ") } else { text }
}

fn cut(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(characters.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(count: usize, effect: Effect, what: &'static str) -> Verdict {
        let finding = Judged {
            rule: "root-migration",
            level: Level::Deny,
            effect,
            at: "spec".to_owned(),
            evidence: String::new(),
            what: what.into(),
            mend: "mend it".into(),
            repair: None,
            undecided: false,
            excuse: None,
            line: String::new(),
        }
        .with_line("Job/a");
        Verdict {
            outcome: Outcome::Refused,
            subject: "Job/a".to_owned(),
            policy: Some("default".to_owned()),
            findings: vec![finding; count],
            work: Work::default(),
        }
    }

    #[test]
    fn a_line_starts_with_the_rule_and_has_no_control_character() {
        let verdict = verdict(1, Effect::Refuses, "a\nb\u{1b}[31m");
        assert_eq!(verdict.message(), "root-migration: Job/a spec: a b [31m; mend it");
    }

    #[test]
    fn warnings_are_few_and_short() {
        let long: &'static str = Box::leak("x".repeat(500).into_boxed_str());
        let warnings = verdict(30, Effect::Warns, long).warnings();
        assert_eq!(warnings.len(), 10);
        assert!(warnings.iter().all(|warning| warning.chars().count() <= 256));
        assert_eq!(warnings[9], "tidegate: 21 more warnings were left out");
        assert_eq!(warnings[0].chars().count(), 256, "as long as can be");
        assert!(warnings[0].starts_with("root-migration: Job/a spec: xxx"), "{}", warnings[0]);
        assert!(warnings[0].ends_with("x…"), "{}", warnings[0]);
        let ten = verdict(10, Effect::Warns, "short").warnings();
        assert_eq!(ten, ["root-migration: Job/a spec: short; mend it"; 10], "all of them");
    }

    #[test]
    fn a_refusal_of_two_hundred_findings_stays_readable() {
        let message = verdict(200, Effect::Refuses, "something is wrong here and here").message();
        assert!(message.len() < 8_200, "{}", message.len());
        assert!(message.ends_with("more"), "{message}");
        // The longest that still fits is not left out.
        let line = |length: usize| -> &'static str {
            let around = "root-migration: Job/a spec: ; mend it".len();
            Box::leak("x".repeat(length - around).into_boxed_str())
        };
        let half = verdict(2, Effect::Refuses, line(MESSAGE_LENGTH / 2)).message();
        assert_eq!(half.lines().count(), 2);
        assert!(!half.contains(" more"), "{half}");
        let more = verdict(2, Effect::Refuses, line(MESSAGE_LENGTH / 2 + 1)).message();
        assert!(more.ends_with("\nand 1 more"), "{more}");
    }

    #[test]
    fn audit_keys_are_what_the_api_server_keeps() {
        let mut refused = verdict(2, Effect::Refuses, "x");
        let rules = [("denied-rules", "root-migration"), ("outcome", "refused")];
        let policy = [("policy", "default")];
        let all: Vec<(&str, &str)> = [&rules[..], &policy].concat();
        let annotations = refused.audit_annotations();
        assert!(annotations.iter().map(|(key, text)| (*key, text.as_str())).eq(all));
        refused.work.granted = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(refused.audit_annotations()["approvals"], "a,b");
        for key in refused.audit_annotations().keys() {
            assert!(key.len() <= 63 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        }
    }

    #[test]
    fn nothing_is_wanted_where_neither_is() {
        assert!(Wants::default().is_empty());
        let config_maps = vec!["a".to_owned()];
        assert!(!Wants { config_maps, ..Wants::default() }.is_empty());
        let backup = BackupReference::parse("job/a");
        assert!(backup.is_some() && !Wants { backup, ..Wants::default() }.is_empty());
    }
}
