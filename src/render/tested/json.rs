//! For machines: one JSON document. `docs/test.md` describes it.

use serde::Serialize;

use super::{TestReport, TestedCase, TestedSuite};
use crate::{decision::Judged, render::InputError};

/// Raised when a field changes its meaning or goes away; new fields do not raise it.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Output<'r> {
    version: u32,
    cases: Vec<CaseOut<'r>>,
    errors: Vec<ErrorOut<'r>>,
    summary: Summary,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CaseOut<'r> {
    file: &'r str,
    line: usize,
    column: usize,
    test: &'r str,
    name: &'r str,
    passed: bool,
    verdict: &'r str,
    policy: Option<&'r str>,
    findings: Vec<FindingOut<'r>>,
    warnings: &'r [String],
    filled_in: &'r [String],
    differences: Vec<DifferenceOut<'r>>,
}

#[derive(Serialize)]
struct FindingOut<'r> {
    rule: &'r str,
    level: crate::rules::Level,
    effect: &'r str,
    path: &'r str,
    message: &'r str,
    undecided: bool,
}

#[derive(Serialize)]
struct DifferenceOut<'r> {
    about: &'r str,
    expected: Option<&'r str>,
    found: Option<&'r str>,
}

#[derive(Serialize)]
struct ErrorOut<'r> {
    file: &'r str,
    line: Option<usize>,
    column: Option<usize>,
    message: &'r str,
}

#[derive(Serialize)]
struct Summary {
    cases: usize,
    passed: usize,
    failed: usize,
    errors: usize,
}

/// A report for machines, with a line break at its end.
pub fn json(report: &TestReport) -> String {
    let cases =
        report.suites.iter().flat_map(|suite| suite.cases.iter().map(move |case| out(suite, case)));
    let errors = report.errors.iter().map(|InputError { file, position, message }| ErrorOut {
        file,
        line: position.map(|position| position.line),
        column: position.map(|position| position.column),
        message,
    });
    let (passed, failed) = report.tally();
    let summary = Summary {
        cases: passed.saturating_add(failed),
        passed,
        failed,
        errors: report.errors.len(),
    };
    let output =
        Output { version: VERSION, cases: cases.collect(), errors: errors.collect(), summary };
    // Strings, numbers and lists: there is nothing in it that JSON could not hold.
    let mut text = serde_json::to_string_pretty(&output).unwrap_or_default();
    text.push('\n');
    text
}

fn out<'r>(suite: &'r TestedSuite, case: &'r TestedCase) -> CaseOut<'r> {
    let finding = |judged: &'r Judged| FindingOut {
        rule: judged.rule,
        level: judged.level,
        effect: judged.effect.as_str(),
        path: &judged.at,
        message: &judged.line,
        undecided: judged.undecided,
    };
    let observed = &case.observed;
    CaseOut {
        file: &suite.file,
        line: case.position.line,
        column: case.position.column,
        test: &suite.name,
        name: &case.name,
        passed: case.passes(),
        verdict: observed.outcome.as_str(),
        policy: observed.policy.as_deref(),
        findings: observed.findings.iter().map(finding).collect(),
        warnings: &observed.warnings,
        filled_in: &observed.filled_in,
        differences: case
            .differences
            .iter()
            .map(|difference| DifferenceOut {
                about: difference.about,
                expected: difference.expected.as_deref(),
                found: difference.found.as_deref(),
            })
            .collect(),
    }
}
