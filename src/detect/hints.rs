//! Jobs that prepare an application's database without saying how.
//!
//! Many applications bring their migrations in their own image and run them when they are started in
//! a special way: in a Job called `initializer`, with `ROLE=init`. What such a Job does cannot be
//! told from the manifest, but that it is there to prepare a database can be guessed. A guess is a
//! hint: it is reported and never refuses anything.

use super::{names, unwrap::basename};
use crate::model::{Container, DATABASE_WORDS, MountedSource};

/// Words by which a Job that prepares something is called. This list and the next two are sorted.
const PREPARES: &[&str] = &[
    "init",
    "initialise",
    "initialiser",
    "initialization",
    "initialize",
    "initializer",
    "installer",
    "setup",
    "upgrade",
    "upgrader",
];

/// Words by which it is the preparing itself that a program is called after.
const INITIALIZER: &[&str] =
    &["initialise", "initialiser", "initialization", "initialize", "initializer", "upgrader"];

/// Schemes of addresses of databases.
const SCHEMES: &[&str] = &[
    "jdbc:",
    "postgres://",
    "postgresql://",
    "mysql://",
    "mariadb://",
    "mongodb://",
    "mongodb+srv://",
    "sqlserver://",
    "clickhouse://",
];

/// Words of the names of variables that tell a program what it is started for.
const PURPOSE: &[&str] = &["action", "command", "mode", "operation", "role", "task"];

/// Why a Job's one container seems to prepare a database: the name that says so.
///
/// `job` is the name of the Job. None for everything that shows what it runs.
pub(super) fn prepares_database<'n>(
    job: &'n str,
    container: &'n Container<'_>,
) -> Option<Hint<'n>> {
    if !knows_a_database(container) {
        return None;
    }
    if let Some(program) = container.command.first() {
        let name = basename(program);
        let called = has(name, INITIALIZER) && container.command.len() == 1;
        return called.then_some(Hint::Program(name));
    }
    let replaced = container.volume_mounts.iter().any(|mount| {
        basename(&mount.mount_path).contains("entrypoint") && mount.sub_path.is_some()
    });
    if !container.args.is_empty() || replaced {
        return None;
    }
    let told = container.env.iter().position(|variable| {
        let purpose = has(&variable.name, PURPOSE);
        purpose && variable.value.as_deref().is_some_and(|value| PREPARES.contains(&value))
    });
    if let Some(index) = told {
        return Some(Hint::Variable(index));
    }
    if has(&container.name, PREPARES) {
        return Some(Hint::Container(&container.name));
    }
    has(job, PREPARES).then_some(Hint::Job(job))
}

/// What suggests that a database is prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint<'n> {
    /// The name of the program.
    Program(&'n str),
    /// The variable at this place.
    Variable(usize),
    /// The container's name.
    Container(&'n str),
    /// The Job's name.
    Job(&'n str),
}

fn has(name: &str, wanted: &[&str]) -> bool {
    names::words(name).any(|word| names::is_among(word, wanted))
}

fn knows_a_database(container: &Container<'_>) -> bool {
    let by_variable = container.env.iter().any(|variable| {
        let value = variable.value.as_deref().unwrap_or_default();
        has(&variable.name, DATABASE_WORDS)
            || SCHEMES.iter().any(|scheme| value.starts_with(scheme))
    });
    by_variable
        || container.env_from.iter().any(|source| match source.source() {
            Some(MountedSource::Secret(name) | MountedSource::ConfigMap(name)) => {
                has(name, DATABASE_WORDS)
            }
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_can_be_searched() {
        for list in [PREPARES, INITIALIZER, PURPOSE, DATABASE_WORDS] {
            assert!(list.is_sorted(), "{list:?}");
        }
    }
}
