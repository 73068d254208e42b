//! From a text to tokens, as the dialect tells comments, quotes and words apart.

use super::Dialect;
use crate::detect::script::HOLE;

/// What a token is. Only words can be keywords: a quoted name or a literal is opaque.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or a bare name.
    Word,
    /// A quoted name.
    Name,
    /// A quoted text.
    Literal,
    /// Something that starts with a digit.
    Number,
    /// Any other character.
    Symbol(char),
    /// Something that only a running shell or a template could tell.
    Hole,
}

/// One token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) text: &'t str,
    /// Where it starts, in bytes.
    at: usize,
    /// The line that it starts in, counted from 1.
    pub(super) line: usize,
    /// How many round brackets are open around it; brackets themselves are outside.
    pub(super) depth: usize,
}

impl Token<'_> {
    /// True when nothing stands between this token and the next.
    pub(super) fn touches(&self, next: &Self) -> bool {
        self.at.saturating_add(self.text.len()) == next.at
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }
}

/// Reads tokens, forwards and once.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'t> {
    dialect: Dialect,
    text: &'t str,
    at: usize,
    pub(super) line: usize,
    depth: usize,
    /// Nothing but blanks and comments stands before on this line.
    pub(super) is_fresh: bool,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str, dialect: Dialect) -> Self {
        // A byte order mark is no part of the first word.
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        Self { dialect, text, at: 0, line: 1, depth: 0, is_fresh: true }
    }

    /// What is not read yet.
    pub(super) fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Takes so many bytes, which end at a character.
    pub(super) fn take(&mut self, length: usize) -> &'t str {
        let end = self.at.saturating_add(length).min(self.text.len());
        let taken = self.text.get(self.at..end).unwrap_or_default();
        let lines = taken.bytes().filter(|byte| *byte == b'\n').count();
        if lines > 0 {
            self.line = self.line.saturating_add(lines);
            self.is_fresh = true;
        }
        self.at = end;
        taken
    }

    /// Takes the rest of the line, without its end.
    pub(super) fn take_line(&mut self) -> &'t str {
        let rest = self.rest();
        let line = self.take(rest.find('\n').unwrap_or(rest.len()));
        self.take(1);
        line.trim_end_matches('\r')
    }

    /// Forgets open brackets: a statement begins.
    pub(super) fn begin(&mut self) {
        self.depth = 0;
    }

    /// Skips blanks and comments.
    pub(super) fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.len().saturating_sub(rest.trim_start().len());
            let length = if blank > 0 { blank } else { self.comment(rest) };
            if length == 0 {
                return;
            }
            self.take(length);
        }
    }

    /// How long the comment is that the text starts with; 0 without one.
    ///
    /// MySQL runs what stands in `/*! … */`, so only the marks are skipped there.
    fn comment(&self, text: &str) -> usize {
        use Dialect::{Clickhouse, Cql, Generic, Mysql, Postgresql, SqlServer};
        let runs = matches!(self.dialect, Mysql | Generic);
        let to_end_of_line = || text.find('\n').unwrap_or(text.len());
        if let Some(inside) = text.strip_prefix("/*") {
            let marked = inside.strip_prefix('M').unwrap_or(inside);
            if runs && let Some(run) = marked.strip_prefix('!') {
                return text
                    .len()
                    .saturating_sub(run.trim_start_matches(|c: char| c.is_ascii_digit()).len());
            }
            let nests = matches!(self.dialect, Postgresql | SqlServer);
            return text.len().saturating_sub(after_comment(inside, nests).len());
        }
        if runs && text.starts_with("*/") {
            return 2;
        }
        if let Some(after) = text.strip_prefix("--") {
            // `5--1` is arithmetic to MySQL.
            let is_comment = self.dialect != Mysql
                || after.chars().next().is_none_or(|c| c.is_whitespace() || c.is_control());
            return if is_comment { to_end_of_line() } else { 0 };
        }
        // Elsewhere `#` is an operator or part of a name; where nothing is known, a comment has
        // its line to itself.
        let hash = match self.dialect {
            Mysql => text.starts_with('#'),
            Clickhouse => text.starts_with("# ") || text.starts_with("#!"),
            Generic => text.starts_with('#') && self.is_fresh,
            _ => false,
        };
        let slashes = self.dialect == Cql && text.starts_with("//");
        if hash || slashes { to_end_of_line() } else { 0 }
    }

    /// Takes the token that the text starts with, after blanks and comments.
    pub(super) fn token(&mut self) -> Option<Token<'t>> {
        self.skip();
        let rest = self.rest();
        let first = rest.chars().next()?;
        let (kind, length) = self.measure(rest, first);
        let (at, line) = (self.at, self.line);
        let text = self.take(length.max(first.len_utf8()));
        self.is_fresh = false;
        if kind == Kind::Symbol(')') {
            self.depth = self.depth.saturating_sub(1);
        }
        let depth = self.depth;
        if kind == Kind::Symbol('(') {
            self.depth = self.depth.saturating_add(1);
        }
        Some(Token { kind, text, at, line, depth })
    }

    /// The kind and the length of the token that the text starts with.
    fn measure(&self, text: &str, first: char) -> (Kind, usize) {
        use Dialect::{Clickhouse, Cql, Generic, Mysql, Oracle, Postgresql, SqlServer, Sqlite};
        let dialect = self.dialect;
        let length_to = |after: &str| text.len().saturating_sub(after.len());
        let inside = text.get(first.len_utf8()..).unwrap_or_default();
        match first {
            HOLE => (Kind::Hole, first.len_utf8()),
            '\'' => {
                let escapes = matches!(dialect, Mysql | Clickhouse);
                (Kind::Literal, length_to(after_quote(inside, '\'', escapes)))
            }
            '"' => {
                let escapes = matches!(dialect, Mysql | Clickhouse);
                (Kind::Name, length_to(after_quote(inside, '"', escapes)))
            }
            '`' if dialect != Postgresql => {
                (Kind::Name, length_to(after_quote(inside, '`', dialect == Clickhouse)))
            }
            '[' if matches!(dialect, SqlServer | Sqlite) => {
                (Kind::Name, length_to(after_quote(inside, ']', false)))
            }
            '[' if dialect == Generic => match head_of_line(text).find(']') {
                Some(end) => (Kind::Name, end.saturating_add(1)),
                None => (Kind::Symbol('['), 1),
            },
            '$' | '{' => match template(text) {
                Some(length) => (Kind::Hole, length),
                None if matches!(dialect, Postgresql | Generic | Clickhouse | Cql) => {
                    match dollar_quote(text) {
                        Some(after) => (Kind::Literal, length_to(after)),
                        None => (Kind::Symbol(first), 1),
                    }
                }
                None => (Kind::Symbol(first), 1),
            },
            // A text with a prefix that says how it is written.
            'e' | 'E' if matches!(dialect, Postgresql | Generic) && inside.starts_with('\'') => {
                let inside = inside.get(1..).unwrap_or_default();
                (Kind::Literal, length_to(after_quote(inside, '\'', true)))
            }
            'q' | 'Q' if dialect == Oracle && inside.starts_with('\'') => {
                (Kind::Literal, length_to(after_oracle_quote(inside)))
            }
            _ if first.is_numeric() => (Kind::Number, run(text, dialect)),
            _ if is_word(first) => (Kind::Word, run(text, dialect)),
            '@' | '#' if dialect == SqlServer => {
                (Kind::Word, run(inside, dialect).saturating_add(1))
            }
            other => (Kind::Symbol(other), other.len_utf8()),
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// How many bytes of the text are one word.
fn run(text: &str, dialect: Dialect) -> usize {
    let more = matches!(dialect, Dialect::SqlServer | Dialect::Oracle);
    let ends = |c| !(is_word(c) || c == '$' || (more && matches!(c, '#' | '@')));
    text.find(ends).unwrap_or(text.len())
}

/// The beginning of a line, as far as a name or a placeholder is looked for. The bound keeps many
/// openings that nothing closes from being looked through again and again.
fn head_of_line(text: &str) -> &str {
    let head = text.get(..text.floor_char_boundary(128)).unwrap_or_default();
    head.split('\n').next().unwrap_or_default()
}

/// `${name}`, `$(name)` or `{{ name }}`, which a tool replaces before the database sees the text.
fn template(text: &str) -> Option<usize> {
    let line = head_of_line(text);
    let (_, closing) = [("${", "}"), ("$(", ")"), ("{{", "}}")]
        .into_iter()
        .find(|(opening, _)| line.starts_with(opening))?;
    line.find(closing).map(|end| end.saturating_add(closing.len()))
}

/// What follows a comment of which the opening is taken already.
fn after_comment(text: &str, nests: bool) -> &str {
    let mut open = 1_usize;
    let mut rest = text;
    while let Some(at) = rest.find(['*', '/']) {
        let here = rest.get(at..).unwrap_or_default();
        if let Some(after) = here.strip_prefix("*/") {
            open = open.saturating_sub(1);
            if open == 0 {
                return after;
            }
            rest = after;
        } else if let Some(after) = here.strip_prefix("/*").filter(|_| nests) {
            open = open.saturating_add(1);
            rest = after;
        } else {
            rest = here.get(1..).unwrap_or_default();
        }
    }
    ""
}

/// What follows the closing quote; a doubled quote does not close, nor an escaped one where the
/// dialect knows escapes.
fn after_quote(text: &str, quote: char, escapes: bool) -> &str {
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        if next == '\\' && escapes {
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

/// What follows `q'[ … ]'`, of which the `q` is taken already.
fn after_oracle_quote(text: &str) -> &str {
    let mut chars = text.chars();
    chars.next();
    let close = match chars.next() {
        Some('[') => ']',
        Some('(') => ')',
        Some('{') => '}',
        Some('<') => '>',
        Some(other) => other,
        None => return "",
    };
    let mut rest = chars.as_str();
    while let Some((_, after)) = rest.split_once(close) {
        if let Some(after) = after.strip_prefix('\'') {
            return after;
        }
        rest = after;
    }
    ""
}

/// What follows `$tag$ … $tag$`. The tag is no number: `$1` is a parameter.
fn dollar_quote(text: &str) -> Option<&str> {
    let tag = text.strip_prefix('$')?;
    let end = tag
        .find(|c| !is_word(c))
        .filter(|end| tag.get(*end..).is_some_and(|t| t.starts_with('$')))?;
    if tag.starts_with(|c: char| c.is_numeric()) {
        return None;
    }
    let mark = text.get(..end.saturating_add(2))?;
    let inside = text.get(mark.len()..)?;
    Some(inside.split_once(mark).map_or("", |(_, after)| after))
}
