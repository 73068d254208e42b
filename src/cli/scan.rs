//! `tidegate scan`

use std::path::PathBuf;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use tokio::runtime;

use super::{color::Color, exit::Exit, output::OutputArgs, policies};
use crate::{
    cluster::{self, Connection, Published, Reports, Request},
    policy::{PolicySet, built_in},
    render::scan::{self as render, Human},
    scan::{Counts, Options, Scan},
};

/// Stack of every thread: the parsers of shell and SQL recurse.
const STACK: usize = 8 << 20;

const EXAMPLES: &str = "\
Examples:
  # What would be refused if every policy enforced, and which namespaces can enforce now
  tidegate scan

  # One namespace, with a stricter policy than the one in the cluster
  tidegate scan --namespace shop --policy policies/strict/policy.yaml --enforced

  # For people on the terminal, for machines and for browsers in files
  tidegate scan --output json=scan.json --output html=scan.html

  # Into policy reports, for Policy Reporter and the like
  tidegate scan --publish

Exit code: 0 nothing would be refused; 1 something would be refused by the policies as they are, or
with --enforced if they enforced; 2 something could not be looked at, although everything else was.";

/// Scan a cluster: what is refused now, and what would be if every policy enforced.
///
/// Judges what is in the cluster as if it were created now, by the policies and exceptions that are
/// in the cluster. It reads and, without --publish, writes nothing. Secrets are not read.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Args {
    /// Policy file, or folder of them, in place of the policies of the cluster. Repeatable
    #[arg(long, value_name = "PATH")]
    policy: Vec<PathBuf>,

    /// Scan this namespace alone
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// Scan objects with these labels alone, such as app=web,tier!=db
    #[arg(long, short = 'l', value_name = "SELECTOR", conflicts_with = "publish")]
    selector: Option<String>,

    /// The kubeconfig [default: a Pod's account, or as kubectl finds it]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,

    /// The label that says who an object belongs to: on the object, or else on its namespace
    #[arg(long, value_name = "KEY", default_value = "app.kubernetes.io/part-of")]
    team_label: String,

    /// Do not read the ConfigMaps that migrations refer to: what stands in them is not judged
    #[arg(long)]
    no_config_maps: bool,

    /// Let the exit code tell what would be refused if every policy enforced
    #[arg(long)]
    enforced: bool,

    /// Write the result into policy reports of the cluster
    #[arg(long)]
    publish: bool,

    #[command(flatten)]
    output: OutputArgs<Format>,

    /// Show every row and every finding
    #[arg(long)]
    all: bool,

    /// When to use colours
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,

    /// Leave out tables, notes and the summary
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
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// One page for browsers, with filters
    Html,
}

/// Scans, and writes the result to standard output, to files and into the cluster.
///
/// # Errors
///
/// The cluster cannot be reached or its policies cannot be read, or an output cannot be written.
/// What else cannot be read is in the result and in the exit code.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let outputs = args.output.resolve(Format::Human)?;
    let base = match args.policy.as_slice() {
        [] => PolicySet::new(vec![built_in()]),
        paths => policies::load(paths)?,
    };
    // Before anything makes a TLS configuration. That it is there already can only be our own doing.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let (scan, published) = runtime.block_on(scan(args, base))?;
    runtime.shutdown_background();
    outputs.write(|format, to_stdout| {
        let color = to_stdout && args.color.is_on();
        Ok(match format {
            Format::Human => {
                let Args { quiet, all, .. } = *args;
                let mut text = render::human(&scan, Human { color, quiet, all });
                text.extend(published.filter(|_| !quiet).map(told));
                text
            }
            Format::Json => render::json(&scan),
            Format::Sarif => render::sarif(&scan, args.enforced),
            Format::Html => render::html(&scan)?,
        })
    })?;
    let refused = if args.enforced { scan.would_be_refused() } else { scan.refused() };
    Ok(if !scan.errors.is_empty() || published.is_some_and(|it| it.failed > 0) {
        Exit::CouldNotRun
    } else if refused > 0 {
        Exit::Findings
    } else {
        Exit::Clean
    })
}

fn told(published: Published) -> String {
    let Published { written, unchanged, deleted, failed } = published;
    format!(
        "reports: {written} written, {unchanged} unchanged, {deleted} deleted, {failed} failed\n"
    )
}

async fn scan(args: &Args, base: PolicySet) -> anyhow::Result<(Scan, Option<Published>)> {
    let connection = Connection::named(args.kubeconfig.as_deref(), args.context.as_deref()).await?;
    let client = connection.client()?;
    let mut reports = None;
    if args.publish {
        reports = Some(Reports::find(&client).await?.context(
            "the cluster has no kind for reports: neither openreports.io/v1alpha1 nor \
             wgpolicyk8s.io/v1alpha2 is installed",
        )?);
    }
    let namespace = args.namespace.as_deref();
    let (policies, wrong) =
        cluster::documents(&client, base, args.policy.is_empty(), namespace).await?;
    let request = Request {
        namespace: args.namespace.clone(),
        selector: args.selector.clone(),
        config_maps: !args.no_config_maps,
        options: Options { team_label: args.team_label.clone(), ..Options::default() },
    };
    let progress = Progress::new();
    let on_progress = |kind: &str, counts: Counts| progress.show(kind, counts);
    let scanned = cluster::scan(&client, &request, policies, None, &on_progress).await;
    progress.0.finish_and_clear();
    let mut scan = scanned?;
    scan.errors.splice(0..0, wrong);
    let published = match reports {
        Some(reports) => Some(reports.publish(&scan, namespace, Timestamp::now()).await?),
        None => None,
    };
    Ok((scan, published))
}

/// A line on standard error, where that is a terminal.
struct Progress(ProgressBar);

impl Progress {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        // CI systems may offer a terminal, and keep every line that is written to it.
        let target = match std::env::var_os("CI") {
            None => ProgressDrawTarget::stderr(),
            Some(_) => ProgressDrawTarget::hidden(),
        };
        bar.set_draw_target(target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} in {elapsed}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    fn show(&self, kind: &str, counts: Counts) {
        let Counts { judged, children, namespaces, .. } = counts;
        self.0.tick();
        self.0.set_message(format!(
            "{kind}: {judged} objects judged, {children} of owners, {namespaces} namespaces"
        ));
    }
}
