//! What holds for every script: the same meaning in other clothes is the same answer.
//!
//! That the cost grows with the length and no faster is for `benches/detect.rs` to show.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "helpers of tests")]

use proptest::{prelude::*, sample::select};
use serde_json::json;
use tidegate::{
    detect::Detector,
    model::{ConfigMaps, Object},
};

/// The tool and the operation of a script.
fn says(text: &str) -> Option<(String, String)> {
    let json = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "task"},
        "spec": {"template": {"spec": {"containers": [
            {"name": "main", "image": "app", "command": ["bash", "-c", text]},
        ]}}},
    })
    .to_string();
    let object = Object::parse(&json).unwrap();
    let detections = Detector::built_in().detect(&object, ConfigMaps::NONE);
    detections.first().map(|d| (d.main.tool.to_owned(), d.main.operation.to_string()))
}

/// Commands as lists of words, none of which needs quoting.
fn command() -> impl Strategy<Value = Vec<&'static str>> {
    select(vec![
        vec!["flyway", "clean"],
        vec!["flyway", "-url=x", "migrate"],
        vec!["/app/bin/goose", "-dir", "m", "down"],
        vec!["alembic", "upgrade", "head"],
        vec!["alembic", "current"],
        vec!["python", "manage.py", "migrate", "--noinput"],
        vec!["bundle", "exec", "rake", "db:migrate"],
        vec!["npx", "prisma", "db", "push"],
        vec!["psql", "-c", "TRUNCATE"],
        vec!["pg_dump", "app"],
        vec!["cp", "flyway", "clean"],
        vec!["grep", "migrate", "log"],
    ])
}

/// One word, quoted in some way that leaves it what it is.
fn quoted(word: &str, style: u8, at: usize) -> String {
    let at = at % (word.len() + 1);
    let (head, tail) = word.split_at(at);
    match style % 8 {
        0 => word.to_owned(),
        1 => format!("'{word}'"),
        2 => format!("\"{word}\""),
        3 => format!("{head}''{tail}"),
        4 => format!("{head}\"{tail}\""),
        5 => word.chars().flat_map(|c| ['\\', c]).collect(),
        6 => format!("{head}\\\n{tail}"),
        _ => {
            let codes: Vec<String> = word.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
            format!("$'{}'", codes.concat())
        }
    }
}

/// A script that runs this script once, whatever else it does.
fn dressed(script: &str, how: u8) -> String {
    let single = script.replace('\'', "'\\''");
    match how % 14 {
        0 => format!("  \t{script}\n\n"),
        1 => format!("# flyway clean\n{script} # goose reset"),
        2 => format!("{{ {script}\n}}"),
        3 => format!("( {script}\n)"),
        4 => format!("true && {script}"),
        5 => format!("false || {script}"),
        6 => format!("sh -c '{single}'"),
        7 => format!("eval '{single}'"),
        8 => format!("if true; then {script}\nfi"),
        9 => format!("f() {{ {script}\n}}; f"),
        // One within another must not end with the same word.
        10 => format!("sh <<'END OF {0}'\n{script}\nEND OF {0}\n", script.len()),
        11 => format!("case a in a) {script}\n;; esac"),
        12 => format!("for i in 1; do {script}\ndone"),
        _ => format!("trap '{single}' EXIT"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_meaning_gets_the_same_answer(
        words in command(),
        styles in proptest::collection::vec((any::<u8>(), any::<usize>()), 8),
        layers in proptest::collection::vec(any::<u8>(), 0..4),
    ) {
        let plain = words.join(" ");
        let mut script = words
            .iter()
            .zip(&styles)
            .map(|(word, (style, at))| quoted(word, *style, *at))
            .collect::<Vec<_>>()
            .join(" \t ");
        for how in layers {
            script = dressed(&script, how);
        }
        prop_assert_eq!(says(&script), says(&plain), "{}", script);
    }

    #[test]
    fn nothing_before_or_after_hides_a_migration(
        before in select(vec!["true", "x=$(date)", "set -e", "cd /app", "wait || true", "(exit 1)"]),
        after in select(vec!["true", "echo done", "exit 0", "sleep 1 &", "x=1", ")", "'", "$("]),
        words in command(),
    ) {
        let plain = says(&words.join(" ")).map(|said| said.0);
        let found = says(&format!("{before}\n{}\n{after}", words.join(" "))).map(|said| said.0);
        // Where the end cannot be read, more may be said, and never less.
        prop_assert!(plain.is_none() || plain == found, "{:?}", found);
    }
}
