//! What was measured: kept beside the documentation, which is written from it.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::callgrind::Counts;

/// Where they are kept.
pub(crate) const FILE: &str = "docs/performance/results.json";

/// Everything. A part that is not measured anew stays as it was.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Results {
    pub(crate) load: Option<Load>,
    pub(crate) counts: Option<BTreeMap<String, Counts>>,
    pub(crate) growth: Option<Vec<Series>>,
    pub(crate) inside: Option<Inside>,
    pub(crate) memory: Option<Memory>,
    pub(crate) allocators: Option<Allocators>,
    pub(crate) api_server: Option<ApiServer>,
    pub(crate) check: Option<Check>,
}

/// Both servers under the same load.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) machine: String,
    /// Seconds of one turn, and how many each server had.
    pub(crate) turns: (f64, u32),
    /// Size of the program in MiB.
    pub(crate) program: f64,
    /// Start to ready in nanoseconds: median, slowest.
    pub(crate) start: (u64, u64),
    pub(crate) mixes: Vec<MixLoad>,
}

/// One mix.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MixLoad {
    pub(crate) mix: String,
    /// Mean length of a request in bytes.
    pub(crate) bytes: usize,
    /// Share that was refused, in percent.
    pub(crate) refused: f64,
    pub(crate) closed: Vec<Pair>,
    /// At half of tidegate's most.
    pub(crate) open: Pair,
}

/// The same load on both servers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(crate) connections: usize,
    pub(crate) bare: Line,
    pub(crate) tidegate: Line,
    /// tidegate's reviews per second, of those of the bare server.
    pub(crate) throughput: Ratio,
    /// The same per second of the server's own processor time.
    pub(crate) cpu: Ratio,
}

/// One server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Reviews a second.
    pub(crate) rate: f64,
    /// Time to the answer in nanoseconds.
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    /// Processor time of the server for one, in microseconds.
    pub(crate) cpu: f64,
}

/// The median of the rounds, the least and the greatest.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Ratio {
    pub(crate) middle: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

impl Ratio {
    pub(crate) fn of(mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        let last = rounds.len() - 1;
        Self { middle: rounds[rounds.len() / 2], least: rounds[0], greatest: rounds[last] }
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { middle, least, greatest } = self;
        write!(f, "{middle:.2} ({least:.2} to {greatest:.2})")
    }
}

/// How what one review costs grows with one of its dimensions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// What is counted on the axis below, with its unit.
    pub(crate) axis: String,
    /// Sizes and instructions.
    pub(crate) points: Vec<(u64, u64)>,
}

/// What a review takes inside the process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Inside {
    pub(crate) machine: String,
    /// How many reviews each line stands for.
    pub(crate) reviews: u64,
    pub(crate) lines: Vec<InsideLine>,
}

/// One set of policies.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InsideLine {
    pub(crate) name: String,
    /// In microseconds.
    pub(crate) mean: f64,
    /// Percent within 50 and 100 microseconds and a millisecond.
    pub(crate) within: [f64; 3],
}

/// Resident memory, in KiB.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) machine: String,
    /// After so many reviews.
    pub(crate) after: Vec<(u64, u64)>,
    pub(crate) most: u64,
    /// What the bare server holds after as many as it had.
    pub(crate) bare: u64,
}

/// The same load with different allocators.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Allocators {
    pub(crate) machine: String,
    pub(crate) connections: usize,
    pub(crate) lines: Vec<Allocator>,
}

/// One of them; the first is what tidegate is shipped with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Allocator {
    pub(crate) name: String,
    pub(crate) line: Line,
    /// Of the processor time for a review, beside the first.
    pub(crate) cpu: Ratio,
    /// Resident memory at the end in KiB.
    pub(crate) memory: u64,
    /// Time of `check` on a folder beside the first.
    pub(crate) check: Ratio,
}

/// Requests to a real API server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ApiServer {
    pub(crate) machine: String,
    pub(crate) version: String,
    pub(crate) lines: Vec<ApiServerLine>,
}

/// One object over so many connections, in three namespaces.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ApiServerLine {
    pub(crate) object: String,
    pub(crate) connections: usize,
    /// Nanoseconds to the answer, p50 and p99, and whether it was admitted; without any admission
    /// control, with a policy in CEL, and with tidegate.
    pub(crate) cases: Vec<(String, u64, u64, bool)>,
}

/// `tidegate check` beside a pass that only parses.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) machine: String,
    pub(crate) lines: Vec<CheckLine>,
}

/// One number of manifests; times in milliseconds, least and median.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CheckLine {
    pub(crate) manifests: usize,
    pub(crate) parse: (f64, f64),
    pub(crate) check: (f64, f64),
    /// Most resident memory in MiB.
    pub(crate) memory: u64,
}

impl Results {
    /// What was kept; nothing when there is no file yet.
    pub(crate) fn read() -> anyhow::Result<Self> {
        match fs::read_to_string(file()) {
            Ok(text) => serde_json::from_str(&text).context(FILE),
            Err(_) => Ok(Self::default()),
        }
    }

    /// Keeps them.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(file(), text).context(FILE)
    }
}

fn file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE)
}

/// What this runs on.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!("{}, {cores} cores", model.map_or("unknown CPU", |(_, name)| name))
}
