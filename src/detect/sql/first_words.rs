//! A second reader of statements, only for tests: by the first words alone, whatever the dialect.
//!
//! It is coarse, and where it errs it errs towards danger. So it is what the other is held against.

use crate::detect::{Operation, script::HOLE};

/// The greatest effect of all statements of a text.
pub(super) fn operation(text: &str) -> Option<Operation> {
    statements(text).iter().filter_map(|(_, tokens)| statement_effect(tokens)).max()
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
