//! What `tidegate check` costs beside a pass that only parses the same files with the same parser.

use std::{
    fs,
    hint::black_box,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use tidegate::source;

use super::{
    folder::{self, OBJECTS},
    options::Options,
    results::{Check, CheckLine, machine},
};

/// Numbers of manifests, and how often each is checked.
const SIZES: [usize; 3] = [1_000, 10_000, 20_000];
const ROUNDS: u32 = 5;

/// Measures and prints.
///
/// # Errors
///
/// When no folder can be made.
pub(crate) fn measure(options: &Options) -> anyhow::Result<Check> {
    let (sizes, rounds) = if options.quick { (&SIZES[..1], 1) } else { (&SIZES[..], ROUNDS) };
    println!("\nmanifests  parse only        check             check / parse  memory");
    let mut lines = Vec::new();
    for manifests in sizes {
        let folder = tempfile::tempdir()?;
        let files = folder::write(folder.path(), manifests / OBJECTS);
        let (mut parses, mut checks) = (Vec::new(), Vec::new());
        let mut memory = 0;
        for _ in 0..rounds {
            parses.push(timed(|| parse(&files)));
            let check = || folder::check(&options.tidegate, folder.path(), None);
            checks.push(timed(|| memory = memory.max(check())));
        }
        let (parse, check) = (least_and_middle(parses), least_and_middle(checks));
        let memory = memory / 1_024;
        println!(
            "{manifests:>9}  {:>6.1} / {:>6.1} ms  {:>6.1} / {:>6.1} ms  {:>13.2}  {memory:>3} MiB",
            parse.0,
            parse.1,
            check.0,
            check.1,
            check.1 / parse.1,
        );
        lines.push(CheckLine { manifests: *manifests, parse, check, memory });
    }
    Ok(Check { machine: machine(), lines })
}

/// In milliseconds.
fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e3
}

fn least_and_middle(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[0], times[times.len() / 2])
}

/// Reads and parses every file on every core, and does nothing else.
fn parse(files: &[PathBuf]) {
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().unwrap().get();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let text = fs::read_to_string(file).unwrap();
                    for document in source::documents(&text) {
                        black_box(document.unwrap().value());
                    }
                }
            });
        }
    });
}
