//! The command line.

mod agent;
mod applications;
mod approval;
pub mod approve;
mod baseline;
mod cases;
pub mod check;
mod color;
pub mod completions;
mod connect;
pub mod detect;
pub mod digest;
pub mod doctor;
pub mod exit;
pub mod explain;
pub mod fix;
mod fixes;
mod grant;
mod input;
mod judge;
pub mod man;
mod manifests;
mod order;
mod output;
mod parallel;
pub mod plan;
pub mod policies;
pub mod policy;
mod progress;
mod releases;
mod rendered;
pub mod scan;
pub mod serve;
mod set;
mod shares;
mod sign;
mod surroundings;
pub mod test;
pub mod verify;
pub mod webhook_config;

use std::{io::Write as _, path::Path, sync::LazyLock};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use self::exit::Exit;

/// Keeps database migrations safe on Kubernetes.
///
/// One engine, two faces: an admission webhook for a cluster, and checks of manifests before they
/// are merged. Both give the same verdict on the same object.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version = version(), max_term_width = 100, infer_long_args = false)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print an approval of one exact migration, signed or not
    Approve(approve::Args),
    /// Check manifests as the admission webhook would judge them
    Check(check::Args),
    /// Print the completions for a shell
    Completions(completions::Args),
    /// Show what every container does with a database, and how that is known
    Detect(detect::Args),
    /// Print the digest that an approval of each migration covers
    Digest(digest::Args),
    /// Compare an installation with what it needs, and say what to do
    Doctor(doctor::Args),
    /// Explain the rules: why they are, an example, the fix, parameters
    Explain(explain::Args),
    /// Write into manifests what admission would fill in, and mend what needs no person
    Fix(fix::Args),
    /// Print the manual page, or write one for every command
    Man(man::Args),
    /// Show the rollout as it will happen, by phase and wave
    Plan(plan::Args),
    /// Check policies, and see what they come to
    Policy(policy::Args),
    /// Scan a cluster: what is refused now, and what would be if every policy enforced
    Scan(scan::Args),
    /// Run the admission webhook
    Serve(serve::Args),
    /// Run the cases that are written down for policies
    Test(test::Args),
    /// Say what an approval covers, and whether it holds
    Verify(verify::Args),
    /// Print the webhook configurations that register it with a cluster
    WebhookConfig(webhook_config::Args),
}

impl Args {
    /// What was typed; ends the program where that is wrong, or help is wanted.
    pub fn from_command_line() -> Self {
        let mut words = std::env::args_os().peekable();
        let command = match words.peek().and_then(|name| plugin_name(name.as_ref())) {
            Some(name) => Self::command().bin_name(name),
            None => Self::command(),
        };
        let matches = command.get_matches_from(words);
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// How people call the program where it is a plugin of kubectl.
fn plugin_name(program: &Path) -> Option<&'static str> {
    let name = program.file_stem()?.to_str()?;
    (name == "kubectl-tidegate").then_some("kubectl tidegate")
}

/// The version; of a release build also its commit and day, which the build is told by
/// `TIDEGATE_COMMIT` and `TIDEGATE_BUILD_DATE`.
fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let version = env!("CARGO_PKG_VERSION");
        let set = |text: Option<&'static str>| text.filter(|text| !text.is_empty());
        match (set(option_env!("TIDEGATE_COMMIT")), set(option_env!("TIDEGATE_BUILD_DATE"))) {
            (Some(commit), Some(date)) => format!("{version} ({commit} {date})"),
            (Some(commit), None) => format!("{version} ({commit})"),
            (None, _) => version.to_owned(),
        }
    });
    &VERSION
}

/// Does what was asked for; errors go to standard error, once, with their causes.
pub fn run(args: Args) -> Exit {
    let result = match args.command {
        Command::Approve(args) => approve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Detect(args) => detect::run(&args),
        Command::Digest(args) => digest::run(&args),
        Command::Doctor(args) => doctor::run(args),
        Command::Explain(args) => explain::run(&args),
        Command::Fix(args) => fix::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::Scan(args) => scan::run(&args),
        Command::Serve(args) => serve::run(args),
        Command::Test(args) => test::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::WebhookConfig(args) => webhook_config::run(&args),
    };
    result.unwrap_or_else(|error| {
        if exit::is_broken_pipe(&error) {
            return Exit::Clean;
        }
        // When standard error is gone there is nobody left to tell.
        drop(writeln!(std::io::stderr(), "error: {error:#}"));
        Exit::CouldNotRun
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }
}
