//! From a text to its statements, as the client of the dialect takes them apart.

use super::{
    Dialect,
    lex::{Kind, Lexer, Token},
};

/// A piece of a text that a client runs at once.
#[derive(Debug)]
pub(super) enum Piece<'p, 't> {
    /// Tokens of one statement, at least one.
    Statement {
        tokens: &'p [Token<'t>],
        /// The text ends before the statement does, so what it takes in may be no part of it.
        is_open: bool,
    },
    /// A command of the client itself.
    Command { line: usize, name: &'t str, arguments: &'t str },
}

/// Calls `each` for the statements and commands of a text in their order.
pub(super) fn split<'t>(text: &'t str, dialect: Dialect, each: impl FnMut(Piece<'_, 't>)) {
    let mut splitter = Splitter {
        dialect,
        lexer: Lexer::new(text, dialect),
        tokens: Vec::new(),
        delimiter: ";",
        blocks: 0,
        cases: 0,
        has_ended_block: false,
        has_rows: true,
        each,
    };
    while splitter.step() {}
    let is_open = splitter.blocks > 0 || splitter.is_oracle_block();
    splitter.end(is_open);
}

#[derive(Debug)]
struct Splitter<'t, F> {
    dialect: Dialect,
    lexer: Lexer<'t>,
    /// Of the statement so far.
    tokens: Vec<Token<'t>>,
    delimiter: &'t str,
    /// How many `BEGIN … END` are open in the body of a routine.
    blocks: usize,
    /// How many `CASE … END` are open outside of them.
    cases: usize,
    /// The last word was the `END` of a block, and may be of `END IF`.
    has_ended_block: bool,
    /// A line of `\.` may still follow.
    has_rows: bool,
    each: F,
}

impl<'t, F: FnMut(Piece<'_, 't>)> Splitter<'t, F> {
    /// Takes one token or one command; false at the end.
    fn step(&mut self) -> bool {
        self.lexer.skip();
        let rest = self.lexer.rest();
        if rest.is_empty() {
            return false;
        }
        if self.delimiter != ";" && rest.starts_with(self.delimiter) {
            self.lexer.take(self.delimiter.len());
            self.end(false);
            return true;
        }
        if self.command(rest) {
            return true;
        }
        let Some(token) = self.lexer.token() else { return false };
        match token.kind {
            Kind::Symbol(';') => {
                if !self.is_in_body() {
                    let copies = self.copies_from_input();
                    self.end(false);
                    if copies {
                        self.skip_rows();
                    }
                    return true;
                }
            }
            Kind::Word => {
                if self.dialect == Dialect::SqlServer && self.starts_statement(&token) {
                    self.end(false);
                }
                self.count_blocks(&token);
            }
            _ => self.has_ended_block = false,
        }
        self.tokens.push(token);
        true
    }

    /// Hands on what is there.
    fn end(&mut self, is_open: bool) {
        if !self.tokens.is_empty() {
            (self.each)(Piece::Statement { tokens: &self.tokens, is_open });
        }
        self.begin();
    }

    fn begin(&mut self) {
        self.tokens.clear();
        self.lexer.begin();
        (self.blocks, self.cases, self.has_ended_block) = (0, 0, false);
    }

    /// Takes a command of the client, if one stands here.
    fn command(&mut self, rest: &'t str) -> bool {
        use Dialect::{Generic, Mysql, Oracle, Postgresql, SqlServer, Sqlite};
        let starts = self.tokens.is_empty();
        let is_fresh = self.lexer.is_fresh;
        let has = |dialects: &[Dialect]| dialects.contains(&self.dialect);
        if rest.starts_with('\\') && has(&[Postgresql, Generic, Mysql]) {
            return self.backslash(rest);
        }
        if is_fresh && has(&[SqlServer, Generic]) && is_go(rest)
            || is_fresh && has(&[Oracle, Generic]) && is_slash(rest)
        {
            self.lexer.take_line();
            self.end(false);
            return true;
        }
        if !starts {
            return false;
        }
        let is_command = match rest.chars().next() {
            Some('.') => is_fresh && has(&[Sqlite, Generic]),
            Some(':') => is_fresh && self.dialect == SqlServer,
            Some('!') => is_fresh && has(&[SqlServer, Oracle]),
            Some('@') => is_fresh && self.dialect == Oracle,
            _ => {
                let word = first_word(rest);
                if has(&[Mysql, Generic]) && word.eq_ignore_ascii_case("delimiter") {
                    let line = self.lexer.take_line();
                    let given = line.get(word.len()..).unwrap_or_default().trim();
                    let given = given.split_ascii_whitespace().next().unwrap_or_default();
                    self.delimiter = if given.is_empty() { ";" } else { given };
                    return true;
                }
                let known = match self.dialect {
                    Mysql => MYSQL_COMMANDS,
                    Oracle => SQLPLUS_COMMANDS,
                    _ => &[],
                };
                known.iter().any(|known| word.eq_ignore_ascii_case(known))
            }
        };
        if is_command {
            let number = self.lexer.line;
            let line = self.lexer.take_line();
            let word = first_word(line);
            // `@file` and `.read file`: the mark and the word after it.
            let end = if word.is_empty() {
                line.find(|c: char| c.is_whitespace()).unwrap_or(line.len())
            } else {
                word.len()
            };
            let (name, arguments) = line.split_at_checked(end).unwrap_or((line, ""));
            self.emit(number, name, arguments);
        }
        is_command
    }

    fn emit(&mut self, line: usize, name: &'t str, arguments: &'t str) {
        (self.each)(Piece::Command { line, name, arguments: arguments.trim() });
    }

    /// A command of `psql` or `mysql`, which may stand in the middle of a line.
    fn backslash(&mut self, rest: &'t str) -> bool {
        let inside = rest.get(1..).unwrap_or_default();
        let name = inside.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(inside.len()).max(
            // `\!`, `\.` and `\;` are commands too.
            inside.chars().next().map_or(0, char::len_utf8),
        );
        let number = self.lexer.line;
        if self.dialect == Dialect::Mysql {
            // One letter; only the two that run a file or a shell take arguments.
            let letter = inside.chars().next().map_or(0, char::len_utf8);
            let name = rest.get(..letter.saturating_add(1)).unwrap_or_default();
            self.lexer.take(name.len());
            match name {
                "\\g" | "\\G" => self.end(false),
                "\\." | "\\!" => {
                    let arguments = self.lexer.take_line();
                    self.emit(number, name, arguments);
                }
                "\\c" => self.begin(),
                _ => {}
            }
            return true;
        }
        let name = self.lexer.take(name.saturating_add(1));
        if name == "\\;" {
            self.end(false);
            return true;
        }
        // Another command may follow on the line.
        let rest = self.lexer.rest();
        let arguments = self.lexer.take(rest.find(['\n', '\\']).unwrap_or(rest.len()));
        if name.starts_with("\\g") || name == "\\crosstabview" || name == "\\watch" {
            self.end(false);
        }
        self.emit(number, name, arguments);
        true
    }

    /// True when a semicolon does not end the statement: it stands in the body of a routine.
    fn is_in_body(&self) -> bool {
        self.blocks > 0
            || self.is_oracle_block()
            || (self.delimiter != ";" || self.dialect == Dialect::SqlServer)
                && is_routine(&self.tokens)
    }

    /// PL/SQL ends at a line of `/`.
    fn is_oracle_block(&self) -> bool {
        self.dialect == Dialect::Oracle
            && self.tokens.first().is_some_and(|first| {
                first.is("BEGIN") || first.is("DECLARE") || is_routine(&self.tokens)
            })
    }

    /// Counts what has to be closed by an `END` before a semicolon ends the statement.
    fn count_blocks(&mut self, token: &Token<'_>) {
        let after_end = std::mem::take(&mut self.has_ended_block);
        let last_is = |word| self.tokens.last().is_some_and(|last| last.is(word));
        let in_body = self.blocks > 0;
        if token.is("BEGIN") {
            let opens =
                in_body || (self.dialect != Dialect::Postgresql && is_routine(&self.tokens));
            self.blocks = self.blocks.saturating_add(usize::from(opens));
        } else if token.is("ATOMIC") && !in_body && last_is("BEGIN") && is_routine(&self.tokens) {
            self.blocks = 1;
        } else if token.is("CASE") && !after_end {
            let count = if in_body { &mut self.blocks } else { &mut self.cases };
            *count = count.saturating_add(1);
        } else if token.is("END") {
            let count = if in_body { &mut self.blocks } else { &mut self.cases };
            *count = count.saturating_sub(1);
            self.has_ended_block = in_body;
        } else if after_end && ["IF", "LOOP", "WHILE", "REPEAT", "FOR"].iter().any(|w| token.is(w))
        {
            // What was closed was never counted.
            self.blocks = self.blocks.saturating_add(1);
        }
    }

    /// Transact-SQL needs no semicolons: true when a word begins a new statement.
    fn starts_statement(&self, token: &Token<'_>) -> bool {
        let Some(first) = self.tokens.first() else { return false };
        let Some(last) = self.tokens.last() else { return false };
        if token.depth > 0 || self.cases > 0 || is_routine(&self.tokens) || first.is("MERGE") {
            return false;
        }
        let is = |words: &[&str]| words.iter().any(|word| token.is(word));
        let first_is = |words: &[&str]| words.iter().any(|word| first.is(word));
        let last_is = |words: &[&str]| words.iter().any(|word| last.is(word));
        if first_is(&["GRANT", "REVOKE", "DENY"]) {
            // What is granted stands after the first word or a comma.
            let is_granted =
                last_is(&["GRANT", "REVOKE", "DENY", "FOR"]) || last.kind == Kind::Symbol(',');
            let starts = ["DROP", "TRUNCATE", "DELETE", "UPDATE", "INSERT", "EXEC", "EXECUTE"];
            return is(&starts) && !is_granted;
        }
        if is(&["CREATE", "DECLARE", "PRINT", "ELSE", "RETURN", "WHILE", "THROW"]) {
            return true;
        }
        if is(&["DROP", "ALTER"]) {
            let mut ahead = self.lexer.clone();
            ahead.skip();
            let next = first_word(ahead.rest());
            return !first.is("ALTER") || OBJECTS.iter().any(|o| next.eq_ignore_ascii_case(o));
        }
        if is(&["INSERT", "UPDATE", "DELETE"]) {
            let has_body = |token: &Token<'_>| {
                token.depth == 0
                    && ["SELECT", "INSERT", "UPDATE", "DELETE"].iter().any(|word| token.is(word))
            };
            // `WITH x AS (…) DELETE`, `ON DELETE CASCADE`.
            let is_of_with = first.is("WITH") && !self.tokens.iter().any(has_body);
            // `SET NOCOUNT ON DELETE` is two statements, `ON DELETE` of a key is none.
            let is_of_key = last.is("ON") && first_is(&["CREATE", "ALTER"]);
            return !is_of_with && !is_of_key && !last_is(&["FOR", "OF", "THEN", "BULK"]);
        }
        if is(&["TRUNCATE", "EXEC", "EXECUTE", "BEGIN", "COMMIT", "ROLLBACK", "USE"]) {
            return !last_is(&["WITH"]);
        }
        if token.is("IF") {
            return !first_is(&["DROP", "ALTER", "CREATE"]) || token.line > last.line;
        }
        is(&["SELECT", "SET"]) && first_is(&["DROP", "TRUNCATE", "DELETE", "IF", "ELSE", "BEGIN"])
            || token.is("SELECT") && first_is(&["UPDATE", "ALTER"])
    }

    /// True for `COPY t FROM stdin`.
    fn copies_from_input(&self) -> bool {
        matches!(self.dialect, Dialect::Postgresql | Dialect::Generic)
            && self.tokens.first().is_some_and(|first| first.is("COPY"))
            && self.tokens.windows(2).any(|pair| match pair {
                [from, input] => from.is("FROM") && input.is("STDIN"),
                _ => false,
            })
    }

    /// Skips the rows of a `COPY`: lines up to one of `\.`. Without one they are read as SQL.
    fn skip_rows(&mut self) {
        const END: &str = "\n\\.";
        let rest = self.lexer.rest();
        let is_alone = rest.trim_start_matches([' ', '\t', '\r']).starts_with('\n');
        if !is_alone || !self.has_rows {
            return;
        }
        match rest.find(END) {
            Some(at) => {
                self.lexer.take(at.saturating_add(END.len()));
            }
            None => self.has_rows = false,
        }
    }
}

/// Commands of `mysql` that take their line.
const MYSQL_COMMANDS: &[&str] = &["source", "system"];

/// Commands of SQL*Plus that take their line.
const SQLPLUS_COMMANDS: &[&str] = &[
    "accept",
    "archive",
    "clear",
    "column",
    "col",
    "connect",
    "conn",
    "define",
    "describe",
    "desc",
    "disconnect",
    "execute",
    "exec",
    "exit",
    "host",
    "pause",
    "print",
    "prompt",
    "quit",
    "rem",
    "remark",
    "set",
    "show",
    "shutdown",
    "spool",
    "start",
    "startup",
    "timing",
    "undefine",
    "variable",
    "var",
    "whenever",
];

/// What a statement may be about, as the word after `CREATE`, `ALTER` or `DROP`.
const OBJECTS: &[&str] = &[
    "TABLE",
    "VIEW",
    "DATABASE",
    "SCHEMA",
    "PROCEDURE",
    "PROC",
    "FUNCTION",
    "TRIGGER",
    "TYPE",
    "SEQUENCE",
    "USER",
    "LOGIN",
    "ROLE",
    "EVENT",
    "PACKAGE",
    "MATERIALIZED",
    "SYNONYM",
];

/// True for `CREATE` or `ALTER` of something that has a body of statements.
fn is_routine(tokens: &[Token<'_>]) -> bool {
    let mut tokens = tokens.iter();
    if !tokens.next().is_some_and(|first| first.is("CREATE") || first.is("ALTER")) {
        return false;
    }
    let object = tokens.take(12).find(|token| OBJECTS.iter().any(|object| token.is(object)));
    object.is_some_and(|object| {
        ["PROCEDURE", "PROC", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"]
            .iter()
            .any(|routine| object.is(routine))
    })
}

fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// A line of `GO` or `GO 3`.
fn is_go(text: &str) -> bool {
    let Some((word, rest)) = text.split_at_checked(2) else { return false };
    if !word.eq_ignore_ascii_case("go") || rest.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let next = rest.trim_start_matches(|c: char| c.is_ascii_digit() || " \t\r".contains(c));
    next.is_empty() || next.starts_with(['\n', ';']) || next.starts_with("--")
}

/// A line of `/`.
fn is_slash(text: &str) -> bool {
    let line = text.strip_prefix('/').map(|rest| rest.split('\n').next().unwrap_or_default());
    line.is_some_and(|line| line.trim().is_empty())
}
