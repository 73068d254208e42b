//! The traps of Argo CD and Helm that `docs/traps.md` lists: each has a set that falls into it.

use std::{collections::BTreeSet, fs};

use tidegate::{model::Object, rules};

use crate::fixture::Fixture;

/// What the comments of a trap announce: `# found: RULE Kind/name` and `# note: NOTE [Kind/name]`.
fn announced(text: &str, key: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| line.strip_prefix(key)).map(str::to_owned).collect()
}

fn traps() -> Vec<(String, String)> {
    let mut traps: Vec<_> = fs::read_dir("tests/traps")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    traps.sort();
    traps
}

#[test]
fn every_trap_is_found() {
    for (name, text) in traps() {
        let fixture = Fixture::parse(&text);
        let mut found = BTreeSet::new();
        for rule in rules::ALL {
            for (index, findings) in fixture.run_beside(rule).iter().enumerate() {
                let subject = fixture.subject(index);
                found.extend(findings.found.iter().map(|it| format!("{} {subject}", it.rule)));
            }
        }
        let mut notes = BTreeSet::new();
        let texts: Vec<String> = fixture.objects.iter().map(ToString::to_string).collect();
        let objects: Vec<Object<'_>> = texts.iter().map(|it| Object::parse(it).unwrap()).collect();
        let release = fixture.as_release(&objects);
        for note in release.notes() {
            let subject =
                note.member.map(|member| format!(" {}", release.members[member].subject()));
            notes.insert(format!("{}{}", note.id, subject.unwrap_or_default()));
        }
        for (member, _) in release.moved() {
            notes.insert(format!("moved {}", release.members[member].subject()));
        }
        let (wanted, told) = (announced(&text, "# found: "), announced(&text, "# note: "));
        assert!(!wanted.is_empty() || !told.is_empty(), "{name} announces nothing");
        assert!(wanted.is_subset(&found), "{name}: {wanted:?} of {found:#?}");
        assert!(told.is_subset(&notes), "{name}: {told:?} of {notes:#?}");
    }
}

#[test]
fn every_trap_is_documented() {
    let page = fs::read_to_string("docs/traps.md").unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| [")).collect();
    assert_eq!(rows.len(), traps().len());
    for (row, (name, text)) in rows.into_iter().zip(traps()) {
        assert!(row.contains(&format!("(../tests/traps/{name}.yaml)")), "{row}");
        for what in announced(&text, "# found: ").iter().chain(&announced(&text, "# note: ")) {
            let id = what.split(' ').next().unwrap();
            assert!(row.contains(&format!("`{id}`")), "{row}: no word of {id}");
        }
    }
}
