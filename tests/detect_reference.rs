//! The catalogue against a reference list of tools, their verbs and what real charts run.
//!
//! The list is no part of this repository. It is looked for next to the crate and where
//! `TIDEGATE_REFERENCE` says; without it the tests are reported as ignored, with the reason.
//! Where the catalogue deliberately says something else, `detect/reference.yaml` says why.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    clippy::unwrap_in_result,
    reason = "helpers of a test"
)]

#[path = "detect/support.rs"]
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::{Path, PathBuf},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::{Value, json};
use support::said;

/// What this repository says about the reference.
struct Notes(Value);

impl Notes {
    fn read() -> Self {
        Self(serde_saphyr::from_str(include_str!("detect/reference.yaml")).unwrap())
    }

    /// Why a tool is left out.
    fn left_out(&self, tool: &str) -> Option<&str> {
        self.0["leftOut"][tool].as_str()
    }

    /// The program to run for rules that name none.
    fn program(&self, tool: &Value) -> String {
        let id = tool["id"].as_str().unwrap();
        let named = self.0["programs"][id].as_str();
        let first = || tool["executables"][0].as_str().unwrap_or(id);
        named.unwrap_or_else(first).to_owned()
    }

    /// What we say of one rule instead, in the same words as the table of operations.
    fn exceptions(&self) -> BTreeMap<(String, String), String> {
        let mut exceptions = BTreeMap::new();
        for group in self.0["exceptions"].as_array().unwrap() {
            assert!(group["why"].as_str().is_some_and(|why| why.len() > 15), "{group}");
            for (line, says) in group["lines"].as_object().unwrap() {
                let key = (group["tool"].as_str().unwrap().to_owned(), line.clone());
                exceptions.insert(key, says.as_str().unwrap().to_owned());
            }
        }
        exceptions
    }
}

fn reference() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference");
    std::env::var_os("TIDEGATE_REFERENCE")
        .map(PathBuf::from)
        .into_iter()
        .chain([beside])
        .map(|folder| folder.join("migration-tools.yaml"))
        .find(|file| file.is_file())
}

/// The operation of a class of the reference; `none` for what changes nothing.
fn operation(class: &str) -> &str {
    match class {
        "apply_declarative" => "declarative",
        "direction_unknown" => "unknown",
        "history_only" => "history-only",
        "dry_run" | "readonly" | "scaffold" => "none",
        other => other,
    }
}

/// What we say of a container; what only reads or saves changes nothing.
fn effect(container: &Value) -> String {
    let operation = said(container).map_or("none".to_owned(), |said| said.operation);
    match operation.trim_end_matches('?') {
        "read-only" | "backup" => "none".to_owned(),
        _ => operation,
    }
}

/// Something to put where the reference has a placeholder.
fn filled(token: &str) -> String {
    let is_letter = token.len() == 1 && token.chars().all(|c| c.is_ascii_uppercase());
    match token {
        "<n>" | "N" => "3".to_owned(),
        "<version>" | "V" => "20240101".to_owned(),
        _ if token.starts_with('<') || is_letter => "value".to_owned(),
        _ => placeholder(token),
    }
}

/// The same inside of a word: `db:drop:<db>`, `*.Release.migrate`.
fn placeholder(token: &str) -> String {
    let token = match (token.split_once('<'), token.split_once('>')) {
        (Some((before, _)), Some((_, after))) => format!("{before}value{after}"),
        _ => token.to_owned(),
    };
    if token.starts_with("*.") || token.ends_with(":*") { token.replace('*', "App") } else { token }
}

/// Every command line that a rule stands for.
fn lines(program: &str, rule: &Value) -> Vec<Vec<String>> {
    let words = |key: &str| -> Vec<String> {
        let list = rule[key].as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().map(|word| word.as_str().map_or(word.to_string(), str::to_owned)).collect()
    };
    let program = rule["exe"].as_str().unwrap_or(program);
    let mut lines: Vec<Vec<String>> = vec![program.split_whitespace().map(str::to_owned).collect()];
    let slots = words("tokens").into_iter().map(|token| (token, '|'));
    for (slot, separator) in slots.chain(words("require").into_iter().map(|flag| (flag, '/'))) {
        let choices: Vec<&str> = if separator == '/' && !slot.starts_with('-') {
            vec![&slot]
        } else {
            slot.split(separator).collect()
        };
        lines = lines
            .iter()
            .flat_map(|line| {
                choices.iter().map(|choice| {
                    line.iter().cloned().chain([filled(choice)]).collect::<Vec<String>>()
                })
            })
            .collect();
    }
    lines
}

fn every_tool_is_covered(reference: &Value, notes: &Notes) -> Result<String, String> {
    let catalogue: Value =
        serde_saphyr::from_str(include_str!("../src/detect/tools.yaml")).unwrap();
    let known: BTreeSet<&str> =
        catalogue.as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap()).collect();
    let mut missing = String::new();
    let tools = reference["tools"].as_array().unwrap();
    for tool in tools {
        let id = tool["id"].as_str().unwrap();
        let ours = notes.0["ids"][id].as_str().unwrap_or(id);
        let is_known = ours.split_whitespace().all(|id| known.contains(id));
        if is_known == notes.left_out(id).is_some() {
            writeln!(missing, "{id}: in the catalogue or, with a reason, in reference.yaml")
                .unwrap();
        }
    }
    if missing.is_empty() { Ok(format!("{} tools", tools.len())) } else { Err(missing) }
}

fn every_rule_has_its_operation(reference: &Value, notes: &Notes) -> Result<String, String> {
    let exceptions = notes.exceptions();
    let mut used = BTreeSet::new();
    let (mut count, mut excepted, mut wrong) = (0_usize, 0_usize, String::new());
    for tool in reference["tools"].as_array().unwrap() {
        let id = tool["id"].as_str().unwrap();
        if notes.left_out(id).is_some() {
            continue;
        }
        let program = notes.program(tool);
        for rule in tool["rules"].as_array().into_iter().flatten() {
            let containers: Vec<(String, Value)> = match rule["kind"].as_str().unwrap() {
                "argv" | "no-args" => lines(&program, rule)
                    .into_iter()
                    .map(|line| (line.join(" "), json!({"command": line})))
                    .collect(),
                "env" => variables(rule["raw"].as_str().unwrap()),
                _ => continue,
            };
            for (line, container) in containers {
                count += 1;
                let found = effect(&container);
                let class = rule["class"].as_str().unwrap();
                let key = (id.to_owned(), line.clone());
                let expected = match exceptions.get(&key) {
                    Some(says) => {
                        excepted += 1;
                        used.insert(key);
                        says.clone()
                    }
                    None => operation(class).to_owned(),
                };
                if found != expected {
                    writeln!(wrong, "{id} ({class}): {line}: expected {expected}, found {found}")
                        .unwrap();
                }
            }
        }
    }
    for (id, line) in exceptions.keys().filter(|key| !used.contains(*key)) {
        writeln!(wrong, "{id}: {line}: an exception that no rule needs").unwrap();
    }
    if wrong.is_empty() { Ok(format!("{count} lines, {excepted} exceptions")) } else { Err(wrong) }
}

/// What charts of the reference run, as far as they say it in full.
fn real_examples_have_their_operation(reference: &Value, notes: &Notes) -> Result<String, String> {
    let (mut count, mut excepted, mut wrong) = (0_usize, 0_usize, String::new());
    for example in reference["real_examples"].as_array().unwrap() {
        let number = example["n"].to_string();
        let operations = containers(reference, example).iter().map(effect).collect::<Vec<_>>();
        let found = operations.iter().find(|operation| *operation != "none");
        let found = found.map_or("none", String::as_str);
        let mut expected = operation(example["expect"].as_str().unwrap());
        let note = &notes.0["examples"][&number];
        if let Some(says) = note["says"].as_str() {
            assert!(note["why"].as_str().is_some_and(|why| why.len() > 15), "{number}");
            expected = says;
            excepted += 1;
        }
        count += 1;
        if found != expected {
            writeln!(wrong, "{number}: {}: expected {expected}, found {found}", example["cmd"])
                .unwrap();
        }
    }
    if wrong.is_empty() { Ok(format!("{count} examples, {excepted} notes")) } else { Err(wrong) }
}

/// The containers of an example: `command` and `args` after each other are one.
fn containers(reference: &Value, example: &Value) -> Vec<Value> {
    let tools = reference["tools"].as_array().unwrap();
    let tool = tools.iter().find(|tool| tool["id"] == example["tool"]);
    let default = tool.and_then(|tool| tool["images"][0].as_str()).unwrap_or_default();
    let image = example["image"].as_str().filter(|image| !image.is_empty());
    let base = json!({"name": example["container"], "image": image.unwrap_or(default)});
    let mut containers: Vec<Value> = Vec::new();
    for line in example["cmd"].as_array().unwrap().iter().filter_map(Value::as_str) {
        let list = |rest: &str| -> Value {
            let list = rest.split("  (").next().unwrap_or(rest);
            serde_saphyr::from_str(list).unwrap_or_default()
        };
        if let Some(rest) = line.strip_prefix("command: ") {
            containers.push(with(&base, "command", list(rest)));
        } else if let Some(rest) = line.strip_prefix("args: ") {
            match containers.last_mut() {
                Some(open) if open["command"].is_array() => open["args"] = list(rest),
                _ => containers.push(with(&base, "args", list(rest))),
            }
        } else if let Some(rest) = line.strip_prefix("env ") {
            let variables: Vec<Value> = rest
                .split(", ")
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| json!({"name": name, "value": value.split(' ').next()}))
                .collect();
            containers.push(with(&base, "env", json!(variables)));
        } else if line.starts_with("no command") || line.starts_with("(no command") {
            containers.push(base.clone());
        } else {
            let text = line.strip_prefix("script: ").unwrap_or(line);
            containers.push(with(&base, "command", json!(["sh", "-c", text])));
        }
    }
    containers
}

fn with(base: &Value, key: &str, value: Value) -> Value {
    let mut container = base.clone();
    container[key] = value;
    container
}

/// `NAME=value|other (remark)` as containers.
fn variables(raw: &str) -> Vec<(String, Value)> {
    let (name, values) = raw.split_once('=').unwrap();
    let values = values.split(' ').next().unwrap_or_default();
    values
        .split('|')
        .map(|value| {
            let env = json!([{"name": name, "value": value}]);
            (format!("{name}={value}"), json!({"image": "example/app", "env": env}))
        })
        .collect()
}

fn main() {
    type Test = fn(&Value, &Notes) -> Result<String, String>;
    let tests: [(&str, Test); 3] = [
        ("every_tool_is_covered", every_tool_is_covered),
        ("every_rule_has_its_operation", every_rule_has_its_operation),
        ("real_examples_have_their_operation", real_examples_have_their_operation),
    ];
    let trials = tests.map(|(name, test)| {
        Trial::ignorable_test(name, move || {
            let Some(file) = reference() else {
                return Ok(Completion::ignored_with(
                    "no reference beside the repository; set TIDEGATE_REFERENCE",
                ));
            };
            let text = std::fs::read_to_string(file).unwrap();
            let reference = serde_saphyr::from_str(&text).unwrap();
            let said = test(&reference, &Notes::read()).map_err(Failed::from)?;
            eprintln!("{name}: {said}");
            Ok(Completion::Completed)
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit();
}
