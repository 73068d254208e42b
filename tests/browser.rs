//! Pages as a browser shows them.
//!
//! Needs Chromium or Chrome: the program that `TIDEGATE_CHROMIUM` names, or `chromium` or
//! `google-chrome` on the path. Without one every case is reported as ignored and the last line says
//! so. `TIDEGATE_SCREENSHOTS` names a folder for pictures of what is tested.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test fails by panicking; the allowance of clippy.toml covers #[test] functions only"
)]

mod browser {
    pub(crate) mod check;
    pub(crate) mod devtools;
    pub(crate) mod filters;
    pub(crate) mod scan;
}

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use browser::{check, devtools::Browser, scan};
use libtest_mimic::{Arguments, Trial};

/// The variable that names the browser.
const PROGRAM: &str = "TIDEGATE_CHROMIUM";
/// What it is called elsewhere.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let program = program();
    let browser = match &program {
        Some(program) if !arguments.list => Some(Arc::new(Browser::start(program))),
        _ => None,
    };
    let pages = [("check", check::CASES), ("scan", scan::CASES)];
    let cases = pages.iter().flat_map(|(page, cases)| cases.iter().map(move |case| (page, case)));
    let trials = cases
        .map(|(page, (name, case))| {
            let browser = browser.clone();
            let ignored = browser.is_none();
            let run = move || {
                case(browser.as_ref().expect("a browser"));
                Ok(())
            };
            Trial::test(format!("{page}::{name}"), run).with_ignored_flag(ignored)
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if program.is_none() && !arguments.list {
        println!(
            "browser: SKIPPED, nothing was tested: there is no Chromium; {PROGRAM} names one \
             (see docs/testing.md)\n"
        );
    }
    conclusion.exit_code()
}

fn program() -> Option<PathBuf> {
    if let Some(named) = env::var_os(PROGRAM).filter(|value| !value.is_empty()) {
        return Some(PathBuf::from(named));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let found = |name: &&str| folders.iter().map(|it| it.join(name)).find(|it| is_file(it));
    NAMES.iter().find_map(found)
}

fn is_file(path: &Path) -> bool {
    path.is_file()
}
