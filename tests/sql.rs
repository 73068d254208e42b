//! What the reader of statements says about texts of every dialect, and about texts made to break it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::{
    fmt::Write,
    thread,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate::{
    detect::{
        Detector, Operation,
        sql::{self, Class, Dialect, HAZARDS, Statement},
    },
    model::{ConfigMaps, Object},
};

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

fn cases() -> Vec<(Dialect, Vec<Value>)> {
    let groups: Value = serde_saphyr::from_str(include_str!("detect/sql.yaml")).unwrap();
    let of = |group: &Value| {
        let dialect = serde_json::from_value(group["dialect"].clone()).unwrap();
        (dialect, group["cases"].as_array().unwrap().clone())
    };
    groups.as_array().unwrap().iter().map(of).collect()
}

fn codes(statements: &[Statement]) -> Vec<&'static str> {
    let hazards = statements.iter().flat_map(|statement| &statement.hazards);
    let mut codes: Vec<_> = hazards.map(|hazard| hazard.code).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

#[test]
fn statements_are_told_by_operation_class_and_code() {
    let (mut count, mut wrong) = (0, String::new());
    for (dialect, cases) in cases() {
        for case in cases {
            let text = case[0].as_str().unwrap();
            let statements = sql::read(text, dialect);
            let gravest = statements.iter().rev().max_by_key(|statement| statement.class);
            let operation = sql::operation(&statements);
            let found = (
                operation.map_or_else(|| "none".to_owned(), |operation| operation.to_string()),
                gravest.map_or("none", |gravest| gravest.class.as_str()).to_owned(),
                codes(&statements).join(" "),
            );
            let text_of = |at: usize| case[at].as_str().unwrap().to_owned();
            let expected = (text_of(1), text_of(2), text_of(3));
            let line = case.get(4).and_then(Value::as_u64);
            let is_there = line.is_none_or(|line| gravest.unwrap().line as u64 == line);
            count += 1;
            if found != expected || !is_there {
                let all: Vec<_> =
                    statements.iter().map(|s| format!("{}:{}", s.line, s.words)).collect();
                writeln!(wrong, "{dialect:?} {text}\n  expected {expected:?} {line:?}\n  found    {found:?} {all:?}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 250, "{count} cases");
}

/// What the one container of a Job that runs a script does: the operation of its gravest command,
/// and all statements.
fn detected(script: &str) -> Option<(Operation, Vec<Statement>)> {
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "task"},
        "spec": {"template": {"spec": {"containers": [
            {"name": "main", "image": "example/app", "command": ["sh", "-c", script]},
        ]}}},
    })
    .to_string();
    let object = Object::parse(&job).unwrap();
    let detections = Detector::built_in().detect(&object, ConfigMaps::NONE);
    let detection = detections.into_iter().next()?;
    let operation = detection.operation();
    Some((operation, detection.invocations.into_iter().flat_map(|i| i.statements).collect()))
}

#[test]
fn clients_hand_on_what_they_are_given_in_their_dialect() {
    use Operation::{Apply, Destructive, ReadOnly, Unknown};
    for (script, operation, statements) in [
        ("psql -c 'SELECT 1' -c 'DROP TABLE t'", Destructive, "1 SELECT, 1 DROP TABLE"),
        ("psql -tAc \"SELECT '\\'; DROP TABLE t; --'\"", Destructive, "1 SELECT, 1 DROP TABLE"),
        ("psql <<E\nSELECT 1;\nCREATE INDEX i\n ON t (a);\nE", Apply, "1 SELECT, 2 CREATE INDEX"),
        ("echo 'SELECT 1 # x' | mysql app", ReadOnly, "1 SELECT"),
        ("mysql -e 'DELIMITER //\nDROP TABLE t //'", Destructive, "2 DROP TABLE"),
        ("sqlcmd -Q 'SELECT 1 DROP TABLE t'", Destructive, "1 SELECT, 1 DROP TABLE"),
        (
            "clickhouse-client -q 'ALTER TABLE t DELETE WHERE 1'",
            Destructive,
            "1 ALTER TABLE … DELETE",
        ),
        ("cqlsh -e '// x\nTRUNCATE t'", Destructive, "2 TRUNCATE"),
        (
            "sqlite3 app.db '.read all.sql'",
            Unknown,
            "1 client command that runs a file or a program",
        ),
        ("sqlplus -S app/x@db @all.sql", Unknown, ""),
        ("mongosh --eval 'db.dropDatabase()'", Destructive, "1 script that drops"),
        ("redis-cli -h db FLUSHALL", Destructive, "1 command that empties"),
        ("gh-ost --execute --alter='ENGINE=InnoDB'", Apply, "1 ALTER TABLE … ENGINE"),
        ("psql -f all.sql", Unknown, ""),
    ] {
        let (found, all) = detected(script).unwrap();
        let shown: Vec<_> = all.iter().map(|s| format!("{} {}", s.line, s.words)).collect();
        assert_eq!((found, shown.join(", ").as_str()), (operation, statements), "{script}");
    }
    let (_, online) = detected("gh-ost --execute --alter='ENGINE=InnoDB'").unwrap();
    assert_eq!((online[0].class, online[0].hazards.len()), (Class::Additive, 0));
}

#[test]
fn a_text_that_is_given_again_and_again_is_paid_for_each_time() {
    let rows = "INSERT INTO t VALUES (1);\n".repeat(4_000);
    let calls = "f\n".repeat(20_000);
    let start = Instant::now();
    let (operation, statements) =
        detected(&format!("f() {{\npsql <<E\n{rows}E\n}}\n{calls}")).unwrap();
    assert_eq!(operation, Operation::Unknown);
    assert!(statements.len() < 60_000, "{}", statements.len());
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

/// Names, literals, comments and passwords, each marked with a word that must not come out.
const MARKED: &[&str] = &[
    "DROP TABLE hunter2",
    "DROP TABLE \"hunter2\", `hunter2`, [hunter2]",
    "ALTER TABLE hunter2.hunter2 ADD COLUMN hunter2 hunter2 NOT NULL DEFAULT 'hunter2'",
    "ALTER TABLE t DROP COLUMN hunter2, ADD CONSTRAINT hunter2 CHECK (hunter2 > 'hunter2')",
    "ALTER TABLE t RENAME hunter2 TO hunter2",
    "ALTER TABLE t hunter2 hunter2",
    "ALTER hunter2 hunter2",
    "ALTER USER app WITH PASSWORD 'hunter2'",
    "ALTER USER hunter2 IDENTIFIED BY hunter2",
    "CREATE ROLE hunter2 PASSWORD 'hunter2'",
    "CREATE hunter2 hunter2",
    "CREATE INDEX hunter2 ON hunter2 (hunter2) WHERE hunter2",
    "CREATE FUNCTION hunter2() RETURNS text AS $hunter2$ hunter2 $hunter2$",
    "DROP hunter2",
    "hunter2 hunter2",
    "'hunter2'",
    "SELECT 'hunter2' -- hunter2",
    "/* hunter2 */ SELECT hunter2 /*! hunter2 */ # hunter2",
    "INSERT INTO hunter2 VALUES ('hunter2')",
    "DO $hunter2$ hunter2 $hunter2$",
    "EXEC hunter2 'hunter2'",
    "CONNECT hunter2/hunter2@hunter2",
    "\\c hunter2 hunter2\n\\hunter2 hunter2\n\\i hunter2",
    "@hunter2 hunter2",
    ".hunter2 hunter2\n.read hunter2",
    ":r hunter2",
    "DELIMITER hunter2\nDROP TABLE hunter2",
    "COPY hunter2 FROM stdin;\nhunter2\n\\.\n",
    "SET hunter2 = 'hunter2'",
    "PRAGMA key = 'hunter2'",
    "db.hunter2.drop('hunter2')",
    "AUTH hunter2\nSET hunter2 hunter2",
];

#[test]
fn statements_hold_no_name_and_no_value() {
    for text in MARKED {
        for dialect in DIALECTS {
            let statements = sql::read(text, dialect);
            let shown = format!("{statements:?} {}", serde_json::to_string(&statements).unwrap());
            assert!(!shown.to_lowercase().contains("hunter2"), "{dialect:?} {text}: {shown}");
        }
    }
}

#[test]
fn every_code_is_told_by_some_case() {
    let mut seen: Vec<&str> = cases()
        .iter()
        .flat_map(|(dialect, cases)| {
            cases.iter().flat_map(|case| codes(&sql::read(case[0].as_str().unwrap(), *dialect)))
        })
        .collect();
    seen.sort_unstable();
    for hazard in HAZARDS {
        assert!(seen.binary_search(&hazard.code).is_ok(), "{} has no case", hazard.code);
        for text in [hazard.reason, hazard.mend] {
            assert!(!text.ends_with('.') && text.len() <= 110, "{}: {text}", hazard.code);
        }
    }
    let mut sorted = HAZARDS.to_vec();
    sorted.sort_by_key(|hazard| (std::cmp::Reverse(hazard.class), hazard.code));
    let order: Vec<_> = HAZARDS.iter().map(|hazard| hazard.code).collect();
    assert_eq!(order, sorted.iter().map(|hazard| hazard.code).collect::<Vec<_>>());
}

/// Runs on a stack as small as that of a worker of the server.
fn on_small_stack<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let builder = thread::Builder::new().stack_size(2 << 20);
        builder.spawn_scoped(scope, run).unwrap().join().unwrap()
    })
}

/// What parsers trip over, to be repeated.
const HOSTILE: &[(&str, &str)] = &[
    ("ALTER TABLE t ADD CHECK (1", "("),
    ("SELECT ", "("),
    ("SELECT ", "CASE WHEN "),
    ("CREATE TRIGGER g BEFORE INSERT ON t BEGIN ", "CASE BEGIN "),
    ("SELECT ", "NOT "),
    ("SELECT 1", " - -"),
    ("SELECT 1", "- "),
    ("SELECT 1 WHERE a IN (1", ", 1"),
    ("SELECT '", "''"),
    ("SELECT '", "\\"),
    ("", "/*"),
    ("", "/*!"),
    ("", "*/"),
    ("", "/* */"),
    ("", "$a"),
    ("", "$a$ "),
    ("", "${"),
    ("", "{{"),
    ("", "$("),
    ("SELECT ", "["),
    ("SELECT ", "[\n"),
    ("", "`"),
    ("", "\""),
    ("", "q'["),
    ("", "\\a"),
    ("", "\\g"),
    ("", "\\\n"),
    ("", ";"),
    ("", "a;"),
    ("", "\n"),
    ("", "-"),
    ("", "#"),
    ("", "/"),
    ("", "/\n"),
    ("", "GO\n"),
    ("", "GO "),
    ("SELECT ", ".a"),
    ("ALTER TABLE t ", "DROP a,"),
    ("ALTER TABLE t ", "ADD (a int) "),
    ("ALTER TABLE t ", "ADD (a int, "),
    ("ALTER TABLE t ", "ADD c int NOT NULL, "),
    ("ALTER TABLE t ADD c int ", "DEFAULT f("),
    ("ALTER TABLE t ADD c int ", "DEFAULT "),
    ("CREATE TABLE t (", "a int CHECK ("),
    ("CREATE ", "UNIQUE "),
    ("WITH x AS (", "DELETE FROM t "),
    ("WITH x AS (", "UPDATE t SET a = 1 WHERE b OR "),
    ("WITH x AS (", "(DELETE FROM t WHERE a "),
    ("DELETE FROM t WHERE a ", "OR (b "),
    ("EXPLAIN ANALYZE ", "UPDATE "),
    ("", "WITH x AS (SELECT 1) ON DELETE "),
    ("", "DROP TABLE t "),
    ("", "DELETE FROM t SELECT 1 "),
    ("", "IF BEGIN ELSE END "),
    ("", "COPY t FROM stdin;\n"),
    ("", "DELIMITER a\nb "),
    ("CREATE TABLE t (a int);", "CREATE INDEX i ON t (a);"),
    ("", "db.t.drop("),
];

#[test]
fn no_text_exhausts_the_stack_or_takes_long() {
    // A debug build takes some tens of milliseconds; what is not linear takes many seconds.
    const LIMIT: Duration = Duration::from_secs(1);
    for (head, repeated) in HOSTILE {
        let text = head.to_string() + &repeated.repeat(48 * 1024 / repeated.len());
        for dialect in DIALECTS {
            let run = || {
                let start = Instant::now();
                let statements = on_small_stack(|| sql::read(&text, dialect));
                assert!(statements.len() <= 10_000);
                start.elapsed()
            };
            // Others may be busy on the machine: it has to be slow each time.
            let is_fast = (0..4).any(|_| run() < LIMIT);
            assert!(is_fast, "{head}{repeated} {dialect:?}");
        }
    }
}

#[test]
fn a_text_that_is_too_long_is_unknown() {
    let text = " ".repeat(sql::MAX_TEXT);
    let statements = sql::read(&format!("{text} "), Dialect::Generic);
    assert_eq!(statements.len(), 1);
    assert_eq!(statements[0].class, Class::Unknown);
    assert!(sql::read(&text, Dialect::Generic).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_gets_an_answer(text in "(?s).{0,200}") {
        for dialect in DIALECTS {
            let lines = text.lines().count().max(1);
            for statement in sql::read(&text, dialect) {
                prop_assert!(statement.line >= 1 && statement.line <= lines);
            }
        }
    }

    #[test]
    fn a_statement_is_found_wherever_it_stands(
        before in prop::sample::select(vec![
            "", "SELECT 1;", "SELECT 'a;b';\n", "/* a */", "-- a\n", "INSERT INTO t VALUES (1, ')');",
            "CREATE TABLE a (b int);\n\n", "CREATE INDEX i ON a (b);", "UPDATE t SET a = 'x' WHERE b = 1;\n",
        ]),
        after in prop::sample::select(vec!["", ";", "; SELECT 1", ";\n-- a", "; '", ";("]),
    ) {
        for dialect in DIALECTS.into_iter().filter(|d| !matches!(d, Dialect::Mongo | Dialect::Redis)) {
            let text = format!("{before}DROP TABLE t{after}");
            let line = before.matches('\n').count().saturating_add(1);
            let statements = sql::read(&text, dialect);
            prop_assert!(
                statements.iter().any(|statement| statement.words == "DROP TABLE"
                    && statement.line == line),
                "{:?} {}: {:?}", dialect, text, statements
            );
        }
    }
}
