//! Any text as statements: the first byte chooses the language.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::detect::sql::{self, Dialect};

const DIALECTS: [Dialect; 10] = [
    Dialect::Generic,
    Dialect::Postgresql,
    Dialect::Mysql,
    Dialect::Sqlite,
    Dialect::SqlServer,
    Dialect::Oracle,
    Dialect::Clickhouse,
    Dialect::Cql,
    Dialect::Mongo,
    Dialect::Redis,
];

fuzz_target!(|input: (u8, &str)| {
    let (choice, text) = input;
    let dialect = DIALECTS[usize::from(choice) % DIALECTS.len()];
    let statements = sql::read(text, dialect);
    let lines = text.lines().count().max(1);
    for statement in &statements {
        assert!((1..=lines).contains(&statement.line), "{statement:?}");
    }
    assert_eq!(statements, sql::read(text, dialect));
});
