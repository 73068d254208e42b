//! How well detection does on workloads that nobody here wrote.
//!
//! The corpus is no part of this repository. It is looked for next to the crate and where
//! `TIDEGATE_CORPUS` says; without it the test is reported as ignored, with the reason. It is a
//! folder of manifests, `CHART.yaml`, and of what is true of them, `CHART.labels.yaml`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "helpers of a test"
)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use libtest_mimic::{Arguments, Completion, Trial};
use serde_json::Value;

/// Chart, kind, object and container.
type Key = [String; 4];

/// What the labels say of a container.
struct Label {
    migrates: bool,
    /// The manifest was copied out by hand, so that it may be shortened.
    transcribed: bool,
    why: String,
}

#[derive(Default)]
struct Score {
    hit: usize,
    missed: Vec<String>,
    false_alarms: Vec<String>,
}

impl Score {
    fn precision(&self) -> f64 {
        self.hit as f64 / (self.hit + self.false_alarms.len()) as f64
    }

    fn recall(&self) -> f64 {
        self.hit as f64 / (self.hit + self.missed.len()) as f64
    }

    fn add(&mut self, place: String, is: bool, said: bool) {
        match (is, said) {
            (true, true) => self.hit += 1,
            (true, false) => self.missed.push(place),
            (false, true) => self.false_alarms.push(place),
            (false, false) => {}
        }
    }

    fn report(&self, what: &str) {
        eprintln!(
            "{what}: precision {:.3}, recall {:.3} ({} found, {} missed, {} false alarms)",
            self.precision(),
            self.recall(),
            self.hit,
            self.missed.len(),
            self.false_alarms.len(),
        );
        for place in &self.missed {
            eprintln!("  missed      {place}");
        }
        for place in &self.false_alarms {
            eprintln!("  false alarm {place}");
        }
    }
}

fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/visible");
    std::env::var_os("TIDEGATE_CORPUS")
        .map(PathBuf::from)
        .into_iter()
        .chain([beside])
        .find(|folder| folder.is_dir())
}

/// Every label that is not ambiguous.
fn labels(folder: &Path) -> BTreeMap<Key, Label> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(chart) = name.strip_suffix(".labels.yaml") else { continue };
        let text = std::fs::read_to_string(&path).unwrap();
        let file: Value = serde_saphyr::from_str(&text).unwrap();
        for label in file["labels"].as_array().unwrap() {
            let field = |name: &str| label[name].as_str().unwrap_or_default().to_owned();
            let migration = field("migration");
            if migration == "ambiguous" {
                continue;
            }
            let key = [chart.to_owned(), field("kind"), field("name"), field("container")];
            let label = Label {
                migrates: migration != "none",
                transcribed: file["transcribed"] == true,
                why: format!("[{migration}] {}", field("reason")),
            };
            all.insert(key, label);
        }
    }
    all
}

/// What `tidegate detect` says about each container: whether it migrates, and whether that is more
/// than a hint.
fn predictions(folder: &Path) -> BTreeMap<Key, (bool, bool)> {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["detect", "--format", "jsonl"])
        .arg(folder)
        .output()
        .unwrap();
    let mut said = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| line[name].as_str().unwrap().to_owned();
        let chart = Path::new(&field("file")).file_stem().unwrap().to_string_lossy().into_owned();
        let migrates = line["migration"] != "none";
        let sure = migrates && line["confidence"] != "name";
        said.insert([chart, field("kind"), field("name"), field("container")], (migrates, sure));
    }
    said
}

fn main() {
    let trial = match corpus() {
        Some(folder) => Trial::test("real_workloads_are_told_apart", move || {
            told_apart(&folder);
            Ok(())
        }),
        None => Trial::ignorable_test("real_workloads_are_told_apart", || {
            Ok(Completion::ignored_with("there is no corpus; TIDEGATE_CORPUS may name its folder"))
        }),
    };
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit();
}

fn told_apart(folder: &Path) {
    let (labels, said) = (labels(folder), predictions(folder));
    let (mut all, mut rendered, mut sure) = (Score::default(), Score::default(), Score::default());
    for (key, label) in labels {
        let (migrates, is_sure) = *said.get(&key).unwrap_or_else(|| panic!("no line for {key:?}"));
        let [chart, kind, name, container] = &key;
        let place = format!("{chart} {kind}/{name}:{container} {}", label.why);
        if !label.transcribed {
            rendered.add(place.clone(), label.migrates, migrates);
        }
        sure.add(place.clone(), label.migrates, is_sure);
        all.add(place, label.migrates, migrates);
    }
    all.report("all");
    rendered.report("without what was copied out by hand");
    sure.report("without hints");
    assert!(all.precision() >= 0.99 && all.recall() >= 0.95);
    assert!(sure.precision() >= 0.99 && sure.recall() >= 0.60);
}
