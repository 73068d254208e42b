//! The `tidegate` program.

use tidegate::cli::{self, exit::Exit};

fn main() -> Exit {
    cli::run(cli::Args::from_command_line())
}
