//! A whole cluster, judged object by object as admission would judge it: what is refused now, and
//! what would be if every policy enforced.
//!
//! ```text
//! kinds, in order -> Scanner: namespaces, facts, then one object after the other -> Scan
//! ```
//!
//! Whoever lists the cluster hands in what it lists, page by page, and may forget it: only what was
//! found is kept, and of that no more than [`Limits`] allow.

mod around;
mod judge;
mod kinds;
mod owners;
mod result;
mod tally;
#[cfg(test)]
mod tests;

pub use judge::{Item, LookedUp, Options, Scanner};
pub use kinds::{Kind, kinds};
pub use result::{Counts, ExceptionNote, Found, Limits, Scan, Scanned};
pub use tally::{NamespaceTally, RuleTally, TeamTally};
