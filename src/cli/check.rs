//! `tidegate check`

use std::path::PathBuf;

use jiff::Timestamp;

use super::{
    baseline::BaselineArgs,
    color::Color,
    exit::Exit,
    output::OutputArgs,
    policies,
    releases::ReleaseArgs,
    set::SetArgs,
    shares::{Check, SHARE},
};
use crate::{
    decision::Effect,
    policy::PolicySet,
    render::{self, Human, Report},
};

const EXAMPLES: &str = "\
Examples:
  # What a chart would bring into production
  helm template shop ./chart | tidegate check - --namespace shop \\
    --namespace-labels environment=production

  # Every manifest of a repository; only refusals fail
  tidegate check deploy/

  # A stricter gate with your own policy, for a machine
  tidegate check deploy/ --policy policies/ --fail-on warn --format json

  # For people on the terminal, for the CI system in files
  tidegate check deploy/ --output sarif=tidegate.sarif --output junit=tidegate.xml

  # Only what is new counts; what was there before is in a file
  tidegate check deploy/ --baseline tidegate-baseline.json --create-baseline
  tidegate check deploy/ --baseline tidegate-baseline.json

  # Exceptions that a team keeps beside its application
  tidegate check deploy/ --exceptions deploy/exceptions/

Exit code: 0 nothing at or above --fail-on; 1 something; 2 something could not be read, although
everything else was still checked.";

/// Check manifests as the admission webhook would judge them.
///
/// Reads YAML and JSON, also with several documents and with lists. What the webhook would fill in
/// on hook Jobs is filled in first, so that the verdict is the one that admission reaches.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    set: SetArgs,

    /// File, or folder of files, with exceptions that are kept elsewhere than among the manifests;
    /// those among the manifests and the policies count anyway. Repeatable
    #[arg(long, value_name = "PATH")]
    exceptions: Vec<PathBuf>,

    #[command(flatten)]
    release: ReleaseArgs,

    #[command(flatten)]
    output: OutputArgs<Format>,

    #[command(flatten)]
    baseline: BaselineArgs,

    /// The least severe finding that makes the exit code 1
    #[arg(long, value_enum, default_value_t = FailOn::Deny, value_name = "LEVEL")]
    fail_on: FailOn,

    /// When to use colours
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,

    /// Leave out notes and the summary
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
    /// One JSON document a line: every finding, every error
    Jsonl,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// JUnit XML, for CI systems
    Junit,
    /// Markdown, for a comment on a pull request
    Markdown,
    /// Workflow commands of GitHub Actions, which become annotations
    Github,
    /// A Code Quality report, for GitLab
    Gitlab,
    /// One page for browsers, with filters
    Html,
}

/// The least severe finding that makes the exit code 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum FailOn {
    /// What admission would refuse
    Deny,
    /// And what it would warn about
    Warn,
    /// And what it would only report
    Audit,
    /// Nothing
    Never,
}

/// Checks and writes the result to standard output and to files.
///
/// # Errors
///
/// A policy or the baseline is wrong, or an output cannot be written. What cannot be read of the manifests is
/// in the result and in the exit code.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let outputs = args.output.resolve(Format::Human)?;
    let baseline = args.baseline.load()?;
    // Only SARIF has a place for changes, and they take another reading of what is mended.
    let mut report = check(args, &load(args)?, outputs.has(Format::Sarif));
    if let Some(baseline) = baseline {
        baseline.apply(&mut report)?;
    }
    let folder = args.color.links();
    outputs.write(|format, to_stdout| {
        let (color, links) =
            if to_stdout { (args.color.is_on(), folder.as_deref()) } else { (false, None) };
        format.text(&report, Human { color, quiet: args.quiet, links })
    })?;
    Ok(args.fail_on.exit(&report))
}

fn load(args: &Args) -> anyhow::Result<PolicySet> {
    let paths: Vec<PathBuf> = args.set.policy.iter().chain(&args.exceptions).cloned().collect();
    policies::load_all(&paths, Some(args.set.default_namespace()))
}

fn check(args: &Args, policies: &PolicySet, fixes: bool) -> Report {
    let (args, release, now) = (&args.set, args.release, Timestamp::now());
    Check { args, policies, release, fixes, now }.report(SHARE)
}

impl Format {
    fn text(self, report: &Report, options: Human<'_>) -> anyhow::Result<String> {
        Ok(match self {
            Self::Human => render::human(report, options),
            Self::Json => render::json(report),
            Self::Jsonl => render::jsonl(report),
            Self::Sarif => render::sarif(report),
            Self::Junit => render::junit(report)?,
            Self::Markdown => render::markdown(report),
            Self::Github => render::github(report),
            Self::Gitlab => render::gitlab(report),
            Self::Html => render::html(report)?,
        })
    }
}

impl FailOn {
    /// The exit code that a report comes to.
    pub(super) fn exit(self, report: &Report) -> Exit {
        let least = match self {
            Self::Deny => Some(Effect::Refuses),
            Self::Warn => Some(Effect::Warns),
            Self::Audit => Some(Effect::Audits),
            Self::Never => None,
        };
        if report.tally().errors > 0 {
            return Exit::CouldNotRun;
        }
        match (least, report.worst()) {
            (Some(least), Some(worst)) if worst >= least => Exit::Findings,
            _ => Exit::Clean,
        }
    }
}
