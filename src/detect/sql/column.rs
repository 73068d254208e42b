//! Columns and constraints that are added to a table.

use super::{
    Dialect,
    hazards::{
        DEFAULT_REWRITES, FOREIGN_KEY, LOCK_TABLE, NOT_NULLABLE, NOT_VALIDATED, PRIMARY_KEY,
        REQUIRED_FIELD, UNIQUE_CONSTRAINT, UNIQUE_INDEX,
    },
    lex::Kind,
    reading::{Context, Reading},
    words::Words,
};
use Dialect::{Clickhouse, Cql, Generic, Mysql, Oracle, Postgresql, SqlServer, Sqlite};

const COLUMN: &str = "ALTER TABLE … ADD COLUMN";

/// Functions that give every row of one statement the same value, so that PostgreSQL need not
/// write the rows anew for a default of theirs.
const STABLE: &[&str] = &[
    "now",
    "transaction_timestamp",
    "statement_timestamp",
    "current_setting",
    "timezone",
    "date_trunc",
    "date_part",
    "to_timestamp",
    "to_date",
    "to_char",
    "lower",
    "upper",
    "md5",
    "concat",
    "coalesce",
    "nullif",
    "cast",
    "extract",
    "length",
    "trim",
    "replace",
    "interval",
    "decode",
    "encode",
    "row",
    "array",
    "jsonb_build_object",
    "json_build_object",
    "jsonb_build_array",
    "json_build_array",
    "make_interval",
    "make_date",
    "int4range",
    "tstzrange",
    "daterange",
    "numrange",
    "point",
    "varchar",
    "numeric",
    "decimal",
    "char",
    "timestamp",
    "timestamptz",
    "time",
    "bit",
    "default",
];

/// `ADD` with what follows it. `may_be_new` is off after `ADD COLUMN`, where a keyword is a name.
pub(super) fn add(piece: Words<'_, '_>, context: &Context, is_checked: bool) -> Reading {
    let (rest, is_column) = match piece.get(0) {
        Some(first) if first.is("COLUMN") || first.is("COLUMNS") => (piece.skip(1), true),
        _ => (piece, false),
    };
    let rest = rest.after("IF NOT EXISTS");
    if rest.get(0).is_some_and(|first| first.kind == Kind::Symbol('(')) {
        let definitions = rest.inside().pieces();
        let all = definitions.map(|definition| self::definition(definition, context, is_checked));
        return Reading::all(all).unwrap_or_else(|| Reading::unknown("ALTER TABLE … ADD"));
    }
    if is_column { column(rest, context) } else { definition(rest, context, is_checked) }
}

fn definition(piece: Words<'_, '_>, context: &Context, is_checked: bool) -> Reading {
    const CONSTRAINTS: &[&str] =
        &["CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "EXCLUDE"];
    const OTHERS: &[&str] = &[
        "INDEX",
        "KEY",
        "FULLTEXT",
        "SPATIAL",
        "VECTOR",
        "PARTITION",
        "PERIOD",
        "PROJECTION",
        "STATISTICS",
        "SYSTEM",
        "SUPPLEMENTAL",
    ];
    if piece.is_any(0, CONSTRAINTS) {
        return constraint(piece, context, is_checked);
    }
    // PostgreSQL has columns of these names, and nothing else that starts so.
    if piece.is_any(0, OTHERS) && context.dialect != Postgresql {
        let locks = piece.is_any(0, &["FULLTEXT", "SPATIAL"]);
        let words = if piece.is(0, "PARTITION") {
            "ALTER TABLE … ADD PARTITION"
        } else {
            "ALTER TABLE … ADD INDEX"
        };
        return Reading::additive(words).because_if(locks, &LOCK_TABLE);
    }
    column(piece, context)
}

/// The name, the type and the options of a column.
fn column(piece: Words<'_, '_>, context: &Context) -> Reading {
    let (rest, _) = piece.name();
    if rest.is_empty() && context.dialect != Sqlite {
        return Reading::unknown(COLUMN);
    }
    let reading = Reading::additive(COLUMN);
    if context.is(&[Clickhouse, Cql]) {
        return reading;
    }
    let default = default(rest);
    let serial = ["SERIAL", "BIGSERIAL", "SMALLSERIAL", "SERIAL2", "SERIAL4", "SERIAL8"];
    let counts = rest.is_any(0, &serial)
        || ["IDENTITY", "AUTO_INCREMENT", "AUTOINCREMENT"].iter().any(|word| rest.has(word));
    let computed = rest.has("GENERATED") || rest.has("AS");
    let stored = ["STORED", "PERSISTED", "PERSISTENT"].iter().any(|word| rest.has(word));
    let key = rest.has("PRIMARY KEY");
    let has_value = default.is_some_and(|value| !value.is(0, "NULL")) || counts || computed;
    let locks = context.is(&[Postgresql, Generic, SqlServer, Oracle]);
    let postgres = context.is(&[Postgresql, Generic]);
    let rewrites = (stored || counts) && context.dialect != Sqlite
        || postgres && default.is_some_and(is_volatile);
    reading
        .because_if((rest.has("NOT NULL") || key) && !has_value, &REQUIRED_FIELD)
        .because_if(rewrites, &DEFAULT_REWRITES)
        .because_if(rest.has("REFERENCES") && locks, &FOREIGN_KEY)
        .because_if(rest.has("UNIQUE") && locks, &UNIQUE_CONSTRAINT)
        .because_if(key, &PRIMARY_KEY)
        .because_if(rest.has("CHECK") && postgres, &NOT_VALIDATED)
}

/// Words that end the default of a column.
const AFTER_DEFAULT: &[&str] = &[
    "NOT",
    "CHECK",
    "REFERENCES",
    "UNIQUE",
    "PRIMARY",
    "CONSTRAINT",
    "GENERATED",
    "COLLATE",
    "COMMENT",
    "AFTER",
    "FIRST",
];

/// What follows the `DEFAULT` of a column.
fn default<'a, 't>(options: Words<'a, 't>) -> Option<Words<'a, 't>> {
    let at = options.find("DEFAULT")?;
    // `GENERATED BY DEFAULT`, `ON DELETE SET DEFAULT`
    let before = at.checked_sub(1);
    if before.is_some_and(|before| options.is_any(before, &["BY", "SET"])) {
        return None;
    }
    let value = options.skip(at.saturating_add(1));
    let end = (1..value.0.len())
        .find(|at| {
            value.get(*at).is_some_and(|token| token.depth == 0) && value.is_any(*at, AFTER_DEFAULT)
        })
        .unwrap_or(value.0.len());
    value.0.get(..end).map(Words)
}

/// True when a default calls a function that may give every row another value.
fn is_volatile(value: Words<'_, '_>) -> bool {
    value.0.windows(2).any(|pair| match pair {
        [name, open] => {
            matches!(name.kind, Kind::Word | Kind::Name)
                && open.kind == Kind::Symbol('(')
                && !STABLE.iter().any(|stable| name.is(stable))
        }
        _ => false,
    })
}

/// Constraints that may stand without a name where one is announced.
const KINDS: &[&str] = &["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"];

/// A constraint, with or without its name.
fn constraint(piece: Words<'_, '_>, context: &Context, is_checked: bool) -> Reading {
    let mut kind = piece;
    if piece.is(0, "CONSTRAINT") {
        kind = piece.skip(1).after("IF NOT EXISTS");
        if !kind.is_any(0, KINDS) {
            // The name may be left out in MySQL.
            kind = kind.name().0;
        }
    }
    let is_deferred = !is_checked
        || ["NOT VALID", "NOT ENFORCED", "NOVALIDATE", "DISABLE"].iter().any(|w| kind.has(w));
    let scans = !is_deferred && !context.is(&[Clickhouse, Cql, Sqlite]);
    let has_index = kind.has("USING INDEX") && context.dialect != Oracle;
    if kind.starts("PRIMARY KEY") {
        Reading::additive("ALTER TABLE … ADD PRIMARY KEY")
            .because_if(scans && !has_index, &PRIMARY_KEY)
    } else if kind.is(0, "UNIQUE") {
        let hazard = if context.is(&[Mysql, Sqlite]) { &UNIQUE_INDEX } else { &UNIQUE_CONSTRAINT };
        Reading::additive("ALTER TABLE … ADD UNIQUE").because_if(scans && !has_index, hazard)
    } else if kind.starts("FOREIGN KEY") {
        Reading::additive("ALTER TABLE … ADD FOREIGN KEY").because_if(scans, &FOREIGN_KEY)
    } else if kind.is_any(0, &["CHECK", "EXCLUDE", "ASSUME"]) {
        Reading::additive("ALTER TABLE … ADD CONSTRAINT").because_if(scans, &NOT_VALIDATED)
    } else if kind.starts("NOT NULL") {
        Reading::additive("ALTER TABLE … ADD CONSTRAINT").because_if(scans, &NOT_NULLABLE)
    } else if kind.is(0, "DEFAULT") {
        Reading::additive("ALTER TABLE … ADD CONSTRAINT")
    } else {
        Reading::unknown("ALTER TABLE … ADD CONSTRAINT")
    }
}
