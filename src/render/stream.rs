//! Formats that are written while the rest is still judged.

use super::{Entry, Report, Totals};

/// A format of which every entry can be written as soon as it is its turn. What is kept of the
/// entries does not grow with them, errors apart.
pub trait Stream {
    /// Adds what stands for an entry, which is the next in the order of the input.
    fn entry(&mut self, entry: &Entry, text: &mut String);

    /// Adds what stands behind all of them.
    fn end(&mut self, totals: &Totals, text: &mut String);
}

/// The whole text of a report.
pub fn text_of(mut stream: impl Stream, report: &Report) -> String {
    let mut text = String::new();
    for entry in &report.entries {
        stream.entry(entry, &mut text);
    }
    stream.end(&report.totals, &mut text);
    text
}
