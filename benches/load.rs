//! Load: tidegate beside a bare server that only reads the uid; and what else `docs/performance.md` has
//! figures of.
//!
//! Both servers run as processes of their own and answer the same recorded reviews from the same
//! generator, in turns, so that whatever else the machine does meets both. What is claimed is the ratio
//! within one run. Nothing is asserted about time: the exit code is 1 only when an answer was wrong, or
//! when something grows faster than what is judged.

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
    clippy::exit,
    clippy::allow_attributes,
    reason = "a benchmark ends by panicking, prints, and calculates with what it measured"
)]

#[allow(dead_code, reason = "shared with tests that need more of it")]
#[path = "../tests/e2e/cluster.rs"]
mod cluster;
mod load {
    pub(crate) mod allocators;
    pub(crate) mod api_server;
    pub(crate) mod bare;
    pub(crate) mod callgrind;
    pub(crate) mod check;
    pub(crate) mod client;
    pub(crate) mod corpus;
    pub(crate) mod counts;
    pub(crate) mod external;
    pub(crate) mod folder;
    pub(crate) mod generator;
    pub(crate) mod growth;
    pub(crate) mod inside;
    pub(crate) mod options;
    pub(crate) mod page;
    pub(crate) mod plot;
    pub(crate) mod process;
    pub(crate) mod report;
    pub(crate) mod results;
    pub(crate) mod run;
}
#[path = "../tests/e2e/pki.rs"]
mod pki;
#[allow(dead_code, reason = "shared with tests that need more of it")]
#[path = "../tests/e2e/process.rs"]
mod process;

use std::process::ExitCode;

use anyhow::bail;
use clap::Parser as _;
use load::{
    allocators, api_server, bare, callgrind, check, counts, external, growth, inside,
    options::{Options, Part},
    page,
    report::number,
    results::{Results, machine},
    run,
};

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match (&options.bare, &options.url) {
        (Some(listen), _) => bare::serve(*listen, options.ca_out.as_deref()),
        // `cargo test --all-targets` runs benchmarks too, to see that they build.
        _ if !options.bench => {
            println!("load: nothing is measured without `cargo bench --bench load`");
            Ok(())
        }
        (None, Some(url)) => external::run(&options, url),
        (None, None) => measure(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> anyhow::Result<()> {
    println!("machine: {}", machine());
    let mut results = Results::read()?;
    for part in &options.parts {
        match part {
            Part::Load => results.load = Some(run::load(options)?),
            Part::Counts => results.counts = Some(count(options)?),
            Part::Growth => results.growth = Some(grow(options)?),
            Part::Inside => results.inside = Some(inside::measure(options)?),
            Part::Memory => results.memory = Some(run::memory(options)?),
            Part::Allocators => results.allocators = Some(allocators::measure(options)?),
            Part::Check => results.check = Some(check::measure(options)?),
            Part::ApiServer => results.api_server = Some(api_server::measure(options)?),
        }
        // What took minutes is not lost when a later part fails.
        if options.write {
            results.write()?;
            page::write(&results)?;
        }
    }
    Ok(())
}

fn count(options: &Options) -> anyhow::Result<counts::All> {
    if let Some(why) = callgrind::missing() {
        bail!("{why}");
    }
    let all = counts::measure(&options.tidegate)?;
    println!("\nInstructions and allocations of one review, from socket to socket\n");
    for (name, counts) in &all {
        println!("- {name}: {}; {}", number(counts.instructions), counts.allocations);
    }
    Ok(all)
}

fn grow(options: &Options) -> anyhow::Result<Vec<load::results::Series>> {
    if let Some(why) = callgrind::missing() {
        bail!("{why}");
    }
    let all = growth::measure(&options.tidegate, options.quick)?;
    println!("\nInstructions of one review by size\n");
    for series in &all {
        let points: Vec<_> =
            series.points.iter().map(|(x, y)| format!("{x}: {}", number(*y))).collect();
        println!("- {}, {}: {}", series.name, series.axis, points.join("; "));
    }
    all.iter().try_for_each(load::results::Series::is_at_most_linear)?;
    Ok(all)
}
