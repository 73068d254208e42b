//! `CREATE` and `DROP`.

use super::{
    Dialect, alter,
    hazards::{
        CREATE_DOMAIN, DROP_DATABASE, DROP_DOMAIN, DROP_EXTENSION, DROP_FUNCTION, DROP_SCHEMA,
        DROP_SEQUENCE, DROP_TABLE, DROP_TYPE, DROP_VIEW, INDEX_CREATION, INDEX_DELETION,
        INDEX_IN_TRANSACTION, LOCK_TABLE, UNIQUE_INDEX,
    },
    reading::{Context, Reading, shown},
    words::Words,
};
use Dialect::{Clickhouse, Cql, Generic, Mysql, Oracle, Postgresql, SqlServer};

/// Words between `CREATE` and what is created.
const MODIFIERS: &[&str] = &[
    "TEMP",
    "TEMPORARY",
    "UNLOGGED",
    "GLOBAL",
    "LOCAL",
    "UNIQUE",
    "FULLTEXT",
    "SPATIAL",
    "CLUSTERED",
    "NONCLUSTERED",
    "COLUMNSTORE",
    "BITMAP",
    "CUSTOM",
    "MATERIALIZED",
    "RECURSIVE",
    "FORCE",
    "EDITIONABLE",
    "NONEDITIONABLE",
    "VIRTUAL",
    "EXTERNAL",
    "FOREIGN",
    "CONSTRAINT",
    "EVENT",
    "PRIVATE",
    "PUBLIC",
    "LIVE",
    "TRANSIENT",
    "COLUMN",
    "DATA",
    "TRUSTED",
    "PROCEDURAL",
    "DEFAULT",
];

/// What can be created without touching what is there, and how that is shown.
const OBJECTS: &[(&str, &str)] = shown! {
    "CREATE": "TYPE" "SEQUENCE" "FUNCTION" "PROCEDURE" "PROC" "TRIGGER" "EXTENSION" "SCHEMA"
        "POLICY" "PUBLICATION" "SUBSCRIPTION" "STATISTICS" "RULE" "AGGREGATE" "SERVER" "WRAPPER"
        "CAST" "COLLATION" "CONVERSION" "OPERATOR" "TEXT" "LANGUAGE" "TRANSFORM" "ACCESS" "PACKAGE"
        "SYNONYM" "DICTIONARY" "PARTITION" "ASSEMBLY" "XML" "CATALOG" "QUEUE" "CERTIFICATE" "NAMED"
        "ROW" "SETTINGS" "PROFILE" "QUOTA" "LINK" "DIRECTORY" "SECURITY" "CHANGEFEED" "DEFINER"
        "ALGORITHM" "SQL" "EVENT"
};

/// What holds no schema of an application: an empty database, an account.
const ASIDE: &[(&str, &str)] = shown! {
    "CREATE": "DATABASE" "USER" "ROLE" "LOGIN" "KEYSPACE" "TABLESPACE" "GROUP"
};

/// Reads a statement that starts with `CREATE`.
pub(super) fn create(words: Words<'_, '_>, context: &mut Context) -> Reading {
    let replaces = words.is(1, "OR");
    let mut rest = words.skip(if replaces { 3 } else { 1 });
    let (mut is_temporary, mut is_unique, mut is_special) = (false, false, false);
    while rest.is_any(0, MODIFIERS) && !rest.starts("EVENT") || rest.starts("EVENT TRIGGER") {
        is_temporary |= rest.is_any(0, &["TEMP", "TEMPORARY"]);
        is_unique |= rest.is(0, "UNIQUE");
        is_special |= rest.is_any(0, &["FULLTEXT", "SPATIAL"]);
        rest = rest.skip(1);
    }
    let Some(object) = rest.get(0) else { return Reading::unknown("CREATE") };
    let is = |found: &[&str]| found.iter().any(|word| object.is(word));
    let named = rest.skip(1).after("IF NOT EXISTS");
    let known = |objects: &[(&str, &'static str)]| {
        objects.iter().find(|(word, _)| object.is(word)).map(|(_, shown)| *shown)
    };
    if let Some(shown) = known(ASIDE) {
        Reading::aside(shown)
    } else if is(&["TABLE", "VIEW"]) {
        let is_table = object.is("TABLE");
        let (after, name) = named.name();
        if replaces && is_table {
            return Reading::destructive("CREATE OR REPLACE TABLE").because(&DROP_TABLE);
        }
        context.created.extend(name);
        let reading = Reading::additive(if is_table { "CREATE TABLE" } else { "CREATE VIEW" });
        let reading =
            if is_temporary { Reading::read_only("CREATE TEMPORARY TABLE") } else { reading };
        // Brackets may take in what follows where a dialect needs no semicolon.
        if is_table && strays(after) {
            reading.and(Reading::unknown("CREATE TABLE"))
        } else {
            reading
        }
    } else if is(&["INDEX"]) {
        index(rest, is_unique, is_special, context)
    } else if is(&["DOMAIN"]) {
        Reading::additive("CREATE DOMAIN").because_if(rest.has("CHECK"), &CREATE_DOMAIN)
    } else {
        known(OBJECTS).map_or_else(|| Reading::unknown("CREATE"), Reading::additive)
    }
}

/// True when a word that begins another statement follows without a semicolon.
fn strays(rest: Words<'_, '_>) -> bool {
    rest.level().any(|(at, token)| {
        let before = |found: &[&str]| at.checked_sub(1).is_some_and(|at| rest.is_any(at, found));
        (token.is("DROP") || token.is("TRUNCATE") || token.is("ALTER")) && !before(&["COMMIT"])
            || (token.is("DELETE") || token.is("UPDATE")) && !before(&["ON", "COMMIT", "FOR"])
    })
}

/// `CREATE INDEX`, from `INDEX` on.
fn index(rest: Words<'_, '_>, unique: bool, special: bool, context: &Context) -> Reading {
    let reading = Reading::additive(if unique { "CREATE UNIQUE INDEX" } else { "CREATE INDEX" });
    let Some(on) = rest.find("ON") else { return Reading::unknown("CREATE INDEX") };
    let (_, table) = rest.skip(on.saturating_add(1)).after("ONLY").name();
    if context.is(&[Clickhouse, Cql]) || context.is_new(table.as_ref()) {
        return reading;
    }
    let concurrent = rest.is_any(1, &["CONCURRENTLY", "ASYNC"]);
    let is_online = concurrent || rest.has_deep("ONLINE") && !rest.has_deep("OFF");
    let waits = context.is(&[Postgresql, Generic, SqlServer, Oracle]) && !is_online;
    let reading = reading
        .because_if(waits, &INDEX_CREATION)
        .because_if(concurrent && context.in_transaction, &INDEX_IN_TRANSACTION)
        .because_if(unique, &UNIQUE_INDEX)
        .because_if(special && context.dialect == Mysql, &LOCK_TABLE);
    if context.dialect == Mysql { alter::locking(rest, reading) } else { reading }
}

/// Reads a statement that starts with `DROP`.
pub(super) fn drop(words: Words<'_, '_>, context: &Context) -> Reading {
    let mut rest = words.skip(1);
    while rest.is_any(0, &["FOREIGN", "MATERIALIZED", "EXTERNAL", "EVENT", "PUBLIC", "UNIQUE"])
        && rest.0.len() > 2
        && !rest.is(1, "IF")
    {
        rest = rest.skip(1);
    }
    let is = |found: &[&str]| rest.is_any(0, found);
    let name = rest.skip(1).after("IF EXISTS");
    let is_hash = name.get(0).is_some_and(|name| name.text.starts_with('#'));
    let is_temporary = is(&["TEMPORARY"]) && rest.is(1, "TABLE")
        || is(&["TABLE"]) && context.dialect == SqlServer && is_hash && name.0.len() == 1;
    if is_temporary || is(&["PREPARE"]) {
        return Reading::read_only("DROP TEMPORARY TABLE");
    }
    let cascades = words.has("CASCADE");
    if let Some((_, shown, hazard)) = LOST.iter().find(|(object, ..)| is(&[object])) {
        return Reading::destructive(shown).because(hazard);
    }
    let shown = |objects: &[(&str, &'static str)]| {
        objects.iter().find(|(word, _)| rest.is(0, word)).map(|(_, shown)| *shown)
    };
    let reading = if let Some(shown) = shown(ACCOUNTS) {
        Reading::aside(shown)
    } else if is(&["INDEX"]) {
        let waits = context.is(&[Postgresql, Generic]) && !rest.has("CONCURRENTLY");
        Reading::additive("DROP INDEX").because_if(waits, &INDEX_DELETION)
    } else if is(&["VIEW"]) && !words.is(1, "MATERIALIZED") {
        Reading::additive("DROP VIEW").because(&DROP_VIEW)
    } else if let Some(shown) = shown(ROUTINES) {
        Reading::additive(shown).because(&DROP_FUNCTION)
    } else if let Some(shown) = shown(HELPERS) {
        Reading::additive(shown)
    } else if let Some((_, shown, hazard)) = BROKEN.iter().find(|(object, ..)| is(&[object])) {
        Reading::breaking(shown, hazard)
    } else {
        Reading::destructive("DROP")
    };
    if cascades { reading.and(Reading::destructive("DROP … CASCADE")) } else { reading }
}

type Dropped = (&'static str, &'static str, &'static super::Hazard);

/// Objects that take their rows with them.
const LOST: &[Dropped] = &[
    ("TABLE", "DROP TABLE", &DROP_TABLE),
    ("TABLES", "DROP TABLE", &DROP_TABLE),
    ("SCHEMA", "DROP SCHEMA", &DROP_SCHEMA),
    ("DATABASE", "DROP DATABASE", &DROP_DATABASE),
    ("KEYSPACE", "DROP KEYSPACE", &DROP_DATABASE),
];

/// Objects that hold no rows, or rows that can be made again, and that code may use.
const BROKEN: &[Dropped] = &[
    ("VIEW", "DROP MATERIALIZED VIEW", &DROP_VIEW),
    ("TYPE", "DROP TYPE", &DROP_TYPE),
    ("SEQUENCE", "DROP SEQUENCE", &DROP_SEQUENCE),
    ("DOMAIN", "DROP DOMAIN", &DROP_DOMAIN),
    ("EXTENSION", "DROP EXTENSION", &DROP_EXTENSION),
    ("PACKAGE", "DROP PACKAGE", &DROP_FUNCTION),
];

const ACCOUNTS: &[(&str, &str)] = shown! { "DROP": "USER" "ROLE" "LOGIN" "GROUP" };

/// Objects that code calls.
const ROUTINES: &[(&str, &str)] = shown! { "DROP": "FUNCTION" "PROCEDURE" "AGGREGATE" };

/// Objects that code does not name.
const HELPERS: &[(&str, &str)] = shown! {
    "DROP": "TRIGGER" "POLICY" "RULE" "STATISTICS" "SUBSCRIPTION" "PUBLICATION"
};
