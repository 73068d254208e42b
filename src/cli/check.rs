//! `tidegate check`

use std::path::PathBuf;

use jiff::Timestamp;

use super::{
    baseline::BaselineArgs,
    color::Color,
    exit::{Exit, is_broken_pipe},
    output::{OutputArgs, Target},
    policies,
    releases::ReleaseArgs,
    set::SetArgs,
    shares::{Check, SHARE},
};
use crate::{
    decision::Effect,
    policy::PolicySet,
    render::{self, Entry, Github, Human, Json, Jsonl, Report, Stream, Totals},
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
    let mut baseline = args.baseline.load()?;
    let policies = &load(args)?;
    // Only SARIF has a place for changes, and they take another reading of what is mended.
    let fixes = outputs.has(Format::Sarif);
    let folder = args.color.links();
    let mut written = Written::new(outputs.open()?, |to_stdout| {
        let (color, links) =
            if to_stdout { (args.color.is_on(), folder.as_deref()) } else { (false, None) };
        Human { color, quiet: args.quiet, links }
    });
    let (release, now) = (args.release, Timestamp::now());
    let check = Check { args: &args.set, policies, release, fixes, now };
    let mut take = |mut entry| {
        if let Some(baseline) = &mut baseline {
            baseline.mark(&mut entry);
        }
        written.take(entry);
        Ok(())
    };
    let (counts, remarks) = check.run(SHARE, &mut take)?;
    written.report.totals.counts = counts;
    written.report.totals.remarks = remarks;
    if let Some(baseline) = baseline {
        baseline.finish(&mut written.report.totals)?;
    }
    let totals = written.finish()?;
    Ok(args.fail_on.exit(&totals))
}

fn load(args: &Args) -> anyhow::Result<PolicySet> {
    let paths: Vec<PathBuf> = args.set.policy.iter().chain(&args.exceptions).cloned().collect();
    policies::load_all(&paths, Some(args.set.default_namespace()))
}

/// How many bytes are written at once.
const PIECE: usize = 64 << 10;

/// The places that a report is written to while it is made.
struct Written<'l> {
    streams: Vec<Streamed<'l>>,
    others: Vec<(Whole, Target)>,
    /// What all entries come to, and those that the other formats tell of.
    report: Report,
}

/// How a format is written.
enum Writer<'l> {
    Stream(Box<dyn Stream + 'l>),
    Whole(Whole),
}

/// A format that begins with what all entries come to.
struct Whole {
    text: fn(&Report) -> anyhow::Result<String>,
    /// Objects in which nothing was found stand in it, too.
    tells_of_all: bool,
}

/// A format that is written piece by piece.
struct Streamed<'l> {
    stream: Box<dyn Stream + 'l>,
    text: String,
    target: Target,
    /// Why nothing more is written there.
    failed: Option<anyhow::Error>,
}

impl<'l> Written<'l> {
    fn new(targets: Vec<(Format, bool, Target)>, human: impl Fn(bool) -> Human<'l>) -> Self {
        let (mut streams, mut others) = (Vec::new(), Vec::new());
        for (format, to_stdout, target) in targets {
            match format.writer(human(to_stdout)) {
                Writer::Whole(whole) => others.push((whole, target)),
                Writer::Stream(stream) => {
                    let (text, failed) = (String::new(), None);
                    streams.push(Streamed { stream, text, target, failed });
                }
            }
        }
        Self { streams, others, report: Report::default() }
    }

    /// Writes the next entry. What cannot be written keeps nothing else from it, and the rest is
    /// judged although nobody may read it: the exit code tells what was found.
    fn take(&mut self, entry: Entry) {
        for streamed in &mut self.streams {
            streamed.stream.entry(&entry, &mut streamed.text);
            if streamed.text.len() >= PIECE {
                streamed.write();
            }
        }
        if self.others.iter().any(|(whole, _)| whole.tells_of(&entry)) {
            self.report.add(entry);
        } else {
            self.report.totals.add(&entry);
        }
    }

    /// Writes what stands behind all entries, and what begins with what they come to.
    fn finish(self) -> anyhow::Result<Totals> {
        let Self { streams, others, report, .. } = self;
        let mut done = Ok(());
        for (whole, mut target) in others {
            let text = (whole.text)(&report);
            let written = text.and_then(|text| target.write(text.as_bytes()));
            done = done.and(unless_gone(written.and_then(|()| target.finish())));
        }
        for mut streamed in streams {
            streamed.stream.end(&report.totals, &mut streamed.text);
            streamed.write();
            done = done.and(unless_gone(match streamed.failed {
                Some(error) => Err(error),
                None => streamed.target.finish(),
            }));
        }
        done.map(|()| report.totals)
    }
}

/// That whoever read went away, as `| head` does, is no failure.
fn unless_gone(written: anyhow::Result<()>) -> anyhow::Result<()> {
    written.or_else(|error| if is_broken_pipe(&error) { Ok(()) } else { Err(error) })
}

impl Whole {
    fn tells_of(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Error(_) => true,
            Entry::Object(object) => self.tells_of_all || !object.findings.is_empty(),
        }
    }
}

impl Streamed<'_> {
    fn write(&mut self) {
        if self.failed.is_none() {
            self.failed = self.target.write(self.text.as_bytes()).err();
        }
        self.text.clear();
    }
}

impl Format {
    fn writer(self, human: Human<'_>) -> Writer<'_> {
        let whole = |text| Writer::Whole(Whole { text, tells_of_all: self == Self::Junit });
        match self {
            Self::Human => Writer::Stream(Box::new(human)),
            Self::Json => Writer::Stream(Box::new(Json::default())),
            Self::Jsonl => Writer::Stream(Box::new(Jsonl)),
            Self::Github => Writer::Stream(Box::new(Github)),
            Self::Sarif => whole(|report| Ok(render::sarif(report))),
            Self::Junit => whole(|report| Ok(render::junit(report)?)),
            Self::Markdown => whole(|report| Ok(render::markdown(report))),
            Self::Gitlab => whole(|report| Ok(render::gitlab(report))),
            Self::Html => whole(|report| Ok(render::html(report)?)),
        }
    }
}

impl FailOn {
    /// The exit code that a report comes to.
    pub(super) fn exit(self, totals: &Totals) -> Exit {
        let least = match self {
            Self::Deny => Some(Effect::Refuses),
            Self::Warn => Some(Effect::Warns),
            Self::Audit => Some(Effect::Audits),
            Self::Never => None,
        };
        if totals.tally.errors > 0 {
            return Exit::CouldNotRun;
        }
        match (least, totals.worst) {
            (Some(least), Some(worst)) if worst >= least => Exit::Findings,
            _ => Exit::Clean,
        }
    }
}
