//! `ALTER`.

use super::{
    Class, Dialect, Operation, column,
    hazards::{
        CHANGE_TYPE, DETACH_PARTITION, DISABLE_TRIGGER, DOMAIN_CONSTRAINT, DROP_COLUMN,
        DROP_CONSTRAINT, DROP_DEFAULT, DROP_EXPRESSION, DROP_NOT_NULL, DROP_PARTITION, LOCK_TABLE,
        NOT_NULLABLE, NOT_VALIDATED, REINDEX, RENAME_COLUMN, RENAME_OBJECT, RENAME_TABLE, REWRITE,
        ROW_SECURITY, SET_SCHEMA,
    },
    lex::Kind,
    reading::{Context, Reading, shown},
    words::Words,
};
use Dialect::{Clickhouse, Cql, Generic, Mysql, Oracle, Postgresql, SqlServer};

/// Reads a statement that starts with `ALTER`.
pub(super) fn read(words: Words<'_, '_>, context: &Context) -> Reading {
    let mut rest = words.skip(1);
    while rest.is_any(0, &["ONLINE", "OFFLINE", "IGNORE", "FOREIGN", "MATERIALIZED"]) {
        rest = rest.skip(1);
    }
    let reading = match rest.get(0) {
        Some(object) if object.is("TABLE") => table(rest.skip(1), context),
        Some(object) if object.is("TYPE") => of_type(rest.skip(1)),
        Some(object) if object.is("DOMAIN") => domain(rest.skip(1)),
        Some(object) if object.is("INDEX") => index(rest.skip(1), context),
        Some(_) => object(rest),
        None => Reading::unknown("ALTER"),
    };
    if reading.operation.is_some_and(|o| o < Operation::Destructive) && mentions_loss(words) {
        // An action of which nothing is known, or a word in an unexpected place.
        return reading.and(Reading::unknown("ALTER"));
    }
    reading
}

/// True when a word of the statement may lose something, wherever it stands.
fn mentions_loss(words: Words<'_, '_>) -> bool {
    const HARMLESS: &[&str] = &[
        "CONSTRAINT",
        "INDEX",
        "KEY",
        "FOREIGN",
        "PRIMARY",
        "CHECK",
        "DEFAULT",
        "NOT",
        "EXPRESSION",
        "IDENTITY",
    ];
    words.0.iter().enumerate().skip(2).any(|(at, token)| {
        let next = at.saturating_add(1);
        let follows = |found: &[&str]| words.is_any(next, found);
        match token.text.len() {
            _ if token.kind != Kind::Word => false,
            4 if token.is("DROP") => !follows(HARMLESS),
            6 if token.is("RENAME") => !follows(&["CONSTRAINT", "INDEX", "KEY"]),
            6 if token.is("CHANGE") => true,
            6 if token.is("DELETE") => follows(&["WHERE"]) || !words.is(at.wrapping_sub(1), "ON"),
            7 if token.is("DISCARD") => true,
            8 if token.is("TRUNCATE") => true,
            // Elsewhere a function.
            8 if token.is("COALESCE") => follows(&["PARTITION"]),
            3 if token.is("SET") => follows(&["SCHEMA"]),
            _ => false,
        }
    })
}

/// `ALTER TABLE` with what follows it.
fn table(rest: Words<'_, '_>, context: &Context) -> Reading {
    if rest.starts("ALL IN") {
        return Reading::additive("ALTER TABLE … SET TABLESPACE").because(&REWRITE);
    }
    let (mut rest, name) = rest.after("IF EXISTS").after("ONLY").name();
    if rest.get(0).is_some_and(|token| token.kind == Kind::Symbol('*')) {
        rest = rest.skip(1);
    }
    if rest.starts("ON CLUSTER") {
        rest = rest.skip(2).name().0;
    }
    let is_checked = !rest.starts("WITH NOCHECK");
    rest = rest.after("WITH NOCHECK").after("WITH CHECK").after("NOWAIT");
    let mut verb = "";
    let mut total: Option<Reading> = None;
    for piece in rest.pieces().flat_map(actions) {
        let reading = match ACTIONS.iter().find(|action| piece.is(0, action)) {
            Some(action) => {
                verb = action;
                self::action(piece, context, is_checked)
            }
            None if let Some(reading) = option(piece, context) => {
                verb = "";
                reading
            }
            // `ADD a int, b int` and `DROP COLUMN a, b` of SQL Server.
            None if verb == "ADD" => column::add(piece, context, is_checked),
            None if verb == "DROP" => drop(piece),
            None => Reading::unknown("ALTER TABLE"),
        };
        total = Some(match total {
            Some(total) => total.and(reading),
            None => reading,
        });
    }
    let reading = total.unwrap_or_else(|| Reading::unknown("ALTER TABLE"));
    if context.is_new(name.as_ref()) { reading.of_new() } else { locking(rest, reading) }
}

/// What `ALGORITHM` and `LOCK` of MySQL make of it.
pub(super) fn locking(rest: Words<'_, '_>, reading: Reading) -> Reading {
    let set = |option: &str, values: &[&str]| {
        rest.find(option).is_some_and(|at| {
            // With or without the sign between.
            rest.is_any(at.saturating_add(1), values) || rest.is_any(at.saturating_add(2), values)
        })
    };
    if set("LOCK", &["SHARED", "EXCLUSIVE"]) || set("ALGORITHM", &["COPY"]) {
        return reading.because(&LOCK_TABLE);
    }
    let mut reading = reading;
    if set("LOCK", &["NONE"]) || set("ALGORITHM", &["INSTANT"]) {
        // The server refuses what it cannot do so.
        reading.hazards.retain(|hazard| hazard.class != Class::Locking);
        if reading.class == Class::Locking {
            reading.class = Class::Additive;
        }
    }
    reading
}

/// Oracle lets one action follow another without a comma: `ADD (…) DROP (…)`.
fn actions<'a, 't>(piece: Words<'a, 't>) -> Vec<Words<'a, 't>> {
    let depth = piece.get(0).map_or(0, |token| token.depth);
    let mut starts = vec![0];
    starts.extend((1..piece.0.len()).filter(|at| {
        let follows = piece
            .get(at.wrapping_sub(1))
            .is_some_and(|token| token.depth == depth && token.kind == Kind::Symbol(')'));
        follows && piece.is_any(*at, &["ADD", "MODIFY", "DROP", "RENAME"])
    }));
    let ends = starts.iter().copied().skip(1).chain([piece.0.len()]);
    starts.iter().zip(ends).filter_map(|(from, to)| piece.0.get(*from..to).map(Words)).collect()
}

/// First words of actions that are told apart by what follows.
const ACTIONS: &[&str] = &[
    "ADD", "DROP", "ALTER", "MODIFY", "CHANGE", "RENAME", "SET", "TRUNCATE", "DISCARD", "COALESCE",
    "EXCHANGE", "SWITCH", "SPLIT", "MERGE", "CHECK", "REMOVE", "DETACH", "CLEAR", "DELETE",
    "UPDATE", "REPLACE", "ENABLE", "DISABLE", "FORCE", "DEFAULT",
];

/// What other actions do to the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    /// They stay where they are.
    None,
    /// They are written anew, unless the database does so in the background.
    Rewrite,
}

macro_rules! options {
    ($($cost:ident: $($word:literal)*;)*) => {
        &[$($(($word, concat!("ALTER TABLE … ", $word), Cost::$cost),)*)*]
    };
}

/// Other actions by their first word, and how they are shown.
const OPTIONS: &[(&str, &str, Cost)] = options! {
    Rewrite: "ENGINE" "CONVERT" "ROW_FORMAT" "KEY_BLOCK_SIZE" "ORDER" "REORGANIZE" "REBUILD"
        "OPTIMIZE" "PARTITION" "MOVE" "MATERIALIZE" "SHRINK";
    None: "CHARACTER" "CHARSET" "COLLATE" "RESET" "AUTO_INCREMENT" "COMMENT" "STATS_PERSISTENT"
        "STATS_AUTO_RECALC" "STATS_SAMPLE_PAGES" "ALGORITHM" "LOCK" "INHERIT" "OWNER" "CLUSTER"
        "REPLICA" "VALIDATE" "ATTACH" "NO" "NOT" "OF" "MAX_ROWS" "MIN_ROWS" "AVG_ROW_LENGTH"
        "CHECKSUM" "DELAY_KEY_WRITE" "LOGGING" "NOLOGGING" "CACHE" "NOCACHE" "PARALLEL"
        "NOPARALLEL" "ALLOCATE" "DEALLOCATE" "COMPRESSION" "WITH" "NOCHECK" "WITHOUT" "IMPORT"
        "ANALYZE" "REPAIR" "FREEZE" "UNFREEZE" "FETCH";
};

fn option(piece: Words<'_, '_>, context: &Context) -> Option<Reading> {
    let (_, shown, cost) = OPTIONS.iter().find(|(word, ..)| piece.is(0, word))?;
    let rewrites = *cost == Cost::Rewrite && context.dialect != Clickhouse && !is_online(piece);
    Some(Reading::additive(shown).because_if(rewrites, &REWRITE))
}

/// One action of `ALTER TABLE`.
fn action(piece: Words<'_, '_>, context: &Context, is_checked: bool) -> Reading {
    let rest = piece.skip(1);
    let is = |words: &[&str]| piece.is_any(0, words);
    match () {
        () if is(&["ADD"]) => column::add(rest, context, is_checked),
        () if is(&["DROP"]) => drop(rest),
        () if is(&["ALTER"]) => alter_column(rest, context),
        () if is(&["MODIFY"]) => modify(rest, context),
        () if is(&["CHANGE"]) => {
            let reading = Reading::breaking("ALTER TABLE … CHANGE COLUMN", &RENAME_COLUMN);
            reading.because(&CHANGE_TYPE)
        }
        () if is(&["RENAME"]) => rename(rest),
        () if is(&["SET"]) => set(rest),
        () if is(&["TRUNCATE", "COALESCE", "DISCARD"]) => {
            Reading::destructive("ALTER TABLE … TRUNCATE PARTITION").because(&DROP_PARTITION)
        }
        () if is(&["CLEAR"]) && rest.is(0, "COLUMN") => {
            Reading::destructive("ALTER TABLE … CLEAR COLUMN").because(&DROP_COLUMN)
        }
        () if is(&["DETACH"]) => detach(rest, context),
        () if is(&["DELETE", "UPDATE"]) => mutate(piece),
        () if is(&["REPLACE"]) && rest.is(0, "PARTITION") => {
            Reading::destructive("ALTER TABLE … REPLACE PARTITION").because(&DROP_PARTITION)
        }
        () if is(&["REMOVE"]) && rest.is(0, "PARTITIONING") => {
            Reading::additive("ALTER TABLE … REMOVE PARTITIONING").because(&REWRITE)
        }
        () if is(&["REMOVE"]) => Reading::additive("ALTER TABLE … REMOVE"),
        () if is(&["ENABLE", "DISABLE", "FORCE"]) => switch(piece),
        () if is(&["CHECK"]) => {
            let scans = rest.is(0, "CONSTRAINT");
            Reading::additive("ALTER TABLE … CHECK").because_if(scans, &NOT_VALIDATED)
        }
        () if is(&["DEFAULT"]) && rest.is_any(0, &["CHARACTER", "CHARSET", "COLLATE"]) => {
            Reading::additive("ALTER TABLE … DEFAULT CHARACTER SET")
        }
        // The rows move to another table, or are another table's.
        () if is(&["EXCHANGE", "SWITCH", "SPLIT", "MERGE"]) => {
            Reading::unknown("ALTER TABLE … EXCHANGE PARTITION")
        }
        () => Reading::unknown("ALTER TABLE"),
    }
}

/// `ONLINE` of Oracle, `WITH (ONLINE = ON)` of SQL Server.
fn is_online(piece: Words<'_, '_>) -> bool {
    piece.0.iter().enumerate().any(|(at, token)| {
        let value = piece.skip(at.saturating_add(1));
        let is_off =
            value.get(0).is_some_and(|token| token.kind == Kind::Symbol('=')) && value.is(1, "OFF");
        token.is("ONLINE") && !is_off
    })
}

/// What follows `DROP`.
fn drop(rest: Words<'_, '_>) -> Reading {
    const GUARDS: &[&str] = &["CONSTRAINT", "FOREIGN", "PRIMARY", "CHECK", "UNIQUE"];
    const OTHERS: &[&str] = &["INDEX", "KEY", "PROJECTION", "STATISTICS", "DEFAULT", "IDENTITY"];
    if rest.is_any(0, GUARDS) {
        // `CASCADE` takes the keys of other tables along, not their rows.
        return Reading::additive("ALTER TABLE … DROP CONSTRAINT").because(&DROP_CONSTRAINT);
    }
    if rest.is_any(0, OTHERS) {
        return Reading::additive("ALTER TABLE … DROP INDEX");
    }
    if rest.is_any(0, &["PARTITION", "PARTITIONS", "SUBPARTITION", "PART", "DETACHED"]) {
        return Reading::destructive("ALTER TABLE … DROP PARTITION").because(&DROP_PARTITION);
    }
    Reading::destructive("ALTER TABLE … DROP COLUMN").because(&DROP_COLUMN)
}

const TYPE: &str = "ALTER TABLE … ALTER COLUMN TYPE";

/// What follows `ALTER [COLUMN]`.
fn alter_column(rest: Words<'_, '_>, context: &Context) -> Reading {
    if rest.is_any(0, &["INDEX", "CONSTRAINT", "CHECK"]) && context.dialect != SqlServer {
        return Reading::additive("ALTER TABLE … ALTER CONSTRAINT");
    }
    let (rest, _) = rest.after("COLUMN").after("IF EXISTS").name();
    let apply = Reading::additive;
    match () {
        () if rest.is(0, "TYPE") || rest.starts("SET DATA TYPE") => {
            apply(TYPE).because(&CHANGE_TYPE)
        }
        () if rest.starts("SET NOT NULL") => {
            apply("ALTER TABLE … ALTER COLUMN SET NOT NULL").because(&NOT_NULLABLE)
        }
        () if rest.starts("DROP NOT NULL") => {
            apply("ALTER TABLE … ALTER COLUMN DROP NOT NULL").because(&DROP_NOT_NULL)
        }
        () if rest.starts("DROP DEFAULT") => {
            apply("ALTER TABLE … ALTER COLUMN DROP DEFAULT").because(&DROP_DEFAULT)
        }
        () if rest.starts("DROP EXPRESSION") => {
            apply("ALTER TABLE … ALTER COLUMN DROP EXPRESSION").because(&DROP_EXPRESSION)
        }
        () if rest.starts("SET EXPRESSION") => {
            apply("ALTER TABLE … ALTER COLUMN SET EXPRESSION").because(&REWRITE)
        }
        () if rest.is_any(0, &["SET", "RESET", "RESTART", "ADD"])
            || rest.starts("DROP IDENTITY") =>
        {
            apply("ALTER TABLE … ALTER COLUMN SET")
        }
        // SQL Server and Cassandra name the new type at once.
        () if context.is(&[SqlServer, Cql, Generic]) && !rest.is_empty() && !rest.is(0, "DROP") => {
            apply(TYPE).because(&CHANGE_TYPE).because_if(rest.has("NOT NULL"), &NOT_NULLABLE)
        }
        () => Reading::unknown("ALTER TABLE … ALTER COLUMN"),
    }
}

/// What follows `MODIFY [COLUMN]`.
fn modify(rest: Words<'_, '_>, context: &Context) -> Reading {
    const WORDS: &str = "ALTER TABLE … MODIFY COLUMN";
    if context.dialect == Clickhouse {
        if rest.is(0, "TTL") || rest.has("TTL") {
            // Rows that are older are removed.
            return Reading::destructive("ALTER TABLE … MODIFY TTL");
        }
        if rest.is_any(0, &["SETTING", "ORDER", "COMMENT", "QUERY", "SAMPLE", "REFRESH", "SQL"]) {
            return Reading::additive("ALTER TABLE … MODIFY SETTING");
        }
    }
    if rest.is_any(0, &["CONSTRAINT", "PARTITION", "DEFAULT", "PRIMARY", "UNIQUE"])
        && context.dialect == Oracle
    {
        return Reading::additive("ALTER TABLE … MODIFY CONSTRAINT");
    }
    let rest = rest.after("COLUMN");
    let is_list = rest.get(0).is_some_and(|first| first.kind == Kind::Symbol('('));
    let columns = if is_list { rest.inside() } else { rest };
    let readings = columns.pieces().map(|column| {
        let (options, _) = column.after("IF EXISTS").name();
        let only_options = context.dialect == Oracle
            && options.is_any(
                0,
                &["NOT", "NULL", "DEFAULT", "ENABLE", "DISABLE", "INVISIBLE", "VISIBLE"],
            );
        Reading::additive(WORDS)
            .because_if(!only_options, &CHANGE_TYPE)
            .because_if(options.starts("NOT NULL"), &NOT_NULLABLE)
    });
    Reading::all(readings).unwrap_or_else(|| Reading::unknown(WORDS))
}

/// What follows `RENAME`.
fn rename(rest: Words<'_, '_>) -> Reading {
    if rest.is_any(0, &["CONSTRAINT", "INDEX", "KEY"]) {
        return Reading::additive("ALTER TABLE … RENAME CONSTRAINT");
    }
    let names_table = rest.is_any(0, &["TO", "AS"]) || !rest.has("TO");
    if names_table {
        Reading::breaking("ALTER TABLE … RENAME", &RENAME_TABLE)
    } else {
        Reading::breaking("ALTER TABLE … RENAME COLUMN", &RENAME_COLUMN)
    }
}

/// What follows `SET`.
fn set(rest: Words<'_, '_>) -> Reading {
    if rest.is(0, "SCHEMA") {
        Reading::breaking("ALTER TABLE … SET SCHEMA", &SET_SCHEMA)
    } else if rest.is(0, "UNUSED") {
        Reading::destructive("ALTER TABLE … SET UNUSED").because(&DROP_COLUMN)
    } else if rest.is_any(0, &["TABLESPACE", "LOGGED", "UNLOGGED", "ACCESS"]) {
        Reading::additive("ALTER TABLE … SET TABLESPACE").because(&REWRITE)
    } else if rest.is_any(0, &["WITHOUT", "WITH", "OPTIONS", "TBLPROPERTIES", "STATISTICS"])
        || rest.get(0).is_some_and(|token| token.kind == Kind::Symbol('('))
    {
        Reading::additive("ALTER TABLE … SET")
    } else {
        Reading::unknown("ALTER TABLE … SET")
    }
}

/// What follows `DETACH`: the rows are no longer in the table, but still somewhere.
fn detach(rest: Words<'_, '_>, context: &Context) -> Reading {
    if context.dialect == Clickhouse {
        return Reading::unknown("ALTER TABLE … DETACH PARTITION");
    }
    let waits = !rest.has("CONCURRENTLY") && !rest.has("FINALIZE");
    Reading::additive("ALTER TABLE … DETACH PARTITION").because_if(waits, &DETACH_PARTITION)
}

/// `ALTER TABLE t DELETE WHERE …` of `ClickHouse`.
fn mutate(piece: Words<'_, '_>) -> Reading {
    if super::rows::changes_all(piece) {
        Reading::destructive("ALTER TABLE … DELETE")
    } else {
        Reading::data("ALTER TABLE … DELETE")
    }
}

/// `ENABLE`, `DISABLE` and `FORCE` with what follows them.
fn switch(piece: Words<'_, '_>) -> Reading {
    let on = !piece.is(0, "DISABLE");
    let rest = piece.skip(1);
    if rest.starts("ROW LEVEL") {
        Reading::additive("ALTER TABLE … ROW LEVEL SECURITY").because_if(on, &ROW_SECURITY)
    } else if rest.is_any(0, &["TRIGGER", "RULE"]) {
        Reading::additive("ALTER TABLE … TRIGGER").because_if(!on, &DISABLE_TRIGGER)
    } else if rest.is_empty() && piece.is(0, "FORCE") {
        // Of MySQL.
        Reading::additive("ALTER TABLE … FORCE").because(&REWRITE)
    } else if rest.is_any(0, &["CONSTRAINT", "NOVALIDATE", "VALIDATE"]) && !on {
        Reading::additive("ALTER TABLE … DISABLE CONSTRAINT").because(&DROP_CONSTRAINT)
    } else {
        Reading::additive(if on { "ALTER TABLE … ENABLE" } else { "ALTER TABLE … DISABLE" })
    }
}

/// What follows `ALTER TYPE`.
fn of_type(rest: Words<'_, '_>) -> Reading {
    let (rest, _) = rest.name();
    if rest.is(0, "RENAME") {
        Reading::breaking("ALTER TYPE … RENAME", &RENAME_OBJECT)
    } else if rest.starts("SET SCHEMA") {
        Reading::breaking("ALTER TYPE … SET SCHEMA", &SET_SCHEMA)
    } else if rest.is(0, "DROP") {
        Reading::destructive("ALTER TYPE … DROP").because(&DROP_COLUMN)
    } else if rest.is(0, "ALTER") {
        Reading::additive("ALTER TYPE … ALTER ATTRIBUTE").because(&CHANGE_TYPE)
    } else if rest.is_any(0, &["ADD", "OWNER", "SET"]) {
        Reading::additive("ALTER TYPE … ADD")
    } else {
        Reading::unknown("ALTER TYPE")
    }
}

/// What follows `ALTER DOMAIN`.
fn domain(rest: Words<'_, '_>) -> Reading {
    let (rest, _) = rest.name();
    if rest.is(0, "RENAME") && !rest.is(1, "CONSTRAINT") {
        Reading::breaking("ALTER DOMAIN … RENAME", &RENAME_OBJECT)
    } else if rest.starts("SET SCHEMA") {
        Reading::breaking("ALTER DOMAIN … SET SCHEMA", &SET_SCHEMA)
    } else if rest.is(0, "ADD") {
        Reading::additive("ALTER DOMAIN … ADD CONSTRAINT").because(&DOMAIN_CONSTRAINT)
    } else if rest.starts("SET NOT NULL") {
        Reading::additive("ALTER DOMAIN … SET NOT NULL").because(&NOT_NULLABLE)
    } else if rest.starts("DROP DEFAULT") {
        Reading::additive("ALTER DOMAIN … DROP DEFAULT").because(&DROP_DEFAULT)
    } else if rest.starts("DROP NOT NULL") {
        Reading::additive("ALTER DOMAIN … DROP NOT NULL").because(&DROP_NOT_NULL)
    } else if rest.is_any(0, &["DROP", "RENAME", "VALIDATE", "SET", "OWNER"]) {
        Reading::additive("ALTER DOMAIN")
    } else {
        Reading::unknown("ALTER DOMAIN")
    }
}

/// What follows `ALTER INDEX`.
fn index(rest: Words<'_, '_>, context: &Context) -> Reading {
    let reading = Reading::additive("ALTER INDEX");
    if rest.has("RENAME") {
        return Reading::breaking("ALTER INDEX … RENAME", &RENAME_OBJECT);
    }
    let locks = rest.has("SET TABLESPACE") || rest.has("REBUILD") && !is_online(rest);
    reading
        .because_if(locks && context.is(&[Postgresql, Generic, SqlServer, Oracle, Mysql]), &REINDEX)
}

/// Anything else that `ALTER` changes.
fn object(rest: Words<'_, '_>) -> Reading {
    if rest.is_any(0, &["USER", "ROLE", "LOGIN", "GROUP", "SYSTEM", "SESSION"]) {
        return Reading::aside("ALTER ROLE");
    }
    if rest.has("RENAME") {
        return Reading::breaking("ALTER … RENAME", &RENAME_OBJECT);
    }
    if rest.has("SET SCHEMA") {
        return Reading::breaking("ALTER … SET SCHEMA", &SET_SCHEMA);
    }
    if rest.is_any(0, &["DATABASE", "KEYSPACE"]) {
        return Reading::aside("ALTER DATABASE");
    }
    let known = OBJECTS.iter().find(|(object, _)| rest.is(0, object));
    known.map_or_else(|| Reading::unknown("ALTER"), |(_, shown)| Reading::additive(shown))
}

/// Objects that are changed without touching rows, and how that is shown.
const OBJECTS: &[(&str, &str)] = shown! {
    "ALTER": "VIEW" "SEQUENCE" "FUNCTION" "PROCEDURE" "PROC" "ROUTINE" "AGGREGATE" "TRIGGER"
        "EXTENSION" "POLICY" "EVENT" "RULE" "PUBLICATION" "SUBSCRIPTION" "STATISTICS" "SERVER"
        "DEFAULT" "SCHEMA" "COLLATION" "CONVERSION" "LANGUAGE" "LARGE" "OPERATOR" "TABLESPACE"
        "TEXT" "PACKAGE" "SYNONYM" "ASSEMBLY" "AUTHORIZATION" "FULLTEXT" "PARTITION" "XML"
        "SECURITY" "DICTIONARY" "NAMED" "PROFILE" "QUOTA" "SETTINGS"
};
