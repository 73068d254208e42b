//! Figures as people read them.

use super::{
    generator::Sample,
    results::{Line, Pair},
};

/// The columns of [`lines`].
pub(crate) const HEADER: &str = "\
| connections | server | reviews/s | p50 | p99 | p99.9 | CPU a review |\n\
|---:|---|---:|---:|---:|---:|---:|";

/// The columns of [`ratios`].
pub(crate) const RATIOS: &str = "\
| tidegate / bare | throughput | reviews per second of the server's own CPU |\n|---|---:|---:|";

impl Line {
    pub(crate) fn of(sample: &Sample) -> Self {
        let mut sorted = sample.nanoseconds.clone();
        sorted.sort_unstable();
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| quantile(&sorted, share));
        Self { rate: sample.rate(), p50, p99, p999, cpu: sample.cpu_of_one() }
    }

    /// The columns of one server.
    pub(crate) fn columns(&self) -> String {
        let Self { rate, p50, p99, p999, cpu } = self;
        let [p50, p99, p999] = [p50, p99, p999].map(|nanoseconds| time(*nanoseconds));
        format!("{rate:.0} | {p50} | {p99} | {p999} | {cpu:.1} us")
    }
}

/// A line of the table for each server.
pub(crate) fn lines(Pair { connections, bare, tidegate, .. }: &Pair) -> String {
    format!(
        "| {connections} | bare | {} |\n| {connections} | tidegate | {} |",
        bare.columns(),
        tidegate.columns()
    )
}

/// A line of the table of ratios.
pub(crate) fn ratios(Pair { connections, throughput, cpu, .. }: &Pair) -> String {
    let plural = if *connections == 1 { "" } else { "s" };
    format!("| {connections} connection{plural} | {throughput} | {cpu} |")
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

/// A number with commas between its thousands.
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
