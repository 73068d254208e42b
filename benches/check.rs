//! What `tidegate check` costs beside a pass that only parses the same files with the same parser, in
//! one run.
//!
//! Folders of applications are written, each with a backup, a migration, an application with its
//! settings, and a check afterwards. Then both are run in turn over them, on every core, and the
//! least and the middle time of each is printed, with what lies between. With `--test`, as under
//! `cargo test --benches`, everything is small and run once.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a benchmark ends by panicking, calculates with what it measures, and prints it"
)]

use std::{
    env, fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use tidegate::source;

/// One application: five objects in three files.
const FILES: [(&str, &str); 3] = [
    ("hooks.yaml", include_str!("check/hooks.yaml")),
    ("app.yaml", include_str!("check/app.yaml")),
    ("verify.yaml", include_str!("check/verify.yaml")),
];
const OBJECTS: usize = 5;

fn main() {
    // Cargo gives `--bench`; a test run gives nothing of the kind.
    let is_test = !env::args().any(|arg| arg == "--bench");
    let (sizes, rounds): (&[usize], usize) =
        if is_test { (&[10], 1) } else { (&[1_000, 10_000, 20_000], 7) };
    println!("manifests  parse only        check             check / parse  manifests/s  memory");
    for size in sizes {
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path(), size / OBJECTS);
        let (mut parses, mut checks) = (Vec::new(), Vec::new());
        let mut memory = 0;
        for _ in 0..rounds {
            parses.push(timed(|| parse(&files)));
            checks.push(timed(|| memory = memory.max(check(folder.path()))));
        }
        report(*size, parses, checks, memory);
    }
}

fn write(folder: &Path, applications: usize) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for number in 0..applications {
        let folder = folder.join(format!("{:03}/{number}", number / 100));
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in FILES {
            let file = folder.join(name);
            fs::write(&file, text.replace("shop", &format!("shop-{number}"))).unwrap();
            files.push(file);
        }
    }
    files
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Reads and parses every file, and does nothing else.
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

/// Checks the folder; how much memory it took at most, in KiB, where the system tells.
fn check(folder: &Path) -> u64 {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["check", "--format=json", "--fail-on=never"])
        .arg(folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    // The first byte comes when everything has been judged, so that the peak is behind it.
    let mut byte = [0];
    std::io::Read::read_exact(&mut stdout, &mut byte).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|line| line.split_whitespace().next()?.parse().ok());
    std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
    assert!(child.wait().unwrap().success(), "check could not run");
    peak.unwrap_or(0)
}

fn report(size: usize, mut parses: Vec<Duration>, mut checks: Vec<Duration>, memory: u64) {
    parses.sort();
    checks.sort();
    let (parse, check) = (parses[parses.len() / 2], checks[checks.len() / 2]);
    let ms = |duration: Duration| duration.as_secs_f64() * 1_000.0;
    println!(
        "{size:>9}  {:>6.1} / {:>6.1} ms  {:>6.1} / {:>6.1} ms  {:>13.2}  {:>11.0}  {:>3} MiB",
        ms(parses[0]),
        ms(parse),
        ms(checks[0]),
        ms(check),
        check.as_secs_f64() / parse.as_secs_f64(),
        size as f64 / check.as_secs_f64(),
        memory / 1_024,
    );
}
