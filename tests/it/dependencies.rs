//! What the program is built from: every direct dependency has a reason, and all of them come from
//! one registry, under licences that are allowed, without what is banned.
//!
//! `just deny` says more (duplicates, advisories) and needs `cargo-deny`; this needs nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
    process::Command,
};

use serde_json::Value;

use crate::generated::assert_current;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A direct dependency as `Cargo.toml` has it.
struct Direct {
    name: String,
    why: String,
}

/// The dependencies of a section of `Cargo.toml`, each of which stands on one line with its reason.
fn direct(section: &str) -> Vec<Direct> {
    let text = fs::read_to_string("Cargo.toml").unwrap();
    let header = format!("[{section}]\n");
    let (_, rest) = text.split_once(&header).unwrap();
    let lines = rest.lines().take_while(|line| !line.starts_with('['));
    let read = lines.filter(|line| !line.trim().is_empty()).map(|line| {
        let (entry, why) = line.split_once("  # ").unwrap_or_else(|| panic!("no reason: {line}"));
        let name = entry.split_once(" = ").unwrap_or_else(|| panic!("on one line: {line}")).0;
        Direct { name: name.to_owned(), why: why.trim().to_owned() }
    });
    read.collect()
}

/// A package of `Cargo.lock`.
#[derive(Default)]
struct Locked {
    version: String,
    source: String,
    checksum: bool,
    dependencies: BTreeSet<String>,
}

/// Every version of every package.
fn locked() -> Vec<(String, Locked)> {
    let text = fs::read_to_string("Cargo.lock").unwrap();
    let packages = text.split("[[package]]\n").skip(1).map(|part| {
        let field = |name: &str| {
            let line = part.lines().find_map(|line| line.strip_prefix(&format!("{name} = \"")));
            line.map(|rest| rest.trim_end_matches('"').to_owned())
        };
        let names =
            part.lines().filter_map(|line| line.strip_prefix(" \"")?.split(['"', ' ']).next());
        let package = Locked {
            version: field("version").unwrap(),
            source: field("source").unwrap_or_default(),
            checksum: field("checksum").is_some(),
            dependencies: names.map(str::to_owned).collect(),
        };
        (field("name").unwrap(), package)
    });
    packages.collect()
}

/// The strings in quotes after `key = [` in `deny.toml`, up to the end of the line.
fn allowed_licences() -> BTreeSet<String> {
    let text = fs::read_to_string("deny.toml").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("allow = [")).unwrap();
    line.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What `deny.toml` bans, with the packages that may have it all the same.
fn banned() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string("deny.toml").unwrap();
    let (_, rest) = text.split_once("\ndeny = [\n").unwrap();
    let lines = rest.lines().take_while(|line| !line.starts_with(']'));
    let quoted = |text: &str| -> BTreeSet<String> {
        text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let entries = lines.map(|line| {
        let name = line.split('"').nth(1).unwrap().to_owned();
        let wrappers = line.split_once("wrappers = [").and_then(|(_, rest)| rest.split_once(']'));
        (name, wrappers.map(|(list, _)| quoted(list)).unwrap_or_default())
    });
    entries.collect()
}

#[test]
fn the_page_of_dependencies_is_current() {
    let locked = locked();
    let version = |name: &str| {
        let found: Vec<_> = locked.iter().filter(|(of, _)| of == name).collect();
        // Of several versions ours is the latest.
        found.last().map(|(_, package)| package.version.clone()).unwrap_or_default()
    };
    let mut page = fs::read_to_string("docs/dependencies.md").unwrap_or_default();
    for (section, mark) in [("dependencies", "normal"), ("dev-dependencies", "tests")] {
        let mut table = "| crate | version | why |\n|---|---|---|\n".to_owned();
        for Direct { name, why } in direct(section) {
            assert!(why.chars().count() > 3, "{name} has no reason");
            let _ = writeln!(table, "| `{name}` | {} | {why} |", version(&name));
        }
        let (begin, end) =
            (format!("<!-- {mark}: from Cargo.toml -->\n"), format!("<!-- end of {mark} -->\n"));
        let (before, rest) = page.split_once(&begin).expect("the page has a mark");
        let (_, after) = rest.split_once(&end).expect("the page has a mark");
        page = format!("{before}{begin}\n{table}\n{end}{after}");
    }
    assert_current(Path::new("docs/dependencies.md"), &page);
}

#[test]
fn every_package_is_from_the_one_registry_and_none_is_banned() {
    let (locked, banned) = (locked(), banned());
    assert!(locked.len() > 200 && banned.len() >= 5, "{} {}", locked.len(), banned.len());
    for (name, package) in &locked {
        if name != "tidegate" {
            assert_eq!((package.source.as_str(), package.checksum), (REGISTRY, true), "{name}");
        }
        for dependency in &package.dependencies {
            let wrappers = banned.get(dependency);
            assert!(
                wrappers.is_none_or(|wrappers| wrappers.contains(name)),
                "{name} brings {dependency}, which deny.toml bans"
            );
        }
    }
    let providers: Vec<_> = locked
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| ["ring", "aws-lc-rs", "boring", "openssl", "mbedtls"].contains(name))
        .collect();
    assert_eq!(providers, ["ring"], "one provider of cryptography for TLS");
}

#[test]
fn every_licence_is_allowed() {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", &target])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let allowed = allowed_licences();
    // `deny.toml` says why.
    let exception = |name: &str| name == "ar_archive_writer";
    let used = metadata["resolve"]["nodes"].as_array().unwrap();
    let used: BTreeSet<_> = used.iter().map(|node| node["id"].as_str().unwrap()).collect();
    let mut seen = 0;
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if !used.contains(package["id"].as_str().unwrap()) || exception(name) {
            continue;
        }
        let text = package["license"].as_str().unwrap_or_else(|| panic!("{name}: no licence"));
        let licence = spdx::Expression::parse_mode(text, spdx::ParseMode::LAX)
            .unwrap_or_else(|error| panic!("{name}: {text}: {error}"));
        let is_allowed = licence.evaluate(|required| allowed.contains(&required.to_string()));
        assert!(is_allowed, "{name} is under {text}");
        seen += 1;
    }
    assert!(seen > 150, "only {seen} packages were looked at");
}
