//! For machines: one JSON document. `docs/check.md` describes it.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Checked, Counts, Entry, InputError, Located, Stream, Totals, fingerprint};

/// Raised when a field changes its meaning or goes away; new fields do not raise it.
const VERSION: u32 = 1;

/// What stands behind the results.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rest<'r> {
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
#[derive(Clone, Debug, Default)]
pub struct Json {
    has_results: bool,
    /// They stand behind the results.
    errors: Vec<InputError>,
}

impl Stream for Json {
    fn entry(&mut self, entry: &Entry, text: &mut String) {
        match entry {
            Entry::Error(error) => self.errors.push(error.clone()),
            Entry::Object(object) => {
                if self.has_results {
                    text.push(',');
                } else {
                    start(text);
                    self.has_results = true;
                }
                // No text in JSON holds a line break as it is.
                let result = pretty(&result(object)).replace('\n', "\n    ");
                text.push_str("\n    ");
                text.push_str(&result);
            }
        }
    }

    fn end(&mut self, totals: &Totals, text: &mut String) {
        if self.has_results {
            text.push_str("\n  ");
        } else {
            start(text);
        }
        text.push_str("],");
        let rest = Rest {
            errors: self.errors.iter().map(ErrorOut::of).collect(),
            remarks: &totals.remarks,
            summary: Summary::of(totals),
        };
        text.push_str(pretty(&rest).trim_start_matches('{'));
        text.push('\n');
    }
}

fn start(text: &mut String) {
    let _ = write!(text, "{{\n  \"version\": {VERSION},\n  \"results\": [");
}

fn pretty(value: &impl Serialize) -> String {
    // Strings, numbers and lists: there is nothing in it that JSON could not hold.
    serde_json::to_string_pretty(value).unwrap_or_default()
}

impl<'r> Summary<'r> {
    fn of(totals: &'r Totals) -> Self {
        let tally = totals.tally;
        Self {
            counts: totals.counts,
            refused: tally.refused,
            denials: tally.denials,
            warnings: tally.warnings,
            notes: tally.notes,
            baselined: tally.baselined,
            errors: tally.errors,
            policies: totals.policies(),
        }
    }
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
