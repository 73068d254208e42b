//! `tidegate man`

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_mangen::Man;

use super::exit::Exit;

const EXAMPLES: &str = "\
Examples:
  tidegate man | man -l -
  tidegate man --dir /usr/local/share/man/man1";

/// Print the manual page, or write one for every command.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Folder for tidegate.1, tidegate-check.1 and so on
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Writes the page to standard output, or every page to a folder.
///
/// # Errors
///
/// Something cannot be written.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let command = super::Args::command().disable_help_subcommand(true);
    if let Some(folder) = &args.dir {
        fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(command, folder))
            .with_context(|| format!("cannot write to {}", folder.display()))?;
    } else {
        let mut text = Vec::new();
        Man::new(command).render(&mut text)?;
        let mut stdout = io::stdout().lock();
        stdout.write_all(&text)?;
        stdout.flush()?;
    }
    Ok(Exit::Clean)
}
