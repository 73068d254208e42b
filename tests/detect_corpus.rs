//! How well detection does on workloads that nobody here wrote.
//!
//! The corpus is no part of this repository. It is looked for next to the crate and where
//! `TIDEGATE_CORPUS` says; without it the test is reported as ignored, with the reason.

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
};

use libtest_mimic::{Arguments, Completion, Trial};
use serde_json::Value;
use tidegate::{
    detect::Detector,
    model::{ConfigMaps, Object},
};

/// A container by the name of its object.
type Key = (String, String, String);

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

fn labels(path: &Path) -> BTreeMap<Key, String> {
    let text = std::fs::read_to_string(path).unwrap();
    let file: Value = serde_saphyr::from_str(&text).unwrap();
    let field = |label: &Value, name: &str| label[name].as_str().unwrap_or_default().to_owned();
    file["labels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|label| {
            let key = (field(label, "kind"), field(label, "name"), field(label, "container"));
            (key, field(label, "migration"))
        })
        .collect()
}

/// What was said about each container: the operation, how sure, by which words.
fn predictions(path: &Path) -> BTreeMap<Key, (bool, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut said = BTreeMap::new();
    // Some charts write a label twice; the API server takes the last one.
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
    };
    for document in serde_saphyr::from_multiple_with_options::<Value>(&text, options).unwrap() {
        let json = serde_json::to_string(&document).unwrap();
        let object = Object::parse(&json).unwrap();
        for detection in Detector::built_in().detect(&object, ConfigMaps::NONE) {
            // The labels call changes of rows alone no migration.
            if !detection.operation().is_schema_change() {
                continue;
            }
            let key = (
                object.kind.to_string(),
                object.metadata.display_name().to_owned(),
                detection.container.name.to_string(),
            );
            let main = &detection.main;
            let why =
                format!("{} {} {:?} {}", main.tool, main.operation, main.confidence, main.words);
            said.insert(key, (detection.is_migration(), why));
        }
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
    let (mut with_hints, mut sure) = (Score::default(), Score::default());
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(chart) = name.strip_suffix(".labels.yaml") else { continue };
        let said = predictions(&folder.join(format!("{chart}.yaml")));
        for (key, label) in labels(&path) {
            if label == "ambiguous" {
                continue;
            }
            let found = said.get(&key);
            let why = found.map_or("", |(_, why)| why.as_str());
            let place = format!("{chart} {}/{}:{} [{label}] {why}", key.0, key.1, key.2);
            with_hints.add(place.clone(), label != "none", found.is_some());
            sure.add(place, label != "none", found.is_some_and(|(sure, _)| *sure));
        }
    }
    with_hints.report("with hints");
    sure.report("without hints");
    assert!(with_hints.precision() >= 0.97 && with_hints.recall() >= 0.90);
    assert!(sure.precision() >= 0.97 && sure.recall() >= 0.58);
}
