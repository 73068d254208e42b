//! The whole measurement.

use std::{fs, time::Duration};

use anyhow::ensure;
use tempfile::TempDir;

use super::{
    corpus::Corpus,
    generator::{Pace, Sample, Until, drive},
    options::Options,
    process::Server,
    report,
};

/// Connections of the open loop: what the API server has open under load.
const OPEN: usize = 32;

/// Measures and prints.
///
/// # Errors
///
/// When a server cannot be started, or an answer is wrong.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let corpus = Corpus::read(options.mix)?;
    println!("machine: {}", report::machine());
    println!(
        "mix: {:?}, {} bytes a request; {} rounds of {:?} each, in turns",
        options.mix,
        corpus.mean_length(),
        options.rounds(),
        options.slice()
    );
    println!(
        "The generator shares the cores with the server that it drives: what counts are ratios \
         within this run.\n"
    );
    let folder = TempDir::with_prefix("tidegate-load-")?;
    start(options, &folder)?;
    let bare = Server::bare(folder.path())?;
    let (tidegate, _) = Server::tidegate(&options.tidegate, folder.path())?;
    let warm_up = Until::Elapsed(options.slice() / 2);
    for server in [&bare, &tidegate] {
        drive(server, &corpus, 8, Pace::Closed, warm_up)?;
    }
    println!("Closed loop\n\n{}", report::HEADER);
    let mut most: f64 = 0.0;
    let mut lines = Vec::new();
    for connections in &options.connections {
        let (rate, line) = closed(options, &corpus, &bare, &tidegate, *connections)?;
        most = most.max(rate);
        lines.push(line);
    }
    println!("\nRatios tidegate / bare, median of the rounds (least to greatest)\n");
    println!("{}", lines.join("\n"));
    open(options, &corpus, &bare, &tidegate, most / 2.0)?;
    memory(options, &corpus, &bare, &tidegate)
}

/// Size of the program, and how long it takes to be ready.
fn start(options: &Options, folder: &TempDir) -> anyhow::Result<()> {
    let size = fs::metadata(&options.tidegate)?.len();
    let mut times = Vec::new();
    for _ in 0..options.starts() {
        times.push(Server::tidegate(&options.tidegate, folder.path())?.1.as_nanos() as u64);
    }
    times.sort_unstable();
    println!(
        "program: {:.1} MiB; start to ready: median {}, slowest {} of {}\n",
        size as f64 / f64::from(1 << 20),
        report::time(report::quantile(&times, 0.5)),
        report::time(report::quantile(&times, 1.0)),
        times.len()
    );
    Ok(())
}

/// Prints both servers at so many connections; gives tidegate's rate and a line with the ratios.
fn closed(
    options: &Options,
    corpus: &Corpus,
    bare: &Server,
    tidegate: &Server,
    connections: usize,
) -> anyhow::Result<(f64, String)> {
    let (mut bares, mut tidegates) = (Sample::default(), Sample::default());
    let (mut rates, mut cpus) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds() {
        let until = Until::Elapsed(options.slice());
        let first = drive(bare, corpus, connections, Pace::Closed, until)?;
        let second = drive(tidegate, corpus, connections, Pace::Closed, until)?;
        rates.push(second.rate() / first.rate());
        cpus.push(first.cpu_of_one() / second.cpu_of_one());
        bares.add(&first);
        tidegates.add(&second);
    }
    let refused = tidegates.reviews() as u64 - tidegates.admitted;
    ensure!(refused > 0, "tidegate refused nothing: it judges nothing");
    println!("{}", report::line(connections, "bare", &bares));
    println!("{}", report::line(connections, "tidegate", &tidegates));
    let line = format!(
        "- {connections} connections: throughput {}; reviews per second of the server's own CPU {}; \
         {:.0} % refused",
        report::ratios(rates),
        report::ratios(cpus),
        refused as f64 * 100.0 / tidegates.reviews() as f64
    );
    Ok((tidegates.rate(), line))
}

/// Prints both servers at a fixed rate.
fn open(
    options: &Options,
    corpus: &Corpus,
    bare: &Server,
    tidegate: &Server,
    rate: f64,
) -> anyhow::Result<()> {
    println!("\nOpen loop at {rate:.0} reviews/s, half of tidegate's most\n\n{}", report::HEADER);
    let (mut bares, mut tidegates) = (Sample::default(), Sample::default());
    let until = Until::Elapsed(options.slice());
    for _ in 0..options.rounds() {
        bares.add(&drive(bare, corpus, OPEN, Pace::Open(rate), until)?);
        tidegates.add(&drive(tidegate, corpus, OPEN, Pace::Open(rate), until)?);
    }
    println!("{}", report::line(OPEN, "bare", &bares));
    println!("{}", report::line(OPEN, "tidegate", &tidegates));
    Ok(())
}

/// Prints what memory they hold, and what it becomes over many reviews.
fn memory(
    options: &Options,
    corpus: &Corpus,
    bare: &Server,
    tidegate: &Server,
) -> anyhow::Result<()> {
    println!("\nResident memory\n");
    let show = |name: &str, server: &Server| -> anyhow::Result<()> {
        let (now, most) = server.memory()?;
        let mib = |kib: u64| kib as f64 / 1024.0;
        println!("- {name}: {:.1} MiB, at most {:.1} MiB", mib(now), mib(most));
        Ok(())
    };
    show("bare, after the rounds", bare)?;
    show("tidegate, after the rounds", tidegate)?;
    let Some(reviews) = options.reviews else { return Ok(()) };
    let program = &options.tidegate;
    let folder = TempDir::with_prefix("tidegate-load-")?;
    let (fresh, _) = Server::tidegate(program, folder.path())?;
    show("tidegate, started", &fresh)?;
    let mut done: u64 = 0;
    for part in [reviews / 10, reviews - reviews / 10] {
        let sample = drive(&fresh, corpus, OPEN, Pace::Closed, Until::Reviews(part))?;
        done += sample.reviews() as u64;
        let took = Duration::from_secs_f64(sample.seconds);
        show(&format!("tidegate, after {done} reviews ({took:.0?})"), &fresh)?;
    }
    Ok(())
}
