//! What statements do: SQL of several dialects, CQL, Redis commands and the JavaScript of `mongosh`.
//!
//! ```text
//! text -> statements -> Statement { words, operation, class, hazards }
//! ```
//!
//! Nothing here keeps a name, a literal or a value of the text: a [`Statement`] is made of keywords.

mod class;
mod first_words;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;

pub use class::{Class, Hazard};

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
    first_words::read(text, dialect)
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
