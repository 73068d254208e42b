//! The engine on real input: recorded `AdmissionReview`s, the reference manifests, and arbitrary Jobs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::too_many_lines,
    clippy::allow_attributes,
    reason = "a test fails by panicking, and a table is as long as it is"
)]

mod engine {
    mod borders;
    mod controllers;
    mod created;
    mod custom;
    mod defaults;
    mod detectors;
    mod exceptions;
    mod jobs;
    mod kinds;
    mod lifecycle;
    mod properties;
    mod ratchet;
    mod recorded;
    mod reference;
    mod support;
    mod swap;
}
