//! Policies as they would be if they enforced: what a scan answers "what would be refused?" with.

use std::sync::Arc;

use super::{
    Policy,
    document::{Ceiling, Spec},
    load::Loader,
};
use crate::rules::Level;

impl Policy {
    /// The same policy with its ceiling lifted to `Deny`, so that every rule has the level that is
    /// its own. It applies where the policy that it was made of does.
    #[must_use]
    pub fn enforced(&self) -> Self {
        let lifted = Spec { level: Ceiling(Level::Deny), ..Spec::clone(&self.spec) };
        // The spec was right under its own ceiling, which nothing else depends on.
        let compiled = Loader::new("", None, "").compile(&self.name, lifted);
        Self { spec: Arc::clone(&self.spec), detector: Arc::clone(&self.detector), ..compiled }
    }
}
