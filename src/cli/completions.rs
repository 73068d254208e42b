//! `tidegate completions`

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::exit::Exit;

const EXAMPLES: &str = "\
Examples:
  tidegate completions bash > /etc/bash_completion.d/tidegate
  tidegate completions zsh > \"${fpath[1]}/_tidegate\"
  tidegate completions fish > ~/.config/fish/completions/tidegate.fish
  tidegate completions powershell >> $PROFILE";

/// Print the completions for a shell.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes the completions to standard output.
///
/// # Errors
///
/// Standard output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    // The library panics where it cannot write, so it writes to memory.
    let mut text = Vec::new();
    let mut command = super::Args::command();
    clap_complete::generate(args.shell, &mut command, "tidegate", &mut text);
    let mut stdout = io::stdout().lock();
    stdout.write_all(&text)?;
    stdout.flush()?;
    Ok(Exit::Clean)
}
