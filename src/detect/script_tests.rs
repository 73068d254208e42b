//! What scripts give to the programs that they run, against a table that real bash agrees with.

use serde_json::{Value, json};

use super::{
    catalogue::Catalogue,
    commands::{Field, Reader},
    effort::Effort,
    files::Files,
    patterns::{escaped, fits},
    script::{HOLE, Shell, Stdin},
};
use crate::model::{ConfigMaps, Object};

/// What the `migrate` of the table is.
const MIGRATE: &str = include_str!("../../tests/detect/migrate.sh");

/// What a script prints, as far as it is known.
fn printed(script: &str) -> Stdin {
    let job =
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "task"}, "spec": {
            "template": {"spec": {"containers": [{"name": "main", "image": "app"}]}},
        }})
        .to_string();
    let object = Object::parse(&job).unwrap();
    let template = &object.templates[0];
    let files = Files::of(template, &template.containers[0], ConfigMaps::NONE);
    let catalogue = Catalogue::default();
    let mut reader = Reader::new(&catalogue, files, Field::Command, Effort::new().grant());
    reader.disk.write("/stub/migrate".to_owned(), &Stdin::Text(MIGRATE.to_owned()), false);
    reader.disk.link("/usr/bin/migrate".to_owned(), "/stub/migrate");
    let mut shell = Shell::default().child(Some("bash"), Vec::new());
    shell.go(Some("/work".to_owned()));
    reader.script(script, &mut shell, &Stdin::None).1
}

/// True when every line that bash printed is one that we say may be printed.
fn covers(said: &Stdin, prints: &str) -> bool {
    let said = match said {
        Stdin::None => "",
        Stdin::Text(text) => text,
        Stdin::Unknown | Stdin::Migration(_) => return true,
    };
    let pattern = |line: &str| {
        let mut pattern = String::new();
        for (at, known) in line.split(HOLE).enumerate() {
            pattern.push_str(if at > 0 { "*" } else { "" });
            escaped(known, &mut pattern);
        }
        pattern
    };
    let patterns: Vec<String> = said.lines().map(pattern).collect();
    prints.lines().all(|line| patterns.iter().any(|pattern| fits(pattern, line)))
}

#[test]
fn a_script_is_read_as_bash_runs_it() {
    let groups: Value =
        serde_saphyr::from_str(include_str!("../../tests/detect/shell.yaml")).unwrap();
    let (mut count, mut wrong) = (0, Vec::new());
    for group in groups.as_array().unwrap() {
        for row in group["scripts"].as_array().unwrap() {
            let [script, prints] = [0, 1].map(|at| row[at].as_str().unwrap());
            let said = printed(script);
            let is_same = match &said {
                Stdin::None => prints.is_empty(),
                Stdin::Text(text) => text == prints,
                Stdin::Unknown | Stdin::Migration(_) => false,
            };
            let is_right = match row.get(2) {
                None => is_same,
                Some(_why) => !is_same && covers(&said, prints),
            };
            if !is_right {
                wrong.push(format!("{script:?}\n  bash {prints:?}\n  we   {said:?}"));
            }
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {count}\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 400, "{count} scripts");
}
