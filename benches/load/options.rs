//! What can be asked for.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::corpus::Mix;

/// Measure tidegate beside a bare server, in turns, under the same load.
#[derive(Debug, clap::Parser)]
pub(crate) struct Options {
    /// Seconds that one server is driven before it is the other's turn
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS")]
    slice: f64,

    /// Turns of each server, for each number of connections
    #[arg(long, default_value_t = 5)]
    rounds: u32,

    /// Numbers of connections
    #[arg(long, value_delimiter = ',', default_value = "1,8,32")]
    pub(crate) connections: Vec<usize>,

    /// Which recorded reviews are sent
    #[arg(long, default_value = "judged")]
    pub(crate) mix: Mix,

    /// A run of ten seconds, to see that everything works
    #[arg(long)]
    quick: bool,

    /// Then send tidegate this many reviews, and see what memory it takes
    #[arg(long, value_name = "N")]
    pub(crate) reviews: Option<u64>,

    /// Measure this program instead of the one that was just built
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_tidegate"))]
    pub(crate) tidegate: PathBuf,

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

impl Options {
    /// How long one turn is.
    pub(crate) fn slice(&self) -> Duration {
        Duration::from_secs_f64(if self.quick { 0.7 } else { self.slice })
    }

    /// How many turns each server has.
    pub(crate) fn rounds(&self) -> u32 {
        if self.quick { 1 } else { self.rounds.max(1) }
    }

    /// How often the start is measured.
    pub(crate) fn starts(&self) -> usize {
        if self.quick { 3 } else { 15 }
    }
}
