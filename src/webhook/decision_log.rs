//! The decision log: one line of JSON for each answer, in a form that does not change.
//!
//! Nothing in it is text of an object: names, paths of fields and ids of rules only. Lines are written by
//! a thread of their own; what it cannot keep up with is counted and left out, and nothing waits.

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    path::Path,
    sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    thread,
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::metrics::Metrics;

/// How many lines wait to be written.
const WAITING: usize = 4_096;

/// One answer.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision<'d> {
    /// When it was answered.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub time: Timestamp,
    /// The uid of the request.
    pub uid: &'d str,
    /// `validate` or `mutate`.
    pub path: &'static str,
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub operation: &'static str,
    /// API group of the object; empty for the core group.
    pub group: &'d str,
    /// Kind of the object.
    pub kind: &'d str,
    /// Namespace of the object; empty when it is cluster-scoped.
    pub namespace: &'d str,
    /// Name of the object; empty when the API server has not made it yet.
    pub name: &'d str,
    /// The part of the object that is changed; empty for the object itself.
    pub subresource: &'d str,
    /// Who asked, as the API server authenticated it.
    pub user: &'d str,
    /// True for a dry run.
    pub dry_run: bool,
    /// Whether it is let in.
    pub allowed: bool,
    /// What became of it: `admitted`, `refused`, `not-judged`, `no-policy`, `controller-child`,
    /// `unchanged`, `panic`; for `mutate` also `patched`.
    pub outcome: &'static str,
    /// The policy that applied.
    pub policy: Option<&'d str>,
    /// What was found.
    pub findings: Vec<DecisionFinding<'d>>,
    /// The database operation for which an approval was made use of.
    pub approved: Option<&'static str>,
    /// Microseconds from the end of the request's head to the answer.
    pub elapsed_us: u64,
}

/// One finding of an answer.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionFinding<'d> {
    /// The rule's id.
    pub rule: &'static str,
    /// `deny`, `warn`, `audit`, `existing` (the old object had it) or `excepted`.
    pub effect: &'static str,
    /// Path of the field.
    pub at: &'d str,
    /// True when a fact was missing.
    pub undecided: bool,
}

/// The JSON Schema of a line.
pub fn decision_schema() -> serde_json::Value {
    schemars::schema_for!(Decision<'static>).to_value()
}

/// Where decisions are written.
#[derive(Debug)]
pub struct DecisionLog {
    lines: SyncSender<Vec<u8>>,
}

impl DecisionLog {
    /// Appends to a file, or writes to standard output for `-`.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or no thread be started.
    pub fn open(path: &Path) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            return Self::start(io::stdout());
        }
        Self::start(OpenOptions::new().create(true).append(true).open(path)?)
    }

    fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(WAITING);
        thread::Builder::new()
            .name("decision-log".to_owned())
            .spawn(move || write_all(&waiting, BufWriter::new(sink)))?;
        Ok(Self { lines })
    }

    /// Leaves a line to be written.
    pub(super) fn note(&self, decision: &Decision<'_>, metrics: &Metrics) {
        // Texts and numbers: serialising them cannot fail.
        let Ok(mut line) = serde_json::to_vec(decision) else { return };
        line.push(b'\n');
        if self.lines.try_send(line).is_err() {
            metrics.decisions_dropped.inc();
        }
    }
}

/// Writes lines until nobody can send any more; what waits is written through before it waits again.
fn write_all(lines: &Receiver<Vec<u8>>, mut sink: impl Write) {
    loop {
        let line = match lines.try_recv() {
            Ok(line) => line,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                if let Err(error) = sink.flush() {
                    tracing::error!(%error, "the decision log cannot be written");
                }
                let Ok(line) = lines.recv() else { break };
                line
            }
        };
        // A full disk is told when it is flushed; the next line is tried all the same.
        drop(sink.write_all(&line));
    }
    drop(sink.flush());
}
