//! What was expected against what was found.

use std::{collections::VecDeque, fmt::Write as _};

use serde_json::Value;

use super::{
    document::{Expect, ExpectedFindings, Finding, FindingEntry, LooseFindings},
    scene::{Observed, leaves},
};
use crate::decision::{Effect, Judged};

/// One way in which a case came out otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is about: `verdict`, `policy`, `finding`, `warning` or `filled in`.
    pub about: &'static str,
    /// What was expected; none for something that should not be there.
    pub expected: Option<String>,
    /// What was found; none for something that is not there.
    pub found: Option<String>,
}

/// Everything that came out otherwise; empty when the case passes.
pub fn compare(expect: &Expect, observed: &Observed) -> Vec<Difference> {
    let mut differences = Vec::new();
    let expected = expect.verdict.outcome();
    if expected != observed.outcome {
        differences.push(Difference {
            about: "verdict",
            expected: Some(expected.as_str().to_owned()),
            found: Some(observed.outcome.as_str().to_owned()),
        });
    }
    if let Some(policy) = &expect.policy
        && observed.policy.as_ref() != Some(policy)
    {
        let found = observed.policy.clone().unwrap_or_else(|| "none".to_owned());
        let expected = Some(policy.clone());
        differences.push(Difference { about: "policy", expected, found: Some(found) });
    }
    findings(&expect.findings, &observed.findings, &mut differences);
    if let Some(expected) = &expect.warnings {
        warnings(expected, &observed.warnings, &mut differences);
    }
    if let Some(expected) = &expect.patch {
        if expected.is_empty() {
            differences.extend(observed.added.iter().map(|(path, value)| Difference {
                about: "filled in",
                expected: None,
                found: Some(format!("{path}: {value}")),
            }));
        }
        for (path, value) in expected {
            filled_in(path, value, observed, &mut differences);
        }
    }
    differences
}

fn findings(expected: &ExpectedFindings, found: &[Judged], out: &mut Vec<Difference>) {
    let missing = |entry: &FindingEntry| Difference {
        about: "finding",
        expected: Some(wanted(&entry.finding())),
        found: None,
    };
    let unexpected = |judged: &Judged| Difference {
        about: "finding",
        expected: None,
        found: Some(told(judged)),
    };
    match expected {
        ExpectedFindings::Exactly(entries) => {
            let pairs = pairs(entries, found, |entry, judged| fits(&entry.finding(), judged));
            out.extend(pairs.missing.into_iter().map(missing));
            out.extend(pairs.left.into_iter().map(unexpected));
        }
        ExpectedFindings::Loosely(LooseFindings { contains, without }) => {
            let pairs = pairs(contains, found, |entry, judged| fits(&entry.finding(), judged));
            out.extend(pairs.missing.into_iter().map(missing));
            let forbidden =
                |judged: &&Judged| without.iter().any(|entry| fits(&entry.finding(), judged));
            out.extend(found.iter().filter(forbidden).map(unexpected));
        }
    }
}

fn warnings(expected: &[String], found: &[String], out: &mut Vec<Difference>) {
    let pairs = pairs(expected, found, |part, warning| warning.contains(part.as_str()));
    out.extend(pairs.missing.into_iter().map(|part| Difference {
        about: "warning",
        expected: Some(part.clone()),
        found: None,
    }));
    out.extend(pairs.left.into_iter().map(|warning| Difference {
        about: "warning",
        expected: None,
        found: Some(warning.clone()),
    }));
}

/// What stays alone when as many as possible are paired.
struct Pairs<'p, E, F> {
    missing: Vec<&'p E>,
    left: Vec<&'p F>,
}

/// Pairs each expected thing with one found thing that it fits. One that fits several gives way to
/// one that fits fewer (augmenting paths), so that the order of neither list matters.
fn pairs<'p, E, F>(
    expected: &'p [E],
    found: &'p [F],
    fits: impl Fn(&E, &F) -> bool,
) -> Pairs<'p, E, F> {
    let candidates: Vec<Vec<usize>> = expected
        .iter()
        .map(|e| found.iter().enumerate().filter(|(_, f)| fits(e, f)).map(|(at, _)| at).collect())
        .collect();
    // For each found thing, which expected thing has it.
    let mut owner: Vec<Option<usize>> = vec![None; found.len()];
    let mut missing = Vec::new();
    for (start, alone) in expected.iter().enumerate() {
        if !place(start, &candidates, &mut owner) {
            missing.push(alone);
        }
    }
    let left = found.iter().zip(&owner).filter(|(_, owner)| owner.is_none());
    Pairs { missing, left: left.map(|(found, _)| found).collect() }
}

/// Finds a place for one more, moving others where that helps. Breadth first, without recursion.
fn place(start: usize, candidates: &[Vec<usize>], owner: &mut [Option<usize>]) -> bool {
    // For each place that was reached: who asked for it, and which place that one gives up.
    let mut reached: Vec<Option<(usize, Option<usize>)>> = vec![None; owner.len()];
    let mut todo = VecDeque::from([(start, None)]);
    while let Some((asking, gives_up)) = todo.pop_front() {
        for &place in candidates.get(asking).into_iter().flatten() {
            let Some(entry @ None) = reached.get_mut(place) else { continue };
            *entry = Some((asking, gives_up));
            let Some(other) = owner.get(place).copied().flatten() else {
                hand_over(place, &reached, owner);
                return true;
            };
            todo.push_back((other, Some(place)));
        }
    }
    false
}

/// Everybody on the way to a free place moves up by one.
fn hand_over(free: usize, reached: &[Option<(usize, Option<usize>)>], owner: &mut [Option<usize>]) {
    let mut next = Some(free);
    while let Some(place) = next {
        let Some(Some((asking, gives_up))) = reached.get(place) else { return };
        if let Some(owned) = owner.get_mut(place) {
            *owned = Some(*asking);
        }
        next = *gives_up;
    }
}

fn fits(finding: &Finding, judged: &Judged) -> bool {
    let Finding { rule, effect, level, path, message, undecided } = finding;
    *rule == judged.rule
        && effect.is_none_or(|effect| effect.effect() == judged.effect)
        && level.is_none_or(|level| level == judged.level)
        && path.as_ref().is_none_or(|path| *path == judged.at)
        && message.as_ref().is_none_or(|message| judged.line.contains(message.as_str()))
        && undecided.is_none_or(|undecided| undecided == judged.undecided)
}

/// An expected finding in words.
fn wanted(finding: &Finding) -> String {
    let Finding { rule, effect, level, path, message, undecided } = finding;
    let mut text = String::new();
    if let Some(effect) = effect {
        text.push_str(effect.effect().as_str());
        text.push(' ');
    }
    text.push_str(rule);
    if let Some(path) = path {
        let _ = write!(text, " at {path}");
    }
    let decided = undecided.map(|undecided| if undecided { "undecided" } else { "decided" });
    text.push_str(&details(level.map(|level| format!("level {level}")), decided));
    if let Some(message) = message {
        let _ = write!(text, ": …{message}…");
    }
    text
}

/// A finding in words.
fn told(judged: &Judged) -> String {
    let Judged { rule, level, effect, at, what, undecided, .. } = judged;
    let plain = match effect {
        Effect::Refuses => "Deny",
        Effect::Warns => "Warn",
        Effect::Audits => "Audit",
        Effect::Ratcheted | Effect::Excepted | Effect::Baselined => "",
    };
    let level = level.to_string();
    let level = (level != plain).then(|| format!("level {level}"));
    let details = details(level, undecided.then_some("undecided"));
    format!("{} {rule} at {at}{details}: {what}", effect.as_str())
}

fn details(level: Option<String>, undecided: Option<&str>) -> String {
    let details: Vec<String> = level.into_iter().chain(undecided.map(str::to_owned)).collect();
    if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) }
}

fn filled_in(path: &str, value: &Value, observed: &Observed, out: &mut Vec<Difference>) {
    for (field, want) in leaves(path.to_owned(), value) {
        let plain = plain(&field);
        let mut inside = observed.added.iter().filter(|(added, _)| is_in(added, &plain));
        let (expected, found) = if want.is_null() {
            let Some((added, have)) = inside.next() else { continue };
            (format!("{field} is not filled in"), Some(format!("{added}: {have}")))
        } else {
            let found = inside.find(|(added, _)| *added == plain).map(|(_, have)| have);
            if found == Some(&want) {
                continue;
            }
            (format!("{field}: {want}"), found.map(|have| format!("{field}: {have}")))
        };
        out.push(Difference { about: "filled in", expected: Some(expected), found });
    }
}

/// True when `path` is `of`, or stands inside it.
fn is_in(path: &str, of: &str) -> bool {
    path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// A path with the dots of keys as they are: `labels.a\.b/c` and `labels["a.b/c"]` are
/// `labels.a.b/c`.
fn plain(path: &str) -> String {
    path.replace("\\.", ".")
        .replace("[\"", ".")
        .replace("['", ".")
        .replace("\"]", "")
        .replace("']", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_possible_are_paired_whatever_the_order() {
        let found = ["ab", "b", "abc"];
        for (expected, missing, left) in [
            (vec!["b", "ab", "abc"], 0, 0),
            (vec!["abc", "ab", "b"], 0, 0),
            (vec!["b", "b", "a"], 0, 0),
            (vec!["c", "abc"], 1, 2),
            (vec!["b", "b", "b", "b"], 1, 0),
            (vec![], 0, 3),
            (vec!["x"], 1, 3),
        ] {
            let pairs = pairs(&expected, &found, |part, text| text.contains(*part));
            assert_eq!((pairs.missing.len(), pairs.left.len()), (missing, left), "{expected:?}");
        }
    }

    #[test]
    fn paths_are_understood_as_rules_write_them_and_quoted() {
        for path in ["l.a.b/c", "l.a\\.b/c", "l[\"a.b/c\"]", "l['a.b/c']"] {
            assert_eq!(plain(path), "l.a.b/c", "{path}");
        }
        assert!(is_in("a.b[0].c", "a.b") && is_in("a.b", "a.b") && !is_in("a.bc", "a.b"));
    }
}
