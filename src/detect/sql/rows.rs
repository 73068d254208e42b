//! Statements about rows.

use super::{
    lex::{Kind, Token},
    reading::Reading,
    words::Words,
};

/// Functions that change a schema although they are only selected.
const DROPPING: &[&str] = &["drop_chunks", "drop_distributed_table", "pg_drop_replication_slot"];
/// Functions that run a text.
const RUNNING: &[&str] = &["dblink_exec", "query_to_xml", "cron", "run_command_on_workers"];

/// `SELECT`.
pub(super) fn select(words: Words<'_, '_>) -> Reading {
    const SELECT: &str = "SELECT";
    let calls =
        |names: &[&str]| words.0.iter().any(|token| names.iter().any(|name| token.is(name)));
    let into = words.find("INTO").map(|at| words.skip(at.saturating_add(1)));
    let to_table = into.is_some_and(|to| {
        let is_variable = to.get(0).is_some_and(|token| token.kind == Kind::Symbol('@'));
        !is_variable && !to.is_any(0, &["OUTFILE", "DUMPFILE"])
    });
    if calls(DROPPING) {
        Reading::destructive("SELECT of a function that drops")
    } else if calls(RUNNING) {
        Reading::unknown("SELECT of a function that runs a text")
    } else if to_table {
        Reading::additive("SELECT INTO")
    } else {
        Reading::read_only(SELECT)
    }
}

/// `UPDATE` or `DELETE`.
pub(super) fn write(words: Words<'_, '_>) -> Reading {
    let is_delete = words.is(0, "DELETE");
    if !changes_all(words) {
        return Reading::data(if is_delete { "DELETE" } else { "UPDATE" });
    }
    let (rest, _) = words.skip(1).after("FROM").after("ONLY").name();
    if !words.has("WHERE") && rest.has_hole() {
        // The condition may be there.
        return Reading::unknown(if is_delete { "DELETE" } else { "UPDATE" });
    }
    Reading::destructive(if is_delete { "DELETE of every row" } else { "UPDATE of every row" })
}

/// True when no condition holds an `UPDATE` or `DELETE` back, or one that is always true.
pub(super) fn changes_all(words: Words<'_, '_>) -> bool {
    let Some(at) = words.find("WHERE") else { return true };
    let condition = words.skip(at.saturating_add(1));
    let ends = |token: &Token<'_>| {
        ["RETURNING", "LIMIT", "ORDER", "OPTION", "SETTINGS"].iter().any(|word| token.is(word))
    };
    let depth = condition.get(0).map_or(0, |token| token.depth);
    let end = condition
        .0
        .iter()
        .position(|token| token.depth < depth || token.depth == depth && ends(token))
        .unwrap_or(condition.0.len());
    let condition = condition.0.get(..end).unwrap_or_default();
    condition
        .split(|token| token.depth == depth && token.is("OR"))
        .any(|alternative| is_always_true(alternative))
}

/// `TRUE`, `1`, `1=1` and `'a'='a'`, in brackets or not.
fn is_always_true(condition: &[Token<'_>]) -> bool {
    let bare: Vec<&Token<'_>> = condition
        .iter()
        .filter(|token| !matches!(token.kind, Kind::Symbol('(' | ')')))
        .take(4)
        .collect();
    match bare.as_slice() {
        [one] => one.is("TRUE") || one.kind == Kind::Number && one.text != "0",
        [left, equals, right] => {
            let constant = matches!(left.kind, Kind::Number | Kind::Literal) || left.is("TRUE");
            constant
                && matches!(equals.kind, Kind::Symbol('='))
                && left.text.eq_ignore_ascii_case(right.text)
        }
        _ => false,
    }
}

/// The writes inside a statement that wraps them, such as `WITH` or `EXPLAIN ANALYZE`.
pub(super) fn wrapped(words: Words<'_, '_>, otherwise: Reading) -> Reading {
    let is_write = |(at, token): &(usize, &Token<'_>)| {
        // `FOR UPDATE` and `FOR NO KEY UPDATE` are locks, `ON UPDATE` an action of a key.
        let before = at.wrapping_sub(1);
        let is_clause = words.is_any(before, &["FOR", "KEY", "ON", "THEN", "DO"]);
        let starts = ["DELETE", "UPDATE", "INSERT", "MERGE"].iter().any(|word| token.is(word));
        starts && !is_clause
    };
    let mut writes = words.0.iter().enumerate().skip(1).filter(is_write).peekable();
    let mut total = otherwise;
    while let Some((at, token)) = writes.next() {
        // Each is read up to the next, so that all of them take one pass.
        let end = writes.peek().map_or(words.0.len(), |(next, _)| *next);
        let write = Words(words.0.get(at..end).unwrap_or_default());
        total = total.and(if token.is("INSERT") || token.is("MERGE") {
            Reading::data("INSERT")
        } else {
            self::write(write)
        });
    }
    total
}

/// `COPY`, as the server or `psql` runs it.
pub(super) fn copy(words: Words<'_, '_>) -> Reading {
    if words.has("PROGRAM") {
        Reading::unknown("COPY of a program")
    } else if words.has("TO") && !words.has("FROM") {
        Reading::read_only("COPY TO")
    } else {
        Reading::data("COPY FROM")
    }
}
