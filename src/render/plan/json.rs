//! For machines: one JSON document, as `docs/plan-schema.json` describes it.

use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;

use super::PlanReport;
use crate::plan::report::{Plan, PlanDiff};

/// Raised when a field changes its meaning or goes away; new fields do not raise it.
const SCHEMA_VERSION: u32 = 1;

/// What `tidegate plan --format json` writes.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "tidegate plan")]
struct Output<'r> {
    /// 1. Raised when a field changes its meaning or goes away; new fields do not raise it.
    schema_version: u32,
    /// The plan of every release, in the order of the input.
    releases: &'r [Plan],
    /// What changes in each release; null when nothing was compared.
    changes: Option<&'r [PlanDiff]>,
    /// What could not be read, and so is in no plan.
    errors: Vec<Unreadable<'r>>,
    /// How much was found.
    summary: Summary,
}

/// Something that could not be read.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Unreadable<'r> {
    /// The file, as it was named by the user.
    file: &'r str,
    /// Counted from 1; null when it is the file as a whole.
    line: Option<usize>,
    /// Counted from 1, in characters; null when it is the file as a whole.
    column: Option<usize>,
    /// What is wrong.
    message: &'r str,
}

/// How many findings there are.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Summary {
    /// Objects that would be refused.
    refused: usize,
    /// Findings that refuse.
    denials: usize,
    /// Findings that warn.
    warnings: usize,
    /// Findings that are reported only.
    notes: usize,
    /// Things that could not be read.
    errors: usize,
}

/// Plans for machines, with a line break at the end.
pub fn json(report: &PlanReport) -> String {
    let errors = report.errors.iter().map(|error| Unreadable {
        file: &error.file,
        line: error.position.map(|position| position.line),
        column: error.position.map(|position| position.column),
        message: &error.message,
    });
    let tally = report.tally;
    let output = Output {
        schema_version: SCHEMA_VERSION,
        releases: &report.plans,
        changes: report.diffs.as_deref(),
        errors: errors.collect(),
        summary: Summary {
            refused: tally.refused,
            denials: tally.denials,
            warnings: tally.warnings,
            notes: tally.notes,
            errors: tally.errors,
        },
    };
    // Texts, numbers and lists: there is nothing in it that JSON could not hold.
    let mut text = serde_json::to_string_pretty(&output).unwrap_or_default();
    text.push('\n');
    text
}

/// The JSON Schema of the document.
pub fn json_schema() -> Schema {
    schema_for!(Output<'static>)
}
