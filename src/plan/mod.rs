//! The rollout of a whole set as it will happen: what is applied when, and what migrates on the way.

pub mod order;
