//! Charts and overlays, rendered by the user's own `helm`, `kustomize` or `kubectl`.
//!
//! No shell is involved, nothing is installed, and what the program says on standard error is shown.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::input::{self, Source};
use crate::{render::InputError, source};

/// The largest output that is read, in bytes: many times what any cluster takes.
const MAX_OUTPUT: u64 = 256 << 20;
/// The longest part of a program's own words that is repeated in an error, in characters.
const MAX_REASON: usize = 400;
/// How often it is looked whether a program has ended that has closed its output.
const POLL: Duration = Duration::from_millis(10);

/// What to render before it is read.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RenderArgs {
    /// Chart to read as `helm template` renders it. Repeatable; needs helm
    #[arg(long, value_name = "DIR", help_heading = "Rendering")]
    helm_chart: Vec<PathBuf>,

    /// Values for the chart. Repeatable, the last one wins
    #[arg(
        long,
        short = 'f',
        value_name = "FILE",
        requires = "helm_chart",
        help_heading = "Rendering"
    )]
    values: Vec<PathBuf>,

    /// A value for the chart. Repeatable
    #[arg(
        long = "set",
        value_name = "KEY=VALUE",
        requires = "helm_chart",
        help_heading = "Rendering"
    )]
    set_values: Vec<String>,

    /// Name of the release that the chart is rendered for
    #[arg(long, value_name = "NAME", requires = "helm_chart", help_heading = "Rendering")]
    helm_release: Option<String>,

    /// Overlay to read as `kustomize build` renders it. Repeatable; needs kustomize or kubectl
    #[arg(long, value_name = "DIR", help_heading = "Rendering")]
    kustomize: Vec<PathBuf>,

    /// How long rendering may take each time, in seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..=3600),
        help_heading = "Rendering"
    )]
    render_timeout: u64,
}

impl RenderArgs {
    /// True when something is to be rendered.
    pub(super) fn is_any(&self) -> bool {
        !self.helm_chart.is_empty() || !self.kustomize.is_empty()
    }

    /// What the programs write, charts first, each in the order in which it was named.
    pub(super) fn sources(&self, namespace: Option<&str>) -> Vec<Result<Source, InputError>> {
        let charts = self.helm_chart.iter().map(|folder| self.chart(folder, namespace));
        charts.chain(self.kustomize.iter().map(|folder| self.overlay(folder))).collect()
    }

    fn chart(&self, folder: &Path, namespace: Option<&str>) -> Result<Source, InputError> {
        let name = format!("helm template {}", folder.display());
        // Without this helm would take the word for the name of a chart to download.
        if !folder.join("Chart.yaml").is_file() {
            return Err(error(&name, "there is no Chart.yaml in it"));
        }
        let mut args: Vec<OsString> = vec!["template".into()];
        args.extend(namespace.map(|namespace| joined("--namespace=", namespace.as_ref())));
        args.extend(self.values.iter().map(|file| joined("--values=", file.as_os_str())));
        args.extend(self.set_values.iter().map(|pair| joined("--set=", pair.as_ref())));
        args.push("--".into());
        args.extend(self.helm_release.as_ref().map(OsString::from));
        args.push(path_of(folder));
        let limit = Duration::from_secs(self.render_timeout);
        let rendered = Program { name: "helm", args: &args, limit }.run();
        let missing = "`helm` is not installed: install it, or render the chart where it is and pipe \
                       it into `tidegate check -`";
        finish(name, rendered, missing)
    }

    fn overlay(&self, folder: &Path) -> Result<Source, InputError> {
        let name = format!("kustomize build {}", folder.display());
        let files = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
        // Without this a word could be taken for a repository to download.
        if !files.iter().any(|file| folder.join(file).is_file()) {
            return Err(error(&name, "there is no kustomization.yaml in it"));
        }
        let limit = Duration::from_secs(self.render_timeout);
        let folder = path_of(folder);
        let own = ["build".into(), "--".into(), folder.clone()];
        let built = Program { name: "kustomize", args: &own, limit }.run();
        let rendered = match built {
            Err(Failure::Missing) => {
                let args = ["kustomize".into(), "--".into(), folder];
                Program { name: "kubectl", args: &args, limit }.run()
            }
            built => built,
        };
        let missing = "neither `kustomize` nor `kubectl` is installed: install one, or build the \
                       overlay where one is and pipe it into `tidegate check -`";
        finish(name, rendered, missing)
    }
}

fn joined(option: &str, value: &OsStr) -> OsString {
    let mut joined = OsString::from(option);
    joined.push(value);
    joined
}

/// A folder in a way that no program takes for anything else.
fn path_of(folder: &Path) -> OsString {
    let is_plain = folder.is_absolute() || folder.starts_with(".") || folder.starts_with("..");
    if is_plain { folder.into() } else { Path::new(".").join(folder).into() }
}

fn error(name: &str, message: &str) -> InputError {
    InputError { file: name.to_owned(), position: None, message: message.to_owned() }
}

fn finish(
    name: String,
    rendered: Result<Vec<u8>, Failure>,
    missing: &str,
) -> Result<Source, InputError> {
    let bytes = rendered.map_err(|failure| match failure {
        Failure::Missing => error(&name, missing),
        Failure::Other(message) => error(&name, &message),
    })?;
    let text = source::decode(&bytes).map_err(|wrong| {
        let source::SourceError { position, message } = wrong;
        InputError { file: name.clone(), position: Some(position), message }
    })?;
    Ok(Source { text: text.into_owned(), name, path: None })
}

/// Why there is no output.
enum Failure {
    /// There is no such program.
    Missing,
    /// It did not do its work.
    Other(String),
}

/// A program to run once.
struct Program<'p> {
    name: &'static str,
    args: &'p [OsString],
    limit: Duration,
}

impl Program<'_> {
    /// Its standard output; what it says on standard error is passed on.
    fn run(&self) -> Result<Vec<u8>, Failure> {
        let program = self.name;
        let spawned = Command::new(program)
            .args(self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Failure::Missing),
            Err(error) => {
                let reason = input::reason(&error);
                return Err(Failure::Other(format!("`{program}` cannot be run: {reason}")));
            }
        };
        let waited = wait(&mut child, self.limit);
        if waited.is_err() {
            // It may have ended by itself meanwhile; either way it is gone afterwards.
            drop(child.kill());
            drop(child.wait());
        }
        let (status, stdout, stderr) = waited.map_err(|why| {
            Failure::Other(match why {
                Stop::Late => {
                    let seconds = self.limit.as_secs();
                    format!("`{program}` took longer than {seconds} s and was stopped (--render-timeout)")
                }
                Stop::Unreadable(error) => format!("`{program}` cannot be read: {error}"),
            })
        })?;
        let stderr = String::from_utf8_lossy(&stderr);
        if !stderr.trim().is_empty() {
            // When standard error is gone there is nobody left to tell.
            drop(writeln!(io::stderr(), "{program}: {}", stderr.trim_end()));
        }
        if !status.success() {
            return Err(Failure::Other(format!(
                "`{program}` failed ({status}): {}",
                reason(&stderr)
            )));
        }
        if stdout.len() as u64 >= MAX_OUTPUT {
            return Err(Failure::Other(format!("`{program}` wrote more than 256 MiB")));
        }
        Ok(stdout)
    }
}

/// What a program says is wrong, in one line.
fn reason(stderr: &str) -> String {
    let mut lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.clone().next();
    let line = lines.find(|line| line.starts_with("Error:")).or(first);
    let line = line.unwrap_or("it does not say why").replace(char::is_control, " ");
    line.chars().take(MAX_REASON).collect()
}

/// Why a program was stopped.
enum Stop {
    Late,
    Unreadable(io::Error),
}

/// Which of the two outputs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

/// Reads both outputs at once, since a program that writes much to either waits for its reader.
fn wait(child: &mut Child, limit: Duration) -> Result<(ExitStatus, Vec<u8>, Vec<u8>), Stop> {
    let deadline = Instant::now().checked_add(limit);
    let left = || deadline.map_or(limit, |end| end.saturating_duration_since(Instant::now()));
    let (sender, read) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        let sender = sender.clone();
        thread::spawn(move || sender.send((Stream::Out, read_all(stdout))));
    }
    if let Some(stderr) = child.stderr.take() {
        thread::spawn(move || sender.send((Stream::Err, read_all(stderr))));
    }
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    for _ in [Stream::Out, Stream::Err] {
        let (stream, bytes) = read.recv_timeout(left()).map_err(|_gone| Stop::Late)?;
        let bytes = bytes.map_err(Stop::Unreadable)?;
        if stream == Stream::Out { stdout = bytes } else { stderr = bytes }
    }
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok((status, stdout, stderr)),
            Ok(None) if left().is_zero() => return Err(Stop::Late),
            Ok(None) => thread::sleep(POLL),
            Err(error) => return Err(Stop::Unreadable(error)),
        }
    }
}

fn read_all(stream: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(MAX_OUTPUT).read_to_end(&mut bytes)?;
    Ok(bytes)
}
