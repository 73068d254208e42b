//! Text to words: quotes, and everything that starts with a dollar.

use compact_str::{CompactString, ToCompactString};
use smallvec::SmallVec;

use super::{
    Change, Expansion, Part, Place, Unreadable, Word,
    lexer::{Lexer, MAX_WORD_DEPTH, words},
};

/// What ends a run of plain characters in a word.
fn is_special(c: u8) -> bool {
    is_special_quoted(c)
        || matches!(
            c,
            b' ' | b'\t' | b'\n' | b'\r' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>' | b'\''
        )
}

/// The same inside `${…}`, where blanks and operators are plain.
fn is_special_inside(c: u8) -> bool {
    is_special_quoted(c) || matches!(c, b'\'' | b'}' | b'/' | b':')
}

/// The same in double quotes.
fn is_special_quoted(c: u8) -> bool {
    is_special_in_text(c) || c == b'"'
}

/// The same in a here-document.
fn is_special_in_text(c: u8) -> bool {
    matches!(c, b'\\' | b'$' | b'`')
}

/// The parts of a text in which only `$` and backquotes are special: a here-document.
pub(super) fn expanding_text(text: &str, depth: usize) -> Result<Word, Unreadable> {
    let depth = depth.saturating_add(1);
    if depth > MAX_WORD_DEPTH {
        return Err(Unreadable::Limit);
    }
    let mut lexer = Lexer::new(text, depth);
    let mut parts = Parts::default();
    while let Some(next) = lexer.peek() {
        match next {
            '\\' => lexer.escape_in_quotes(&mut parts),
            '$' => lexer.dollar(&mut parts, true)?,
            '`' => lexer.backquotes(&mut parts, true)?,
            _ => parts.text(lexer.run(is_special_in_text), true),
        }
    }
    Ok(parts.word())
}

impl Lexer<'_> {
    /// Reads a word.
    pub(super) fn word(&mut self) -> Result<Word, Unreadable> {
        let mut parts = Parts::default();
        loop {
            parts.text(self.run(is_special), false);
            let Some(next) = self.peek() else { break };
            match next {
                '(' if self.begins_array(&parts.0) => self.array(&mut parts)?,
                '<' | '>' if self.rest.starts_with("<(") || self.rest.starts_with(">(") => {
                    self.bump();
                    self.bump();
                    let script = self.take_closed(')')?.to_owned();
                    parts.add(Part::Process { script, is_output: next == '>' });
                }
                ' ' | '\t' | '\n' | '\r' | ';' | '&' | '|' | '(' | ')' | '<' | '>' => break,
                _ => self.piece(&mut parts, next)?,
            }
        }
        if parts.is_empty() {
            // An operator where a word must be.
            return Err(Unreadable::Syntax);
        }
        Ok(parts.word())
    }

    /// Reads a word inside `${…}`: up to the bracket that closes it, or up to `stop`.
    fn inner_word(&mut self, stop: Option<char>) -> Result<Word, Unreadable> {
        let mut parts = Parts::default();
        loop {
            parts.text(self.run(is_special_inside), false);
            match self.peek() {
                None => return Err(Unreadable::Syntax),
                Some('}') => return Ok(parts.word()),
                next if next == stop => return Ok(parts.word()),
                Some(next) => self.piece(&mut parts, next)?,
            }
        }
    }

    /// `name=(a b c)`
    fn array(&mut self, parts: &mut Parts) -> Result<(), Unreadable> {
        self.bump();
        let depth = self.depth.saturating_add(1);
        if depth > MAX_WORD_DEPTH {
            return Err(Unreadable::Limit);
        }
        let inside = self.take_closed(')')?;
        parts.add(Part::Array(words(inside, depth)?));
        Ok(())
    }

    fn piece(&mut self, parts: &mut Parts, next: char) -> Result<(), Unreadable> {
        match next {
            '\'' => {
                self.bump();
                let (text, rest) = self.rest.split_once('\'').ok_or(Unreadable::Syntax)?;
                self.rest = rest;
                parts.quoted(text);
            }
            '"' => self.double_quotes(parts)?,
            '\\' => {
                self.bump();
                match self.bump() {
                    Some('\n') => {}
                    None => parts.push('\\', true),
                    // Escaping is quoting: `\rm` is still the command `rm`, but no keyword.
                    Some(escaped) => parts.push(escaped, true),
                }
            }
            '$' => self.dollar(parts, false)?,
            '`' => self.backquotes(parts, false)?,
            other => {
                self.bump();
                parts.push(other, false);
            }
        }
        Ok(())
    }

    fn double_quotes(&mut self, parts: &mut Parts) -> Result<(), Unreadable> {
        self.bump();
        let before = parts.0.len();
        loop {
            parts.text(self.run(is_special_quoted), true);
            match self.peek().ok_or(Unreadable::Syntax)? {
                '\\' => self.escape_in_quotes(parts),
                '$' => self.dollar(parts, true)?,
                '`' => self.backquotes(parts, true)?,
                _ => {
                    self.bump();
                    if parts.0.len() == before {
                        // `""` is a word; `"$@"` is none where there are no arguments.
                        parts.quoted("");
                    }
                    return Ok(());
                }
            }
        }
    }

    /// In double quotes a backslash escapes only what would be special there.
    fn escape_in_quotes(&mut self, parts: &mut Parts) {
        self.bump();
        match self.peek() {
            Some('\n') => {
                self.bump();
            }
            Some(special @ ('$' | '`' | '"' | '\\')) => {
                self.bump();
                parts.push(special, true);
            }
            _ => parts.push('\\', true),
        }
    }

    fn backquotes(&mut self, parts: &mut Parts, quoted: bool) -> Result<(), Unreadable> {
        self.bump();
        let mut script = String::new();
        loop {
            script.push_str(self.run(|c| matches!(c, b'`' | b'\\')));
            match self.bump().ok_or(Unreadable::Syntax)? {
                '`' => break,
                _ => match self.bump().ok_or(Unreadable::Syntax)? {
                    special @ ('$' | '`' | '\\') => script.push(special),
                    '"' if quoted => script.push('"'),
                    other => {
                        script.push('\\');
                        script.push(other);
                    }
                },
            }
        }
        parts.add(Part::Command { script, quoted });
        Ok(())
    }

    fn dollar(&mut self, parts: &mut Parts, quoted: bool) -> Result<(), Unreadable> {
        self.bump();
        match self.peek() {
            Some('(') if self.rest.starts_with("((") => {
                self.bump();
                let inside = self.take_closed(')')?;
                match inside.strip_prefix('(').and_then(|inside| inside.strip_suffix(')')) {
                    Some(inside) => parts.arithmetic(expanding_text(inside, self.depth)?, quoted),
                    // `$((a); b)`: a subshell in a substitution.
                    None => parts.add(Part::Command { script: inside.to_owned(), quoted }),
                }
            }
            Some('(') => {
                self.bump();
                let script = self.take_closed(')')?.to_owned();
                parts.add(Part::Command { script, quoted });
            }
            Some('{') => {
                self.bump();
                self.depth = self.depth.saturating_add(1);
                if self.depth > MAX_WORD_DEPTH {
                    return Err(Unreadable::Limit);
                }
                self.braces(parts, quoted)?;
                self.depth = self.depth.saturating_sub(1);
            }
            // `$[…]` is `$((…))` of old; never longer than this, or looking for its end would cost.
            Some('[') if self.rest.chars().take(256).any(|c| c == ']') => {
                self.bump();
                let inside = self.take_closed(']')?;
                parts.arithmetic(expanding_text(inside, self.depth)?, quoted);
            }
            Some('\'') if !quoted => self.ansi_quotes(parts)?,
            // `$"…"` is a translated string: the same text for us.
            Some('"') if !quoted => {}
            Some(special @ ('@' | '*' | '#' | '?' | '-' | '$' | '!' | '0'..='9')) => {
                self.bump();
                parts.add(Part::Variable { name: special.to_compact_string(), quoted });
            }
            Some(first) if first == '_' || first.is_ascii_alphabetic() => {
                let name = self.name();
                parts.add(Part::Variable { name, quoted });
            }
            _ => parts.push('$', quoted),
        }
        Ok(())
    }

    fn name(&mut self) -> CompactString {
        let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        name.into()
    }

    /// `${…}` after the bracket.
    fn braces(&mut self, parts: &mut Parts, quoted: bool) -> Result<(), Unreadable> {
        let is_length = self.rest.starts_with('#') && !self.rest.starts_with("#}");
        if is_length {
            self.bump();
        }
        let is_indirect = !is_length && self.rest.starts_with('!') && !self.rest.starts_with("!}");
        if is_indirect {
            self.bump();
        }
        let mut name = self.name();
        if name.is_empty()
            && let Some(special @ ('@' | '*' | '#' | '?' | '-' | '$' | '!')) = self.peek()
        {
            self.bump();
            name.push(special);
        }
        let index = if self.eat("[") {
            let inside = self.take_closed(']')?;
            Some(expanding_text(inside, self.depth)?)
        } else {
            None
        };
        if self.eat("}") {
            let change = match (is_length, is_indirect) {
                (true, _) => Change::Length,
                (_, true) => Change::Indirect,
                _ if index.is_none() => {
                    parts.add(Part::Variable { name, quoted });
                    return Ok(());
                }
                _ => Change::None,
            };
            let expansion = Box::new(Expansion { name, index, change });
            parts.add(Part::Expansion { expansion, quoted });
            return Ok(());
        }
        let change =
            if is_length || is_indirect || name.is_empty() { None } else { self.change()? };
        match change {
            Some(change) if self.eat("}") => {
                let expansion = Box::new(Expansion { name, index, change });
                parts.add(Part::Expansion { expansion, quoted });
            }
            _ => {
                let inside = self.take_closed('}')?;
                parts.unknown(expanding_text(inside, self.depth)?, quoted);
            }
        }
        Ok(())
    }

    /// What follows the name in `${…}`; `None` when it is nothing that we know.
    fn change(&mut self) -> Result<Option<Change>, Unreadable> {
        let or_empty = self.rest.starts_with(':');
        let mut symbols = self.rest.strip_prefix(':').unwrap_or(self.rest).chars();
        let symbol = symbols.next().unwrap_or_default();
        if matches!(symbol, '-' | '=' | '+' | '?') {
            self.rest = symbols.as_str();
            let word = self.inner_word(None)?;
            return Ok(Some(match symbol {
                '+' => Change::Alternative { word, or_empty },
                '?' => Change::Required(word),
                _ => Change::Default { word, assigns: symbol == '=', or_empty },
            }));
        }
        if or_empty {
            self.bump();
            let offset = self.inner_word(Some(':'))?;
            let length = if self.eat(":") { Some(self.inner_word(None)?) } else { None };
            return Ok(Some(Change::Slice { offset, length }));
        }
        let doubled = |symbol: &str, lexer: &mut Self| lexer.eat(symbol);
        Ok(match symbol {
            '#' | '%' => {
                self.bump();
                let longest = doubled(if symbol == '#' { "#" } else { "%" }, self);
                let pattern = self.inner_word(None)?;
                Some(Change::Trim { pattern, at_end: symbol == '%', longest })
            }
            '^' | ',' => {
                self.bump();
                let all = doubled(if symbol == '^' { "^" } else { "," }, self);
                Some(Change::Case { upper: symbol == '^', all })
            }
            '/' => {
                self.bump();
                let all = self.eat("/");
                let place = match self.peek() {
                    Some('#') => Place::Start,
                    Some('%') => Place::End,
                    _ => Place::Anywhere,
                };
                if place != Place::Anywhere {
                    self.bump();
                }
                let pattern = self.inner_word(Some('/'))?;
                let with = if self.eat("/") { self.inner_word(None)? } else { Word::default() };
                Some(Change::Replace { pattern, with, all, place })
            }
            _ => None,
        })
    }

    fn ansi_quotes(&mut self, parts: &mut Parts) -> Result<(), Unreadable> {
        self.bump();
        parts.quoted("");
        loop {
            parts.text(self.run(|c| matches!(c, b'\'' | b'\\')), true);
            if self.bump().ok_or(Unreadable::Syntax)? == '\'' {
                return Ok(());
            }
            if self.rest.starts_with(|c: char| c.is_digit(8)) {
                self.code(parts, 3, 8);
                continue;
            }
            match self.bump().ok_or(Unreadable::Syntax)? {
                'n' => parts.push('\n', true),
                't' => parts.push('\t', true),
                'r' => parts.push('\r', true),
                'a' => parts.push('\u{7}', true),
                'b' => parts.push('\u{8}', true),
                'e' | 'E' => parts.push('\u{1B}', true),
                'f' => parts.push('\u{C}', true),
                'v' => parts.push('\u{B}', true),
                'c' => {
                    self.bump();
                }
                'x' => self.code(parts, 2, 16),
                'u' => self.code(parts, 4, 16),
                'U' => self.code(parts, 8, 16),
                other => parts.push(other, true),
            }
        }
    }

    /// A character by its number, of at most `most` digits.
    fn code(&mut self, parts: &mut Parts, most: usize, radix: u32) {
        let digits: String =
            self.rest.chars().take(most).take_while(|c| c.is_digit(radix)).collect();
        self.eat(&digits);
        match u32::from_str_radix(&digits, radix).ok().and_then(char::from_u32) {
            Some(code) => parts.push(code, true),
            None => parts.unknown(Word::default(), true),
        }
    }
}

/// Collects the parts of a word, joining neighbouring text.
#[derive(Default)]
struct Parts(SmallVec<[Part; 1]>);

impl Parts {
    fn add(&mut self, part: Part) {
        self.0.push(part);
    }

    fn arithmetic(&mut self, inside: Word, quoted: bool) {
        self.add(Part::Arithmetic { inside: Box::new(inside), quoted });
    }

    fn unknown(&mut self, inside: Word, quoted: bool) {
        self.add(Part::Unknown { inside: Box::new(inside), quoted });
    }

    /// Quoted text counts even if it is empty: `''` is a word.
    fn quoted(&mut self, more: &str) {
        match self.0.last_mut() {
            Some(Part::Text { text, quoted: true }) => text.push_str(more),
            _ => self.add(Part::Text { text: more.into(), quoted: true }),
        }
    }

    fn text(&mut self, more: &str, is_quoted: bool) {
        if more.is_empty() {
            return;
        }
        match self.0.last_mut() {
            Some(Part::Text { text, quoted }) if *quoted == is_quoted => text.push_str(more),
            _ => self.add(Part::Text { text: more.into(), quoted: is_quoted }),
        }
    }

    fn push(&mut self, next: char, quoted: bool) {
        self.text(next.encode_utf8(&mut [0; 4]), quoted);
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn word(self) -> Word {
        Word { parts: self.0 }
    }
}
