//! Alerts and the dashboard ask for what is counted, and every alert has a test and a page.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;

use crate::deploy::{CHART, objects};

fn file(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn alerts() -> Vec<Value> {
    let groups = objects(&file(&format!("{CHART}/files/alerts.yaml"))).remove(0);
    let groups = groups["groups"].as_array().unwrap().clone();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// How often each alert is expected to fire in the unit tests, and how often to be silent.
fn samples() -> BTreeMap<String, [usize; 2]> {
    let file = objects(&file("deploy/observability/alerts_test.yaml")).remove(0);
    let mut samples = BTreeMap::<String, [usize; 2]>::new();
    for test in file["tests"].as_array().unwrap() {
        for sample in test["alert_rule_test"].as_array().unwrap() {
            let fires = !sample["exp_alerts"].as_array().unwrap().is_empty();
            let alert = sample["alertname"].as_str().unwrap();
            samples.entry(alert.to_owned()).or_default()[usize::from(!fires)] += 1;
        }
    }
    samples
}

fn panels() -> Vec<Value> {
    let dashboard: Value =
        serde_json::from_str(&file(&format!("{CHART}/files/dashboard.json"))).unwrap();
    dashboard["panels"].as_array().unwrap().clone()
}

/// The names of our metrics in an expression, without prefix and without what the format adds.
fn metrics(expression: &str) -> BTreeSet<String> {
    let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let names =
        expression.split(|char| !is_word(char)).filter_map(|word| word.strip_prefix("tidegate_"));
    let plain = |name: &str| {
        let mut name = name;
        for suffix in ["_total", "_bucket", "_seconds", "_bytes"] {
            name = name.strip_suffix(suffix).unwrap_or(name);
        }
        if name == "build_info" { "build".to_owned() } else { name.to_owned() }
    };
    names.map(plain).collect()
}

#[test]
fn what_is_asked_for_is_counted() {
    let sources = fs::read_dir("src/metrics").unwrap().map(|entry| entry.unwrap().path());
    let counted: Vec<String> = sources.map(|path| fs::read_to_string(path).unwrap()).collect();
    let known = |name: &str| counted.iter().any(|text| text.contains(&format!("\"{name}\"")));
    let mut seen = BTreeSet::new();
    for alert in alerts() {
        seen.extend(metrics(alert["expr"].as_str().unwrap()));
    }
    for panel in panels() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            seen.extend(metrics(target["expr"].as_str().unwrap()));
        }
    }
    assert!(seen.len() > 20, "{seen:?}");
    for name in &seen {
        assert!(known(name), "nobody counts tidegate_{name}");
    }
    assert_eq!(metrics("rate(tidegate_nonsense_total[5m])").first().unwrap(), "nonsense");
    assert!(!known("nonsense"));
}

#[test]
fn every_alert_has_a_page_and_a_test() {
    let (runbook, samples) = (file("docs/runbook.md"), samples());
    let alerts = alerts();
    assert!(alerts.len() >= 20);
    for alert in &alerts {
        let name = alert["alert"].as_str().unwrap();
        let url = format!("docs/runbook.md#{}", name.to_ascii_lowercase());
        assert_eq!(alert["annotations"]["runbook_url"], url.as_str(), "{name}");
        assert!(runbook.contains(&format!("\n## {name}\n")), "docs/runbook.md has no {name}");
        let [fires, silent] = samples.get(name).copied().unwrap_or_default();
        assert!(fires > 0, "{name} never fires in a test");
        assert!(silent > 0, "{name} is silent in no test");
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}");
    }
    let known: BTreeSet<&str> =
        alerts.iter().map(|alert| alert["alert"].as_str().unwrap()).collect();
    for name in samples.keys() {
        assert!(known.contains(name.as_str()), "there is no alert {name}");
    }
    for heading in runbook.lines().filter_map(|line| line.strip_prefix("## ")) {
        let alert = heading.starts_with("Tidegate") || heading.starts_with("Migration");
        assert!(!alert || known.contains(heading), "docs/runbook.md: there is no alert {heading}");
    }
}

#[test]
fn panels_of_the_dashboard_are_whole() {
    let panels = panels();
    let mut ids = BTreeSet::new();
    for panel in &panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let place = &panel["gridPos"];
        assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24, "{place}");
        if panel["type"] != "row" {
            assert!(
                panel["description"].as_str().is_some_and(|text| text.ends_with('.')),
                "{panel}"
            );
            assert!(!panel["targets"].as_array().unwrap().is_empty());
        }
    }
    assert!(ids.len() > 15);
}

/// `promtool`, where it is installed or named by `PROMTOOL`.
#[test]
fn promtool_agrees() {
    let program = std::env::var("PROMTOOL").unwrap_or_else(|_| "promtool".to_owned());
    for (command, path) in [
        ("check", format!("{CHART}/files/alerts.yaml")),
        ("test", "deploy/observability/alerts_test.yaml".to_owned()),
    ] {
        let Ok(output) =
            std::process::Command::new(&program).args([command, "rules", &path]).output()
        else {
            use std::io::Write as _;
            writeln!(std::io::stderr(), "skipped: there is no promtool (PROMTOOL)").unwrap();
            return;
        };
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
