//! Changelogs of Liquibase: XML, YAML, JSON and SQL, with what they include.
//!
//! Contexts, labels, preconditions and databases hide nothing: whether they hold is not in the
//! manifest. A file that is included twice counts once, as its change sets run once.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use super::{
    Change, Content, Direction, File, Opaque, place,
    sections::{Holes, with_holes},
};

mod formatted;
mod tree;
mod types;
mod xml;

use formatted::Item;
use tree::Node;

/// How deeply changelogs may include one another.
const MAX_DEPTH: usize = 32;
/// How many files may be asked for, those that were read before among them.
const MAX_INCLUDES: usize = 20_000;

/// What changelogs would run: the one called `entry` and what it includes, or else all of them.
pub(super) fn read<'f>(
    direction: Direction,
    files: &[File<'f>],
    entry: Option<&str>,
) -> Vec<Change<'f>> {
    let mut walker = Walker::new(files);
    match entry {
        Some(entry) => match walker.resolve(entry, "") {
            Some(file) => walker.changelog(&file),
            None => walker.both(Change::opaque("", 1, Opaque::Missing)),
        },
        None => {
            for file in files {
                let (_, _, ending) = place::parts(file.path);
                if is_changelog(&ending) && !walker.seen.contains(file.path) {
                    walker.changelog(file);
                }
            }
        }
    }
    match direction {
        Direction::Up => walker.up,
        Direction::Down => walker.down.into_iter().rev().flatten().collect(),
    }
}

fn is_changelog(ending: &str) -> bool {
    place::is_sql(ending) || matches!(ending, "xml" | "yaml" | "yml" | "json")
}

struct Walker<'f> {
    by_path: HashMap<&'f str, File<'f>>,
    /// For references that start further up or further down than our paths do.
    by_name: HashMap<&'f str, Vec<File<'f>>>,
    sorted: Vec<File<'f>>,
    seen: HashSet<&'f str>,
    /// The changelogs that are being read, from the root on.
    open: Vec<&'f str>,
    /// How many more files may be asked for.
    left: usize,
    up: Vec<Change<'f>>,
    /// What reverts, a group a change set.
    down: Vec<Vec<Change<'f>>>,
}

impl<'f> Walker<'f> {
    fn new(files: &[File<'f>]) -> Self {
        let mut by_name: HashMap<&'f str, Vec<File<'f>>> = HashMap::new();
        for file in files {
            let (_, name, _) = place::parts(file.path);
            by_name.entry(name).or_default().push(*file);
        }
        Self {
            by_path: files.iter().map(|file| (file.path, *file)).collect(),
            by_name,
            sorted: files.to_vec(),
            seen: HashSet::new(),
            open: Vec::new(),
            left: MAX_INCLUDES,
            up: Vec::new(),
            down: Vec::new(),
        }
    }

    fn both(&mut self, change: Change<'f>) {
        self.down.push(vec![change.clone()]);
        self.up.push(change);
    }

    /// Reads one changelog, once.
    fn changelog(&mut self, file: &File<'f>) {
        if self.open.contains(&file.path) {
            return self.both(Change::opaque(file.path, 1, Opaque::Circle));
        }
        if !self.seen.insert(file.path) {
            return;
        }
        if self.open.len() >= MAX_DEPTH {
            return self.both(Change::opaque(file.path, 1, Opaque::Limit));
        }
        self.open.push(file.path);
        let (_, _, ending) = place::parts(file.path);
        let root = match ending.as_str() {
            ending if place::is_sql(ending) => {
                self.sql(file);
                self.open.pop();
                return;
            }
            "xml" => xml::read(file.text.trim_start_matches('\u{feff}')),
            "yaml" | "yml" | "json" => tree::from_yaml(file.text),
            _ => None,
        };
        match root.filter(|root| root.name == "databaseChangeLog") {
            Some(root) => self.children(file, &root),
            None => self.both(Change::opaque(file.path, 1, Opaque::Malformed)),
        }
        self.open.pop();
    }

    fn children(&mut self, file: &File<'f>, parent: &Node) {
        for node in &parent.children {
            match node.name.as_str() {
                name if name.eq_ignore_ascii_case("changeSet") => self.change_set(file, node),
                "include" => self.include(file, node),
                "includeAll" => self.include_folder(file, node),
                // It holds includes whose change sets it alters.
                "modifyChangeSets" => self.includes(file, node),
                "property" | "preConditions" | "removeChangeSetProperty" => {}
                _ if node.children.is_empty() && parent.attribute(&node.name).is_some() => {}
                _ => self.both(Change::opaque(file.path, node.line, Opaque::Custom)),
            }
        }
    }

    fn includes(&mut self, file: &File<'f>, parent: &Node) {
        for node in &parent.children {
            match node.name.as_str() {
                "include" => self.include(file, node),
                "includeAll" => self.include_folder(file, node),
                _ => {}
            }
        }
    }

    fn include(&mut self, file: &File<'f>, node: &Node) {
        let path = node.value("file").unwrap_or_default();
        self.include_one(file, node.line, path, node.is("relativeToChangelogFile", "true"));
    }

    fn include_folder(&mut self, file: &File<'f>, node: &Node) {
        let path = node.value("path").unwrap_or_default();
        let is_relative = node.is("relativeToChangelogFile", "true");
        self.include_all(file, node.line, path, is_relative);
    }

    fn include_one(&mut self, from: &File<'f>, line: usize, path: &str, is_relative: bool) {
        match self.named(from, path, is_relative) {
            Some(file) => self.changelog(&file),
            None => self.both(Change::opaque(from.path, line, Opaque::Missing)),
        }
    }

    /// Every changelog below a folder, by name.
    fn include_all(&mut self, from: &File<'f>, line: usize, path: &str, is_relative: bool) {
        if !self.may_ask() {
            return;
        }
        let base = if is_relative { place::parts(from.path).0 } else { "" };
        let Some(folder) = joined(base, path) else {
            return self.both(Change::opaque(from.path, line, Opaque::Missing));
        };
        let prefix = if folder.is_empty() { folder } else { format!("{folder}/") };
        let start = self.sorted.partition_point(|file| file.path < prefix.as_str());
        let mut found = Vec::new();
        for file in self.sorted.iter().skip(start) {
            if !file.path.starts_with(&prefix) {
                break;
            }
            let (_, _, ending) = place::parts(file.path);
            if is_changelog(&ending) && !self.open.contains(&file.path) {
                found.push(*file);
            }
        }
        if found.is_empty() {
            self.both(Change::opaque(from.path, line, Opaque::Missing));
        }
        for file in found {
            if !self.may_ask() {
                return;
            }
            self.changelog(&file);
        }
    }

    /// Pays for a file that is asked for.
    fn may_ask(&mut self) -> bool {
        if self.left == 1 {
            let file = self.open.last().copied().unwrap_or_default();
            self.both(Change::opaque(file, 1, Opaque::Limit));
        }
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }

    /// The file that another one names.
    fn named(&mut self, from: &File<'f>, path: &str, is_relative: bool) -> Option<File<'f>> {
        if !self.may_ask() {
            return None;
        }
        let folder = place::parts(from.path).0;
        if is_relative {
            return self.by_path.get(joined(folder, path)?.as_str()).copied();
        }
        self.resolve(path, folder)
    }

    /// A file by a path from a root that is not known: the search path may begin above or below
    /// the folder that we see.
    fn resolve(&self, path: &str, folder: &str) -> Option<File<'f>> {
        let path = joined("", path)?;
        if let Some(file) = self.by_path.get(path.as_str()) {
            return Some(*file);
        }
        let beside = joined(folder, &path)?;
        if let Some(file) = self.by_path.get(beside.as_str()) {
            return Some(*file);
        }
        let name = path.rsplit('/').next()?;
        let ends_with = |long: &str, short: &str| {
            long.strip_suffix(short).is_some_and(|before| before.ends_with('/'))
        };
        let mut fitting = self
            .by_name
            .get(name)?
            .iter()
            .take(64)
            .filter(|file| ends_with(file.path, &path) || ends_with(&path, file.path));
        let first = fitting.next()?;
        fitting.next().is_none().then_some(*first)
    }

    /// A changelog in SQL, or statements that are no changelog and count as one change set.
    fn sql(&mut self, file: &File<'f>) {
        let text = file.text.trim_start_matches('\u{feff}');
        if !formatted::is_formatted(text) {
            self.up.extend(Change::whole(file, Holes::Dollar));
            return;
        }
        for item in formatted::read(text).items {
            match item {
                Item::Up { line, text } => {
                    self.up.extend(Change::part(file, line, text, Holes::Dollar));
                }
                Item::Down { line, text } => {
                    let text = with_holes(&text, Holes::Dollar).into_owned();
                    let content = Content::Sql(Cow::Owned(text));
                    self.down.push(vec![Change { file: file.path, line, content }]);
                }
                Item::DownElsewhere { line } => {
                    self.down.push(vec![Change::opaque(file.path, line, Opaque::Custom)]);
                }
                Item::Include { line, path, is_relative, all: true } => {
                    self.include_all(file, line, path, is_relative);
                }
                Item::Include { line, path, is_relative, all: false } => {
                    self.include_one(file, line, path, is_relative);
                }
            }
        }
    }

    fn change_set(&mut self, file: &File<'f>, set: &Node) {
        let mut changes = Vec::new();
        let mut rollbacks = Vec::new();
        for node in &set.children {
            match node.name.as_str() {
                "rollback" => rollbacks.push(node),
                "changes" => changes.extend(&node.children),
                name if types::is_about_the_set(name) => {}
                _ => changes.push(node),
            }
        }
        for node in &changes {
            let found = self.change(file, node);
            self.up.extend(found);
        }
        let mut reverting = Vec::new();
        for node in &rollbacks {
            reverting.extend(self.rollback(file, node));
        }
        if rollbacks.is_empty() {
            // Liquibase reverts by itself what it knows how to revert.
            for node in changes.iter().rev() {
                if let Some((name, sql)) = types::reverse(node) {
                    reverting.push(Change::like(file, node.line, name, sql));
                }
            }
        }
        self.down.push(reverting);
    }

    /// What reverts a change set: statements, changes, or another change set by its name.
    fn rollback(&mut self, file: &File<'f>, node: &Node) -> Vec<Change<'f>> {
        if node.value("changeSetId").is_some() {
            return vec![Change::opaque(file.path, node.line, Opaque::Custom)];
        }
        let mut reverting: Vec<Change<'f>> = Change::text(file, node).into_iter().collect();
        let inside = node.children.iter().filter(|child| child.name != "comment");
        for child in inside {
            if child.name == "changes" {
                for change in &child.children {
                    reverting.extend(self.change(file, change));
                }
            } else {
                reverting.extend(self.change(file, child));
            }
        }
        reverting
    }

    /// What one change comes to.
    fn change(&mut self, file: &File<'f>, node: &Node) -> Vec<Change<'f>> {
        let wrapped = types::text_keys(&node.name).iter().find_map(|key| node.child(key));
        let text = wrapped.unwrap_or(node);
        if types::may_name_a_file(node)
            && let Some(path) = node.value("path")
        {
            let is_relative = node.is("relativeToChangelogFile", "true");
            return match self.named(file, path, is_relative) {
                Some(found) => Change::whole(&found, Holes::Dollar).into_iter().collect(),
                None => vec![Change::opaque(file.path, node.line, Opaque::Missing)],
            };
        }
        if node.name == "sqlFile" || types::holds_sql(&node.name) {
            return match Change::text(file, text) {
                Some(change) => vec![change],
                // An empty `sql` runs nothing; anything else has its text somewhere.
                None if node.name == "sql" => Vec::new(),
                None => vec![Change::opaque(file.path, node.line, Opaque::Missing)],
            };
        }
        match types::change(node) {
            Some(types::Effect::Like(name, sql)) => {
                vec![Change::like(file, node.line, name, sql)]
            }
            Some(types::Effect::History(name)) => {
                vec![Change { file: file.path, line: node.line, content: Content::History(name) }]
            }
            Some(types::Effect::Nothing) => Vec::new(),
            None => vec![Change::opaque(file.path, node.line, Opaque::Custom)],
        }
    }
}

impl<'f> Change<'f> {
    fn like(file: &File<'f>, line: usize, name: &'static str, sql: Cow<'static, str>) -> Self {
        Self { file: file.path, line, content: Content::Like { name, sql } }
    }

    /// The statements in an element; `None` when there are none.
    fn text(file: &File<'f>, node: &Node) -> Option<Self> {
        if node.text.trim().is_empty() {
            return None;
        }
        let text: Cow<'static, str> =
            Cow::Owned(with_holes(&node.text, Holes::Dollar).into_owned());
        if node.is_folded {
            return Some(Self::like(file, node.text_line, "sql", text));
        }
        Some(Self { file: file.path, line: node.text_line, content: Content::Sql(text) })
    }
}

/// A path below a folder, without `.` and `..`; `None` when it leads out.
fn joined(folder: &str, path: &str) -> Option<String> {
    let path = path.trim();
    let path =
        path.strip_prefix("classpath:").or_else(|| path.strip_prefix("file:")).unwrap_or(path);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}
