//! What a review may cost, in instructions and allocations of the program that is shipped, and that no
//! cost grows faster than what is judged.
//!
//! `TIDEGATE_BUDGET_PROGRAM` names a release build, and valgrind counts; without either nothing is tested,
//! and the summary says so. `just budgets` does both. `TIDEGATE_BUDGETS=write` writes the budgets anew:
//! they belong to a compiler, a `Cargo.lock` and an architecture.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test that cannot go on fails"
)]

#[path = "../benches/load/callgrind.rs"]
mod callgrind;
#[allow(dead_code, reason = "shared with the benchmark, which needs more of it")]
#[path = "../benches/load/client.rs"]
mod client;
#[allow(dead_code, reason = "shared with the benchmark, which needs more of it")]
#[path = "../benches/load/corpus.rs"]
mod corpus;
#[path = "../benches/load/counts.rs"]
mod counts;
#[allow(dead_code, reason = "shared with the benchmark, which needs more of it")]
#[path = "../benches/load/folder.rs"]
mod folder;
#[path = "../benches/load/growth.rs"]
mod growth;
#[allow(dead_code, reason = "shared with the benchmark, which needs more of it")]
#[path = "../benches/load/process.rs"]
mod process;
#[allow(dead_code, reason = "shared with the benchmark, which needs more of it")]
#[path = "../benches/load/results.rs"]
mod results;

use std::{
    collections::BTreeMap,
    env, fmt, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use callgrind::Counts;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// The variable that names the program.
const PROGRAM: &str = "TIDEGATE_BUDGET_PROGRAM";
/// The budgets, by architecture.
const FILE: &str = "tests/budgets.json";
/// How much more than its budget something may cost, of a hundred.
const MORE: u64 = 10;

type Budgets = BTreeMap<String, counts::All>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Under callgrind a server is slow enough without another beside it.
    arguments.test_threads = Some(1);
    let program = env::var_os(PROGRAM).filter(|path| !path.is_empty()).map(PathBuf::from);
    let why = match &program {
        None => Some(format!("{PROGRAM} is not set")),
        Some(_) => callgrind::missing().map(str::to_owned),
    };
    let program = program.unwrap_or_default();
    let trials = vec![
        trial("no_review_costs_more_than_its_budget", why.clone(), &program, budgets),
        trial("nothing_grows_faster_than_what_is_judged", why.clone(), &program, growth),
    ];
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(why) = why.filter(|_| !arguments.list) {
        println!("budgets: SKIPPED, nothing was counted: {why} (see docs/performance.md)\n");
    }
    conclusion.exit_code()
}

fn trial(
    name: &str,
    skipped: Option<String>,
    program: &Path,
    run: fn(&Path) -> anyhow::Result<Completion>,
) -> Trial {
    let program = program.to_owned();
    Trial::ignorable_test(name, move || match skipped {
        Some(why) => Ok(Completion::ignored_with(why)),
        None => run(&program).map_err(|error| Failed::from(format!("{error:#}"))),
    })
}

fn budgets(program: &Path) -> anyhow::Result<Completion> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let mut budgets: Budgets = serde_json::from_str(&fs::read_to_string(&file)?)?;
    let counted = counts::measure(program)?;
    if env::var("TIDEGATE_BUDGETS").is_ok_and(|what| what == "write") {
        budgets.insert(env::consts::ARCH.to_owned(), counted);
        fs::write(&file, serde_json::to_string_pretty(&budgets)? + "\n")?;
        return Ok(Completion::Completed);
    }
    let Some(budget) = budgets.get(env::consts::ARCH) else {
        let why = format!("{FILE} has no budgets for {}", env::consts::ARCH);
        return Ok(Completion::ignored_with(why));
    };
    let lines: Vec<_> = counted
        .iter()
        .map(|(name, counts)| Line { name, counts: *counts, budget: budget.get(name).copied() })
        .collect();
    for line in &lines {
        println!("{line}");
    }
    let over = lines.iter().any(Line::is_over);
    anyhow::ensure!(!over, "a review costs more than {MORE} % above its budget: {FILE}");
    anyhow::ensure!(budget.len() == counted.len(), "{FILE} has a budget for something else");
    Ok(Completion::Completed)
}

/// What something costs, and may cost.
struct Line<'l> {
    name: &'l str,
    counts: Counts,
    budget: Option<Counts>,
}

impl Line<'_> {
    fn is_over(&self) -> bool {
        let over = |counted: u64, budget: u64| counted * 100 > budget * (100 + MORE);
        self.budget.is_none_or(|budget| {
            over(self.counts.instructions, budget.instructions)
                || over(self.counts.allocations, budget.allocations)
        })
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, counts: Counts { instructions, allocations }, budget } = self;
        let word = if self.is_over() { "OVER" } else { "ok" };
        write!(f, "{word:<4} {name}: {instructions} instructions, {allocations} allocations")?;
        match budget {
            None => f.write_str("; no budget"),
            Some(budget) => {
                let share = *instructions as f64 * 100.0 / budget.instructions as f64;
                let Counts { instructions, allocations } = budget;
                write!(f, "; {share:.1} % of {instructions}, {allocations}")
            }
        }
    }
}

fn growth(program: &Path) -> anyhow::Result<Completion> {
    let all = growth::measure(program, true)?;
    for series in &all {
        println!("{}, {}: {:?}", series.name, series.axis, series.points);
    }
    all.iter().try_for_each(results::Series::is_at_most_linear)?;
    Ok(Completion::Completed)
}
