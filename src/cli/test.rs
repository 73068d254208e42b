//! `tidegate test`

use std::path::PathBuf;

use super::{cases, color::Color, exit::Exit, output::OutputArgs};
use crate::render::{
    Human,
    tested::{self, TestReport},
};

const EXAMPLES: &str = "\
Examples:
  # Every case below a folder
  tidegate test policies/

  # Only some, while one works on them
  tidegate test policies/production --run approv

  # For people on the terminal, for the CI system in a file
  tidegate test policies/ --output junit=test-results.xml --output json=test-results.json

A case file is YAML of kind PolicyTest, in a folder `tests` beside the policy:

  apiVersion: tidegate.dev/v1alpha1
  kind: PolicyTest
  metadata: {name: production}
  spec:
    cases:
      - name: a drop that nobody approved is refused
        objectFrom: {file: manifests/drop.yaml}
        expect:
          verdict: refused
          findings: [unapproved-destructive-migration]

Exit code: 0 every case passes; 1 some case fails; 2 something could not be read, or there is no
case, although every other case was still run.";

/// Run the cases that are written down for policies.
///
/// A case is a request (a creation, an update, at a moment, by a user, with an approval) and what
/// should become of it. It goes through the same engine as a request to the webhook.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Files, folders (*.yaml, *.yml, *.json, recursively) or - for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Run only cases whose `FILE: NAME` contains this text
    #[arg(long, value_name = "TEXT")]
    run: Option<String>,

    #[command(flatten)]
    output: OutputArgs<Format>,

    /// When to use colours
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,

    /// Leave out cases that pass
    #[arg(long, short)]
    quiet: bool,
}

/// How to write the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Human,
    /// One JSON document
    Json,
    /// JUnit XML
    Junit,
}

/// Runs the cases and writes the result to standard output and to files.
///
/// # Errors
///
/// An output cannot be written. What cannot be read is in the result and in the exit code.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let outputs = args.output.resolve(Format::Human)?;
    let report = cases::run(&args.paths, args.run.as_deref());
    outputs.write(|format, to_stdout| {
        let color = to_stdout && args.color.is_on();
        text(&report, format, Human { color, quiet: args.quiet, links: None })
    })?;
    Ok(match report.tally() {
        _ if !report.errors.is_empty() => Exit::CouldNotRun,
        (_, 0) => Exit::Clean,
        _ => Exit::Findings,
    })
}

fn text(report: &TestReport, format: Format, options: Human<'_>) -> anyhow::Result<String> {
    Ok(match format {
        Format::Human => tested::human(report, options),
        Format::Json => tested::json(report),
        Format::Junit => tested::junit(report)?,
    })
}
