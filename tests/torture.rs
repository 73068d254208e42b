//! What a server in front of every change of a cluster has to survive.
//!
//! Each case has the number of the list in `docs/reliability.md`, which also says what is tested
//! elsewhere and what is not tested. `TIDEGATE_TORTURE=full` makes the cases as long as that list wants
//! them; without it they are as short as they still can fail, and part of `cargo test`. Results are kept
//! in a file beside the build; with `TIDEGATE_TORTURE_TABLE` the table of that file is written from them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::large_futures,
    clippy::too_many_lines,
    clippy::float_cmp,
    clippy::future_not_send,
    clippy::print_stdout,
    clippy::missing_panics_doc,
    clippy::allow_attributes,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    reason = "a test that cannot go on fails"
)]

#[allow(dead_code, reason = "shared with the benchmark, which needs more of it")]
#[path = "../benches/load/corpus.rs"]
mod corpus;
#[allow(dead_code, reason = "shared with tests that need more of it")]
#[path = "it/fake_cluster.rs"]
mod fake_cluster;
#[allow(dead_code, reason = "shared with tests that need more of it")]
#[path = "it/program.rs"]
mod program;
#[allow(dead_code, reason = "shared with tests that need more of it")]
#[path = "it/support.rs"]
mod support;
mod torture {
    pub(crate) mod balancer;
    pub(crate) mod cases;
    pub(crate) mod certificates;
    pub(crate) mod cluster;
    pub(crate) mod growth;
    pub(crate) mod hostile;
    pub(crate) mod input;
    pub(crate) mod load;
    pub(crate) mod node_loss;
    pub(crate) mod process;
    pub(crate) mod report;
    pub(crate) mod secrets;
    pub(crate) mod shutdown;
    pub(crate) mod snapshots;
    pub(crate) mod soak;
    pub(crate) mod transport;
}

use std::{path::Path, process::ExitCode, sync::Arc, time::Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use torture::{
    cases::{CASES, Case},
    report::{self, Run},
    soak,
};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Most of a case is waiting; more than two at a time would measure each other.
    arguments.test_threads.get_or_insert(2);
    let mut trials: Vec<_> = CASES.iter().map(trial).collect();
    trials.push(Trial::test("every_case_is_in_the_documentation", || {
        report::check_documentation();
        Ok::<(), Failed>(())
    }));
    trials.push(Trial::test("growth_is_seen", || {
        soak::check_yardstick();
        Ok::<(), Failed>(())
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(page) = std::env::var_os("TIDEGATE_TORTURE_TABLE") {
        report::write_table(Path::new(&page));
    }
    conclusion.exit_code()
}

fn trial(case: &'static Case) -> Trial {
    Trial::test(case.name, move || {
        let run = Arc::new(Run::from_environment());
        let start = Instant::now();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.unwrap().block_on((case.run)(Arc::clone(&run)));
        }));
        report::keep(case, &run, start.elapsed(), ended.is_ok());
        ended.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Failed::from(text.unwrap_or_default())
        })
    })
}
