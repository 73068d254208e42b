//! tidegate keeps database migrations safe on Kubernetes.
//!
//! One engine, two faces: an admission webhook and a command line. Modules are listed in the
//! order in which data flows through them:
//!
//! ```text
//! AdmissionReview | manifest
//!   -> source    text to values that know their line and column
//!   -> model     the object, parsed once: identity, hooks, waves, Pod templates of every kind
//!   -> detect    containers to "this runs a migration": tool, operation, evidence
//!   -> rules     one object, its old version, facts -> findings
//!   -> policy    which rules, at which level, for which namespaces; approvals
//!   -> decision  the verdict, and the JSON Patch that fills in defaults
//!   -> scan      a whole cluster, object by object; report puts it into objects of its own
//!   -> webhook | cluster | cli + render
//! ```
//!
//! Everything down to `decision` is pure: no clock, no disk, no network, no environment, no async.
//! Facts and the present time are gathered by an adapter and passed in.

#[deny(clippy::disallowed_methods, reason = "the core does no I/O")]
pub mod source;

#[deny(clippy::disallowed_methods, reason = "the core does no I/O")]
pub mod model;

#[deny(clippy::disallowed_methods, reason = "the core does no I/O")]
pub mod detect;

#[deny(clippy::disallowed_methods, reason = "the core does no I/O")]
pub mod rules;

#[deny(clippy::disallowed_methods, reason = "the core does no I/O")]
pub mod policy;

#[deny(clippy::disallowed_methods, reason = "the core does no I/O")]
pub mod plan;

#[deny(clippy::disallowed_methods, reason = "the core does no I/O")]
pub mod decision;

#[deny(clippy::disallowed_methods, reason = "the core does no I/O")]
pub mod policy_test;

#[deny(clippy::disallowed_methods, reason = "the core does no I/O")]
pub mod scan;

#[deny(clippy::disallowed_methods, reason = "the core does no I/O")]
pub mod report;

#[deny(clippy::disallowed_methods, reason = "the present is an argument")]
pub mod pki;

pub mod cli;
pub mod cluster;
pub mod doctor;
pub mod metrics;
pub mod render;
pub mod settings;
pub mod telemetry;
pub mod webhook;
