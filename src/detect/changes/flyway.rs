//! Flyway's names: `V1.2__add_orders.sql`, and scripts that are called after an event.

use super::{
    Opaque,
    place::{Key, Number, Place, Role, is_program, is_sql, parts},
    sections::Holes,
};

/// Endings of migrations that Flyway hands to another program.
const SCRIPTS: [&str; 6] = ["sh", "bash", "ps1", "bat", "cmd", "py"];

/// The place of a file; `None` for what Flyway passes over.
pub(super) fn place(path: &str) -> Option<Place<'_>> {
    let (_, name, ending) = parts(path);
    let is_sql = is_sql(&ending);
    if !is_sql && !is_program(&ending) && !SCRIPTS.contains(&ending.as_str()) {
        return None;
    }
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let found = callback(stem).or_else(|| migration(stem));
    match found {
        Some((key, direction)) => Some(Place { key, role: direction.role(is_sql) }),
        None if is_sql => {
            let key = Key::last(path);
            Some(Place { key, role: Role::Opaque(Opaque::Name) })
        }
        // A program of another kind that lies beside the migrations.
        None if SCRIPTS.contains(&ending.as_str()) => None,
        None => {
            let key = Key::last(path);
            Some(Place { key, role: Role::Opaque(Opaque::Program) })
        }
    }
}

/// When something of a name runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    Up,
    Down,
    Either,
}

impl Runs {
    fn role(self, is_sql: bool) -> Role {
        match (self, is_sql) {
            (Self::Up, true) => Role::Up(Holes::Dollar),
            (Self::Down, true) => Role::Down(Holes::Dollar),
            (Self::Either, true) => Role::Always(Holes::Dollar),
            (Self::Up, false) => Role::OpaqueUp(Opaque::Program),
            (Self::Down, false) => Role::OpaqueDown(Opaque::Program),
            (Self::Either, false) => Role::Opaque(Opaque::Program),
        }
    }
}

/// `V1_2__x`, `U1_2__x`, `B1_2__x` and `R__x`.
fn migration(stem: &str) -> Option<(Key<'_>, Runs)> {
    let (prefix, rest) = stem.split_at_checked(1)?;
    let (version, description) = match rest.split_once("__") {
        Some((version, description)) => (version, Some(description)),
        None => (rest, None),
    };
    match prefix {
        "R" => {
            let description = description.filter(|_| version.is_empty())?;
            Some((Key::new(2, Vec::new(), description), Runs::Up))
        }
        "V" | "B" => Some((Key::new(1, numbers(version)?, stem), Runs::Up)),
        "U" => Some((Key::new(1, numbers(version)?, stem), Runs::Down)),
        _ => None,
    }
}

/// `1.2_3` as numbers; `None` when it is anything else.
fn numbers(version: &str) -> Option<Vec<Number<'_>>> {
    version
        .split(['.', '_'])
        .map(|part| Number::prefix(part).filter(|(_, rest)| rest.is_empty()))
        .map(|found| found.map(|(number, _)| number))
        .collect()
}

/// `afterMigrate`, `beforeEachUndo__x`. Events come and go with versions, so the words in the
/// name decide; what runs around `info`, `validate` or a connection runs around a migration too.
fn callback(stem: &str) -> Option<(Key<'_>, Runs)> {
    let event = stem.split_once("__").map_or(stem, |(event, _)| event);
    let is_before = event.starts_with("before") || event == "createSchema";
    if !is_before && !event.starts_with("after") {
        return None;
    }
    let runs = if event.contains("Undo") {
        Runs::Down
    } else if ["Migrate", "Versioned", "Repeatables"].iter().any(|word| event.contains(word)) {
        Runs::Up
    } else {
        Runs::Either
    };
    Some((Key::new(if is_before { 0 } else { 3 }, Vec::new(), stem), runs))
}
