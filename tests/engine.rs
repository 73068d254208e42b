//! The engine on real input: recorded `AdmissionReview`s, the reference manifests, and arbitrary Jobs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a test fails by panicking; the allowance of clippy.toml covers #[test] functions only"
)]

mod engine {
    mod jobs;
    mod kinds;
    mod properties;
    mod ratchet;
    mod recorded;
    mod reference;
    mod support;
}
