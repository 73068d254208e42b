//! The shape that `ARCHITECTURE.md` describes, kept by reading the sources.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where the core is; a folder, or a file of the same name.
const CORE: [&str; 10] = [
    "source",
    "model",
    "detect",
    "rules",
    "policy",
    "plan",
    "decision",
    "policy_test",
    "scan",
    "report",
];

/// What the core must not know: our adapters, and every way out of the program.
const FORBIDDEN: [&str; 16] = [
    "crate::webhook",
    "crate::cluster",
    "crate::cli",
    "crate::render",
    "crate::settings",
    "crate::telemetry",
    "crate::metrics",
    "tokio",
    "axum",
    "hyper",
    "kube",
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::thread",
];

/// The core may be called from anywhere because it calls nothing back.
#[test]
fn the_core_imports_no_adapter() {
    let mut files = 0;
    for part in CORE {
        for path in sources(&Path::new("src").join(part)) {
            files += 1;
            for (number, code) in code(&path) {
                for forbidden in FORBIDDEN {
                    assert!(
                        !imports(&code, forbidden),
                        "{}:{number}: the core imports `{forbidden}`",
                        path.display(),
                    );
                }
            }
        }
    }
    assert!(files > 20, "only {files} files of the core were found");
}

/// Rules stand beside each other: what two of them need goes down to `detect` or `rules/mod.rs`.
#[test]
fn a_rule_imports_no_other_rule() {
    let files = sources(Path::new("src/rules"));
    let names: Vec<String> = files.iter().map(|path| stem(path)).filter(|s| s != "mod").collect();
    assert!(!names.is_empty());
    for path in files.iter().filter(|path| stem(path) != "mod") {
        for (number, code) in code(path) {
            for other in names.iter().filter(|name| **name != stem(path)) {
                assert!(
                    !code.contains(&format!("{other}::"))
                        && !imports(&code, &format!("super::{other}")),
                    "{}:{number}: a rule imports the rule `{other}`",
                    path.display(),
                );
            }
        }
    }
}

#[test]
fn the_tests_above_see_what_they_look_for() {
    for (code, forbidden, want) in [
        ("use tokio::net;", "tokio", true),
        ("use crate::render::Report;", "crate::render", true),
        ("use crate::renderer::Report;", "crate::render", false),
        ("let tokio_like = 1;", "tokio", false),
        ("std::fs::read(path)", "std::fs", true),
        ("use std::{fs, io};", "std::fs", true),
        ("use std::fs;", "std::fs", true),
        ("    kube: bool,", "kube", false),
        ("use kube;", "kube", true),
        ("use crate::{cli::Args, model};", "crate::cli", true),
    ] {
        assert_eq!(imports(code, forbidden), want, "{code}");
    }
}

/// True when a line of code names the module, by its path or in the braces of a `use`.
fn imports(code: &str, module: &str) -> bool {
    let by_path = code.match_indices(module).any(|(at, found)| {
        let (before, rest) = code.split_at(at);
        let after = rest.strip_prefix(found).unwrap_or_default();
        let starts = !before.ends_with(|char: char| char.is_alphanumeric() || "_:".contains(char));
        let is_use = code.trim_start().starts_with("use ") || code.contains("pub use ");
        starts && (after.starts_with("::") || (is_use && after.starts_with([';', ',', '}', ' '])))
    });
    let in_braces = module.rsplit_once("::").is_some_and(|(parent, child)| {
        code.split_once(&format!("{parent}::{{")).is_some_and(|(_, inner)| {
            inner
                .split([',', '{', '}', ' '])
                .any(|name| name == child || name.starts_with(&format!("{child}::")))
        })
    });
    by_path || in_braces
}

/// The code of a file by line: without comments, and `use` in one line.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let code = line.split("//").next().unwrap_or_default();
        match lines.last_mut() {
            Some((_, open)) if open.trim_start().starts_with("use ") && !open.contains(';') => {
                open.push_str(code.trim());
            }
            _ => lines.push((number, code.to_owned())),
        }
    }
    lines
}

fn sources(part: &Path) -> Vec<PathBuf> {
    let file = part.with_extension("rs");
    let mut found = if file.is_file() { vec![file] } else { Vec::new() };
    let mut todo = vec![part.to_owned()];
    while let Some(folder) = todo.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}
