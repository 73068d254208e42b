use serde_json::Value;

use super::{Dialect, Operation, first_words, operation, read};

/// What the reader of first words takes for a loss and what certainly is none, by its beginning:
/// statistics, temporary tables, and words in comments, texts and bodies that it does not know.
const HARMLESS: &[&str] = &[
    "UPDATE STATISTICS",
    "DROP TEMPORARY TABLE",
    "DROP TABLE #",
    "/* a /* ",
    "SELECT \"a\\\"",
    "SELECT q'",
    "CREATE DEFINER",
    "CREATE PROCEDURE p AS BEGIN",
];

fn is_less(text: &str, dialect: Dialect) -> bool {
    first_words::operation(text) == Some(Operation::Destructive)
        && operation(&read(text, dialect)) < Some(Operation::Unknown)
}

#[test]
fn what_the_first_words_call_destructive_is_never_less() {
    let groups: Value =
        serde_saphyr::from_str(include_str!("../../../tests/detect/sql.yaml")).unwrap();
    let (mut count, mut less) = (0, Vec::new());
    for group in groups.as_array().unwrap() {
        let dialect: Dialect = serde_json::from_value(group["dialect"].clone()).unwrap();
        for case in group["cases"].as_array().unwrap() {
            let text = case[0].as_str().unwrap();
            if group.get("coarse").is_none()
                && !HARMLESS.iter().any(|known| text.starts_with(known))
            {
                count += 1;
                if is_less(text, dialect) {
                    less.push((dialect, text.to_owned()));
                }
            }
        }
    }
    assert!(less.is_empty(), "{less:#?}");
    assert!(count >= 250, "{count}");
}

#[test]
fn no_mixture_of_words_hides_a_loss() {
    let words = [
        "ALTER TABLE t",
        "ALTER TYPE t",
        "ALTER VIEW v",
        "ADD",
        "DROP",
        "COLUMN",
        "c",
        "int",
        ",",
        "(",
        ")",
        "RENAME",
        "TO",
        "CONSTRAINT",
        "TRUNCATE",
        "PARTITION",
        "p",
        "CHANGE",
        "SET SCHEMA",
        "NOT NULL",
        "DEFAULT 1",
        "TYPE text",
        "CASCADE",
        "DELETE FROM t",
        "WHERE",
        "a = 1",
        "UPDATE t SET a = 1",
        "DROP TABLE t",
        "DROP VIEW v",
        "CREATE TABLE t",
        "INSERT INTO t",
        "WITH x AS",
        "SELECT 1",
        "EXPLAIN ANALYZE",
        ";",
        "'x'",
        "-- x\n",
        "/* x */",
        "IF EXISTS",
    ];
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(bound).unwrap()).unwrap()
    };
    for _ in 0..60_000 {
        let length = 2 + next(9);
        let text: Vec<&str> = (0..length).map(|_| words[next(words.len())]).collect();
        let text = text.join(" ");
        for dialect in [Dialect::Postgresql, Dialect::Mysql, Dialect::Generic] {
            assert!(!is_less(&text, dialect), "{dialect:?}: {text}");
        }
    }
}
