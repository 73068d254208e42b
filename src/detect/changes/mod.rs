//! From the files of a migrations folder to what would run.
//!
//! ```text
//! names and texts -> the order in which the tool takes them   (place, flyway, sqitch)
//!                 -> the parts of a file that run up or down  (sections)
//!                 -> Change: a text of SQL, or one that could not be read and why
//! changelog       -> includes resolved, change types looked up (liquibase)
//!
//! a command       -> its folders, in what is mounted           (folders)
//! Change          -> statements, and what they make of the command (seen)
//! ```
//!
//! Nothing here touches a disk: a folder is what its caller has. What cannot be read is a
//! [`Content::Opaque`], never nothing: a folder that hides something must not look harmless.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod flyway;
mod folders;
mod liquibase;
mod place;
mod sections;
mod seen;
mod sqitch;

pub(super) use folders::Surroundings;
pub(super) use seen::{Budget, refine};

/// The most files that are looked at.
const MAX_FILES: usize = 10_000;
/// The most bytes that are looked at, of all files together.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// How a tool names its files and divides them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Convention {
    /// Flyway and what took its names over: `V1__x.sql`, `U1__x.sql`, `R__x.sql`, `B1__x.sql`.
    Flyway,
    /// `1_x.up.sql` and `1_x.down.sql`.
    GolangMigrate,
    /// `1_x.sql`, or `1_x.up.sql` and `1_x.down.sql`.
    Sqlx,
    /// `1_x.sql` with `-- Up Migration` and `-- Down Migration`, and programs.
    NodePgMigrate,
    /// `001_x.sql` with one line that parts up from down.
    Tern,
    /// `00001_x.sql` with `-- +goose Up` and `-- +goose Down`.
    Goose,
    /// `1_x.sql` with `-- migrate:up` and `-- migrate:down`.
    Dbmate,
    /// `*.sql` with `-- +migrate Up` and `-- +migrate Down`.
    SqlMigrate,
    /// `1_x.sql`; an `atlas:txtar` file holds several.
    Atlas,
    /// A folder a version with `up.sql` and `down.sql`.
    Diesel,
    /// `deploy/`, `revert/` and `verify/` in the order of `sqitch.plan`.
    Sqitch,
    /// A folder a version with `migration.sql`.
    Prisma,
    /// `1_x.sql` with `-- //@UNDO`.
    Mybatis,
    /// `committed/000001.sql` and `current.sql`.
    Graphile,
    /// `V1__x.sql` and `U1__x.sql`, of which both run forwards.
    Refinery,
    /// `1.x.sql` and `1.x.rollback.sql`.
    Yoyo,
    /// Folders with fixed names: `up`, `views`, `sprocs`, `down`.
    Grate,
    /// A changelog with change sets.
    Liquibase,
    /// Every `*.sql`, by name.
    Plain,
}

/// What a command makes of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// Every version: a manifest does not tell which of them the database already has.
    Up,
    /// What reverts them, the newest first. How many of them is the tool's to know.
    Down,
}

/// A file of the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct File<'f> {
    /// Its path inside the folder, parted by `/`.
    pub(super) path: &'f str,
    /// What it holds.
    pub(super) text: &'f str,
}

/// Something that would run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change<'f> {
    /// The file that it stands in: its path inside the folder.
    pub(super) file: &'f str,
    /// The line of the file on which it starts, from 1.
    pub(super) line: usize,
    /// What it is.
    pub(super) content: Content<'f>,
}

/// What a [`Change`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content<'f> {
    /// Statements, line for line as they stand in the file.
    Sql(Cow<'f, str>),
    /// Statements that do the same as what is written there, or whose lines are not known: all of
    /// them count as standing on the change's line.
    Like {
        /// The name of the change, from our own table.
        name: &'static str,
        /// What it comes to; empty when it touches neither schema nor rows.
        sql: Cow<'static, str>,
    },
    /// A change to the tool's own bookkeeping, by its name.
    History(&'static str),
    /// Something whose effect is not known.
    Opaque(Opaque),
}

/// Why the effect of something is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Opaque {
    /// A migration written as a program.
    Program,
    /// A name that the tool's convention does not cover.
    Name,
    /// No marker says what runs up.
    Marker,
    /// A block of statements is not closed, or its markers are in no order.
    Unclosed,
    /// Statements stand before the first marker, where the tool refuses them.
    Early,
    /// No well-formed XML, YAML or JSON, or no changelog.
    Malformed,
    /// A file that is named in another one is not there.
    Missing,
    /// Files include one another in a circle.
    Circle,
    /// More than is looked at.
    Limit,
    /// The tool works out what it runs from the database.
    Computed,
    /// A change that runs a program, or that is in no list of changes.
    Custom,
    /// Nothing in the folder fits the convention.
    Nothing,
}

impl Opaque {
    /// The reason in words.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Program => "a program, not SQL",
            Self::Name => "its name does not fit the tool's convention",
            Self::Marker => "no marker says what runs",
            Self::Unclosed => "its markers do not fit together",
            Self::Early => "statements stand before the first marker",
            Self::Malformed => "it cannot be read",
            Self::Missing => "a file that it names is not there",
            Self::Circle => "files include one another in a circle",
            Self::Limit => "more than is looked at",
            Self::Computed => "the tool works it out from the database",
            Self::Custom => "a change of a kind that says nothing of its effect",
            Self::Nothing => "nothing fits the tool's convention",
        }
    }
}

/// What a tool would run of the files of one folder, in its order.
///
/// `entry` is the file that a command names itself, such as the root changelog; conventions that
/// go by names do without. Total and deterministic: any files give an answer, whatever their
/// order, in time that grows with their size.
pub(super) fn read<'f>(
    convention: Convention,
    direction: Direction,
    files: &[File<'f>],
    entry: Option<&str>,
) -> Vec<Change<'f>> {
    let (files, is_all) = within_limits(files);
    let mut changes = match convention {
        Convention::Liquibase => liquibase::read(direction, &files, entry),
        Convention::Sqitch => sqitch::read(direction, &files),
        _ => by_name(convention, direction, &files),
    };
    if !is_all {
        let file = files.last().map_or("", |file| file.path);
        changes.push(Change::opaque(file, 1, Opaque::Limit));
    }
    if changes.is_empty() && direction == Direction::Up {
        changes.push(Change::opaque("", 1, Opaque::Nothing));
    }
    changes
}

/// The files in the order of their paths, as many as are looked at; false when that is not all.
fn within_limits<'f>(files: &[File<'f>]) -> (Vec<File<'f>>, bool) {
    let mut sorted = files.to_vec();
    sorted.sort_unstable_by_key(|file| (file.path, file.text));
    let mut left = MAX_BYTES;
    let before = sorted.len();
    sorted.truncate(MAX_FILES);
    let fitting = sorted.iter().take_while(|file| {
        let fits = file.text.len() <= left;
        left = left.saturating_sub(file.text.len());
        fits
    });
    let fitting = fitting.count();
    sorted.truncate(fitting);
    (sorted, fitting == before)
}

/// Conventions whose order is in the names of the files.
fn by_name<'f>(
    convention: Convention,
    direction: Direction,
    files: &[File<'f>],
) -> Vec<Change<'f>> {
    let mut placed: Vec<_> = files
        .iter()
        .filter_map(|file| Some((place::place(convention, file.path)?, file)))
        .collect();
    placed.sort_by(|(a, _), (b, _)| a.key.cmp(&b.key));
    let mut changes = Vec::new();
    if direction == Direction::Down {
        placed.reverse();
    }
    for (place, file) in &placed {
        add(file, place.role, direction, &mut changes);
    }
    changes
}

/// Adds what one file runs in one direction.
fn add<'f>(
    file: &File<'f>,
    role: place::Role,
    direction: Direction,
    changes: &mut Vec<Change<'f>>,
) {
    use place::Role;
    let up = direction == Direction::Up;
    match role {
        Role::Up(holes) if up => changes.extend(Change::whole(file, holes)),
        Role::Down(holes) if !up => changes.extend(Change::whole(file, holes)),
        Role::Always(holes) => changes.extend(Change::whole(file, holes)),
        Role::Parts(style, holes) => changes.extend(sections::changes(style, holes, file, up)),
        Role::OpaqueUp(why) if up => changes.push(Change::opaque(file.path, 1, why)),
        Role::OpaqueDown(why) if !up => changes.push(Change::opaque(file.path, 1, why)),
        Role::Opaque(why) => changes.push(Change::opaque(file.path, 1, why)),
        Role::Up(_) | Role::Down(_) | Role::OpaqueUp(_) | Role::OpaqueDown(_) => {}
    }
}

impl<'f> Change<'f> {
    fn opaque(file: &'f str, line: usize, why: Opaque) -> Self {
        Self { file, line, content: Content::Opaque(why) }
    }

    /// A file that is statements from its first line to its last.
    fn whole(file: &File<'f>, holes: sections::Holes) -> Option<Self> {
        Self::part(file, 1, file.text, holes)
    }

    /// A part of a file; `None` when there is nothing in it.
    fn part(file: &File<'f>, line: usize, text: &'f str, holes: sections::Holes) -> Option<Self> {
        let text = if line == 1 { text.trim_start_matches('\u{feff}') } else { text };
        let is_empty = text.trim().is_empty();
        let content = Content::Sql(sections::with_holes(text, holes));
        (!is_empty).then_some(Self { file: file.path, line, content })
    }
}

#[cfg(test)]
mod tests;
