//! What names of programs, tasks, containers and images suggest. Never more than a hint.

use compact_str::CompactString;

use smallvec::SmallVec;

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

/// How much of a name is looked at, in bytes.
const MAX_NAME: usize = 256;

/// Words, sorted, in small letters.
struct Words {
    list: &'static [&'static str],
    /// The lengths of the words by their first letter, a bit for each length: nearly every word is told
    /// from those of the list by that.
    lengths: [u32; 26],
}

impl Words {
    #[expect(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        reason = "evaluated by the compiler, which refuses a list of anything else than short words"
    )]
    const fn new(list: &'static [&'static str]) -> Self {
        let mut lengths = [0; 26];
        let mut at = 0;
        while at < list.len() {
            let word = list[at].as_bytes();
            lengths[(word[0] - b'a') as usize] |= 1 << word.len();
            at += 1;
        }
        Self { list, lengths }
    }

    /// True when a word is among them, whatever its letters are.
    fn has(&self, word: &str) -> bool {
        let letter = word.bytes().next().unwrap_or_default().to_ascii_lowercase();
        let lengths = self.lengths.get(usize::from(letter.wrapping_sub(b'a')));
        let bit = u32::try_from(word.len()).ok().and_then(|length| 1_u32.checked_shl(length));
        matches!((lengths, bit), (Some(lengths), Some(bit)) if lengths & bit != 0)
            && is_among(word, self.list)
    }
}

/// Words that make a name a migration's.
static MIGRATION: Words = Words::new(&[
    "alembic",
    "automigrate",
    "dbmate",
    "dbmigrate",
    "dbmigration",
    "dbmigrations",
    "dbsync",
    "flyway",
    "liquibase",
    "migrate",
    "migratedb",
    "migrates",
    "migration",
    "migrations",
    "migrator",
    "migrators",
    "sqitch",
]);

/// Words that turn a name into that of something that does not migrate a database.
static OTHER: Words = Words::new(&[
    "await",
    "check",
    "checker",
    "checks",
    "cleanup",
    "config",
    "configs",
    "copy",
    "crd",
    "crds",
    "create",
    "dashboard",
    "dashboards",
    "docs",
    "download",
    "dry",
    "exporter",
    "extract",
    "fetch",
    "generate",
    "k8s",
    "kafka",
    "kube",
    "kubernetes",
    "lint",
    "live",
    "make",
    "monitor",
    "no",
    "node",
    "notify",
    "permissions",
    "plan",
    "pod",
    "prepare",
    "readiness",
    "ready",
    "resources",
    "secret",
    "secrets",
    "skip",
    "status",
    "storage",
    "test",
    "tests",
    "topics",
    "ui",
    "validate",
    "verify",
    "vm",
    "volume",
    "wait",
    "waiter",
    "waiting",
    "waits",
]);

/// What empties, and what is emptied.
static DESTRUCTION: [Words; 2] = [
    Words::new(&["drop", "reset", "wipe"]),
    Words::new(&["database", "databases", "db", "schema", "tables"]),
];

static BACKUP: Words = Words::new(&["backup", "backups"]);

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
    let words: SmallVec<[&str; 8]> = words(name).collect();
    let has = |list: &Words| words.iter().any(|word| list.has(word));
    let is = |wanted: &str| words.iter().any(|word| word.eq_ignore_ascii_case(wanted));
    if has(&OTHER) {
        return Meaning::Waiting;
    }
    if DESTRUCTION.iter().all(has) {
        return Meaning::Destruction;
    }
    if has(&MIGRATION) || words.len() > 1 && PAIRS.iter().any(|(a, b)| is(a) && is(b)) {
        return Meaning::Migration;
    }
    if words.last().is_some_and(|word| BACKUP.has(word))
        || words.first().is_some_and(|word| word.eq_ignore_ascii_case("backup"))
    {
        return Meaning::Backup;
    }
    Meaning::Nothing
}

/// True when a word is in a sorted list of words in small letters, whatever its own letters are.
pub(super) fn is_among(word: &str, list: &[&str]) -> bool {
    let small = |byte: u8| byte.to_ascii_lowercase();
    list.binary_search_by(|listed| listed.bytes().cmp(word.bytes().map(small))).is_ok()
}

/// Splits a name at everything that is no letter, and where capitals begin: `dbMigrate-v2`.
pub(super) fn words(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = name.get(..name.floor_char_boundary(MAX_NAME)).unwrap_or(name);
    std::iter::from_fn(move || {
        let start = rest.bytes().position(|byte| byte.is_ascii_alphabetic())?;
        let letters = rest.get(start..)?;
        let mut before = b'A';
        let end = letters.bytes().position(|byte| {
            let ends = !byte.is_ascii_alphabetic()
                || before.is_ascii_lowercase() && byte.is_ascii_uppercase();
            before = byte;
            ends
        });
        let (word, after) = letters.split_at_checked(end.unwrap_or(letters.len()))?;
        rest = after;
        Some(word)
    })
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
fn words_of(args: &[CompactString]) -> impl Iterator<Item = &str> {
    let is_option = |arg: &str| arg.starts_with('-') && arg.len() > 1;
    let mut seen_verb = false;
    let mut before = "";
    args.iter().map(CompactString::as_str).filter(move |arg| {
        let follows = is_option(before) && !before.contains('=');
        before = arg;
        let is_word = !is_option(arg) && (seen_verb || GROUPS.contains(arg) || !follows);
        seen_verb |= is_word;
        is_word
    })
}

/// What the verb of an unknown program says, with the words to show.
pub(super) fn verb(args: &[CompactString]) -> Option<(Operation, Confidence, String)> {
    let mut first_flag: Option<usize> = None;
    for option in args.iter().map(CompactString::as_str).filter(|arg| arg.starts_with('-')) {
        if matches!(option, "--help" | "--check" | "--dry-run" | "--resource") {
            return None;
        }
        let flag = FLAGS.iter().position(|flag| *flag == option);
        first_flag = [first_flag, flag].into_iter().flatten().min();
    }
    if let Some(flag) = first_flag.and_then(|at| FLAGS.get(at)) {
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
    fn lists_can_be_searched() {
        for Words { list, .. } in [&OTHER, &MIGRATION, &BACKUP].into_iter().chain(&DESTRUCTION) {
            assert!(list.is_sorted(), "{list:?}");
        }
    }

    #[test]
    fn words_are_found_whatever_their_letters() {
        for list in [&OTHER, &MIGRATION, &BACKUP].into_iter().chain(&DESTRUCTION) {
            for word in list.list {
                assert!(list.has(word) && list.has(&word.to_uppercase()), "{word}");
                for other in [format!("{word}x"), format!("x{word}")] {
                    assert!(!list.has(&other), "{other}");
                }
            }
        }
        for word in ["", "\u{e4}bc", "[ait", "migratq", &"w".repeat(40), &"a".repeat(300)] {
            assert!(!OTHER.has(word) && !MIGRATION.has(word), "{word}");
        }
    }

    #[test]
    fn names_are_split_into_words() {
        for (name, expected) in [
            ("dbMigrate-v2", vec!["db", "Migrate", "v"]),
            ("DBMigrate", vec!["DBMigrate"]),
            ("aB", vec!["a", "B"]),
            ("--a__b--", vec!["a", "b"]),
            ("\u{e4}bc", vec!["bc"]),
            ("", vec![]),
        ] {
            assert_eq!(words(name).collect::<Vec<_>>(), expected, "{name}");
        }
    }

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
