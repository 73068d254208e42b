//! For people: what to do next, then tables, then the findings that refuse.

use std::fmt::Write as _;

use anstream::adapter::strip_str;

use crate::{
    decision::Effect,
    render::text::{one_line, plural},
    scan::{Found, Scan, Scanned},
};

const BOLD: &str = "\u{1b}[1m";
const RED: &str = "\u{1b}[1;31m";
const YELLOW: &str = "\u{1b}[33m";
const GREEN: &str = "\u{1b}[32m";
const RESET: &str = "\u{1b}[0m";

/// Most rows of a table and most findings, unless all are asked for.
const ROWS: usize = 20;
const FINDINGS: usize = 50;

/// How to write for people.
#[derive(Clone, Copy, Debug, Default)]
pub struct Human {
    /// Use colours.
    pub color: bool,
    /// Leave out everything but findings that refuse, and errors.
    pub quiet: bool,
    /// Show every row and every finding.
    pub all: bool,
}

/// A scan for people.
pub fn human(scan: &Scan, options: Human) -> String {
    let mut page = Page { text: String::new(), options };
    if !options.quiet {
        page.rules(scan);
        page.teams(scan);
        page.namespaces(scan);
    }
    page.findings(scan);
    page.notes(scan);
    if !options.quiet {
        page.safe(scan);
        page.summary(scan);
    }
    if options.color { page.text } else { strip_str(&page.text).to_string() }
}

struct Page {
    text: String,
    options: Human,
}

impl Page {
    fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    fn most(&self, rows: usize) -> usize {
        if self.options.all { usize::MAX } else { rows }
    }

    /// A table whose first column is text and whose others are numbers.
    fn table(&mut self, heads: &[&str], rows: &[(String, Vec<usize>)]) {
        if rows.is_empty() {
            return;
        }
        let shown = rows.iter().take(self.most(ROWS));
        let first = shown.clone().map(|(name, _)| name.chars().count());
        let head = heads.first().copied().unwrap_or_default();
        let first = first.chain([head.chars().count()]).max().unwrap_or_default();
        let mut title = format!("{head:<first$}");
        for head in heads.iter().skip(1) {
            let _ = write!(title, "  {head}");
        }
        self.line(format!("{BOLD}{title}{RESET}"));
        for (name, numbers) in shown {
            let mut row = format!("{name:<first$}");
            for (number, head) in numbers.iter().zip(heads.iter().skip(1)) {
                let _ = write!(row, "  {number:>width$}", width = head.chars().count());
            }
            self.line(row);
        }
        let more = rows.len().saturating_sub(self.most(ROWS));
        if more > 0 {
            self.line(format!("and {more} more (--all shows them)"));
        }
        self.text.push('\n');
    }

    fn rules(&mut self, scan: &Scan) {
        let mut rows: Vec<_> = scan.rules.iter().collect();
        rows.sort_by_key(|(rule, tally)| {
            (std::cmp::Reverse((tally.denials, tally.warnings)), **rule)
        });
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(rule, it)| {
                let numbers = [it.refuses, it.denials, it.warnings, it.notes, it.namespaces.len()];
                ((*rule).to_owned(), numbers.to_vec())
            })
            .collect();
        self.table(
            &["rule", "refused now", "if enforced", "warnings", "notes", "namespaces"],
            &rows,
        );
    }

    fn teams(&mut self, scan: &Scan) {
        if scan.teams.keys().all(Option::is_none) {
            return;
        }
        let mut rows: Vec<_> = scan.teams.iter().collect();
        rows.sort_by_key(|(team, tally)| {
            (std::cmp::Reverse((tally.would_be_refused, tally.findings)), *team)
        });
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(team, it)| {
                let name = team.as_deref().map_or_else(|| "(none)".to_owned(), one_line);
                (name, vec![it.refused, it.would_be_refused, it.findings, it.namespaces.len()])
            })
            .collect();
        self.table(&["team", "refused now", "if enforced", "findings", "namespaces"], &rows);
    }

    fn namespaces(&mut self, scan: &Scan) {
        let found = |it: &&(&std::sync::Arc<str>, &crate::scan::NamespaceTally)| {
            let tally = it.1;
            [tally.would_be_refused, tally.warnings, tally.notes, tally.undecided, tally.excepted]
                .iter()
                .any(|count| *count > 0)
        };
        let all: Vec<_> = scan.namespaces.iter().collect();
        let mut rows: Vec<_> = all.iter().filter(found).copied().collect();
        rows.sort_by_key(|(name, tally)| {
            (std::cmp::Reverse((tally.would_be_refused, tally.warnings)), *name)
        });
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(name, it)| {
                let name = if name.is_empty() { "(cluster-scoped)" } else { name };
                let numbers =
                    [it.refused, it.would_be_refused, it.warnings, it.notes, it.undecided];
                (name.to_owned(), numbers.to_vec())
            })
            .collect();
        self.table(
            &["namespace", "refused now", "if enforced", "warnings", "notes", "undecided"],
            &rows,
        );
    }

    fn findings(&mut self, scan: &Scan) {
        let told = |found: &&Found| found.enforced == Effect::Refuses || found.undecided;
        let all = || {
            scan.objects.iter().flat_map(|object| {
                object.findings.iter().filter(told).map(move |found| (object, found))
            })
        };
        let most = self.most(FINDINGS);
        for (object, found) in all().take(most) {
            let line = finding(object, found);
            self.line(line);
        }
        let more = all().count().saturating_sub(most);
        if more > 0 {
            self.line(format!("and {more} more (--all shows them)"));
        }
        if all().next().is_some() && !self.options.quiet {
            self.text.push('\n');
        }
    }

    fn notes(&mut self, scan: &Scan) {
        for error in &scan.errors {
            self.line(format!("{RED}error{RESET}: {}", one_line(error)));
        }
        let quiet = self.options.quiet;
        for note in scan.exceptions.iter().filter(|note| note.warns || !quiet) {
            let word =
                if note.warns { format!("{YELLOW}warning{RESET}") } else { "note".to_owned() };
            let text = one_line(&format!("{}: {}", note.namespace, note.message));
            self.line(format!("{word}: {text}"));
        }
        if !scan.absent.is_empty() && !quiet {
            let absent = scan.absent.join(", ");
            self.line(format!("note: not in this cluster: {absent}"));
        }
        let is_told = [scan.errors.len(), scan.exceptions.len(), scan.absent.len()] != [0; 3];
        if is_told && !quiet {
            self.text.push('\n');
        }
    }

    fn safe(&mut self, scan: &Scan) {
        if scan.partial {
            self.line("Of a part of the objects nothing follows for whole namespaces.");
            return;
        }
        if !scan.errors.is_empty() {
            self.line("Not everything could be looked at, so that no namespace is called safe.");
            return;
        }
        let names: Vec<&str> = scan.safe_to_enforce().collect();
        if names.is_empty() {
            self.line("No namespace that does not enforce yet is safe to enforce now.");
            return;
        }
        let most = self.most(FINDINGS);
        let more = names.len().saturating_sub(most);
        let shown: Vec<&str> = names.iter().take(most).copied().collect();
        let more = if more > 0 { format!(" and {more} more (--all)") } else { String::new() };
        self.line(format!("{GREEN}safe to enforce now{RESET}: {}{more}", shown.join(", ")));
    }

    fn summary(&mut self, scan: &Scan) {
        let counts = scan.counts;
        let judged = plural(counts.judged, "object", "objects");
        let namespaces = plural(counts.namespaces, "namespace", "namespaces");
        let (now, then) = (scan.refused(), scan.would_be_refused());
        self.line(format!(
            "{judged} judged in {namespaces}: {now} refused now, {then} if every policy enforced"
        ));
        let left_out = [
            (counts.children, "made by an owner that was judged"),
            (counts.finished, "finished Jobs among the judged"),
            (counts.no_policy, "in namespaces that no policy is for"),
            (counts.not_judged, "that run nothing"),
            (counts.left_out, "findings only counted"),
        ];
        let left_out = left_out.iter().filter(|(count, _)| *count > 0);
        let left_out: Vec<_> = left_out.map(|(count, what)| format!("{count} {what}")).collect();
        if !left_out.is_empty() {
            self.line(format!("also: {}", left_out.join(", ")));
        }
    }
}

fn finding(object: &Scanned, found: &Found) -> String {
    let (color, word) = match found.effect {
        Some(Effect::Refuses) => (RED, "refused"),
        _ if found.undecided => (YELLOW, "undecided"),
        _ => (YELLOW, "would be refused"),
    };
    let home = if object.namespace.is_empty() { "cluster" } else { &object.namespace };
    let finished = object.finished.map(|how| format!(" (finished: {how})")).unwrap_or_default();
    let Found { rule, at, what, mend, .. } = found;
    let place = one_line(&format!("{home}: {}{finished} {at}", object.subject()));
    let text = one_line(&format!("{what}; {mend}"));
    format!("{color}{word}[{rule}]{RESET} {place}: {text}")
}
