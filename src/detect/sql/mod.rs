//! What statements do: SQL of several dialects, CQL, Redis commands and the JavaScript of `mongosh`.
//!
//! ```text
//! text -> statements -> Statement { words, operation, class, hazards }
//! ```
//!
//! Nothing here keeps a name, a literal or a value of the text: a [`Statement`] is made of keywords.

mod alter;
mod class;
mod client_command;
mod column;
mod create;
#[cfg(test)]
mod first_words;
mod hazards;
mod lex;
mod other;
mod reading;
mod rows;
mod split;
mod statement;
#[cfg(test)]
mod tests;
mod words;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;

use reading::{Context, Reading};
use split::Piece;
use words::Words;

pub use class::{Class, Hazard};
pub use hazards::HAZARDS;

/// The most text that is looked at, in bytes; what is longer is one unknown statement.
pub const MAX_TEXT: usize = 256 * 1024;

/// The language of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// SQL of which nothing more is known.
    #[default]
    Generic,
    /// PostgreSQL with the commands of `psql`, and what speaks like it.
    Postgresql,
    /// MySQL and MariaDB.
    Mysql,
    /// `SQLite` with the commands of its shell.
    Sqlite,
    /// SQL Server, in batches.
    SqlServer,
    /// Oracle with the commands of SQL*Plus.
    Oracle,
    /// `ClickHouse`.
    Clickhouse,
    /// Cassandra's and `ScyllaDB`'s language.
    Cql,
    /// The JavaScript of `mongosh`.
    Mongo,
    /// Redis commands, one a line.
    Redis,
}

/// One statement of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// The line that it begins in, counted from 1.
    pub line: usize,
    /// The kind of the statement as keywords, such as `ALTER TABLE … DROP COLUMN`: never a name, a
    /// literal or a value.
    pub words: String,
    /// What it does; `None` when it touches neither a schema nor rows, such as a grant.
    pub operation: Option<Operation>,
    /// What it means for code that runs meanwhile.
    pub class: Class,
    /// What is dangerous about it, each once.
    pub hazards: Vec<&'static Hazard>,
}

/// Reads the statements of a text in their order.
///
/// Total: any text gives an answer, in time that grows with its length. The character
/// U+FFFC stands for what only a running shell could tell.
pub fn read(text: &str, dialect: Dialect) -> Vec<Statement> {
    if text.len() > MAX_TEXT {
        return vec![Statement::unread()];
    }
    let mut statements = Statements::default();
    match dialect {
        Dialect::Mongo if text.trim().is_empty() => {}
        Dialect::Mongo => statements.push(1, other::mongo(text)),
        Dialect::Redis => {
            for (line, command) in
                (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty())
            {
                statements.push(line, other::redis(command));
            }
        }
        _ => {
            let mut context = Context::new(dialect);
            split::split(text, dialect, |piece| match piece {
                Piece::Statement { tokens, is_open } => {
                    let line = tokens.first().map_or(1, |first| first.line);
                    let words = Words(tokens);
                    statements.push(line, statement::read(words, is_open, &mut context));
                }
                Piece::Command { line, name, arguments } => {
                    statements.push(line, client_command::read(name, arguments));
                }
            });
        }
    }
    statements.0
}

/// The most statements of one text that are kept apart; the last stands for the rest.
const MAX_STATEMENTS: usize = 10_000;

/// The statements of a text, not too many.
#[derive(Debug, Default)]
struct Statements(Vec<Statement>);

impl Statements {
    fn push(&mut self, line: usize, reading: Reading) {
        let Reading { words, operation, class, hazards } = reading;
        if self.0.len() < MAX_STATEMENTS {
            let words = words.to_owned();
            self.0.push(Statement { line, words, operation, class, hazards });
        } else if let Some(last) = self.0.last_mut() {
            "further statements".clone_into(&mut last.words);
            last.operation = last.operation.max(operation);
            last.class = last.class.max(class);
            for hazard in hazards {
                if !last.hazards.contains(&hazard) {
                    last.hazards.push(hazard);
                }
            }
        }
    }
}

/// The greatest effect of statements; `None` when none of them touches a schema or its rows.
pub fn operation(statements: &[Statement]) -> Option<Operation> {
    statements.iter().filter_map(|statement| statement.operation).max()
}

impl Statement {
    /// Stands for a dump that is read back.
    pub(super) fn restore() -> Self {
        Self {
            line: 1,
            words: "restore of a dump".to_owned(),
            operation: Some(Operation::Data),
            class: Class::Data,
            hazards: Vec::new(),
        }
    }

    /// The same, run by a tool that copies the table and swaps it: nothing waits for a lock.
    pub(super) fn online(mut self) -> Self {
        self.hazards.retain(|hazard| hazard.class != Class::Locking);
        if self.class == Class::Locking {
            self.class = Class::Additive;
        }
        self
    }

    /// Stands for the statements of a text that is too long to be read.
    pub(super) fn unread() -> Self {
        Self {
            line: 1,
            words: "text too long to be read".to_owned(),
            operation: Some(Operation::Unknown),
            class: Class::Unknown,
            hazards: Vec::new(),
        }
    }
}
