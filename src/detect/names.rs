//! What names of programs, tasks, containers and images suggest. Never more than a hint.

use super::{Confidence, Operation};

/// What a name suggests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Migration,
    Destruction,
    Backup,
    /// It waits for something, checks it, or prepares it for others.
    Waiting,
    Nothing,
}

/// Words that make a name a migration's.
const MIGRATION: &[&str] = &[
    "migrate",
    "migrates",
    "migration",
    "migrations",
    "migrator",
    "migrators",
    "automigrate",
    "dbmigrate",
    "dbmigration",
    "dbmigrations",
    "migratedb",
    "dbsync",
    "flyway",
    "liquibase",
    "alembic",
    "dbmate",
    "sqitch",
];

/// Words that turn a name into that of something that does not migrate a database.
const OTHER: &[&str] = &[
    "wait",
    "waits",
    "waiter",
    "waiting",
    "await",
    "check",
    "checks",
    "checker",
    "ready",
    "readiness",
    "status",
    "verify",
    "validate",
    "lint",
    "test",
    "tests",
    "dry",
    "skip",
    "no",
    "copy",
    "extract",
    "fetch",
    "download",
    "crd",
    "crds",
    "storage",
    "volume",
    "kube",
    "kubernetes",
    "k8s",
    "notify",
    "cleanup",
    "monitor",
    "exporter",
    "prepare",
    "generate",
    "create",
    "make",
    "ui",
    "docs",
    "plan",
    "permissions",
    "config",
    "configs",
    "dashboard",
    "dashboards",
    "topics",
    "kafka",
    "secrets",
    "secret",
    "resources",
    "vm",
    "live",
    "pod",
    "node",
];

/// Pairs of words that mean a migration together.
const PAIRS: &[(&str, &str)] = &[
    ("db", "sync"),
    ("db", "upgrade"),
    ("database", "upgrade"),
    ("schema", "upgrade"),
    ("schema", "update"),
    ("schema", "init"),
    ("init", "schema"),
    ("upgrade", "db"),
    ("upgrade", "schema"),
    ("update", "schema"),
    ("update", "db"),
];

/// What a name suggests.
pub(super) fn meaning(name: &str) -> Meaning {
    let words = words(name);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let is = |wanted: &str| words.iter().any(|word| word == wanted);
    if has(OTHER) {
        return Meaning::Waiting;
    }
    if has(&["drop", "reset", "wipe"]) && has(&["db", "database", "databases", "schema", "tables"])
    {
        return Meaning::Destruction;
    }
    if has(MIGRATION) || PAIRS.iter().any(|(a, b)| is(a) && is(b)) {
        return Meaning::Migration;
    }
    if words.last().is_some_and(|word| word == "backup" || word == "backups")
        || words.first().is_some_and(|word| word == "backup")
    {
        return Meaning::Backup;
    }
    Meaning::Nothing
}

/// Splits a name at everything that is no letter, and where capitals begin: `dbMigrate-v2`.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut was_lower = false;
    for next in name.chars().take(256) {
        let ends_word = !next.is_ascii_alphabetic() || (next.is_ascii_uppercase() && was_lower);
        if ends_word && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if next.is_ascii_alphabetic() {
            word.push(next.to_ascii_lowercase());
        }
        was_lower = next.is_ascii_lowercase();
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Flags of home-made programs that mean "migrate".
const FLAGS: &[&str] = &[
    "--migrate",
    "-migrate",
    "--migrate-only",
    "--run-migrations",
    "--run-migration",
    "--migrate-db",
    "--db-migrate",
    "--auto-migrate",
    "--migrations-only",
    "--apply-migrations",
    "-mode=migrate",
    "--mode=migrate",
    "--upgrade-db",
    "--migrate-database",
];

const READS: &[&str] = &[
    "status", "check", "info", "list", "ls", "show", "verify", "validate", "pending", "version",
    "create", "new", "generate", "make", "current", "history", "ready", "wait", "lint", "diff",
    "help", "dump", "plan", "test",
];

/// Words that a group of verbs starts with.
const GROUPS: [&str; 6] = ["migrate", "migration", "migrations", "db", "database", "schema"];

/// The words among the arguments of an unknown program. What follows an option may be its value,
/// unless it looks like a verb.
fn words_of(args: &[String]) -> impl Iterator<Item = &str> {
    let is_option = |arg: &str| arg.starts_with('-') && arg.len() > 1;
    let mut seen_verb = false;
    let mut before = "";
    args.iter().map(String::as_str).filter(move |arg| {
        let follows = is_option(before) && !before.contains('=');
        before = arg;
        let is_word = !is_option(arg) && (seen_verb || GROUPS.contains(arg) || !follows);
        seen_verb |= is_word;
        is_word
    })
}

/// What the verb of an unknown program says, with the words to show.
pub(super) fn verb(args: &[String]) -> Option<(Operation, Confidence, String)> {
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    if has("--help") || has("--check") || has("--dry-run") || has("--resource") {
        return None;
    }
    if let Some(flag) = FLAGS.iter().find(|flag| has(flag)) {
        return Some((Operation::Apply, Confidence::Command, (*flag).to_owned()));
    }
    let mut words = words_of(args);
    let first = words.next()?;
    let second = words.next().unwrap_or_default();
    if matches!(first, "eval" | "rpc") {
        // A release of Elixir: `bin/app eval "App.Release.migrate()"`.
        let operation =
            if second.contains(".Release.migrate") || second.contains(".ReleaseTasks.migrate") {
                Operation::Apply
            } else if second.contains(".Release.rollback") {
                Operation::Rollback
            } else {
                return None;
            };
        return Some((operation, Confidence::Command, first.to_owned()));
    }
    let known = |operation, words: String| Some((operation, Confidence::Command, words));
    if GROUPS.contains(&first) {
        if READS.contains(&second) {
            return known(Operation::ReadOnly, format!("{first} {second}"));
        }
        let operation = match second {
            "up" | "run" | "apply" | "deploy" | "latest" | "upgrade" | "migrate" | "head"
            | "sync" | "update" => Some(Operation::Apply),
            "down" | "rollback" | "revert" | "downgrade" | "undo" => Some(Operation::Rollback),
            "drop" | "reset" | "fresh" | "wipe" => Some(Operation::Destructive),
            "mark_applied" | "unlock" | "stamp" | "baseline" => Some(Operation::HistoryOnly),
            _ => None,
        };
        if let Some(operation) = operation {
            return known(operation, format!("{first} {second}"));
        }
    }
    match first {
        "db:migrate" | "migration:run" | "migrations:run" | "migrate:up" | "migrate:latest" => {
            known(Operation::Apply, first.to_owned())
        }
        "migrate" | "migrations" | "migration" => {
            Some((Operation::Apply, Confidence::Name, first.to_owned()))
        }
        // Only words that look like the name of a command, not like an address or a sentence.
        _ if first.len() <= 40
            && first.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':'))
            && meaning(first) == Meaning::Migration =>
        {
            Some((Operation::Unknown, Confidence::Name, first.to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_by_its_words() {
        for (name, expected) in [
            ("app-db-migrate", Meaning::Migration),
            ("dbMigrate", Meaning::Migration),
            ("run_migrations", Meaning::Migration),
            ("nova-db-sync", Meaning::Migration),
            ("init_schema", Meaning::Migration),
            ("wait-for-migrations", Meaning::Waiting),
            ("db-migration-checker", Meaning::Waiting),
            ("extract-migrations", Meaning::Waiting),
            ("db-drop", Meaning::Destruction),
            ("backup", Meaning::Backup),
            ("nightly-backup", Meaning::Backup),
            ("immigration", Meaning::Nothing),
            ("db-init", Meaning::Nothing),
            ("server", Meaning::Nothing),
        ] {
            assert_eq!(meaning(name), expected, "{name}");
        }
    }
}
