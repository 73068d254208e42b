//! Tables.

use std::fmt::Write as _;

use super::generator::Sample;

/// The columns of a measurement.
pub(crate) const HEADER: &str = "\
| connections | server | reviews/s | p50 | p99 | p99.9 | CPU a review |\n\
|---:|---|---:|---:|---:|---:|---:|";

/// One line of the table.
pub(crate) fn line(connections: usize, server: &str, sample: &Sample) -> String {
    let mut sorted = sample.nanoseconds.clone();
    sorted.sort_unstable();
    let mut line = format!("| {connections} | {server} | {:.0} ", sample.rate());
    for share in [0.5, 0.99, 0.999] {
        let _ = write!(line, "| {} ", time(quantile(&sorted, share)));
    }
    let _ = write!(line, "| {:.1} us |", sample.cpu_of_one());
    line
}

/// The value below which `share` of the sorted values are.
pub(crate) fn quantile(sorted: &[u64], share: f64) -> u64 {
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Nanoseconds, with a unit.
pub(crate) fn time(nanoseconds: u64) -> String {
    let microseconds = nanoseconds as f64 / 1e3;
    if microseconds < 1_000.0 {
        format!("{microseconds:.0} us")
    } else {
        format!("{:.2} ms", microseconds / 1e3)
    }
}

/// The median of the ratios of the rounds, and the least and the greatest.
pub(crate) fn ratios(mut rounds: Vec<f64>) -> String {
    rounds.sort_by(f64::total_cmp);
    let middle = rounds[rounds.len() / 2];
    match rounds.as_slice() {
        [least, .., greatest] => format!("{middle:.2} ({least:.2} to {greatest:.2})"),
        _ => format!("{middle:.2}"),
    }
}

/// What this runs on.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!("{}, {cores} cores", model.map_or("unknown CPU", |(_, name)| name))
}
