//! The page of `tidegate scan`.

use askama::Template;

use crate::{
    decision::Effect,
    policy::Excuse,
    render::{
        html::{FILTER, Page},
        text::{Piece, one_line, plural, prose},
    },
    scan::{Found, Scan, Scanned},
};

#[derive(Template)]
#[template(path = "scan.html")]
struct ScanPage {
    page: Page,
    headline: String,
    scanned: String,
    tiles: Vec<Tile>,
    errors: Vec<String>,
    notes: Vec<(&'static str, String)>,
    safe: Vec<String>,
    tables: Vec<Table>,
    filters: Vec<Filter>,
    objects: Vec<ObjectView>,
    total: usize,
}

/// A number that is seen first.
struct Tile {
    class: &'static str,
    count: usize,
    name: &'static str,
}

struct Table {
    id: &'static str,
    title: &'static str,
    heads: &'static [&'static str],
    rows: Vec<(String, Vec<usize>)>,
}

/// One choice of what is shown.
struct Filter {
    key: &'static str,
    label: &'static str,
    all: &'static str,
    values: Vec<String>,
}

struct ObjectView {
    subject: String,
    namespace: String,
    home: String,
    team: String,
    policy: String,
    finished: Option<&'static str>,
    findings: Vec<FindingView>,
}

struct FindingView {
    class: &'static str,
    word: &'static str,
    rule: &'static str,
    what: Vec<Piece>,
    mend: Vec<Piece>,
    path: String,
    undecided: bool,
    excuse: Option<String>,
}

/// A scan as a page.
///
/// # Errors
///
/// When the text cannot be written to memory, which does not happen.
pub fn html(scan: &Scan) -> Result<String, askama::Error> {
    let namespaces = plural(scan.counts.namespaces, "namespace", "namespaces");
    let total = scan.objects.iter().map(|object| object.findings.len()).sum();
    let note = |warns: bool| if warns { "warning" } else { "note" };
    let notes = scan.exceptions.iter();
    ScanPage {
        page: Page::new(FILTER),
        headline: headline(scan),
        scanned: format!(
            "{} in {namespaces} judged",
            plural(scan.counts.judged, "object", "objects")
        ),
        tiles: tiles(scan),
        errors: scan.errors.iter().map(|error| one_line(error)).collect(),
        notes: notes
            .map(|it| (note(it.warns), one_line(&format!("{}: {}", it.namespace, it.message))))
            .collect(),
        safe: scan.safe_to_enforce().map(one_line).collect(),
        tables: tables(scan),
        filters: filters(scan),
        objects: scan.objects.iter().map(ObjectView::of).collect(),
        total,
    }
    .render()
}

fn headline(scan: &Scan) -> String {
    match scan.would_be_refused() {
        _ if !scan.errors.is_empty() => "Not everything could be looked at".to_owned(),
        0 => "Nothing would be refused".to_owned(),
        1 => "1 object would be refused".to_owned(),
        many => format!("{many} objects would be refused"),
    }
}

fn tiles(scan: &Scan) -> Vec<Tile> {
    let class = |count, bad| if count == 0 { "good" } else { bad };
    let (now, then) = (scan.refused(), scan.would_be_refused());
    vec![
        Tile { class: class(now, "refused"), count: now, name: "refused now" },
        Tile { class: class(then, "warning"), count: then, name: "refused if enforced" },
        Tile { class: "good", count: scan.safe_to_enforce().count(), name: "safe to enforce" },
    ]
}

fn tables(scan: &Scan) -> Vec<Table> {
    let rules = scan.rules.iter().map(|(rule, it)| {
        let numbers = vec![it.refuses, it.denials, it.warnings, it.notes, it.undecided];
        ((*rule).to_owned(), numbers)
    });
    let teams = scan.teams.iter().map(|(team, it)| {
        let name = team.as_deref().map_or_else(|| "(none)".to_owned(), one_line);
        (name, vec![it.refused, it.would_be_refused, it.findings, it.namespaces.len()])
    });
    let found = scan
        .namespaces
        .iter()
        .filter(|(_, it)| it.denials > 0 || it.warnings > 0 || it.notes > 0 || it.excepted > 0);
    let namespaces = found.map(|(name, it)| {
        (label(name), vec![it.refused, it.would_be_refused, it.warnings, it.notes, it.undecided])
    });
    let mut tables = vec![
        Table {
            id: "rules",
            title: "Rules",
            heads: &["Rule", "Refused now", "If enforced", "Warnings", "Notes", "Undecided"],
            rows: rules.collect(),
        },
        Table {
            id: "teams",
            title: "Teams",
            heads: &["Team", "Refused now", "If enforced", "Findings", "Namespaces"],
            rows: teams.collect(),
        },
        Table {
            id: "namespaces",
            title: "Namespaces",
            heads: &["Namespace", "Refused now", "If enforced", "Warnings", "Notes", "Undecided"],
            rows: namespaces.collect(),
        },
    ];
    tables.retain(|table| !table.rows.is_empty());
    tables
}

fn filters(scan: &Scan) -> Vec<Filter> {
    let sorted = |mut values: Vec<String>| {
        values.sort_unstable();
        values.dedup();
        values
    };
    let objects = || scan.objects.iter();
    let found = || objects().flat_map(|object| &object.findings);
    vec![
        Filter {
            key: "level",
            label: "Level",
            all: "All levels",
            values: sorted(found().map(|found| class(found).1.to_owned()).collect()),
        },
        Filter {
            key: "rule",
            label: "Rule",
            all: "All rules",
            values: sorted(found().map(|found| found.rule.to_owned()).collect()),
        },
        Filter {
            key: "namespace",
            label: "Namespace",
            all: "All namespaces",
            values: sorted(objects().map(|object| label(&object.namespace)).collect()),
        },
        Filter {
            key: "team",
            label: "Team",
            all: "All teams",
            values: sorted(objects().map(team).collect()),
        },
    ]
}

fn label(namespace: &str) -> String {
    if namespace.is_empty() { "(cluster-scoped)".to_owned() } else { one_line(namespace) }
}

fn team(object: &Scanned) -> String {
    object.team.as_deref().map_or_else(|| "(none)".to_owned(), one_line)
}

/// The class that gives a finding its colour, and the word for what it comes to.
fn class(found: &Found) -> (&'static str, &'static str) {
    match (found.effect, found.enforced) {
        (Some(Effect::Refuses), _) => ("refused", "refused now"),
        (_, Effect::Refuses) => ("refused", "refused if enforced"),
        (_, Effect::Warns) => ("warning", "warning"),
        (_, Effect::Audits) => ("note", "note"),
        (_, Effect::Excepted | Effect::Ratcheted | Effect::Baselined) => ("excused", "excused"),
    }
}

impl ObjectView {
    fn of(object: &Scanned) -> Self {
        Self {
            subject: one_line(&object.subject()),
            namespace: label(&object.namespace),
            home: label(&object.namespace),
            team: team(object),
            policy: one_line(&object.policy),
            finished: object.finished,
            findings: object.findings.iter().map(FindingView::of).collect(),
        }
    }
}

impl FindingView {
    fn of(found: &Found) -> Self {
        let (class, word) = class(found);
        Self {
            class,
            word,
            rule: found.rule,
            what: prose(&found.what),
            mend: prose(&found.mend),
            path: one_line(&found.at),
            undecided: found.undecided,
            excuse: found.excuse.as_ref().map(Excuse::text),
        }
    }
}
