//! tidegate in front of a real API server.
//!
//! Needs a folder with `etcd`, `kube-apiserver` and `kubectl`, named by `KUBEBUILDER_ASSETS` as for
//! every project on controller-runtime's envtest. Without it every case is reported as ignored and
//! the summary says so; with it a missing program is a failure. Where the folder also holds
//! `kube-controller-manager`, the cases about controllers run too.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    clippy::allow_attributes,
    reason = "a test fails by panicking; the allowance of clippy.toml covers #[test] functions only"
)]

mod e2e {
    pub(crate) mod cases;
    pub(crate) mod cluster;
    pub(crate) mod manifests;
    pub(crate) mod namespace;
    pub(crate) mod node;
    pub(crate) mod pki;
    pub(crate) mod process;
    pub(crate) mod site;
    pub(crate) mod tidegate;
    pub(crate) mod traffic;
    pub(crate) mod world;
}

use std::{env, path::PathBuf, process::ExitCode, sync::Arc};

use e2e::{
    cases::{CASES, Case, Needs},
    process,
    site::helm,
    world::World,
};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// The variable that names the folder of programs.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let assets = env::var_os(ASSETS).filter(|value| !value.is_empty()).map(PathBuf::from);
    let Some(assets) = assets else {
        let why = format!("{ASSETS} is not set");
        let trials = CASES.iter().map(|case| skipped(case, why.clone())).collect();
        let conclusion = libtest_mimic::run(&arguments, trials);
        if !arguments.list {
            println!("e2e: SKIPPED, nothing was tested: {why} (see docs/testing.md)\n");
        }
        return conclusion.exit_code();
    };
    if arguments.list {
        let trials = CASES.iter().map(|case| skipped(case, String::new())).collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    process::end_children_on_signals();
    let world = match World::start(&assets) {
        Ok(world) => Arc::new(world),
        Err(error) => {
            eprintln!("e2e: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let trials = CASES.iter().map(|case| trial(case, &world)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if conclusion.has_failed() {
        eprintln!("{}", world.logs());
    }
    conclusion.exit_code()
}

fn skipped(case: &Case, why: String) -> Trial {
    Trial::ignorable_test(case.name, || Ok(Completion::ignored_with(why)))
}

fn trial(case: &'static Case, world: &Arc<World>) -> Trial {
    if case.needs != Needs::Nothing && !world.cluster.has_controllers() {
        return skipped(case, format!("{ASSETS} has no kube-controller-manager"));
    }
    if case.needs == Needs::Helm && helm().is_none() {
        return skipped(case, "HELM is not set".to_owned());
    }
    let world = Arc::clone(world);
    Trial::test(case.name, move || {
        world.run(case);
        Ok::<(), Failed>(())
    })
}
