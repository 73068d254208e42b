//! What can be asked for.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::corpus::Mix;

/// Measure tidegate beside a bare server, in turns, under the same load.
#[derive(Debug, clap::Parser)]
pub(crate) struct Options {
    /// What is measured
    #[arg(long = "part", value_delimiter = ',', default_value = "load")]
    pub(crate) parts: Vec<Part>,

    /// Keep the results, and write them into the documentation
    #[arg(long)]
    pub(crate) write: bool,

    /// Seconds that one server is driven before it is the other's turn
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    slice: f64,

    /// Turns of each server, for each number of connections
    #[arg(long, default_value_t = 5)]
    rounds: u32,

    /// Numbers of connections
    #[arg(long, value_delimiter = ',', default_value = "1,8,32,128")]
    pub(crate) connections: Vec<usize>,

    /// Which recorded reviews are sent
    #[arg(long = "mix", value_delimiter = ',', default_value = "validate,mutate")]
    pub(crate) mixes: Vec<Mix>,

    /// As short as it can be, to see that everything works
    #[arg(long)]
    pub(crate) quick: bool,

    /// Reviews of the part `memory`
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    reviews: u64,

    /// Measure this program instead of the one that was just built
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_tidegate"))]
    pub(crate) tidegate: PathBuf,

    /// An allocator to compare with, for the part `allocators`. Repeatable
    #[arg(long = "preload", value_name = "LIBRARY")]
    pub(crate) preloads: Vec<PathBuf>,

    /// Drive this webhook, and nothing else: all of the URL that its registration has
    #[arg(long, value_name = "HTTPS-URL", requires = "ca")]
    pub(crate) url: Option<String>,

    /// The authority of its certificate, in PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// What it must answer: JSON, for each recording true when it is admitted
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) expect: Option<PathBuf>,

    /// Ask once for each recording, and write what it answers as a file for --expect
    #[arg(long, value_name = "FILE", requires = "url", conflicts_with = "expect")]
    pub(crate) learn: Option<PathBuf>,

    /// Be the bare server
    #[arg(long, hide = true)]
    pub(crate) bare: Option<SocketAddr>,

    /// Where the bare server writes its authority
    #[arg(long, hide = true)]
    pub(crate) ca_out: Option<PathBuf>,

    /// What cargo passes
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Throughput, latency and processor time, and the start
    Load,
    /// Instructions and allocations of single reviews; needs valgrind
    Counts,
    /// How they grow with what is judged; needs valgrind
    Growth,
    /// What a review takes inside the process, by its own histogram
    Inside,
    /// Memory over many reviews
    Memory,
    /// `tidegate check` beside a pass that only parses
    Check,
    /// The same load with other allocators: see --preload
    Allocators,
    /// What a request of a real API server waits for; needs the programs of envtest
    ApiServer,
}

impl Options {
    /// How long one turn is.
    pub(crate) fn slice(&self) -> Duration {
        Duration::from_secs_f64(if self.quick { 0.5 } else { self.slice })
    }

    /// How many turns each server has.
    pub(crate) fn rounds(&self) -> u32 {
        if self.quick { 1 } else { self.rounds.max(1) }
    }

    /// How often the start is measured.
    pub(crate) fn starts(&self) -> usize {
        if self.quick { 3 } else { 15 }
    }

    /// How many reviews a server gets whose memory is watched.
    pub(crate) fn reviews(&self) -> u64 {
        if self.quick { self.reviews / 100 } else { self.reviews }
    }
}
