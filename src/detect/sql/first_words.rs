//! What a text of SQL, CQL, Redis commands or the JavaScript of `mongosh` does.
//!
//! Statements are told apart by their first words. That is enough to say "drops", "adds" or "only
//! reads"; it is no parser, and what it does not know is unknown.

use super::{Class, Dialect, Operation, Statement};
use crate::detect::script::HOLE;

/// The statements of a text.
pub(super) fn read(text: &str, dialect: Dialect) -> Vec<Statement> {
    let all = match dialect {
        Dialect::Mongo => vec![(1, "script".to_owned(), classify_mongo(text))],
        Dialect::Redis => text
            .lines()
            .zip(1..)
            .filter(|(line, _)| !line.trim().is_empty())
            .map(|(text, line)| {
                let words: Vec<&str> = text.split_ascii_whitespace().collect();
                (line, "command".to_owned(), classify_redis(&words))
            })
            .collect(),
        _ => statements(text)
            .iter()
            .filter(|(_, tokens)| !tokens.is_empty())
            .map(|(line, tokens)| (*line, kind(tokens), statement_effect(tokens)))
            .collect(),
    };
    all.into_iter()
        .map(|(line, words, operation)| Statement {
            line,
            words,
            operation,
            class: class(operation),
            hazards: Vec::new(),
        })
        .collect()
}

fn class(operation: Option<Operation>) -> Class {
    match operation {
        None | Some(Operation::Apply) => Class::Additive,
        Some(Operation::ReadOnly) => Class::ReadOnly,
        Some(Operation::Data) => Class::Data,
        Some(Operation::Destructive) => Class::Destructive,
        Some(_) => Class::Unknown,
    }
}

/// The first two words, as far as they are keywords.
fn kind(tokens: &[Token]) -> String {
    let words: Vec<&str> = tokens
        .iter()
        .map_while(|token| match token {
            Token::Word(word) => KINDS.iter().find(|known| **known == word).copied(),
            _ => None,
        })
        .take(2)
        .collect();
    if words.is_empty() { "statement".to_owned() } else { words.join(" ") }
}

/// Words that may be shown.
const KINDS: &[&str] = &[
    "ALTER",
    "CREATE",
    "DROP",
    "TRUNCATE",
    "RENAME",
    "INSERT",
    "UPDATE",
    "DELETE",
    "MERGE",
    "SELECT",
    "WITH",
    "SHOW",
    "SET",
    "USE",
    "EXPLAIN",
    "GRANT",
    "REVOKE",
    "COPY",
    "CALL",
    "DO",
    "EXEC",
    "BEGIN",
    "COMMIT",
    "TABLE",
    "INDEX",
    "VIEW",
    "SCHEMA",
    "DATABASE",
    "ROLE",
    "USER",
    "FUNCTION",
    "PROCEDURE",
    "TRIGGER",
    "TYPE",
    "SEQUENCE",
    "KEYSPACE",
    "EXTENSION",
];

/// What the JavaScript of `mongosh` does.
fn classify_mongo(script: &str) -> Option<Operation> {
    let calls: String = script.chars().filter(|c| !c.is_whitespace()).collect();
    let has = |patterns: &[&str]| patterns.iter().any(|pattern| calls.contains(pattern));
    if has(&[
        ".dropDatabase(",
        ".drop(",
        ".dropIndexes(",
        ".deleteMany({})",
        ".remove({})",
        ".renameCollection(",
        "$unset",
    ]) {
        Some(Operation::Destructive)
    } else if has(&[".createCollection(", ".createIndex", ".ensureIndex(", "collMod"]) {
        Some(Operation::Apply)
    } else if has(&[".insert", ".update", ".delete", ".bulkWrite(", ".replaceOne(", ".remove("]) {
        Some(Operation::Data)
    } else if has(&["load("]) || calls.contains(HOLE) {
        Some(Operation::Unknown)
    } else if has(&["rs.", "createUser", "grantRoles", "sh.", "updateUser"]) {
        None
    } else {
        Some(Operation::ReadOnly)
    }
}

/// What the words of one Redis command do.
fn classify_redis(words: &[&str]) -> Option<Operation> {
    let first = words.first()?.to_ascii_uppercase();
    Some(match first.as_str() {
        "FLUSHALL" | "FLUSHDB" => Operation::Destructive,
        "SET" | "DEL" | "HSET" | "SADD" | "RENAME" | "UNLINK" | "EVAL" => Operation::Data,
        _ => Operation::ReadOnly,
    })
}

/// One word of SQL; quoted names and literals are opaque, so that none of them is a keyword.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A keyword or a bare name, in upper case.
    Word(String),
    /// A quoted name.
    Name,
    /// A literal.
    Literal,
    /// Any other character.
    Symbol(char),
    /// Something that only a running shell could tell.
    Hole,
}

/// Splits a text at semicolons and lines of `GO`, leaving out comments; each with its line.
fn statements(text: &str) -> Vec<(usize, Vec<Token>)> {
    let mut all: Vec<(usize, Vec<Token>)> = vec![(1, Vec::new())];
    let (mut rest, mut line, mut counted) = (text, 1_usize, text);
    while let Some(next) = rest.chars().next() {
        let line_starts = all.last().is_none_or(|(_, tokens)| tokens.is_empty());
        if let Some(token_end) = skip(rest) {
            rest = token_end;
            continue;
        }
        if line_starts {
            let passed = counted.len().saturating_sub(rest.len());
            let passed = counted.as_bytes().iter().take(passed).filter(|byte| **byte == b'\n');
            line = line.saturating_add(passed.count());
            counted = rest;
            if let Some((at, _)) = all.last_mut() {
                *at = line;
            }
        }
        if line_starts && next == '\\' {
            // A command of psql itself, up to the end of the line.
            let (command, after) = rest.split_once('\n').unwrap_or((rest, ""));
            if let Some((_, last)) = all.last_mut() {
                last.extend(words_of(command));
            }
            all.push((line, Vec::new()));
            rest = after;
            continue;
        }
        let (token, after) = token(rest, next);
        rest = after;
        match token {
            Token::Symbol(';') => all.push((line, Vec::new())),
            Token::Word(word) if word == "GO" && line_starts => {}
            Token::Word(word) if word == "GO" && rest.starts_with(['\n', '\r']) => {
                all.push((line, Vec::new()));
            }
            token => {
                if let Some((_, last)) = all.last_mut() {
                    last.push(token);
                }
            }
        }
    }
    all
}

fn words_of(line: &str) -> Vec<Token> {
    line.split_whitespace().map(|word| Token::Word(word.to_ascii_uppercase())).collect()
}

/// What follows a blank or a comment, if the text starts with one.
///
/// MySQL runs what stands in `/*! … */`; only the marks are skipped there.
fn skip(text: &str) -> Option<&str> {
    if let Some(inside) = text.strip_prefix("/*!") {
        return Some(inside.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    if let Some(inside) = text.strip_prefix("/*") {
        return Some(inside.split_once("*/").map_or("", |(_, after)| after));
    }
    if text.starts_with("--") || text.starts_with('#') {
        return Some(text.split_once('\n').map_or("", |(_, after)| after));
    }
    if let Some(after) = text.strip_prefix("*/") {
        return Some(after);
    }
    let trimmed = text.trim_start();
    (trimmed.len() < text.len()).then_some(trimmed)
}

fn token(text: &str, first: char) -> (Token, &str) {
    let mut chars = text.chars();
    chars.next();
    let rest = chars.as_str();
    match first {
        HOLE => (Token::Hole, rest),
        '\'' => (Token::Literal, after_quote(rest, '\'')),
        '"' | '`' => (Token::Name, after_quote(rest, first)),
        '[' => (Token::Name, rest.split_once(']').map_or("", |(_, after)| after)),
        '$' => match dollar_quote(text) {
            Some(after) => (Token::Literal, after),
            None => (Token::Symbol('$'), rest),
        },
        _ if first.is_alphanumeric() || first == '_' => {
            let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '$');
            let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
            let (word, after) = text.split_at_checked(end).unwrap_or((text, ""));
            (Token::Word(word.to_uppercase()), after)
        }
        other => (Token::Symbol(other), rest),
    }
}

/// What follows the closing quote; a doubled or escaped quote does not close.
fn after_quote(text: &str, quote: char) -> &str {
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        if next == '\\' && quote == '\'' {
            chars.next();
        } else if next == quote {
            let rest = chars.as_str();
            match rest.strip_prefix(quote) {
                Some(doubled) => chars = doubled.chars(),
                None => return rest,
            }
        }
    }
    ""
}

/// What follows `$tag$ … $tag$`.
fn dollar_quote(text: &str) -> Option<&str> {
    let (tag, inside) = text.strip_prefix('$')?.split_once('$')?;
    if !tag.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let mark = format!("${tag}$");
    Some(inside.split_once(&mark).map_or("", |(_, after)| after))
}

/// What one statement does; `None` when it is empty or touches no schema.
fn statement_effect(tokens: &[Token]) -> Option<Operation> {
    let words: Vec<&str> = tokens
        .iter()
        .map(|token| match token {
            Token::Word(word) => word.as_str(),
            Token::Name => "\"\"",
            Token::Literal => "''",
            Token::Symbol(_) | Token::Hole => "",
        })
        .collect();
    let at = |index: usize| words.get(index).copied().unwrap_or_default();
    let has = |wanted: &str| words.contains(&wanted);
    let effect = match at(0) {
        // A statement that starts with something unknown may be anything.
        "" => return tokens.contains(&Token::Hole).then_some(Operation::Unknown),
        "SELECT" if has("INTO") && !has("OUTFILE") => Operation::Apply,
        "WITH" => any_write(&words).unwrap_or(Operation::ReadOnly),
        "EXPLAIN" if has("ANALYZE") => any_write(&words).unwrap_or(Operation::ReadOnly),
        "REPLACE" if at(1) == "TABLE" => Operation::Destructive,
        "EXEC" | "EXECUTE" if matches!(at(1), "SP_RENAME" | "SYS.SP_RENAME") => {
            Operation::Destructive
        }
        "INSERT" | "MERGE" | "REPLACE" | "COPY" | "LOAD" | "UPSERT" | "\\COPY" => Operation::Data,
        "UPDATE" | "DELETE" => write(&words),
        "DROP" => return drop_effect(&words),
        "CREATE" => return create_effect(&words),
        "ALTER" => return alter_effect(&words),
        "TRUNCATE" | "RENAME" | "SP_RENAME" => Operation::Destructive,
        "COMMENT" | "REFRESH" | "REINDEX" | "CLUSTER" | "OPTIMIZE" | "ATTACH" => Operation::Apply,
        // Accounts, connections and settings are no schema.
        "GRANT" | "REVOKE" | "CONNECT" | "\\C" | "\\CONNECT" | "\\SET" | "\\ECHO" => return None,
        "\\I" | "\\IR" | "\\!" | "\\GEXEC" => Operation::Unknown,
        word if READS.contains(&word) || word.starts_with('\\') => Operation::ReadOnly,
        _ => Operation::Unknown,
    };
    Some(effect)
}

/// First words of statements that change neither schema nor rows.
const READS: &[&str] = &[
    "SELECT",
    "SHOW",
    "DESCRIBE",
    "DESC",
    "EXPLAIN",
    "USE",
    "SET",
    "VALUES",
    "TABLE",
    "BEGIN",
    "START",
    "COMMIT",
    "ROLLBACK",
    "END",
    "SAVEPOINT",
    "PRINT",
    "ANALYZE",
    "VACUUM",
    "CHECKPOINT",
    "LIST",
    "CONSISTENCY",
    "STATUS",
    "EXIT",
    "QUIT",
    "RESET",
    "KILL",
    "FLUSH",
    "LOCK",
    "UNLOCK",
    "PRAGMA",
    "EXISTS",
    "WAITFOR",
    "PING",
];

/// The writes inside a statement that wraps them.
fn any_write(words: &[&str]) -> Option<Operation> {
    words
        .iter()
        .enumerate()
        .filter_map(|(at, word)| match *word {
            "DELETE" | "UPDATE" => words.get(at..).map(write),
            "INSERT" => Some(Operation::Data),
            _ => None,
        })
        .max()
}

/// `UPDATE` or `DELETE`: with a real condition some rows, without one all of them.
fn write(words: &[&str]) -> Operation {
    let Some(at) = words.iter().position(|word| *word == "WHERE") else {
        return Operation::Destructive;
    };
    let condition: Vec<&str> =
        words.iter().skip(at.saturating_add(1)).copied().filter(|word| !word.is_empty()).collect();
    match condition.as_slice() {
        ["TRUE" | "1"] | ["1", "1"] => Operation::Destructive,
        _ => Operation::Data,
    }
}

fn drop_effect(words: &[&str]) -> Option<Operation> {
    let what = words.get(1).copied().unwrap_or_default();
    let cascades = words.contains(&"CASCADE");
    Some(match what {
        "USER" | "ROLE" | "LOGIN" if !cascades => return None,
        "INDEX" | "VIEW" | "FUNCTION" | "PROCEDURE" | "TRIGGER" | "POLICY" | "RULE"
        | "AGGREGATE" | "STATISTICS" | "SUBSCRIPTION" | "PUBLICATION"
            if !cascades =>
        {
            Operation::Apply
        }
        _ => Operation::Destructive,
    })
}

fn create_effect(words: &[&str]) -> Option<Operation> {
    let replaces = words.get(1..3) == Some(&["OR", "REPLACE"]);
    let rest = words.iter().skip(if replaces { 3 } else { 1 });
    let what = rest
        .copied()
        .find(|word| !matches!(*word, "TEMP" | "TEMPORARY" | "UNLOGGED" | "GLOBAL" | "LOCAL"))
        .unwrap_or_default();
    match what {
        // An empty database or an account is no schema of an application.
        "DATABASE" | "USER" | "ROLE" | "LOGIN" | "KEYSPACE" | "TABLESPACE" => None,
        "TABLE" if replaces => Some(Operation::Destructive),
        _ => Some(Operation::Apply),
    }
}

fn alter_effect(words: &[&str]) -> Option<Operation> {
    match words.get(1).copied().unwrap_or_default() {
        "USER" | "ROLE" | "LOGIN" | "SYSTEM" | "DATABASE" | "KEYSPACE" => return None,
        _ => {}
    }
    let destroys = words.iter().enumerate().skip(2).any(|(at, word)| {
        let next = words.get(at.saturating_add(1)).copied().unwrap_or_default();
        match *word {
            "DROP" => !matches!(
                next,
                "CONSTRAINT"
                    | "INDEX"
                    | "KEY"
                    | "FOREIGN"
                    | "PRIMARY"
                    | "CHECK"
                    | "DEFAULT"
                    | "NOT"
                    | "EXPRESSION"
                    | "IDENTITY"
            ),
            "RENAME" => !matches!(next, "CONSTRAINT" | "INDEX" | "KEY"),
            "TRUNCATE" | "DISCARD" | "COALESCE" | "CHANGE" => true,
            "DELETE" => next == "WHERE" || words.get(at.wrapping_sub(1)) != Some(&"ON"),
            "SET" => next == "SCHEMA",
            _ => false,
        }
    });
    Some(if destroys { Operation::Destructive } else { Operation::Apply })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(text: &str) -> Option<Operation> {
        crate::detect::sql::operation(&read(text, Dialect::Generic))
    }

    #[test]
    fn the_first_words_of_a_statement_tell_what_it_does() {
        use Operation::{Apply, Data, Destructive, ReadOnly, Unknown};
        for (text, expected) in [
            ("SELECT 1", Some(ReadOnly)),
            ("", None),
            ("-- DROP TABLE orders", None),
            ("/* DROP TABLE orders; */ SELECT 1;", Some(ReadOnly)),
            ("/*!40000 DROP TABLE orders */", Some(Destructive)),
            ("SELECT 'drop table x; truncate y'", Some(ReadOnly)),
            ("drop\n table if exists x cascade", Some(Destructive)),
            ("ALTER TABLE orders DROP COLUMN x; DROP TABLE y", Some(Destructive)),
            ("ALTER TABLE orders DROP x", Some(Destructive)),
            ("ALTER TABLE orders ALTER COLUMN x DROP NOT NULL", Some(Apply)),
            ("ALTER TABLE orders ADD COLUMN x int", Some(Apply)),
            ("ALTER TABLE a RENAME TO b", Some(Destructive)),
            ("ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES c ON DELETE CASCADE", Some(Apply)),
            ("ALTER USER app WITH PASSWORD 'x'", None),
            ("CREATE TABLE t (id int REFERENCES u ON DELETE CASCADE)", Some(Apply)),
            ("CREATE OR REPLACE TABLE t (id int)", Some(Destructive)),
            ("CREATE OR REPLACE VIEW v AS SELECT 1", Some(Apply)),
            ("CREATE DATABASE app; GRANT ALL ON DATABASE app TO app", None),
            ("DELETE FROM t", Some(Destructive)),
            ("DELETE FROM t WHERE 1=1", Some(Destructive)),
            ("DELETE FROM t WHERE id = 1", Some(Data)),
            ("UPDATE t SET a = 1", Some(Destructive)),
            ("UPDATE t SET a = 1 WHERE b IS NULL", Some(Data)),
            ("WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone", Some(Destructive)),
            ("EXPLAIN ANALYZE DELETE FROM t", Some(Destructive)),
            ("EXPLAIN DELETE FROM t", Some(ReadOnly)),
            ("INSERT INTO t SELECT 1", Some(Data)),
            ("DO $$ BEGIN EXECUTE 'DROP TABLE x'; END $$", Some(Unknown)),
            ("CALL prom_api.drop_chunks()", Some(Unknown)),
            ("\\i /sql/all.sql", Some(Unknown)),
            ("\\dt", Some(ReadOnly)),
            ("TRUNCATE orders", Some(Destructive)),
            ("EXEC sp_rename 'a', 'b'", Some(Destructive)),
            ("SELECT 1\nGO\nDROP TABLE x\nGO\n", Some(Destructive)),
            ("\u{FFFC}", Some(Unknown)),
            ("SELECT * FROM \u{FFFC}", Some(ReadOnly)),
        ] {
            assert_eq!(classify(text), expected, "{text}");
        }
    }

    #[test]
    fn mongo_scripts_are_told_by_their_calls() {
        assert_eq!(classify_mongo("db.adminCommand('ping')"), Some(Operation::ReadOnly));
        assert_eq!(classify_mongo("db.dropDatabase()"), Some(Operation::Destructive));
        assert_eq!(classify_mongo("db.t.createIndex({a: 1})"), Some(Operation::Apply));
        assert_eq!(classify_mongo("rs.initiate()"), None);
    }
}
