//! Tests of policies: what a request should come to, written down beside the policy.
//!
//! ```text
//! YAML -> document (strict, with positions) -> Suite -> Scene (one request) -> Observed
//!                                                Expect + Observed -> [Difference]
//! ```
//!
//! A scene goes through the same two functions as a request to the webhook: first
//! [`mutate`](crate::decision::mutate), then [`validate`](crate::decision::validate()).

mod around;
mod document;
mod expectation;
mod given;
mod load;
mod scene;

pub use document::{
    ApprovalGiven, Case, Expect, ExpectedEffect, ExpectedFindings, ExpectedVerdict, Finding,
    FindingEntry, ObjectFrom, PolicyTest, RequestOperation, Spec, User, json_schema,
};
pub use expectation::{Difference, compare};
pub use given::{ActiveGiven, BackupGiven, BackupStateGiven, FactsGiven, GrantGiven, UnknownFact};
pub use load::{DEFAULT_NOW, KIND, Parsed, Suite, parse};
pub use scene::{Observed, Problem, Request, Scene};
