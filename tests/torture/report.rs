//! Results, kept beside the build and written into the documentation.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    cases::{CASES, Case, ELSEWHERE},
    process::is_optimised,
};

const PAGE: &str = "docs/reliability.md";
const BEGIN: &str = "<!-- results: written by `just reliability` -->\n";
const END: &str = "<!-- end of results -->\n";

/// One run of one case.
pub(crate) struct Run {
    /// As long as the list wants it.
    pub(crate) full: bool,
    figures: Mutex<Vec<(String, String)>>,
    skipped: Mutex<Option<String>>,
}

/// What became of a case.
#[derive(Serialize, Deserialize)]
struct Outcome {
    passed: bool,
    full: bool,
    optimised: bool,
    seconds: f64,
    figures: Vec<(String, String)>,
    /// Why it could not be tried here.
    #[serde(default)]
    skipped: Option<String>,
}

impl Run {
    /// # Panics
    ///
    /// When `TIDEGATE_TORTURE` is another word than `short` or `full`.
    pub(crate) fn from_environment() -> Self {
        let length = std::env::var("TIDEGATE_TORTURE").unwrap_or_else(|_| "short".to_owned());
        assert!(["short", "full"].contains(&length.as_str()), "TIDEGATE_TORTURE is short or full");
        Self { full: length == "full", figures: Mutex::default(), skipped: Mutex::default() }
    }

    /// One of two values.
    pub(crate) fn pick<T>(&self, short: T, full: T) -> T {
        if self.full { full } else { short }
    }

    /// Keeps a figure.
    pub(crate) fn note(&self, what: &str, value: impl Display) {
        self.figures.lock().unwrap().push((what.to_owned(), value.to_string()));
    }

    /// Says that the case cannot be tried here.
    pub(crate) fn skip(&self, why: &str) {
        println!("SKIPPED: {why}");
        *self.skipped.lock().unwrap() = Some(why.to_owned());
    }
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("torture.json")
}

fn outcomes() -> BTreeMap<String, Outcome> {
    fs::read_to_string(file())
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

/// Keeps what became of a case, beside what is kept of the others.
pub(crate) fn keep(case: &Case, run: &Run, took: Duration, passed: bool) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap();
    let figures = run.figures.lock().unwrap().clone();
    let outcome = Outcome {
        passed,
        full: run.full,
        optimised: is_optimised(),
        seconds: took.as_secs_f64().round(),
        figures,
        skipped: run.skipped.lock().unwrap().clone(),
    };
    let mut all = outcomes();
    all.insert(case.name.to_owned(), outcome);
    fs::write(file(), serde_json::to_string_pretty(&all).unwrap()).unwrap();
}

fn row(case: &Case, outcome: Option<&Outcome>) -> String {
    let Case { id, name, input, pass, .. } = case;
    let (result, figures) = match outcome {
        None => ("not run".to_owned(), String::new()),
        Some(Outcome { skipped: Some(why), .. }) => (format!("skipped: {why}"), String::new()),
        Some(Outcome { passed, full, optimised, seconds, figures, .. }) => {
            let verdict = if *passed { "passed" } else { "**failed**" };
            let length = if *full { "full" } else { "short" };
            let build = if *optimised { "release" } else { "debug" };
            let figures: Vec<_> =
                figures.iter().map(|(what, value)| format!("{what}: {value}")).collect();
            (format!("{verdict} ({length}, {build}, {seconds} s)"), figures.join("; "))
        }
    };
    format!("| {id} | `{name}` | {input} | {pass} | {result} | {figures} |\n")
}

/// Writes the results into the page, between its marks.
pub(crate) fn write_table(page: &Path) {
    let text = fs::read_to_string(page).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the page has a mark");
    let (_, after) = rest.split_once(END).expect("the page has a mark");
    let outcomes = outcomes();
    let mut table = String::from(
        "\n| | case | input or fault | passes when | result | figures |\n|---|---|---|---|---|---|\n",
    );
    for case in CASES {
        table.push_str(&row(case, outcomes.get(case.name)));
    }
    table.push_str("\nNot in this harness:\n\n| | what | where, or why not |\n|---|---|---|\n");
    for (id, what, place) in ELSEWHERE {
        let _ = writeln!(table, "| {id} | {what} | {place} |");
    }
    table.push('\n');
    fs::write(page, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
}

/// Every case is on the page, every number from 1 to 34 is a case or is said to be elsewhere, and the
/// tests that are named there exist.
pub(crate) fn check_documentation() {
    let page = fs::read_to_string(PAGE).unwrap();
    for case in CASES {
        assert!(
            page.contains(&format!("| {} | `{}` |", case.id, case.name)),
            "{} is not on {PAGE}",
            case.name
        );
    }
    for number in 1..=34 {
        let id = format!("T{number}");
        let here = CASES.iter().any(|case| case.id == id);
        let elsewhere = ELSEWHERE.iter().any(|(other, ..)| *other == id);
        assert!(here != elsewhere, "{id} must be here or elsewhere, and not both");
    }
    let tests = ["tests/e2e/cases", "tests/it", "tests/detect"].map(|folder| {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.is_file())
            .map(|path| fs::read_to_string(path).unwrap_or_default())
            .collect::<String>()
    });
    for (id, _, place) in ELSEWHERE {
        assert!(page.contains(place), "{id} is not on {PAGE}: run `just reliability`");
        for name in place
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| name.contains('_') && !name.contains("KUBE"))
        {
            assert!(tests.iter().any(|text| text.contains(name)), "{id}: there is no {name}");
        }
    }
}
