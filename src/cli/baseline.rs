//! Baselines: what was found before and need not be mended at once.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Serialize};

use super::output::write_whole;
use crate::{
    decision::Effect,
    render::{self, Checked, Entry as Judged, Located, Remark, Totals, plural},
    source::with_nearest,
};

/// Raised when a file of before would be read wrongly.
const VERSION: u32 = 1;

/// Which findings are known.
#[derive(Debug, clap::Args)]
pub(super) struct BaselineArgs {
    /// File of findings that are known: they do not count
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// Write every finding that counts to the baseline, so that none counts any more
    #[arg(long, requires = "baseline", conflicts_with = "prune_baseline")]
    create_baseline: bool,

    /// Take out of the baseline what is found no more
    #[arg(long, requires = "baseline")]
    prune_baseline: bool,
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: Version,
    findings: Vec<Finding>,
}

/// The version of the file, which is the only one that there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "u32", into = "u32")]
struct Version;

impl TryFrom<u32> for Version {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        match version {
            VERSION => Ok(Self),
            other => Err(format!("version {other} is not known, only {VERSION}: create it anew")),
        }
    }
}

impl From<Version> for u32 {
    fn from(Version: Version) -> Self {
        VERSION
    }
}

/// A finding that is known. Only the fingerprint and the count are compared; the rest is for those
/// who read the file. In the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Finding {
    rule: String,
    namespace: Option<String>,
    kind: String,
    name: String,
    /// The field, with names in place of indices.
    path: String,
    fingerprint: Fingerprint,
    /// How many findings share the fingerprint, such as those of one object in several overlays.
    count: usize,
}

/// 32 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
struct Fingerprint(String);

impl TryFrom<String> for Fingerprint {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let fits = text.len() == 32 && text.bytes().all(is_hex);
        fits.then_some(Self(text)).ok_or("a fingerprint is 32 hex digits")
    }
}

impl From<Fingerprint> for String {
    fn from(Fingerprint(text): Fingerprint) -> Self {
        text
    }
}

/// A baseline that was read, and what to do with it.
#[derive(Debug)]
pub(super) struct Baseline<'a> {
    file: &'a Path,
    mode: Mode,
    known: Document,
    /// By fingerprint: how many of what is known were not found yet.
    open: BTreeMap<String, usize>,
    /// By fingerprint: what is to be written, where it is created.
    created: BTreeMap<String, Finding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Compare,
    Create,
    Prune,
}

impl BaselineArgs {
    /// The baseline, when there is one.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is none; with its place.
    pub(super) fn load(&self) -> anyhow::Result<Option<Baseline<'_>>> {
        let Some(file) = &self.baseline else { return Ok(None) };
        let mode = match (self.create_baseline, self.prune_baseline) {
            (true, _) => Mode::Create,
            (_, true) => Mode::Prune,
            _ => Mode::Compare,
        };
        let known = if mode == Mode::Create { Document::default() } else { read(file)? };
        let mut open: BTreeMap<String, usize> = BTreeMap::new();
        for Finding { fingerprint, count, .. } in &known.findings {
            let sum = open.entry(fingerprint.0.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        Ok(Some(Baseline { file, mode, known, open, created: BTreeMap::new() }))
    }
}

fn read(file: &Path) -> anyhow::Result<Document> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("cannot read baseline {name}"))?;
    parse(&text).map_err(|(line, column, message)| anyhow!("{name}:{line}:{column}: {message}"))
}

fn parse(text: &str) -> Result<Document, (usize, usize, String)> {
    serde_json::from_str(text).map_err(|error| {
        // Of an empty file the library says line 0.
        let (line, column) = (error.line().max(1), error.column().max(1));
        (line, column, with_nearest(&error.to_string()))
    })
}

impl Document {
    /// One line for every finding, sorted, so that a change of one is a change of one line.
    fn text(&self) -> String {
        // Strings and numbers: there is nothing in it that JSON could not hold.
        let lines = self.findings.iter().map(|it| serde_json::to_string(it).unwrap_or_default());
        let lines: Vec<String> = lines.map(|line| format!("\n    {line}")).collect();
        let end = if lines.is_empty() { "" } else { "\n  " };
        format!("{{\n  \"version\": {VERSION},\n  \"findings\": [{}{end}]\n}}\n", lines.join(","))
    }

    fn count(&self) -> usize {
        self.findings.iter().fold(0, |sum, finding| sum.saturating_add(finding.count))
    }
}

impl Baseline<'_> {
    /// Marks what is known of the next entry, as often as it is known.
    pub(super) fn mark(&mut self, entry: &mut Judged) {
        let Judged::Object(object) = entry else { return };
        let prints = object.findings.iter().map(|found| render::fingerprint(object, found));
        let prints: Vec<String> = prints.collect();
        if self.mode == Mode::Create {
            self.create(object, &prints);
        }
        for (found, print) in object.findings.iter_mut().zip(prints) {
            let Some(left) = self.open.get_mut(&print).filter(|left| **left > 0) else { continue };
            *left = left.saturating_sub(1);
            // What is excepted is there still, but needs no second excuse.
            if counts(found) {
                found.effect = Effect::Baselined;
            }
        }
    }

    /// From now on every finding of the object that counts is known.
    fn create(&mut self, object: &Checked, prints: &[String]) {
        for (found, print) in object.findings.iter().zip(prints).filter(|(found, _)| counts(found))
        {
            let finding = self.created.entry(print.clone());
            let finding = finding.or_insert_with(|| known(object, found, print.clone()));
            finding.count = finding.count.saturating_add(1);
            let left = self.open.entry(print.clone()).or_default();
            *left = left.saturating_add(1);
        }
    }

    /// Writes the file when that was asked for, after all entries were marked, and says so.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(super) fn finish(self, totals: &mut Totals) -> anyhow::Result<()> {
        // What could not be read may hold what is known: nobody can say that it is gone.
        let whole = totals.tally.errors == 0;
        let name = self.file.display().to_string();
        let (file, mode) = (self.file, self.mode);
        let (message, new) = match mode {
            Mode::Create => {
                let mut findings: Vec<Finding> = self.created.into_values().collect();
                findings.sort();
                let new = Document { version: Version, findings };
                let count = plural(new.count(), "finding", "findings");
                (Some(format!("{count} written to the baseline")), Some(new))
            }
            Mode::Compare | Mode::Prune => {
                let all = self.known.count();
                let left = self.found();
                let gone = all.saturating_sub(left.count());
                let count = plural(gone, "finding", "findings");
                let kept = left.count();
                if mode == Mode::Prune {
                    (Some(format!("{count} taken out of the baseline, {kept} left")), Some(left))
                } else {
                    let message =
                        format!("{count} of the baseline found no more: use --prune-baseline");
                    ((whole && gone > 0).then_some(message), None)
                }
            }
        };
        let (warns, message) = match new {
            Some(_) if !whole => {
                (true, Some("the baseline stays as it is: not everything could be read".to_owned()))
            }
            Some(new) => {
                write_whole(file, new.text())?;
                (false, message)
            }
            None => (false, message),
        };
        if let Some(message) = message {
            totals.remarks.push(Remark { file: name.clone(), line: 1, column: 1, warns, message });
        }
        totals.baseline = Some(name);
        Ok(())
    }

    /// What was found of what is known.
    fn found(mut self) -> Document {
        let mut findings = self.known.findings;
        for finding in &mut findings {
            let Some(gone) = self.open.get_mut(&finding.fingerprint.0) else { continue };
            let here = finding.count.min(*gone);
            finding.count = finding.count.saturating_sub(here);
            *gone = gone.saturating_sub(here);
        }
        findings.retain(|finding| finding.count > 0);
        findings.sort();
        Document { version: Version, findings }
    }
}

fn known(object: &Checked, found: &Located, print: String) -> Finding {
    Finding {
        rule: found.rule.to_owned(),
        namespace: object.namespace.clone(),
        kind: object.kind.clone(),
        name: object.name.clone(),
        path: found.place.clone(),
        fingerprint: Fingerprint(print),
        count: 0,
    }
}

fn counts(found: &Located) -> bool {
    match found.effect {
        Effect::Audits | Effect::Warns | Effect::Refuses => true,
        Effect::Baselined | Effect::Ratcheted | Effect::Excepted => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(name: &str, count: usize) -> Finding {
        Finding {
            rule: "a-rule".to_owned(),
            namespace: Some("shop".to_owned()),
            kind: "Job".to_owned(),
            name: name.to_owned(),
            path: "spec".to_owned(),
            fingerprint: Fingerprint("0123456789abcdef".repeat(2)),
            count,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for findings in [vec![], vec![finding("a", 1)], vec![finding("a", 1), finding("b", 2)]] {
            let document = Document { version: Version, findings };
            let text = document.text();
            assert_eq!(parse(&text).unwrap(), document);
            assert_eq!(
                text.lines().count(),
                4 + document.findings.len() + usize::from(document.count() > 0)
            );
        }
    }

    #[test]
    fn what_is_no_baseline_says_where() {
        let good = Document { version: Version, findings: vec![finding("a", 1)] }.text();
        for (text, place, message) in [
            (String::new(), (1, 1), "EOF"),
            ("[]\n".to_owned(), (1, 0), "invalid"),
            (good.replace("\"version\": 1", "\"version\": 2"), (2, 0), "version 2 is not known"),
            (good.replace("\"kind\"", "\"knd\""), (4, 0), "did you mean `kind`?"),
            (good.replace("\"fingerprint\":\"0", "\"fingerprint\":\"x"), (4, 0), "32 hex digits"),
            (good.replace("    {", "<<<<<<< HEAD\n    {"), (4, 1), "expected value"),
            (good.replace("\"count\":1", "\"count\":-1"), (4, 0), "invalid value"),
        ] {
            let (line, column, told) = parse(&text).unwrap_err();
            assert_eq!(line, place.0, "{text}: {told}");
            assert!(column >= place.1.max(1), "{text}: {told}");
            assert!(told.contains(message), "{told}");
        }
    }
}
