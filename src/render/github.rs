//! For GitHub Actions: workflow commands, which become annotations of a pull request.

use std::fmt::Write as _;

use super::{Checked, Entry, InputError, Located, Severity, Stream, Totals, text::one_line, uri};

/// A report as workflow commands. What something excuses is left out: of each level GitHub shows
/// ten annotations a step and no more.
#[derive(Clone, Copy, Debug, Default)]
pub struct Github;

impl Stream for Github {
    fn entry(&mut self, entry: &Entry, text: &mut String) {
        match entry {
            Entry::Error(error) => unreadable(text, error),
            Entry::Object(object) => {
                let counts = |found: &&Located| found.excused_by(None).is_none();
                for found in object.findings.iter().filter(counts) {
                    finding(text, object, found);
                }
            }
        }
    }

    fn end(&mut self, totals: &Totals, text: &mut String) {
        for remark in totals.remarks.iter().filter(|remark| remark.warns) {
            let place =
                format!("file={},line={},col={}", file(&remark.file), remark.line, remark.column);
            let _ = writeln!(text, "::warning {place},title=tidegate::{}", data(&remark.message));
        }
    }
}

fn finding(text: &mut String, object: &Checked, found: &Located) {
    let command = match Severity::from(found.effect) {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let (start, end) = (found.span.start, found.span.end);
    let mut place = format!("file={},line={},endLine={}", file(&object.file), start.line, end.line);
    // GitHub knows columns only where they are in one line.
    if start.line == end.line {
        let _ = write!(place, ",col={},endColumn={}", start.column, end.column.max(start.column));
    }
    let title = property(&format!("{}: {}", found.rule, object.subject()));
    let _ = writeln!(text, "::{command} {place},title={title}::{}", data(&found.sentence()));
}

fn unreadable(text: &mut String, error: &InputError) {
    let mut place = format!("file={}", file(&error.file));
    if let Some(position) = error.position {
        let _ = write!(place, ",line={},col={}", position.line, position.column);
    }
    let message = data(&error.message);
    let _ = writeln!(text, "::error {place},title=tidegate cannot read it::{message}");
}

fn file(file: &str) -> String {
    property(uri::plain(file))
}

/// As `escapeProperty` of the toolkit of GitHub Actions does it.
fn property(text: &str) -> String {
    escaped(&one_line(text)).replace(':', "%3A").replace(',', "%2C")
}

/// As `escapeData` of the toolkit of GitHub Actions does it.
fn data(text: &str) -> String {
    // Without line breaks, which `one_line` takes out, no text can start a command of its own.
    escaped(&one_line(text))
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25")
}
