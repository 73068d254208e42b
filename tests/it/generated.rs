//! Pages that are made from the code. `UPDATE_GENERATED=1 cargo test` writes them; `cargo test`
//! compares.

use std::{collections::BTreeSet, env, fs, path::Path};

use tidegate::{
    render::rule_page::{index, page},
    rules,
};

const PAGES: &str = "docs/rules";

#[test]
fn rule_pages_are_current() {
    for rule in rules::ALL {
        let example = Path::new("tests/rules").join(rule.id).join("fail-example.yaml");
        let example = fs::read_to_string(&example)
            .unwrap_or_else(|error| panic!("{}: {error}", example.display()));
        assert_current(&Path::new(PAGES).join(format!("{}.md", rule.id)), &page(rule, &example));
    }
    assert_current(&Path::new(PAGES).join("README.md"), &index(rules::ALL));
}

#[test]
fn there_is_no_page_of_a_rule_that_is_gone() {
    let known: BTreeSet<String> = rules::ALL.iter().map(|rule| format!("{}.md", rule.id)).collect();
    for entry in fs::read_dir(PAGES).into_iter().flatten() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || known.contains(&name), "{PAGES}/{name}: no such rule");
    }
}

fn assert_current(path: &Path, want: &str) {
    if env::var_os("UPDATE_GENERATED").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        return fs::write(path, want).unwrap();
    }
    let have = fs::read_to_string(path).unwrap_or_default();
    assert!(have == want, "{} is stale: run `UPDATE_GENERATED=1 cargo test`", path.display());
}
