//! How the cases of policies came out: for people, as JSON and as JUnit XML.

mod human;
mod json;
mod junit;

use super::{InputError, text::one_line};
use crate::{
    policy_test::{Difference, Observed},
    source::Position,
};

pub use human::human;
pub use json::json;
pub use junit::junit;

/// Every case that was played, and what kept others from it.
#[derive(Clone, Debug, Default)]
pub struct TestReport {
    /// The tests, in the order of the input.
    pub suites: Vec<TestedSuite>,
    /// What could not be read or played.
    pub errors: Vec<InputError>,
}

/// One `PolicyTest`.
#[derive(Clone, Debug)]
pub struct TestedSuite {
    /// The file.
    pub file: String,
    /// Its `metadata.name`.
    pub name: String,
    /// Its cases, in order.
    pub cases: Vec<TestedCase>,
}

/// One case.
#[derive(Clone, Debug)]
pub struct TestedCase {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub position: Position,
    /// What became of the request.
    pub observed: Observed,
    /// In what it came out otherwise; empty when it passes.
    pub differences: Vec<Difference>,
}

impl TestedCase {
    /// True when everything came out as expected.
    pub fn passes(&self) -> bool {
        self.differences.is_empty()
    }
}

impl TestReport {
    /// How many cases passed, and how many failed.
    pub fn tally(&self) -> (usize, usize) {
        let cases = self.suites.iter().flat_map(|suite| &suite.cases);
        let passed = cases.clone().filter(|case| case.passes()).count();
        (passed, cases.count().saturating_sub(passed))
    }
}

impl Difference {
    /// One line for what was expected, after `- `, and one for what was found, after `+ `.
    pub(super) fn lines(&self) -> Vec<String> {
        let Self { about, expected, found } = self;
        [('-', expected), ('+', found)]
            .into_iter()
            .filter_map(|(sign, text)| Some((sign, text.as_ref()?)))
            .map(|(sign, text)| format!("{sign} {about}: {}", one_line(text)))
            .collect()
    }
}
