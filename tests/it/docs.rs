//! The book: every page is in its table of contents, and every link leads somewhere.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::{Component, Path, PathBuf},
    process::Command,
};

use crate::generated::assert_current;

/// All files below a folder that end so.
fn below(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(below(&path, end));
        } else if path.display().to_string().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A text without what stands in code, where brackets are no links.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let parts = line.split('`').enumerate().filter(|(at, _)| at % 2 == 0);
            prose.extend(parts.map(|(_, part)| part));
        }
        prose.push('\n');
    }
    prose
}

/// The targets of all links, without those to other sites.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets
        .map(|(target, _)| target.to_owned())
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

/// Headings as sites make anchors of them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        let title = line.trim_start_matches('#');
        if !fenced && title.len() < line.len() && title.starts_with(' ') {
            let kept = title.trim().to_lowercase();
            let kept = kept.chars().filter(|char| char.is_alphanumeric() || " -_".contains(*char));
            found.insert(kept.map(|char| if char == ' ' { '-' } else { char }).collect());
        }
    }
    found
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(plain.pop(), "{} leads out", path.display()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// What is wrong with a link of a page; nothing when it leads somewhere.
fn broken(page: &Path, target: &str) -> Option<String> {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let to = if path.is_empty() { page.to_owned() } else { plain(&page.with_file_name(path)) };
    if !to.exists() {
        return Some(format!("{}: {target} is not there", page.display()));
    }
    let checked = to.extension().is_some_and(|end| end == "md") && !anchor.is_empty();
    let missing = checked && !anchors(&fs::read_to_string(&to).unwrap()).contains(anchor);
    missing.then(|| format!("{}: {target} has no such heading", page.display()))
}

#[test]
fn every_page_is_in_the_list_of_the_readme() {
    let listed: BTreeSet<String> =
        links(&fs::read_to_string("README.md").unwrap()).into_iter().collect();
    let own =
        |page: &&PathBuf| page.parent() == Some(Path::new("docs")) && !page.ends_with("SUMMARY.md");
    for page in below(Path::new("docs"), ".md").iter().filter(own) {
        let page = page.display().to_string();
        assert!(listed.contains(&page), "README.md does not lead to {page}");
    }
    assert!(listed.contains("docs/rules/README.md"));
}

#[test]
fn every_link_leads_somewhere() {
    let mut pages = below(Path::new("docs"), ".md");
    for folder in ["deploy", "certs", "policies"] {
        pages.extend(below(Path::new(folder), ".md"));
    }
    pages.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(PathBuf::from));
    let mut seen = 0;
    let mut wrong = Vec::new();
    for page in &pages {
        for target in links(&fs::read_to_string(page).unwrap()) {
            seen += 1;
            wrong.extend(broken(page, &target));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 200, "only {seen} links were found");
    let page = Path::new("docs/install.md");
    assert!(broken(page, "nowhere.md").is_some() && broken(page, "serve.md#nowhere").is_some());
}

const RULES: &str = "- [Rules](rules/README.md)\n";

#[test]
fn every_page_is_in_the_book_once() {
    let summary = fs::read_to_string("docs/SUMMARY.md").unwrap();
    // Rules come and go with the code, and so does their part of the list.
    let (before, rest) = summary.split_once(RULES).unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    let rules = below(Path::new("docs/rules"), ".md");
    let rules = rules.iter().map(|page| page.file_stem().unwrap().to_str().unwrap());
    let rules = rules.filter(|name| *name != "README");
    let rules: Vec<String> = rules.map(|name| format!("  - [{name}](rules/{name}.md)\n")).collect();
    let rules = rules.concat();
    assert_current(Path::new("docs/SUMMARY.md"), &format!("{before}{RULES}{rules}\n{after}"));
    let listed = links(&summary);
    let unique: BTreeSet<PathBuf> =
        listed.iter().map(|target| Path::new("docs").join(target)).collect();
    assert_eq!(unique.len(), listed.len(), "a page stands twice in docs/SUMMARY.md");
    let pages = below(Path::new("docs"), ".md");
    for page in pages.iter().filter(|page| !page.ends_with("SUMMARY.md")) {
        assert!(unique.contains(page), "docs/SUMMARY.md does not list {}", page.display());
    }
    let book = fs::read_to_string("book.toml").unwrap();
    assert!(book.contains("src = \"docs\""), "{book}");
}

/// `mdbook`, where it is installed or named by `MDBOOK`.
fn mdbook() -> Option<String> {
    let program = std::env::var("MDBOOK").unwrap_or_else(|_| "mdbook".to_owned());
    if Command::new(&program).arg("--version").output().is_ok_and(|it| it.status.success()) {
        return Some(program);
    }
    let _told = writeln!(std::io::stderr(), "skipped: there is no mdbook (MDBOOK)");
    None
}

/// The values of an attribute in a page, without what scripts hold.
fn attributes(page: &str, name: &str) -> Vec<String> {
    let parts =
        page.split("<script").map(|part| part.split_once("</script>").unwrap_or(("", part)).1);
    let mark = format!(" {name}=\"");
    let found = parts.flat_map(|part| part.split(&mark).skip(1).collect::<Vec<_>>());
    found.map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&")).collect()
}

/// `just site`: what the repository links to is there under the names that the pages use.
#[test]
fn the_site_has_no_dead_link() {
    let Some(program) = mdbook() else { return };
    let output = Command::new(".ci/site").env("MDBOOK", program).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let root = Path::new("target/book");
    let (mut seen, mut dead) = (0, Vec::new());
    for path in below(root, ".html") {
        if ["print.html", "404.html", "toc.html"].iter().any(|own| path.ends_with(own)) {
            continue;
        }
        let page = fs::read_to_string(&path).unwrap();
        for target in [attributes(&page, "href"), attributes(&page, "src")].concat() {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            seen += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let to = if file.is_empty() { path.clone() } else { plain(&path.with_file_name(file)) };
            let there = fs::read(&to).is_ok_and(|content| {
                let is_page = to.extension().is_some_and(|end| end == "html");
                let text = String::from_utf8_lossy(&content);
                anchor.is_empty() || !is_page || text.contains(&format!("id=\"{anchor}\""))
            });
            if !there {
                dead.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
    assert!(seen > 1_500, "only {seen} links were found");
}
