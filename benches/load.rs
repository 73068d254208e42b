//! Load: tidegate beside a bare server that only reads the uid.
//!
//! Both run as processes of their own and answer the same recorded reviews from the same generator,
//! in turns, so that whatever else the machine does meets both. What is claimed is the ratio within
//! one run; see `docs/benchmarks.md`. Nothing is asserted about time: the exit code is 1 only when an
//! answer was wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::allow_attributes,
    reason = "a benchmark ends by panicking, prints, and calculates with what it measured"
)]

mod load {
    pub(crate) mod bare;
    pub(crate) mod client;
    pub(crate) mod corpus;
    pub(crate) mod generator;
    pub(crate) mod options;
    pub(crate) mod process;
    pub(crate) mod report;
    pub(crate) mod run;
}

use std::process::ExitCode;

use clap::Parser as _;
use load::{bare, options::Options, run};

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match &options.bare {
        Some(listen) => bare::serve(*listen, options.ca_out.as_deref()),
        // `cargo test --all-targets` runs benchmarks too, to see that they build.
        None if !options.bench => {
            println!("load: nothing is measured without `cargo bench --bench load`");
            Ok(())
        }
        None => run::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}
