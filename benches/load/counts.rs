//! Which reviews are counted, one by one.

use std::{collections::BTreeMap, path::Path};

use tempfile::TempDir;

use super::{
    callgrind::{Counter, Counts, of_program},
    corpus::Review,
    folder::{self, OBJECTS},
};

/// What stands for what a server sees: nothing of interest, a change of an old object, something to
/// refuse, a migration, something destructive, something large, and defaults.
const REVIEWS: [&str; 8] = [
    "validate-create-deployment-clean",
    "validate-update-deployment-rollout-restart-existing-violation",
    "validate-create-deployment-migration-init-container",
    "validate-create-job-argocd-migration",
    "validate-create-job-generate-name-drop-column",
    "validate-create-deployment-clean+32KiB",
    "mutate-create-job-argocd-migration",
    "mutate-create-job-argocd-verification",
];
/// How often each is asked: what a server does besides answering is less than a hundredth then.
const TIMES: u64 = 100;
/// What the cost of one manifest more is called.
const CHECK: &str = "check, a manifest";
/// Applications that it is counted on.
const APPLICATIONS: [usize; 2] = [20, 120];

/// Counts by name.
pub(crate) type All = BTreeMap<String, Counts>;

/// Counts each, in one server; and `check`, for one manifest.
///
/// # Errors
///
/// When nothing can be counted, or an answer is wrong.
pub(crate) fn measure(program: &Path) -> anyhow::Result<All> {
    let mut counter = Counter::start(program, None)?;
    let mut all = BTreeMap::new();
    for name in REVIEWS {
        all.insert(name.to_owned(), counter.count(&Review::read(name)?, TIMES)?);
    }
    drop(counter);
    all.insert(CHECK.to_owned(), check(program)?);
    Ok(all)
}

fn check(program: &Path) -> anyhow::Result<Counts> {
    let count = |applications: usize| -> anyhow::Result<Counts> {
        let folder = TempDir::with_prefix("tidegate-check-")?;
        folder::write(folder.path(), applications);
        let path = folder.path().display().to_string();
        of_program(program, &["check", "--format=json", "--fail-on=never", &path])
    };
    let [few, many] = [count(APPLICATIONS[0])?, count(APPLICATIONS[1])?];
    let manifests = ((APPLICATIONS[1] - APPLICATIONS[0]) * OBJECTS) as u64;
    Ok(Counts {
        instructions: (many.instructions - few.instructions) / manifests,
        allocations: (many.allocations - few.allocations) / manifests,
    })
}
