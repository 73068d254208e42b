//! For GitLab: a Code Quality report, which the merge request shows.

use serde::Serialize;

use super::{Identified, InputError, Report, Severity, fingerprint::digest, text::one_line, uri};

#[derive(Serialize)]
struct Issue<'r> {
    description: String,
    check_name: &'r str,
    fingerprint: String,
    severity: &'static str,
    location: Location<'r>,
}

#[derive(Serialize)]
struct Location<'r> {
    path: &'r str,
    lines: Lines,
}

#[derive(Serialize)]
struct Lines {
    begin: usize,
    end: usize,
}

/// A report as Code Quality JSON. What something excuses is left out: GitLab cannot mark it.
pub fn gitlab(report: &Report) -> String {
    let errors = report.errors().map(unreadable);
    let identified = report.identified();
    let found = identified.iter().filter(|it| it.finding.excused_by(None).is_none()).map(issue);
    let issues: Vec<Issue<'_>> = errors.chain(found).collect();
    // Strings, numbers and lists: there is nothing in it that JSON could not hold.
    let mut text = serde_json::to_string_pretty(&issues).unwrap_or_default();
    text.push('\n');
    text
}

fn issue<'r>(identified: &Identified<'r>) -> Issue<'r> {
    let Identified { object, finding, fingerprint, ordinal } = identified;
    Issue {
        description: format!("{}: {}", object.subject(), finding.sentence()),
        check_name: finding.rule,
        // GitLab drops issues of one report that share a fingerprint.
        fingerprint: digest(&[fingerprint, &ordinal.to_string()]),
        severity: match Severity::from(finding.effect) {
            Severity::Error => "critical",
            Severity::Warning => "minor",
            Severity::Note => "info",
        },
        location: Location {
            path: uri::plain(&object.file),
            lines: Lines { begin: finding.span.start.line, end: finding.span.end.line },
        },
    }
}

fn unreadable(error: &InputError) -> Issue<'_> {
    let line = error.position.map_or(1, |position| position.line);
    Issue {
        description: one_line(&error.message),
        check_name: "unreadable-input",
        fingerprint: digest(&["unreadable-input", &error.to_string()]),
        severity: "blocker",
        location: Location {
            path: uri::plain(&error.file),
            lines: Lines { begin: line, end: line },
        },
    }
}
