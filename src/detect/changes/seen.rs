//! From what would run to statements, and to what they make of the command.

use std::collections::HashMap;

use super::{
    Change, Content, Convention, Direction, File, MAX_BYTES, Opaque,
    folders::{Folder, Folders, Surroundings},
    read,
};
use crate::{
    detect::{
        FileRef, Migrations, Operation, SqlFile,
        commands::Found,
        sql::{self, Class, Dialect, Statement},
    },
    model::VolumeFile,
};

/// Verbs that revert and then apply again.
const REDO: [&str; 3] = ["redo", "reapply", "update-testing-rollback"];

/// What it costs to look into a folder, and for each of its files, in bytes that are read.
const FOLDER: usize = 4096;
const FILE: usize = 256;
/// What it costs to look for the folder in one argument of the command.
const ARGUMENT: usize = 64;

/// The most statements of folders that are kept for one container.
const MAX_STATEMENTS: usize = 20_000;

/// How much of folders may still be read and kept.
#[derive(Clone, Copy, Debug)]
pub(in crate::detect) struct Budget {
    /// Bytes that may be read.
    left: usize,
    /// Statements that may be kept.
    statements: usize,
}

impl Budget {
    /// For all containers of an object: two may use up what one may have.
    pub(in crate::detect) fn of_object() -> Self {
        let Self { left, statements } = Self::new();
        Self { left: left.saturating_mul(2), statements: statements.saturating_mul(2) }
    }

    fn new() -> Self {
        // Once up and once down.
        Self { left: MAX_BYTES.saturating_mul(2), statements: MAX_STATEMENTS }
    }

    /// What one container may have of it.
    pub(in crate::detect) fn of_container(self) -> Self {
        let Self { left, statements } = Self::new();
        Self { left: self.left.min(left), statements: self.statements.min(statements) }
    }

    /// Without what was used of a part of it.
    pub(in crate::detect) fn less(self, part: Self, rest: Self) -> Self {
        let less =
            |all: usize, part: usize, rest: usize| all.saturating_sub(part.saturating_sub(rest));
        Self {
            left: less(self.left, part.left, rest.left),
            statements: less(self.statements, part.statements, rest.statements),
        }
    }

    fn spend(&mut self, bytes: usize) -> bool {
        let is_enough = bytes <= self.left;
        self.left = self.left.saturating_sub(bytes);
        is_enough
    }
}

/// Adds to a command what its folders show, where ConfigMaps in reach show them.
///
/// The manifest does not tell which versions the database has, so that everything in a folder
/// counts. A command that goes forwards is destructive when one of its statements is. One that
/// reverts drops what was added: that alone makes it no more than what it is called.
pub(in crate::detect) fn refine<'o>(
    plan: &Migrations,
    around: &Surroundings<'_, 'o>,
    budget: &mut Budget,
    found: &mut Found<'o>,
) {
    let is_redo = found.words.split(' ').any(|word| REDO.contains(&word));
    let (down, up) = match found.operation {
        Operation::Apply => (false, true),
        Operation::Rollback => (true, is_redo),
        // It may go either way.
        Operation::Unknown => (true, true),
        _ => return,
    };
    if !budget.spend(FOLDER.saturating_add(around.args.len().saturating_mul(ARGUMENT))) {
        return found.statements.push(unknown(1, Opaque::Limit.reason()));
    }
    let Some(sources) = Source::of(plan, around) else { return };
    let dialect = plan.dialect.unwrap_or_else(|| around.dialect());
    let mut seen = Seen::default();
    for (wanted, direction) in [(down, Direction::Down), (up, Direction::Up)] {
        for source in sources.shown.iter().filter(|_| wanted) {
            if budget.spend(source.bytes()) {
                source.add(direction, dialect, budget, &mut seen);
            } else {
                seen.is_cut = true;
            }
        }
    }
    if seen.is_cut {
        seen.statements.push(unknown(1, Opaque::Limit.reason()));
    }
    if sources.is_part {
        seen.statements.push(unknown(1, "migrations that are not shown"));
    }
    if let Some(worst) = seen.forwards.filter(|worst| *worst > Operation::Rollback) {
        found.operation = found.operation.max(worst);
    }
    found.statements.extend(seen.statements);
    found.files.extend(seen.files);
}

/// What was read.
#[derive(Debug, Default)]
struct Seen<'o> {
    /// What stands in no file.
    statements: Vec<Statement>,
    files: Vec<SqlFile<'o>>,
    /// The greatest operation of what goes forwards, and of what was kept.
    forwards: Option<Operation>,
    kept: Option<Operation>,
    /// There was more.
    is_cut: bool,
}

/// Files that are read together.
#[derive(Debug)]
struct Source<'o> {
    convention: Convention,
    root: Option<String>,
    files: Vec<(String, VolumeFile<'o>)>,
}

/// All of them.
#[derive(Debug)]
struct Sources<'o> {
    shown: Vec<Source<'o>>,
    is_part: bool,
}

impl<'o> Source<'o> {
    /// What a command reads; `None` when nothing of it is shown.
    fn of(plan: &Migrations, around: &Surroundings<'_, 'o>) -> Option<Sources<'o>> {
        if plan.convention == Convention::Liquibase {
            let (folders, root) = Folders::of_changelog(plan, around)?;
            let source = Self::changelog(folders.shown, root)?;
            return Some(Sources { shown: vec![source], is_part: false });
        }
        let Folders { shown, is_part } = Folders::of(plan, around);
        let sources: Vec<Self> = if plan.convention == Convention::Flyway {
            // Versions count across all locations.
            Self::together(shown).into_iter().collect()
        } else {
            let convention = plan.convention;
            shown
                .into_iter()
                .map(|folder| Self {
                    convention: folder.convention.unwrap_or(convention),
                    root: None,
                    files: folder.files,
                })
                .collect()
        };
        (!sources.is_empty()).then_some(Sources { shown: sources, is_part })
    }

    /// Several locations as one, each below a number of its own.
    fn together(mut folders: Vec<Folder<'o>>) -> Option<Self> {
        if folders.len() > 1 {
            for (number, folder) in folders.iter_mut().enumerate() {
                for (path, _) in &mut folder.files {
                    *path = format!("{number}/{path}");
                }
            }
        }
        let is_any = !folders.is_empty();
        let files = folders.into_iter().flat_map(|folder| folder.files).collect();
        is_any.then_some(Self { convention: Convention::Flyway, root: None, files })
    }

    /// A changelog among the files of its folders, by absolute paths; `None` when it is in none.
    fn changelog(folders: Vec<Folder<'o>>, root: String) -> Option<Self> {
        let mut files: Vec<(String, VolumeFile<'o>)> = Vec::new();
        for Folder { path, files: found, .. } in folders {
            let absolute = |name: &str| format!("{}/{name}", path.trim_matches('/'));
            files.extend(found.into_iter().map(|(name, file)| (absolute(&name), file)));
        }
        files.sort_by(|a, b| a.0.cmp(&b.0));
        files.dedup_by(|a, b| a.0 == b.0);
        let name = root.rsplit('/').next().unwrap_or_default().to_owned();
        let is_there = files.iter().any(|(path, _)| path.rsplit('/').next() == Some(name.as_str()));
        is_there.then_some(Self { convention: Convention::Liquibase, root: Some(root), files })
    }

    fn bytes(&self) -> usize {
        let bytes = self.files.iter().map(|(_, file)| file.text.len().saturating_add(FILE));
        bytes.fold(0, usize::saturating_add)
    }

    /// Reads the statements of one direction.
    fn add(
        &self,
        direction: Direction,
        dialect: Dialect,
        budget: &mut Budget,
        seen: &mut Seen<'o>,
    ) {
        let texts: Vec<File<'_>> =
            self.files.iter().map(|(path, file)| File { path, text: file.text }).collect();
        let by_path: HashMap<&str, &VolumeFile<'o>> =
            self.files.iter().map(|(path, file)| (path.as_str(), file)).collect();
        for change in read(self.convention, direction, &texts, self.root.as_deref()) {
            let mut statements = statements(&change, dialect);
            if direction == Direction::Up {
                seen.forwards = seen.forwards.max(sql::operation(&statements));
            }
            seen.keep(&mut statements, budget);
            match by_path.get(change.file) {
                Some(file) => seen.add(FileRef::of(file), statements),
                None => seen.statements.extend(statements),
            }
        }
    }
}

impl<'o> Seen<'o> {
    /// Keeps as many statements as may be kept; past that, the first of each that is worse than all
    /// before it.
    fn keep(&mut self, statements: &mut Vec<Statement>, budget: &mut Budget) {
        statements.retain(|statement| {
            let is_worse = statement.operation > self.kept;
            self.kept = self.kept.max(statement.operation);
            let is_room = budget.statements > 0;
            budget.statements = budget.statements.saturating_sub(1);
            self.is_cut |= !is_room;
            is_room || is_worse
        });
    }

    /// Statements of one file that follow one another stay together.
    fn add(&mut self, file: FileRef<'o>, statements: Vec<Statement>) {
        match self.files.last_mut() {
            Some(last) if last.file == file => last.statements.extend(statements),
            _ if statements.is_empty() => {}
            _ => self.files.push(SqlFile { file, statements }),
        }
    }
}

/// The statements of a change, with the lines of its file.
fn statements(change: &Change<'_>, dialect: Dialect) -> Vec<Statement> {
    match &change.content {
        Content::Sql(text) => {
            let before = change.line.saturating_sub(1);
            let mut statements = sql::read(text, dialect);
            for statement in &mut statements {
                statement.line = statement.line.saturating_add(before);
            }
            statements
        }
        Content::Like { name, sql } => {
            let mut statements = sql::read(sql, dialect);
            let is_one = statements.len() == 1;
            for statement in &mut statements {
                statement.line = change.line;
                match (*name, is_one) {
                    ("sql", _) => {}
                    (name, true) => name.clone_into(&mut statement.words),
                    (name, false) => statement.words = format!("{name}: {}", statement.words),
                }
            }
            statements
        }
        Content::History(name) => vec![Statement {
            line: change.line,
            words: (*name).to_owned(),
            operation: Some(Operation::HistoryOnly),
            class: Class::ReadOnly,
            hazards: Vec::new(),
        }],
        Content::Opaque(why) => vec![unknown(change.line, why.reason())],
    }
}

/// Stands for what could not be read, with the reason as its words.
fn unknown(line: usize, reason: &str) -> Statement {
    Statement {
        line,
        words: reason.to_owned(),
        operation: Some(Operation::Unknown),
        class: Class::Unknown,
        hazards: Vec::new(),
    }
}
