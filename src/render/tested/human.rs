//! For people: like a test runner.

use std::fmt::Write as _;

use super::{TestReport, TestedSuite};
use crate::{
    policy_test::Difference,
    render::{
        Human,
        text::{one_line, plural},
    },
};

const GREEN: &str = "32";
const RED: &str = "31";
const BOLD: &str = "1";

/// A report for people: a line for every case, and for those that fail what differs.
pub fn human(report: &TestReport, options: Human<'_>) -> String {
    let mut text = String::new();
    for suite in &report.suites {
        self::suite(&mut text, suite, options);
    }
    for error in &report.errors {
        let message = error.to_string();
        let mut lines = message.lines().map(one_line);
        let first = lines.next().unwrap_or_default();
        let _ = writeln!(text, "{} {first}", painted("error:", RED, options));
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
    }
    if !report.errors.is_empty() {
        text.push('\n');
    }
    let (_, failed) = report.tally();
    if !(options.quiet && failed == 0 && report.errors.is_empty()) {
        summary(&mut text, report);
    }
    text
}

fn suite(text: &mut String, suite: &TestedSuite, options: Human<'_>) {
    let mut shown = suite.cases.iter().filter(|case| !options.quiet || !case.passes()).peekable();
    if shown.peek().is_none() {
        return;
    }
    let _ = writeln!(text, "{}", painted(&suite.file, BOLD, options));
    for case in shown {
        let word = if case.passes() { ("ok  ", GREEN) } else { ("FAIL", RED) };
        let _ = writeln!(text, "  {}  {}", painted(word.0, word.1, options), one_line(&case.name));
        if case.passes() {
            continue;
        }
        let (line, column) = (case.position.line, case.position.column);
        let file = one_line(&suite.file);
        let _ = writeln!(text, "        at {file}:{line}:{column} (- expected, + found)");
        for line in case.differences.iter().flat_map(Difference::lines) {
            let shade = if line.starts_with('-') { GREEN } else { RED };
            let _ = writeln!(text, "        {}", painted(&line, shade, options));
        }
    }
    text.push('\n');
}

/// `3 cases in 2 files: 2 passed, 1 failed`.
fn summary(text: &mut String, report: &TestReport) {
    let (passed, failed) = report.tally();
    let mut files: Vec<&str> = report.suites.iter().map(|suite| suite.file.as_str()).collect();
    files.sort_unstable();
    files.dedup();
    let mut results = vec![format!("{passed} passed")];
    if failed > 0 {
        results.push(format!("{failed} failed"));
    }
    if !report.errors.is_empty() {
        results.push(plural(report.errors.len(), "error", "errors"));
    }
    let cases = plural(passed.saturating_add(failed), "case", "cases");
    let _ = writeln!(
        text,
        "{cases} in {}: {}",
        plural(files.len(), "file", "files"),
        results.join(", ")
    );
}

fn painted(text: &str, code: &str, options: Human<'_>) -> String {
    let text = one_line(text);
    if options.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text }
}
