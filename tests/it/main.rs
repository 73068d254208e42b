//! Everything that is tested from outside, in one binary that links once.
#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::large_futures,
    clippy::missing_panics_doc,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    reason = "a test that cannot go on fails"
)]

mod approval_resources;
mod approvals;
mod approve;
mod approve_cluster;
mod architecture;
mod bad_input;
mod baseline;
mod certificate;
mod chart;
mod check;
mod command;
mod dependencies;
mod deploy;
mod detect;
mod docs;
mod doctor;
mod explain;
mod fake_cluster;
mod fix;
#[path = "../common/fixture.rs"]
mod fixture;
mod formats;
mod generated;
mod image;
mod integrations;
mod monitoring;
mod plan;
mod policy;
mod policy_test;
mod program;
mod releases;
mod rendered;
mod rules;
mod scan;
mod shell;
mod support;
mod traps;
mod webhook_binary;
mod webhook_config;
mod webhook_kube;
mod webhook_listener;
mod webhook_tls;
mod webhook_wire;
