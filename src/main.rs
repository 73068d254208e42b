//! The `tidegate` program.

use clap::Parser as _;
use tidegate::cli::{self, exit::Exit};

fn main() -> Exit {
    cli::run(cli::Args::parse())
}
