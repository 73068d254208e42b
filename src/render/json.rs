//! For machines: one JSON document. `docs/check.md` describes it.

use serde::Serialize;

use super::{Checked, Counts, Entry, InputError, Located, Report, fingerprint};

/// Raised when a field changes its meaning or goes away; new fields do not raise it.
const VERSION: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Output<'r> {
    version: u32,
    results: Vec<ResultOut<'r>>,
    errors: Vec<ErrorOut<'r>>,
    remarks: &'r [super::Remark],
    summary: Summary<'r>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultOut<'r> {
    file: &'r str,
    line: usize,
    column: usize,
    origin: Option<&'r str>,
    api_version: &'r str,
    kind: &'r str,
    namespace: Option<&'r str>,
    name: &'r str,
    policy: Option<&'r str>,
    outcome: &'r str,
    filled_in: &'r [String],
    findings: Vec<FindingOut<'r>>,
}

/// A finding as every JSON format writes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FindingOut<'r> {
    rule: &'r str,
    level: crate::rules::Level,
    effect: &'r str,
    path: &'r str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    what: &'r str,
    mend: &'r str,
    message: &'r str,
    undecided: bool,
    fingerprint: String,
    exception: Option<ExceptionOut<'r>>,
}

#[derive(Serialize)]
struct ExceptionOut<'r> {
    name: &'r str,
    ticket: Option<&'r str>,
    reason: &'r str,
    expires: String,
    /// Why it does not hold; none when it does.
    fails: Option<&'r str>,
}

/// Something that could not be read, as every JSON format writes it.
#[derive(Serialize)]
pub(super) struct ErrorOut<'r> {
    file: &'r str,
    line: Option<usize>,
    column: Option<usize>,
    message: &'r str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'r> {
    #[serde(flatten)]
    counts: Counts,
    refused: usize,
    denials: usize,
    warnings: usize,
    notes: usize,
    baselined: usize,
    errors: usize,
    policies: Vec<&'r str>,
}

/// A report for machines, with a line break at its end.
pub fn json(report: &Report) -> String {
    let mut results = Vec::new();
    let mut errors = Vec::new();
    for entry in &report.entries {
        match entry {
            Entry::Object(object) => results.push(result(object)),
            Entry::Error(error) => errors.push(ErrorOut::of(error)),
        }
    }
    let tally = report.tally();
    let summary = Summary {
        counts: report.counts,
        refused: tally.refused,
        denials: tally.denials,
        warnings: tally.warnings,
        notes: tally.notes,
        baselined: tally.baselined,
        errors: tally.errors,
        policies: report.policies(),
    };
    let output = Output { version: VERSION, results, errors, remarks: &report.remarks, summary };
    // Strings, numbers and lists: there is nothing in it that JSON could not hold.
    let mut text = serde_json::to_string_pretty(&output).unwrap_or_default();
    text.push('\n');
    text
}

fn result(object: &Checked) -> ResultOut<'_> {
    ResultOut {
        file: &object.file,
        line: object.position.line,
        column: object.position.column,
        origin: object.origin.as_deref(),
        api_version: &object.api_version,
        kind: &object.kind,
        namespace: object.namespace.as_deref(),
        name: &object.name,
        policy: object.policy.as_deref(),
        outcome: object.outcome.as_str(),
        filled_in: &object.filled_in,
        findings: object.findings.iter().map(|found| FindingOut::of(object, found)).collect(),
    }
}

impl<'r> ErrorOut<'r> {
    pub(super) fn of(error: &'r InputError) -> Self {
        let InputError { file, position, message } = error;
        Self {
            file,
            line: position.map(|position| position.line),
            column: position.map(|position| position.column),
            message,
        }
    }
}

impl<'r> FindingOut<'r> {
    pub(super) fn of(object: &'r Checked, found: &'r Located) -> Self {
        Self {
            rule: found.rule,
            level: found.level,
            effect: found.effect.as_str(),
            path: &found.path,
            line: found.span.start.line,
            column: found.span.start.column,
            end_line: found.span.end.line,
            end_column: found.span.end.column,
            what: &found.what,
            mend: &found.mend,
            message: &found.message,
            undecided: found.undecided,
            fingerprint: fingerprint(object, found),
            exception: found.excuse.as_ref().map(|excuse| ExceptionOut {
                name: &excuse.exception.name,
                ticket: excuse.exception.ticket.as_deref(),
                reason: &excuse.exception.reason,
                expires: excuse.exception.expires.to_string(),
                fails: excuse.fails.as_deref(),
            }),
        }
    }
}
