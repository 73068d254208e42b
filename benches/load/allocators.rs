//! The same program with other allocators, in turns.
//!
//! They are loaded before the C library, so that nothing is built anew and nothing else differs. What
//! is linked in costs a little less for each call.

use std::{fmt::Write as _, path::Path, time::Instant};

use anyhow::ensure;
use tempfile::TempDir;

use super::{
    corpus::{Corpus, Mix},
    folder::{self, OBJECTS},
    generator::{Pace, Sample, Until, drive},
    options::Options,
    process::{Launch, Server},
    results::{Allocator, Allocators, Line, Ratio, machine},
    run::{OPEN, mib},
};

/// Where Debian has the others.
const KNOWN: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
    "/usr/lib/x86_64-linux-gnu/libmimalloc.so.2",
    "/usr/lib/aarch64-linux-gnu/libjemalloc.so.2",
    "/usr/lib/aarch64-linux-gnu/libmimalloc.so.2",
];
/// Applications of the folder that is checked.
const APPLICATIONS: usize = 1_000;

/// One allocator and what it came to.
struct Turn<'t> {
    preload: Option<&'t Path>,
    server: Server,
    sample: Sample,
    cpu: Vec<f64>,
    check: Vec<f64>,
    // Dropped after the server.
    _folder: TempDir,
}

/// Measures and prints.
///
/// # Errors
///
/// When there is nothing to compare with, or an answer is wrong.
pub(crate) fn measure(options: &Options) -> anyhow::Result<Allocators> {
    let known = KNOWN.iter().map(Path::new).filter(|path| path.exists());
    let given = options.preloads.iter().map(AsRef::as_ref);
    let preloads: Vec<&Path> = known.chain(given).collect();
    ensure!(!preloads.is_empty(), "name an allocator with --preload, or install libjemalloc2");
    let mut turns = Vec::new();
    for preload in std::iter::once(None).chain(preloads.into_iter().map(Some)) {
        let folder = TempDir::with_prefix("tidegate-load-")?;
        let launch = Launch { preload, ..Launch::default() };
        let (server, _) = Server::launch(&options.tidegate, folder.path(), &launch)?;
        let (cpu, check) = (Vec::new(), Vec::new());
        turns.push(Turn {
            preload,
            server,
            sample: Sample::default(),
            cpu,
            check,
            _folder: folder,
        });
    }
    let corpus = Corpus::read(Mix::Validate)?;
    let manifests = TempDir::with_prefix("tidegate-check-")?;
    let applications = if options.quick { APPLICATIONS / 20 } else { APPLICATIONS };
    folder::write(manifests.path(), applications);
    for round in 0..=options.rounds() {
        for turn in &mut turns {
            let until = Until::Elapsed(options.slice());
            let sample = drive(&turn.server, &corpus, OPEN, Pace::Closed, until)?;
            let start = Instant::now();
            folder::check(&options.tidegate, manifests.path(), turn.preload);
            let check = start.elapsed().as_secs_f64();
            // The first round warms them up.
            if round > 0 {
                turn.cpu.push(sample.cpu_of_one());
                turn.check.push(check);
                turn.sample.add(&sample);
            }
        }
    }
    let lines = lines(&turns)?;
    println!("\nAllocators, {OPEN} connections, check of {} manifests\n", applications * OBJECTS);
    println!("{}", table(&lines));
    Ok(Allocators { machine: machine(), connections: OPEN, lines })
}

fn lines(turns: &[Turn<'_>]) -> anyhow::Result<Vec<Allocator>> {
    let first = &turns[0];
    let beside = |values: &[f64], firsts: &[f64]| {
        Ratio::of(values.iter().zip(firsts).map(|(value, first)| value / first).collect())
    };
    let line = |turn: &Turn<'_>| {
        let name = turn.preload.and_then(Path::file_name).map(|name| name.display().to_string());
        Ok(Allocator {
            name: name.unwrap_or_else(|| "as shipped".to_owned()),
            line: Line::of(&turn.sample),
            cpu: beside(&turn.cpu, &first.cpu),
            memory: turn.server.memory()?.0,
            check: beside(&turn.check, &first.check),
        })
    };
    turns.iter().map(line).collect()
}

/// The results as a table.
pub(crate) fn table(lines: &[Allocator]) -> String {
    let mut table = "| allocator | reviews/s | p50 | p99 | p99.9 | CPU a review | of the first \
                     | resident memory | time of `check`, of the first |\n\
                     |---|---:|---:|---:|---:|---:|---:|---:|---:|"
        .to_owned();
    for Allocator { name, line, cpu, memory, check } in lines {
        let _ = write!(
            table,
            "\n| {name} | {} | {cpu} | {:.1} MiB | {check} |",
            line.columns(),
            mib(*memory)
        );
    }
    table
}
