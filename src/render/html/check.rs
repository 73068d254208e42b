//! The page of `tidegate check`.

use std::collections::BTreeSet;

use askama::Template;

use super::{FILTER, Page};
use crate::{
    decision::Effect,
    policy::Excuse,
    render::{
        Checked, Excerpt, Located, Report, RuleCount, Tally,
        text::{Piece, one_line, plural, prose},
        uri,
    },
    rules,
};

#[derive(Template)]
#[template(path = "check.html")]
struct Check<'r> {
    page: Page,
    headline: String,
    checked: String,
    tiles: Vec<Tile>,
    errors: Vec<Told>,
    remarks: Vec<Told>,
    rules: Vec<RuleRow>,
    /// The table of rules has a column for it.
    has_baseline: bool,
    filters: Vec<Filter>,
    objects: Vec<ObjectView<'r>>,
    total: usize,
}

/// A number that is seen first.
struct Tile {
    class: &'static str,
    count: usize,
    name: &'static str,
}

/// A sentence about a place in a file.
struct Told {
    place: String,
    message: Vec<Piece>,
    warns: bool,
}

struct RuleRow {
    count: RuleCount,
    /// None for a rule of a policy.
    about: Option<About>,
}

struct About {
    why: Vec<Piece>,
    fix: Vec<Piece>,
    sources: &'static [&'static str],
}

/// One choice of what is shown.
struct Filter {
    /// Items have what it is compared with in `data-KEY`.
    key: &'static str,
    label: &'static str,
    all: &'static str,
    values: Vec<Choice>,
}

struct Choice {
    value: String,
    label: String,
}

struct ObjectView<'r> {
    subject: String,
    /// Empty for a cluster-scoped object.
    namespace: &'r str,
    home: String,
    place: String,
    origin: Option<String>,
    policy: Option<&'r str>,
    findings: Vec<FindingView<'r>>,
    filled_in: Vec<String>,
}

struct FindingView<'r> {
    class: &'static str,
    rule: &'r str,
    what: Vec<Piece>,
    mend: Vec<Piece>,
    path: String,
    place: String,
    lines: Vec<Line<'r>>,
    undecided: bool,
    excuse: Option<String>,
    is_excused: bool,
}

/// A line of an excerpt; what the finding is about stands in `marked`.
#[derive(Debug, PartialEq, Eq)]
struct Line<'r> {
    number: usize,
    before: &'r str,
    marked: &'r str,
    after: &'r str,
}

/// A report as a page.
///
/// # Errors
///
/// When the text cannot be written to memory, which does not happen.
pub fn html(report: &Report) -> Result<String, askama::Error> {
    let tally = report.totals.tally;
    let with_findings = report.objects().filter(|object| !object.findings.is_empty());
    let objects = with_findings.map(|object| ObjectView::of(object, report)).collect();
    let remark = |remark: &crate::render::Remark| Told {
        place: one_line(&format!("{}:{}:{}", uri::plain(&remark.file), remark.line, remark.column)),
        message: prose(&remark.message),
        warns: remark.warns,
    };
    Check {
        page: Page::new(FILTER),
        headline: headline(tally),
        checked: checked(report),
        tiles: tiles(tally),
        errors: report.errors().map(error).collect(),
        remarks: report.totals.remarks.iter().map(remark).collect(),
        has_baseline: report.totals.baseline.is_some(),
        rules: report.by_rule().into_iter().map(rule).collect(),
        filters: filters(report),
        objects,
        total: report.findings().count(),
    }
    .render()
}

fn headline(tally: Tally) -> String {
    match tally {
        Tally { errors: 1.., .. } => "Not everything could be read".to_owned(),
        Tally { refused: 1, .. } => "1 object would be refused".to_owned(),
        Tally { refused: refused @ 2.., .. } => format!("{refused} objects would be refused"),
        Tally { warnings: 1.., .. } => "Admitted, with warnings".to_owned(),
        _ => "Nothing would be refused".to_owned(),
    }
}

/// `3 objects in 2 files were checked; policy default`.
fn checked(report: &Report) -> String {
    let mut text = format!(
        "{} in {} checked",
        plural(report.totals.counts.checked, "object", "objects"),
        plural(report.totals.counts.files, "file", "files")
    );
    if let Some(policies) = Some(report.totals.policies()).filter(|policies| !policies.is_empty()) {
        text.push_str(if policies.len() == 1 { "; policy " } else { "; policies " });
        text.push_str(&policies.join(", "));
    }
    text
}

fn tiles(tally: Tally) -> Vec<Tile> {
    let refused = if tally.refused == 0 { "good" } else { "refused" };
    let tile = |count: usize, class, one, many| {
        let name = if count == 1 { one } else { many };
        Tile { class, count, name }
    };
    let if_any = |count, class, one, many| (count > 0).then(|| tile(count, class, one, many));
    let mut tiles = vec![tile(tally.refused, refused, "object refused", "objects refused")];
    tiles.extend(
        [
            if_any(tally.errors, "error", "not readable", "not readable"),
            if_any(tally.denials, "refused", "reason to refuse", "reasons to refuse"),
            if_any(tally.warnings, "warning", "warning", "warnings"),
            if_any(tally.notes, "note", "note", "notes"),
            if_any(tally.baselined, "excused", "in the baseline", "in the baseline"),
        ]
        .into_iter()
        .flatten(),
    );
    tiles
}

fn error(error: &crate::render::InputError) -> Told {
    let mut place = uri::plain(&error.file).to_owned();
    if let Some(at) = error.position {
        place = format!("{place}:{}:{}", at.line, at.column);
    }
    Told { place: one_line(&place), message: prose(&error.message), warns: true }
}

fn rule(count: RuleCount) -> RuleRow {
    let about = rules::find(count.rule).map(|rule| About {
        why: prose(rule.why),
        fix: prose(rule.fix),
        sources: rule.sources,
    });
    RuleRow { count, about }
}

/// The levels, rules and namespaces that there are findings of.
fn filters(report: &Report) -> Vec<Filter> {
    let mut classes = BTreeSet::new();
    let mut rules = BTreeSet::new();
    let mut namespaces = BTreeSet::new();
    for object in report.objects() {
        for found in &object.findings {
            classes.insert(found.effect);
            rules.insert(found.rule);
            namespaces.insert(object.namespace.as_deref().unwrap_or_default());
        }
    }
    // The most severe first.
    let mut levels: Vec<&str> = classes.into_iter().rev().map(class).collect();
    levels.dedup();
    let choices = |values: Vec<&str>| {
        values
            .into_iter()
            .map(|value| Choice { value: value.to_owned(), label: label(value) })
            .collect()
    };
    vec![
        Filter { key: "level", label: "Level", all: "All levels", values: choices(levels) },
        Filter {
            key: "rule",
            label: "Rule",
            all: "All rules",
            values: choices(rules.into_iter().collect()),
        },
        Filter {
            key: "namespace",
            label: "Namespace",
            all: "All namespaces",
            values: choices(namespaces.into_iter().collect()),
        },
    ]
}

fn label(value: &str) -> String {
    if value.is_empty() { "(cluster-scoped)".to_owned() } else { one_line(value) }
}

/// The word for what a finding comes to, which is also the class that gives it its colour.
fn class(effect: Effect) -> &'static str {
    match effect {
        Effect::Refuses => "refused",
        Effect::Warns => "warning",
        Effect::Audits => "note",
        Effect::Baselined | Effect::Ratcheted | Effect::Excepted => "excused",
    }
}

impl RuleRow {
    /// In the order of the columns.
    fn counts(&self, has_baseline: bool) -> Vec<usize> {
        let RuleCount { errors, warnings, notes, baselined, rule: _ } = self.count;
        let mut counts = vec![errors, warnings, notes];
        counts.extend(has_baseline.then_some(baselined));
        counts
    }
}

impl<'r> ObjectView<'r> {
    fn of(object: &'r Checked, report: &'r Report) -> Self {
        let Checked { namespace, position, .. } = object;
        let file = uri::plain(&object.file);
        Self {
            subject: one_line(&object.subject()),
            namespace: namespace.as_deref().unwrap_or_default(),
            home: namespace.as_deref().map_or_else(
                || "cluster-scoped".to_owned(),
                |name| one_line(&format!("namespace {name}")),
            ),
            place: one_line(&format!("{file}:{}:{}", position.line, position.column)),
            origin: object.origin.as_deref().map(one_line),
            policy: object.policy.as_deref(),
            findings: object
                .findings
                .iter()
                .map(|found| FindingView::of(object, found, report))
                .collect(),
            filled_in: object.filled_in.iter().map(|field| one_line(field)).collect(),
        }
    }
}

impl<'r> FindingView<'r> {
    fn of(object: &Checked, found: &'r Located, report: &Report) -> Self {
        let start = found.span.start;
        let excused = found.excused_by(report.totals.baseline.as_deref());
        Self {
            class: class(found.effect),
            rule: found.rule,
            what: prose(&found.what),
            mend: prose(&found.mend),
            path: one_line(&found.path),
            place: one_line(&format!(
                "{}:{}:{}",
                uri::plain(&object.file),
                start.line,
                start.column
            )),
            lines: found.excerpt.as_ref().map(lines).unwrap_or_default(),
            undecided: found.undecided,
            is_excused: excused.is_some(),
            excuse: excused.or_else(|| found.excuse.as_ref().map(Excuse::text)),
        }
    }
}

/// The lines of an excerpt without the indentation that all of them have, each cut where the mark
/// starts and ends in it.
fn lines(excerpt: &Excerpt) -> Vec<Line<'_>> {
    let indent_of = |line: &str| line.len().saturating_sub(line.trim_start_matches(' ').len());
    let shared = excerpt.text.split('\n').map(indent_of).min().unwrap_or_default();
    let mut lines = Vec::new();
    let mut at = 0_usize;
    for (number, line) in (excerpt.line..).zip(excerpt.text.split('\n')) {
        // Indentation is not what a finding is about.
        let indent = indent_of(line);
        let inside = |offset: usize| offset.saturating_sub(at).min(line.len());
        let from = inside(excerpt.marked.start).max(indent);
        let to = inside(excerpt.marked.end).max(from);
        lines.push(Line {
            number,
            before: line.get(shared..from).unwrap_or(line),
            marked: line.get(from..to).unwrap_or_default(),
            after: line.get(to..).unwrap_or_default(),
        });
        at = at.saturating_add(line.len()).saturating_add(1);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_cut_line_by_line() {
        let excerpt = Excerpt { line: 7, text: "a: b\n  c: d # e\nf".to_owned(), marked: 3..11 };
        let cut: Vec<_> = lines(&excerpt)
            .into_iter()
            .map(|Line { number, before, marked, after }| {
                format!("{number} {before}[{marked}]{after}")
            })
            .collect();
        assert_eq!(cut, ["7 a: [b]", "8   [c: d] # e", "9 []f"]);
        let deep = Excerpt { line: 1, text: "    - a\n      b".to_owned(), marked: 6..15 };
        let cut: Vec<_> = lines(&deep).into_iter().map(|it| (it.before, it.marked)).collect();
        assert_eq!(cut, [("- ", "a"), ("  ", "b")]);
        let whole = Excerpt { line: 1, text: "a".to_owned(), marked: 0..1 };
        assert_eq!(lines(&whole), [Line { number: 1, before: "", marked: "a", after: "" }]);
        let beyond = Excerpt { line: 1, text: "\u{e4}".to_owned(), marked: 1..9 };
        assert_eq!(lines(&beyond)[0].before, "\u{e4}");
    }

    #[test]
    fn an_empty_report_is_a_page() {
        let page = html(&Report::default()).unwrap();
        assert!(page.contains("<h1>Nothing would be refused</h1>"), "{page}");
        assert!(page.contains("Nothing was found."), "{page}");
    }
}
