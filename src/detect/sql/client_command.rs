//! Commands that a client runs itself: `\i` of `psql`, `.read` of `sqlite3`, `@file` of SQL*Plus.

use super::{Operation, reading::Reading};

/// What a command of a client does. What it takes from elsewhere is unknown.
pub(super) fn read(name: &str, arguments: &str) -> Reading {
    const RUNS: &[&str] = &[
        "\\i",
        "\\ir",
        "\\include",
        "\\include_relative",
        "\\!",
        "\\gexec",
        "\\e",
        "\\edit",
        "\\ef",
        "\\.",
        "source",
        "system",
        ".read",
        ".shell",
        ".system",
        ".load",
        "start",
        "host",
        "execute",
        "exec",
        "startup",
        "shutdown",
        ":r",
        "!!",
    ];
    const ASIDE: &[&str] = &["\\c", "\\connect", "\\set", "\\echo", "connect", "conn", ".open"];
    let lower = name.to_ascii_lowercase();
    let is = |names: &[&str]| names.contains(&lower.as_str());
    if is(RUNS) || lower.starts_with(['@', '!']) {
        return Reading::unknown("client command that runs a file or a program");
    }
    if lower.starts_with('\\') && (arguments.starts_with('|') || arguments.contains('`')) {
        return Reading::unknown("client command that runs a program");
    }
    if is(&["\\copy"]) {
        let takes = arguments.to_ascii_lowercase();
        let mut words = takes.split_ascii_whitespace();
        return if words.any(|word| word == "program") {
            Reading::unknown("\\copy of a program")
        } else if takes.split_ascii_whitespace().any(|word| word == "from") {
            Reading::data("\\copy")
        } else {
            Reading::read_only("\\copy")
        };
    }
    if is(&[".import", "\\lo_import", "\\lo_unlink"]) {
        return Reading::data("client command that imports");
    }
    if is(&[".restore", ".recover"]) {
        return Reading::destructive("client command that restores");
    }
    if is(&[".backup", ".save", ".dump", ".clone", "\\lo_export"]) {
        let reading = Reading::read_only("client command that saves");
        return Reading { operation: Some(Operation::Backup), ..reading };
    }
    if is(ASIDE) {
        return Reading { operation: None, ..Reading::read_only("client command") };
    }
    Reading::read_only("client command")
}
