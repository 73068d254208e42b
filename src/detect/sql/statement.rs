//! One statement, by its first word.

use super::{
    Dialect, Operation, alter, create,
    hazards::{
        LOCK_TABLE, REFRESH, REINDEX, RENAME_OBJECT, RENAME_TABLE, REPACK, REVOKE, REWRITE,
        TRUNCATE_CASCADE,
    },
    lex::Kind,
    reading::{Context, Reading, shown},
    rows,
    words::Words,
};

/// First words of statements that change neither schema nor rows.
const READS: &[(&str, &str)] = shown! {
    "SHOW" "DESCRIBE" "DESC" "EXPLAIN" "USE" "SET" "VALUES" "TABLE" "SAVEPOINT" "PRINT" "ANALYZE" "APPLY"
    "CHECKPOINT" "LIST" "CONSISTENCY" "STATUS" "EXIT" "QUIT" "RESET" "KILL" "FLUSH" "UNLOCK"
    "EXISTS" "WAITFOR" "PING" "RELEASE" "LISTEN" "UNLISTEN" "NOTIFY" "DISCARD" "DEALLOCATE" "CLOSE"
    "CHECK" "CHECKSUM" "RAISERROR" "THROW" "RETURN" "PAGING" "TRACING" "EXPAND" "LOGIN" "HELP"
    "CLEAR"
};

/// The words that hold Transact-SQL statements together.
const CONTROL: &[(&str, &str)] = shown! {
    "IF" "ELSE" "WHILE" "DECLARE" "BREAK" "CONTINUE" "GOTO" "OPEN" "END" "FETCH"
};

/// What is not told apart further, and how it is shown.
const OPAQUE: &[(&str, &str)] = shown! {
    "DO" "CALL" "PREPARE" "DETACH" "IMPORT" "REASSIGN" "RESTORE" "PURGE" "FLASHBACK" "UNDROP"
    "SYSTEM" "HANDLER" "XA" "INSTALL" "UNINSTALL" "DECLARE"
};

const TRANSACTION: &[(&str, &str)] = shown! { "BEGIN" "START" "COMMIT" "END" "ROLLBACK" "ABORT" };

/// Reads one statement, which has at least one token.
pub(super) fn read(words: Words<'_, '_>, is_open: bool, context: &mut Context) -> Reading {
    let reading = by_first_word(words, context);
    let is_cut =
        words.0.last().is_some_and(|last| last.depth > 0 || last.kind == Kind::Symbol('('));
    let is_schema_change = reading.operation == Some(Operation::Apply);
    if (is_open || is_cut) && is_schema_change {
        // It ends in the middle of something, so it is not what it looks like.
        return reading.and(Reading::unknown("statement without an end"));
    }
    reading
}

/// How a first word is shown, if it is among these.
fn among(words: Words<'_, '_>, known: &[(&str, &'static str)]) -> Option<&'static str> {
    known.iter().find(|(word, _)| words.is(0, word)).map(|(_, shown)| *shown)
}

fn by_first_word(words: Words<'_, '_>, context: &mut Context) -> Reading {
    let Some(first) = words.get(0) else { return Reading::read_only("nothing") };
    if first.kind == Kind::Symbol('(') {
        let inner = words.skip(1);
        return if inner.is_any(0, &["SELECT", "WITH", "VALUES", "("]) {
            rows::wrapped(words, Reading::read_only("SELECT"))
        } else {
            Reading::unknown("statement")
        };
    }
    if first.kind != Kind::Word {
        return Reading::unknown("statement");
    }
    match first.text.to_ascii_uppercase().as_str() {
        "SELECT" => rows::select(words),
        "WITH" => rows::wrapped(words, Reading::read_only("WITH")),
        "EXPLAIN" | "PROFILE" if words.has_deep("ANALYZE") => {
            rows::wrapped(words, Reading::read_only("EXPLAIN ANALYZE"))
        }
        "REPLACE" if words.is(1, "TABLE") => Reading::destructive("REPLACE TABLE"),
        "UPDATE" if words.is(1, "STATISTICS") && context.is(&[Dialect::SqlServer]) => {
            Reading::read_only("UPDATE STATISTICS")
        }
        "UPDATE" | "DELETE" => rows::write(words),
        "COPY" => rows::copy(words),
        "INSERT" | "MERGE" | "REPLACE" | "LOAD" | "UPSERT" | "BULK" => Reading::data("INSERT"),
        "CREATE" => create::create(words, context),
        "ALTER" => alter::read(words, context),
        "DROP" => create::drop(words, context),
        "TRUNCATE" => {
            Reading::destructive("TRUNCATE").because_if(words.has("CASCADE"), &TRUNCATE_CASCADE)
        }
        "RENAME" | "EXCHANGE" => Reading::breaking("RENAME TABLE", &RENAME_TABLE),
        "SP_RENAME" => Reading::breaking("EXEC sp_rename", &RENAME_OBJECT),
        "EXEC" | "EXECUTE" => execute(words),
        "GRANT" => Reading::aside("GRANT"),
        "CONNECT" => Reading::aside("CONNECT"),
        "REVOKE" | "DENY" => Reading::aside("REVOKE").because(&REVOKE),
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" => transaction(words, context),
        "BACKUP" => Reading { operation: Some(Operation::Backup), ..Reading::read_only("BACKUP") },
        "COMMENT" => Reading::additive("COMMENT"),
        "SECURITY" => Reading::additive("SECURITY LABEL"),
        "ATTACH" => Reading::additive("ATTACH"),
        "PRAGMA" if words.is(1, "writable_schema") => Reading::unknown("PRAGMA writable_schema"),
        "PRAGMA" => Reading::read_only("PRAGMA"),
        "SYSTEM" if words.is_any(1, &["FLUSH", "RELOAD", "SYNC", "START", "STOP"]) => {
            Reading::read_only("SYSTEM")
        }
        _ if context.is(&[Dialect::SqlServer]) && among(words, CONTROL).is_some() => {
            Reading::read_only(among(words, CONTROL).unwrap_or("IF"))
        }
        _ if let Some(shown) = among(words, READS) => Reading::read_only(shown),
        _ => maintenance(words, context),
    }
}

/// Statements that keep a database in order.
fn maintenance(words: Words<'_, '_>, context: &Context) -> Reading {
    let named = |at: usize| words.skip(at).name().1;
    let runs = words.has_deep("CONCURRENTLY");
    match () {
        () if words.is(0, "VACUUM") => {
            let full = words.has_deep("FULL") && context.dialect != Dialect::Sqlite;
            Reading::read_only("VACUUM").because_if(full, &REPACK)
        }
        () if words.is(0, "CLUSTER") => Reading::additive("CLUSTER").because(&REPACK),
        () if words.is(0, "OPTIMIZE") => Reading::additive("OPTIMIZE TABLE")
            .because_if(context.dialect != Dialect::Clickhouse, &REWRITE),
        () if words.is(0, "REINDEX") => Reading::additive("REINDEX")
            .because_if(!runs && context.dialect != Dialect::Sqlite, &REINDEX),
        () if words.is(0, "REFRESH") => {
            let is_new = context.is_new(words.after("REFRESH MATERIALIZED VIEW").name().1.as_ref());
            let waits = !runs && !is_new && !words.has("NO DATA");
            Reading::additive("REFRESH MATERIALIZED VIEW").because_if(waits, &REFRESH)
        }
        () if words.is(0, "LOCK") => {
            let at = if words.is_any(1, &["TABLE", "TABLES"]) { 2 } else { 1 };
            let shares = words.has("ACCESS SHARE") || words.has("ROW SHARE");
            let is_new = context.is_new(named(at).as_ref());
            Reading::read_only("LOCK TABLE").because_if(!shares && !is_new, &LOCK_TABLE)
        }
        () => Reading::unknown(among(words, OPAQUE).unwrap_or("statement")),
    }
}

/// `EXEC` of a procedure.
fn execute(words: Words<'_, '_>) -> Reading {
    let renames = words.0.iter().take(6).any(|token| token.is("SP_RENAME"));
    if renames {
        Reading::breaking("EXEC sp_rename", &RENAME_OBJECT)
    } else {
        Reading::unknown("EXECUTE")
    }
}

/// Words after `BEGIN` and `START` that begin a transaction.
const TRANSACTION_WORDS: &[&str] = &[
    "TRANSACTION",
    "TRAN",
    "WORK",
    "ISOLATION",
    "READ",
    "DEFERRED",
    "IMMEDIATE",
    "EXCLUSIVE",
    "DEFERRABLE",
    "NOT",
    "TRY",
    "CATCH",
    "DISTRIBUTED",
    "CONCURRENT",
    "SLAVE",
    "REPLICA",
];

/// `BEGIN` and what ends it; in some dialects it opens a block of statements.
fn transaction(words: Words<'_, '_>, context: &mut Context) -> Reading {
    let shown = among(words, TRANSACTION).unwrap_or("BEGIN");
    if !words.is_any(0, &["BEGIN", "START"]) {
        context.in_transaction &= words.is(1, "PREPARED") || words.has("TO");
        return Reading::read_only(shown);
    }
    if words.0.len() == 1 || words.is_any(1, TRANSACTION_WORDS) {
        context.in_transaction = true;
        Reading::read_only(shown)
    } else if words.is_any(1, &["BATCH", "UNLOGGED", "COUNTER"]) {
        rows::wrapped(words, Reading::read_only("BEGIN BATCH"))
    } else {
        Reading::unknown("block of statements")
    }
}
