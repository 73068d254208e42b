//! Both servers under load, and what memory they hold.

use std::fs;

use anyhow::ensure;
use tempfile::TempDir;

use super::{
    corpus::{Corpus, Mix},
    generator::{Pace, Sample, Until, drive},
    options::Options,
    process::Server,
    report,
    results::{Line, Load, Memory, MixLoad, Pair, Ratio, machine},
};

/// Connections of the open loop: what the API server has open under load.
pub(crate) const OPEN: usize = 32;

/// Measures and prints.
///
/// # Errors
///
/// When a server cannot be started, or an answer is wrong.
pub(crate) fn load(options: &Options) -> anyhow::Result<Load> {
    println!(
        "{} turns of {:?} for each server. The generator shares the cores with the server that it \
         drives: what counts are ratios within this run.\n",
        options.rounds(),
        options.slice()
    );
    let folder = TempDir::with_prefix("tidegate-load-")?;
    let program = fs::metadata(&options.tidegate)?.len() as f64 / f64::from(1 << 20);
    let start = start(options, &folder)?;
    println!(
        "program: {program:.1} MiB; start to ready: median {}, slowest {}",
        report::time(start.0),
        report::time(start.1),
    );
    let bare = Server::bare(folder.path())?;
    let (tidegate, _) = Server::tidegate(&options.tidegate, folder.path())?;
    let mut mixes = Vec::new();
    for mix in &options.mixes {
        mixes.push(measure(options, *mix, &bare, &tidegate)?);
    }
    let turns = (options.slice().as_secs_f64(), options.rounds());
    Ok(Load { machine: machine(), turns, program, start, mixes })
}

/// How long it takes to be ready: the median and the slowest, in nanoseconds.
fn start(options: &Options, folder: &TempDir) -> anyhow::Result<(u64, u64)> {
    let mut times = Vec::new();
    for _ in 0..options.starts() {
        times.push(Server::tidegate(&options.tidegate, folder.path())?.1.as_nanos() as u64);
    }
    times.sort_unstable();
    Ok((report::quantile(&times, 0.5), report::quantile(&times, 1.0)))
}

/// One mix, in the closed and in the open loop.
fn measure(
    options: &Options,
    mix: Mix,
    bare: &Server,
    tidegate: &Server,
) -> anyhow::Result<MixLoad> {
    let corpus = Corpus::read(mix)?;
    let name = format!("{mix:?}").to_lowercase();
    println!("\nMix {name}, {} bytes a request; closed loop\n", corpus.mean_length());
    println!("{}", report::HEADER);
    for server in [bare, tidegate] {
        drive(server, &corpus, 8, Pace::Closed, Until::Elapsed(options.slice() / 2))?;
    }
    let (mut closed, mut refused, mut asked) = (Vec::new(), 0, 0);
    for connections in &options.connections {
        let both = (bare, tidegate);
        let (pair, sample) = turns(options, &corpus, both, *connections, Pace::Closed)?;
        refused += sample.reviews() as u64 - sample.admitted;
        asked += sample.reviews() as u64;
        println!("{}", report::lines(&pair));
        closed.push(pair);
    }
    ensure!(refused > 0 || mix == Mix::Mutate, "tidegate refused nothing: it judges nothing");
    println!("\n{}", report::RATIOS);
    for pair in &closed {
        println!("{}", report::ratios(pair));
    }
    let most = closed.iter().map(|pair| pair.tidegate.rate).fold(0.0, f64::max);
    let pace = Pace::Open(most / 2.0);
    let (open, _) = turns(options, &corpus, (bare, tidegate), OPEN, pace)?;
    println!("\nOpen loop at {:.0} reviews/s, half of tidegate's most\n", most / 2.0);
    println!("{}\n{}", report::HEADER, report::lines(&open));
    let refused = refused as f64 * 100.0 / asked.max(1) as f64;
    Ok(MixLoad { mix: name, bytes: corpus.mean_length(), refused, closed, open })
}

/// Drives both in turns; what tidegate answered is given too.
fn turns(
    options: &Options,
    corpus: &Corpus,
    (bare, tidegate): (&Server, &Server),
    connections: usize,
    pace: Pace,
) -> anyhow::Result<(Pair, Sample)> {
    let (mut bares, mut tidegates) = (Sample::default(), Sample::default());
    let (mut rates, mut cpus) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds() {
        let until = Until::Elapsed(options.slice());
        let first = drive(bare, corpus, connections, pace, until)?;
        let second = drive(tidegate, corpus, connections, pace, until)?;
        rates.push(second.rate() / first.rate());
        cpus.push(first.cpu_of_one() / second.cpu_of_one());
        bares.add(&first);
        tidegates.add(&second);
    }
    let pair = Pair {
        connections,
        bare: Line::of(&bares),
        tidegate: Line::of(&tidegates),
        throughput: Ratio::of(rates),
        cpu: Ratio::of(cpus),
    };
    Ok((pair, tidegates))
}

/// What memory a fresh server holds, and what it becomes over many reviews.
///
/// # Errors
///
/// When a server cannot be started, or an answer is wrong.
pub(crate) fn memory(options: &Options) -> anyhow::Result<Memory> {
    let folder = TempDir::with_prefix("tidegate-load-")?;
    let corpus = Corpus::read(Mix::Validate)?;
    let bare = Server::bare(folder.path())?;
    let (fresh, _) = Server::tidegate(&options.tidegate, folder.path())?;
    let (mut after, mut done) = (vec![(0, fresh.memory()?.0)], 0);
    let reviews = options.reviews();
    for part in [reviews / 100, reviews / 10 - reviews / 100, reviews - reviews / 10] {
        let sample = drive(&fresh, &corpus, OPEN, Pace::Closed, Until::Reviews(part))?;
        done += sample.reviews() as u64;
        after.push((done, fresh.memory()?.0));
    }
    drive(&bare, &corpus, OPEN, Pace::Closed, Until::Reviews(reviews / 10))?;
    let (bare, most) = (bare.memory()?.0, fresh.memory()?.1);
    println!("\nResident memory of tidegate; the bare server holds {:.1} MiB\n", mib(bare));
    for (reviews, memory) in &after {
        println!("- after {reviews} reviews: {:.1} MiB", mib(*memory));
    }
    Ok(Memory { machine: machine(), after, most, bare })
}

/// KiB as MiB.
pub(crate) fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
