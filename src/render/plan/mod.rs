//! The rollout of a set of manifests, for people, for machines and for pull requests.

mod html;
mod human;
mod json;
mod markdown;
mod mermaid;
mod words;

use super::{InputError, Tally};
use crate::plan::report::{Plan, PlanDiff};

pub use html::html;
pub use human::{Human, human};
pub use json::{json, json_schema};
pub use markdown::markdown;

/// The plans of a set of manifests.
#[derive(Clone, Debug)]
pub struct PlanReport {
    /// One for each release.
    pub plans: Vec<Plan>,
    /// What a change does to each, in the same order, and then what is gone; none when nothing was
    /// compared.
    pub diffs: Option<Vec<PlanDiff>>,
    /// What could not be read, and so is in no plan.
    pub errors: Vec<InputError>,
    /// How many findings there are of each effect.
    pub tally: Tally,
}
