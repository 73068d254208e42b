//! What every rule must have: fixtures, a page with an example that it really finds, a topic, and
//! parameters that are documented and tried.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use tidegate::rules::{self, Rule, Topic};

use crate::fixture::Fixture;

fn folder(rule: &Rule) -> PathBuf {
    Path::new("tests/rules").join(rule.id)
}

fn fixtures(rule: &Rule) -> BTreeMap<String, Fixture> {
    let files = fs::read_dir(folder(rule)).unwrap_or_else(|error| panic!("{}: {error}", rule.id));
    files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, Fixture::parse(&fs::read_to_string(path).unwrap()))
        })
        .collect()
}

#[test]
fn every_rule_has_what_its_page_is_made_of() {
    let mut before = "";
    for Rule { id, summary, why, fix, sources, since, places, topic, .. } in rules::ALL {
        assert!(before < *id, "{before} stands before {id}");
        before = id;
        assert!(id.chars().all(|char| char.is_ascii_lowercase() || char == '-'), "{id}");
        assert!(summary.len() <= 80, "{id}: its summary has {} characters", summary.len());
        assert!(!summary.ends_with('.'), "{id}: its summary is no sentence");
        for text in [why, fix] {
            assert!(text.ends_with('.') || text.ends_with(".)"), "{id}: {text}");
            assert!(!text.contains("  "), "{id}: {text}");
        }
        assert!(!sources.is_empty(), "{id} has no source");
        assert!(sources.iter().all(|source| source.starts_with("https://")), "{id}");
        assert_eq!(since.split('.').count(), 3, "{id}");
        assert!(!places.is_empty() && places.is_sorted(), "{id}: {places:?}");
        assert!(Topic::ALL.contains(topic), "{id}: its topic is in no list");
    }
}

#[test]
fn every_rule_has_fixtures_both_ways() {
    for rule in rules::ALL {
        let names: Vec<String> = fixtures(rule).into_keys().collect();
        let count = |kind: &str| names.iter().filter(|name| name.starts_with(kind)).count();
        for example in ["fail-example", "pass-example"] {
            assert!(names.iter().any(|name| name == example), "{}: no {example}", rule.id);
        }
        assert!(count("fail-") + count("fix-") > 1, "{}: what else does it find?", rule.id);
        assert!(count("pass-") > 1, "{}: what does it leave alone?", rule.id);
    }
}

#[test]
fn every_folder_of_fixtures_is_a_rule() {
    for entry in fs::read_dir("tests/rules").unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(rules::find(&name).is_some(), "tests/rules/{name}: no such rule");
    }
}

#[test]
fn every_parameter_is_documented_and_tried() {
    for rule in rules::ALL {
        let tried: BTreeSet<String> = fixtures(rule)
            .into_values()
            .flat_map(|fixture| {
                fixture.params.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
            })
            .collect();
        for parameter in (rule.parameters)() {
            let (id, name) = (rule.id, &parameter.name);
            assert!(parameter.about.ends_with('.'), "{id}: {name} is not documented");
            assert!(tried.contains(name), "{id}: no fixture sets {name}");
        }
    }
}

/// The pages are what people copy from, so what they show is run from there.
#[test]
fn the_example_of_every_page_is_found_and_its_repair_is_not() {
    for rule in rules::ALL {
        let page = fs::read_to_string(format!("docs/rules/{}.md", rule.id)).unwrap();
        let blocks: Vec<&str> = page
            .split("```yaml\n")
            .skip(1)
            .filter_map(|block| block.split("```").next())
            .filter(|block| block.contains("apiVersion:"))
            .collect();
        let [refused, mended] = blocks[..] else {
            panic!("{}: {} examples on its page", rule.id, blocks.len());
        };
        let found = |text: &str| -> usize {
            let fixture = Fixture::parse(text);
            fixture.run_all(rule).iter().map(|findings| findings.found.len()).sum()
        };
        assert!(found(refused) > 0, "{}: its page shows nothing that it finds", rule.id);
        assert_eq!(found(mended), 0, "{}: its page shows a repair that is none", rule.id);
    }
}
