//! Folders of every convention, and folders made to break the reader.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::source;

const FIXTURES: [(&str, &str); 3] = [
    ("names", include_str!("../../../tests/detect/changes/names.yaml")),
    ("markers", include_str!("../../../tests/detect/changes/markers.yaml")),
    ("liquibase", include_str!("../../../tests/detect/changes/liquibase.yaml")),
];

/// One change on one line: `file:line` and what it is.
fn shown(change: &Change<'_>) -> String {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let content = match &change.content {
        Content::Sql(text) => words(text),
        Content::Like { name, sql } => format!("{name} = {}", words(sql)),
        Content::History(name) => format!("history {name}"),
        Content::Opaque(why) => format!("? {why:?}"),
    };
    format!("{}:{} {content}", change.file, change.line)
}

fn direction(word: &str) -> Direction {
    if word == "down" { Direction::Down } else { Direction::Up }
}

fn all_conventions() -> Vec<Convention> {
    use Convention as C;
    vec![
        C::Flyway,
        C::GolangMigrate,
        C::Sqlx,
        C::NodePgMigrate,
        C::Tern,
        C::Goose,
        C::Dbmate,
        C::SqlMigrate,
        C::Atlas,
        C::Diesel,
        C::Sqitch,
        C::Prisma,
        C::Mybatis,
        C::Graphile,
        C::Refinery,
        C::Yoyo,
        C::Grate,
        C::Liquibase,
        C::Plain,
    ]
}

#[test]
fn a_folder_says_what_runs() {
    let (mut count, mut wrong) = (0, String::new());
    for (name, text) in FIXTURES {
        let documents = source::documents(text);
        let cases = documents.first().unwrap().as_ref().unwrap().value().as_array().unwrap();
        for case in cases {
            let convention: Convention =
                serde_json::from_value(case["convention"].clone()).unwrap();
            let files: Vec<File<'_>> = case["files"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(path, text)| File { path, text: text.as_str().unwrap() })
                .collect();
            for (word, expected) in case["runs"].as_object().unwrap() {
                let changes = read(convention, direction(word), &files, case["entry"].as_str());
                let found: Vec<String> = changes.iter().map(shown).collect();
                let expected: Vec<String> = expected
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|line| line.as_str().unwrap().to_owned())
                    .collect();
                count += 1;
                if found != expected {
                    let what = case["what"].as_str().unwrap_or_default();
                    writeln!(wrong, "{name}: {what} ({word})").unwrap();
                    writeln!(wrong, "  expected {expected:#?}\n  found    {found:#?}").unwrap();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 60, "{count} cases");
}

/// Runs something on a stack as small as that of a thread that answers requests.
#[expect(clippy::disallowed_methods, reason = "a test measures how long it takes")]
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let began = std::time::Instant::now();
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(work).unwrap();
    thread.join().unwrap();
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
}

fn liquibase(path: &str, text: &str) -> Vec<String> {
    let files = [File { path, text }];
    read(Convention::Liquibase, Direction::Up, &files, Some(path)).iter().map(shown).collect()
}

#[test]
fn deep_and_wide_changelogs_end() {
    on_a_small_stack(|| {
        let many = 100_000;
        let deep_xml = format!("<databaseChangeLog>{}", "<changeSet>".repeat(many));
        let closed = format!("{deep_xml}{}</databaseChangeLog>", "</changeSet>".repeat(many));
        for text in [deep_xml.as_str(), closed.as_str(), &"<".repeat(many), &"<a ".repeat(many)] {
            assert_eq!(liquibase("a.xml", text), ["a.xml:1 ? Malformed"]);
        }
        let attributes = (0..50_000).map(|n| format!("a{n}='x' ")).collect::<Vec<_>>().concat();
        let wide = format!("<databaseChangeLog {attributes}><changeSet/></databaseChangeLog>");
        assert_eq!(liquibase("a.xml", &wide), [":1 ? Nothing"]);
        let breaks = "<sql>a<b/>\n\n\n</sql>".repeat(20_000);
        let wide =
            format!("<databaseChangeLog><changeSet>{breaks}</changeSet></databaseChangeLog>");
        assert_eq!(liquibase("a.xml", &wide).len(), 20_000);
        for text in [
            format!("{}{}", "[".repeat(many), "]".repeat(many)),
            format!("databaseChangeLog: {}{}", "[".repeat(5_000), "]".repeat(5_000)),
            "{\"databaseChangeLog\":".repeat(many),
            "a: &a [*a]".repeat(1_000),
        ] {
            assert_eq!(liquibase("a.yaml", &text), ["a.yaml:1 ? Malformed"]);
        }
        let keys = (0..40_000).map(|n| format!("\"k{n}\": {{}},")).collect::<Vec<_>>().concat();
        let wide = format!("{{\"databaseChangeLog\": [{{\"changeSet\": {{{keys} \"id\": 1}}}}]}}");
        assert_eq!(liquibase("a.json", &wide).len(), 40_000);
        let items = "{\"changeSet\": {\"changes\": [{\"dropTable\": {}}]}},".repeat(20_000);
        let beside = (0..20_000).map(|n| format!("\"k{n}\": 1,")).collect::<Vec<_>>().concat();
        let wide = format!("{{{beside} \"databaseChangeLog\": [{items} {{}}]}}");
        assert_eq!(liquibase("a.json", &wide).len(), 20_000);
    });
}

#[test]
fn entities_are_not_expanded() {
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>\
                <databaseChangeLog><changeSet><sql>&b;</sql></changeSet></databaseChangeLog>";
    assert_eq!(liquibase("a.xml", bomb), ["a.xml:1 ? Malformed"]);
}

#[test]
fn includes_end() {
    on_a_small_stack(|| {
        // Each includes the next twice, and everything besides.
        let texts: Vec<(String, String)> = (0..200)
            .map(|n| {
                let next = n + 1;
                let include = format!("<include file=\"{next}.xml\"/>").repeat(2);
                let all = "<includeAll path=\"\"/>".repeat(50);
                let text = format!("<databaseChangeLog>{include}{all}</databaseChangeLog>");
                (format!("{n}.xml"), text)
            })
            .collect();
        let files: Vec<File<'_>> = texts.iter().map(|(path, text)| File { path, text }).collect();
        let changes = read(Convention::Liquibase, Direction::Up, &files, Some("0.xml"));
        let limits = changes.iter().filter(|c| c.content == Content::Opaque(Opaque::Limit));
        assert!(limits.count() > 0);
        assert!(changes.len() < 50_000, "{}", changes.len());
    });
}

#[test]
fn many_files_are_read_and_more_are_counted_as_unknown() {
    on_a_small_stack(|| {
        let paths: Vec<String> = (0..=MAX_FILES).map(|n| format!("{n}_x.up.sql")).collect();
        let files: Vec<File<'_>> =
            paths.iter().map(|path| File { path, text: "create;" }).collect();
        for convention in all_conventions() {
            let all = read(convention, Direction::Up, &files, None);
            assert_eq!(all.last().unwrap().content, Content::Opaque(Opaque::Limit));
        }
        let few = &files[..MAX_FILES];
        let changes = read(Convention::GolangMigrate, Direction::Up, few, None);
        assert_eq!(changes.len(), MAX_FILES);
        assert!(changes.iter().all(|change| matches!(change.content, Content::Sql(_))));
    });
}

#[test]
fn a_folder_that_is_too_large_is_said_to_be() {
    let large = "x".repeat(MAX_BYTES);
    let files = [File { path: "1_a.up.sql", text: &large }, File { path: "2_b.up.sql", text: "y" }];
    let changes = read(Convention::GolangMigrate, Direction::Up, &files, None);
    let found: Vec<&Content<'_>> = changes.iter().map(|change| &change.content).collect();
    assert!(matches!(found.as_slice(), [Content::Sql(_), Content::Opaque(Opaque::Limit)]));
}

#[test]
fn every_reason_has_words_of_its_own() {
    use Opaque as O;
    let all = [
        O::Program,
        O::Name,
        O::Marker,
        O::Unclosed,
        O::Early,
        O::Malformed,
        O::Missing,
        O::Circle,
        O::Limit,
        O::Computed,
        O::Custom,
        O::Nothing,
    ];
    let reasons: std::collections::HashSet<&str> = all.iter().map(|why| why.reason()).collect();
    assert_eq!(reasons.len(), all.len());
}

/// Texts that look like migrations, and texts that do not.
fn text() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "\\PC{0,12}",
        proptest::sample::select(vec![
            "-- +goose Up",
            "-- +goose down",
            "-- +goose Down",
            "-- +goose StatementBegin",
            "-- +goose StatementEnd",
            "-- +goose ENVSUB ON",
            "-- migrate:up",
            "-- migrate:down a b",
            "-- migrate:down",
            "-- +migrate Up",
            "-- +migrate Down",
            "-- Up Migration",
            "-- Down Migration",
            "---- create above / drop below ----",
            "-- //@UNDO",
            "-- atlas:txtar",
            "-- down.sql --",
            "--!include a",
            "--liquibase formatted sql",
            "--changeset a:1",
            "--rollback drop a;",
            "/* liquibase rollback",
            "*/",
            "--include file:a.xml",
            "<databaseChangeLog>",
            "</databaseChangeLog>",
            "<changeSet id='1'>",
            "</changeSet>",
            "<rollback>",
            "</rollback>",
            "<dropTable/>",
            "<include file='a.sql'/>",
            "<includeAll path=''/>",
            "<sql>",
            "</sql>",
            "databaseChangeLog:",
            "- changeSet:",
            "    changes:",
            "    - dropTable: {}",
            "- include: {file: b.yaml}",
            "drop table a;",
            "${x}",
            "{{ x }}",
            "@v1",
            "users 2024",
        ])
        .prop_map(str::to_owned),
    ];
    proptest::collection::vec(line, 0..20).prop_map(|lines| lines.join("\n"))
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,8}",
        "[VURB][0-9]{1,3}__x\\.(sql|java|sh)",
        "[0-9]{1,3}_x\\.(up|down)\\.(sql|json)",
        "[0-9]{1,3}_x/(up|down|migration)\\.sql",
        "(deploy|revert|verify|up|views|committed)/[a-c]@?[0-9]?\\.sql",
        "[a-c]\\.(sql|xml|yaml|json)",
        Just("sqitch.plan".to_owned()),
        Just("..data/a.sql".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_folder_gets_one_answer(
        files in proptest::collection::vec((path(), text()), 0..8),
        entry in proptest::option::of("[a-c]\\.(sql|xml|yaml|json)"),
    ) {
        let forwards: Vec<File<'_>> =
            files.iter().map(|(path, text)| File { path, text }).collect();
        let mut backwards = forwards.clone();
        backwards.reverse();
        for convention in all_conventions() {
            for direction in [Direction::Up, Direction::Down] {
                let changes = read(convention, direction, &forwards, entry.as_deref());
                let again = read(convention, direction, &backwards, entry.as_deref());
                prop_assert_eq!(&changes, &again);
                prop_assert!(direction == Direction::Down || !changes.is_empty());
                for change in changes {
                    let lines = forwards.iter().filter(|file| file.path == change.file);
                    let lines = lines.map(|file| file.text.split('\n').count()).max();
                    prop_assert!(change.line >= 1);
                    prop_assert!(change.line <= lines.unwrap_or(1), "{:?}", change);
                }
            }
        }
    }

    /// Whatever the markers are, no line is lost to both directions that would run in one.
    #[test]
    fn down_markers_hide_nothing_from_up(lines in proptest::collection::vec("[a-z]{1,6};", 1..5)) {
        let body = lines.join("\n");
        for (convention, path, up) in [
            (Convention::Goose, "1_a.sql", "-- +goose Up"),
            (Convention::Dbmate, "1_a.sql", "-- migrate:up"),
            (Convention::SqlMigrate, "1_a.sql", "-- +migrate Up"),
        ] {
            let text = format!("{up}\n{body}\n");
            let changes = read(convention, Direction::Up, &[File { path, text: &text }], None);
            let [Change { content: Content::Sql(found), line: 2, .. }] = changes.as_slice() else {
                panic!("{changes:?}");
            };
            prop_assert_eq!(found.trim_end(), body.as_str());
        }
    }
}
