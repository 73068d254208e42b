//! Text to tokens.

use super::{Output, Part, Unreadable, Word};

/// How deeply `${a:-${b:-…}}` may nest.
const MAX_WORD_DEPTH: usize = 16;

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(Word),
    Operator(Operator),
    /// `< file` and its kin, with the file.
    InputFile(Word),
    /// A here-document or here-string, with its text.
    InputText(Word),
    /// Any redirection of output.
    Output(Output),
    /// `(( … ))`
    Arithmetic,
    Newline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Semicolon,
    And,
    Or,
    Pipe,
    Background,
    /// `;;`, `;&` and `;;&`
    EndOfCase,
    Open,
    Close,
}

/// Longest first, so that `&&` is not read as `&` twice.
const OPERATORS: [(&str, Operator); 11] = [
    (";;&", Operator::EndOfCase),
    (";;", Operator::EndOfCase),
    (";&", Operator::EndOfCase),
    ("&&", Operator::And),
    ("||", Operator::Or),
    ("|&", Operator::Pipe),
    (";", Operator::Semicolon),
    ("|", Operator::Pipe),
    ("&", Operator::Background),
    ("(", Operator::Open),
    (")", Operator::Close),
];

/// Output redirections, longest first.
const OUTPUTS: [&str; 7] = ["&>>", ">>", "&>", ">|", ">&", "<>", ">"];

/// A here-document whose body follows the next line break.
struct Pending {
    token: usize,
    end: String,
    strip_tabs: bool,
    expand: bool,
}

pub(super) struct Lexer<'s> {
    rest: &'s str,
    tokens: Vec<Token>,
    pending: Vec<Pending>,
    /// The digits before `>` named another output than the standard one.
    other_output: bool,
    /// Set once `((` was found to have no `))`: looking again would take quadratic time.
    unclosed_arithmetic: bool,
}

/// Splits a script into tokens.
pub(super) fn tokens(script: &str) -> Result<Vec<Token>, Unreadable> {
    let mut lexer = Lexer::new(script);
    while lexer.token()? {}
    lexer.here_documents();
    Ok(lexer.tokens)
}

/// The parts of a text in which only `$` and backquotes are special: a here-document.
fn expanding_text(text: &str) -> Result<Word, Unreadable> {
    let mut lexer = Lexer::new(text);
    let mut parts = Parts::default();
    while let Some(next) = lexer.peek() {
        match next {
            '\\' => lexer.escape_in_quotes(&mut parts),
            '$' => lexer.dollar(&mut parts, true, 0)?,
            '`' => lexer.backquotes(&mut parts, true)?,
            other => {
                lexer.bump();
                parts.push(other, true);
            }
        }
    }
    Ok(parts.word())
}

impl<'s> Lexer<'s> {
    fn new(rest: &'s str) -> Self {
        Self {
            rest,
            tokens: Vec::new(),
            pending: Vec::new(),
            other_output: false,
            unclosed_arithmetic: false,
        }
    }
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    fn eat(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn skip_blanks(&mut self) {
        loop {
            if !(self.eat(" ") || self.eat("\t") || self.eat("\r") || self.eat("\\\n")) {
                return;
            }
        }
    }

    /// Reads one token; false at the end.
    fn token(&mut self) -> Result<bool, Unreadable> {
        self.skip_blanks();
        let Some(next) = self.peek() else { return Ok(false) };
        if next == '#' {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.rest = self.rest.get(end..).unwrap_or_default();
            return Ok(true);
        }
        if next == '\n' {
            self.bump();
            self.tokens.push(Token::Newline);
            self.here_documents();
            return Ok(true);
        }
        if self.redirection()? || self.arithmetic() {
            return Ok(true);
        }
        if let Some((text, operator)) =
            OPERATORS.iter().find(|(text, _)| self.rest.starts_with(text))
        {
            self.eat(text);
            self.tokens.push(Token::Operator(*operator));
            return Ok(true);
        }
        let word = self.word(0)?;
        // `2>` and `0<`: the digits are no argument.
        let is_descriptor = word.bare().is_some_and(|t| t.bytes().all(|b| b.is_ascii_digit()))
            && self.rest.starts_with(['<', '>']);
        if is_descriptor {
            self.other_output = word.bare() != Some("1");
        } else {
            self.tokens.push(Token::Word(word));
        }
        Ok(true)
    }

    fn redirection(&mut self) -> Result<bool, Unreadable> {
        // `<(…)` and `>(…)` are words, and `<&-` has a target like any other.
        if self.rest.starts_with("<(") || self.rest.starts_with(">(") {
            return Ok(false);
        }
        if self.eat("<<<") {
            self.skip_blanks();
            let word = self.word(0)?;
            self.tokens.push(Token::InputText(word));
            return Ok(true);
        }
        if self.rest.starts_with("<<") {
            return self.here_document_start().map(|()| true);
        }
        if let Some(text) = OUTPUTS.iter().find(|text| self.rest.starts_with(**text)) {
            self.eat(text);
            self.skip_blanks();
            let target = self.word(0)?;
            let standard = !std::mem::take(&mut self.other_output) && *text != ">&";
            let appends = text.ends_with(">>");
            self.tokens.push(Token::Output(Output { target, appends, standard }));
            return Ok(true);
        }
        if self.eat("<&") || self.eat("<") {
            self.skip_blanks();
            let target = self.word(0)?;
            self.tokens.push(Token::InputFile(target));
            return Ok(true);
        }
        Ok(false)
    }

    fn here_document_start(&mut self) -> Result<(), Unreadable> {
        self.eat("<<");
        let strip_tabs = self.eat("-");
        self.skip_blanks();
        let end = self.word(0)?;
        let quoted = end.parts.iter().any(|part| matches!(part, Part::Text { quoted: true, .. }));
        self.pending.push(Pending {
            token: self.tokens.len(),
            end: end.literal().ok_or(Unreadable::Syntax)?,
            strip_tabs,
            expand: !quoted,
        });
        self.tokens.push(Token::InputText(Word::default()));
        Ok(())
    }

    /// Reads the bodies of the here-documents that started on the line that just ended.
    fn here_documents(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            let mut body = String::new();
            while !self.rest.is_empty() {
                let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
                self.rest = rest;
                let line = line.strip_suffix('\r').unwrap_or(line);
                let line = if pending.strip_tabs { line.trim_start_matches('\t') } else { line };
                // Templates often indent the end marker by mistake together with the script.
                if line == pending.end || (line.trim() == pending.end && !line.is_empty()) {
                    break;
                }
                body.push_str(line);
                body.push('\n');
            }
            let literal = || Word { parts: vec![Part::Text { text: body.clone(), quoted: true }] };
            let word = if pending.expand {
                expanding_text(&body).unwrap_or_else(|_| literal())
            } else {
                literal()
            };
            if let Some(token) = self.tokens.get_mut(pending.token) {
                *token = Token::InputText(word);
            }
        }
    }

    /// `(( … ))` where a command may start.
    fn arithmetic(&mut self) -> bool {
        if !self.rest.starts_with("((") || self.unclosed_arithmetic || !self.at_command() {
            return false;
        }
        let mut depth = 0_usize;
        for (at, next) in self.rest.char_indices() {
            match next {
                '(' => depth = depth.saturating_add(1),
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                let body = self.rest.get(..at).unwrap_or_default();
                if !body.ends_with(')') {
                    // Two nested subshells, as in `((a); b)`.
                    return false;
                }
                self.rest = self.rest.get(at.saturating_add(1)..).unwrap_or_default();
                self.tokens.push(Token::Arithmetic);
                return true;
            }
        }
        self.unclosed_arithmetic = true;
        false
    }

    fn at_command(&self) -> bool {
        match self.tokens.last() {
            None | Some(Token::Newline | Token::Operator(_)) => true,
            Some(Token::Word(word)) => word.bare().is_some_and(|word| {
                matches!(
                    word,
                    "if" | "then"
                        | "elif"
                        | "else"
                        | "while"
                        | "until"
                        | "do"
                        | "for"
                        | "!"
                        | "{"
                        | "time"
                )
            }),
            Some(
                Token::InputFile(_) | Token::InputText(_) | Token::Output(_) | Token::Arithmetic,
            ) => false,
        }
    }

    /// Reads a word; `depth` is that of the `${…}` it stands in.
    fn word(&mut self, depth: usize) -> Result<Word, Unreadable> {
        let mut parts = Parts::default();
        while let Some(next) = self.peek() {
            match next {
                ' ' | '\t' | '\n' | '\r' | ';' | '&' | '|' | '(' | ')' if depth == 0 => {
                    if !self.array(next, &mut parts)? {
                        break;
                    }
                }
                '<' | '>' if depth == 0 => {
                    if !(self.rest.starts_with("<(") || self.rest.starts_with(">(")) {
                        break;
                    }
                    self.bump();
                    self.substitution(&mut parts, false)?;
                }
                '}' if depth > 0 => break,
                _ => self.piece(&mut parts, next, depth)?,
            }
        }
        if parts.is_empty() && depth == 0 {
            // An operator where a word must be.
            return Err(Unreadable::Syntax);
        }
        Ok(parts.word())
    }

    /// `name=(a b c)`: an array, kept as its words in one text, which is enough for a command line.
    fn array(&mut self, next: char, parts: &mut Parts) -> Result<bool, Unreadable> {
        if next != '(' || !parts.ends_with_assignment() {
            return Ok(false);
        }
        self.bump();
        let inside = closing(self.rest, ')').ok_or(Unreadable::Syntax)?;
        self.rest = self.rest.get(inside.len().saturating_add(1)..).unwrap_or_default();
        if inside.contains(['$', '`']) {
            parts.unknown(false);
        } else {
            parts.text(&inside.replace(['\'', '"'], ""), true);
        }
        Ok(true)
    }

    fn piece(&mut self, parts: &mut Parts, next: char, depth: usize) -> Result<(), Unreadable> {
        match next {
            '\'' => {
                self.bump();
                let (text, rest) = self.rest.split_once('\'').ok_or(Unreadable::Syntax)?;
                self.rest = rest;
                parts.text(text, true);
            }
            '"' => self.double_quotes(parts, depth)?,
            '\\' => {
                self.bump();
                match self.bump() {
                    Some('\n') | None => {}
                    // Escaping is quoting: `\rm` is still the command `rm`, but no keyword.
                    Some(escaped) => parts.push(escaped, true),
                }
            }
            '$' => self.dollar(parts, false, depth)?,
            '`' => self.backquotes(parts, false)?,
            other => {
                self.bump();
                parts.push(other, false);
            }
        }
        Ok(())
    }

    fn double_quotes(&mut self, parts: &mut Parts, depth: usize) -> Result<(), Unreadable> {
        self.bump();
        parts.text("", true);
        loop {
            match self.peek().ok_or(Unreadable::Syntax)? {
                '"' => {
                    self.bump();
                    return Ok(());
                }
                '\\' => self.escape_in_quotes(parts),
                '$' => self.dollar(parts, true, depth)?,
                '`' => self.backquotes(parts, true)?,
                other => {
                    self.bump();
                    parts.push(other, true);
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
            match self.bump().ok_or(Unreadable::Syntax)? {
                '`' => break,
                '\\' => match self.bump().ok_or(Unreadable::Syntax)? {
                    special @ ('$' | '`' | '\\') => script.push(special),
                    other => {
                        script.push('\\');
                        script.push(other);
                    }
                },
                other => script.push(other),
            }
        }
        parts.add(Part::Command { script, quoted });
        Ok(())
    }

    /// `(script)` after `$`, `<` or `>`.
    fn substitution(&mut self, parts: &mut Parts, quoted: bool) -> Result<(), Unreadable> {
        self.bump();
        let script = closing(self.rest, ')').ok_or(Unreadable::Syntax)?;
        self.rest = self.rest.get(script.len().saturating_add(1)..).unwrap_or_default();
        parts.add(Part::Command { script: script.to_owned(), quoted });
        Ok(())
    }

    fn dollar(&mut self, parts: &mut Parts, quoted: bool, depth: usize) -> Result<(), Unreadable> {
        self.bump();
        match self.peek() {
            Some('(') if self.rest.starts_with("((") => {
                self.bump();
                let inside = closing(self.rest, ')').ok_or(Unreadable::Syntax)?;
                self.rest = self.rest.get(inside.len().saturating_add(1)..).unwrap_or_default();
                parts.unknown(quoted);
            }
            Some('(') => self.substitution(parts, quoted)?,
            Some('{') => {
                self.bump();
                self.braces(parts, quoted, depth)?;
            }
            Some('\'') if !quoted => self.ansi_quotes(parts)?,
            // `$"…"` is a translated string: the same text for us.
            Some('"') if !quoted => {}
            Some(special @ ('@' | '*' | '#' | '?' | '-' | '$' | '!' | '0'..='9')) => {
                self.bump();
                parts.add(Part::Variable { name: special.to_string(), quoted });
            }
            Some(first) if first == '_' || first.is_ascii_alphabetic() => {
                let name = self.name();
                parts.add(Part::Variable { name, quoted });
            }
            _ => parts.push('$', quoted),
        }
        Ok(())
    }

    fn name(&mut self) -> String {
        let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        name.to_owned()
    }

    /// `${…}` after the brace.
    fn braces(&mut self, parts: &mut Parts, quoted: bool, depth: usize) -> Result<(), Unreadable> {
        let depth = depth.saturating_add(1);
        if depth > MAX_WORD_DEPTH {
            return Err(Unreadable::Limit);
        }
        let mut name = self.name();
        if name.is_empty()
            && let Some(special @ ('@' | '*')) = self.peek()
        {
            self.bump();
            name.push(special);
        }
        if !name.is_empty() && (self.eat("[@]}") || self.eat("[*]}")) {
            parts.add(Part::Variable { name, quoted: false });
            return Ok(());
        }
        if self.eat("}") && !name.is_empty() {
            parts.add(Part::Variable { name, quoted });
            return Ok(());
        }
        let is_default = self.rest.starts_with(":-")
            || self.rest.starts_with(":=")
            || self.rest.starts_with(['-', '=']);
        if !is_default || name.is_empty() {
            let inside = closing(self.rest, '}').ok_or(Unreadable::Syntax)?;
            self.rest = self.rest.get(inside.len().saturating_add(1)..).unwrap_or_default();
            parts.unknown(quoted);
            return Ok(());
        }
        self.eat(":");
        self.bump();
        let word = self.word(depth)?;
        if !self.eat("}") {
            return Err(Unreadable::Syntax);
        }
        parts.add(Part::Default { name, word, quoted });
        Ok(())
    }

    fn ansi_quotes(&mut self, parts: &mut Parts) -> Result<(), Unreadable> {
        self.bump();
        parts.text("", true);
        loop {
            match self.bump().ok_or(Unreadable::Syntax)? {
                '\'' => return Ok(()),
                '\\' => match self.bump().ok_or(Unreadable::Syntax)? {
                    'n' => parts.push('\n', true),
                    't' => parts.push('\t', true),
                    'r' => parts.push('\r', true),
                    'x' => {
                        let digits: String =
                            self.rest.chars().take(2).take_while(char::is_ascii_hexdigit).collect();
                        self.eat(&digits);
                        match u8::from_str_radix(&digits, 16) {
                            Ok(byte) if byte.is_ascii() => parts.push(char::from(byte), true),
                            _ => parts.unknown(true),
                        }
                    }
                    other => parts.push(other, true),
                },
                other => parts.push(other, true),
            }
        }
    }
}

/// The text before the bracket that closes one already open, which may hold quotes, comments and
/// brackets of its own.
fn closing(text: &str, close: char) -> Option<&str> {
    let mut open = vec![close];
    let mut chars = text.char_indices();
    let mut before = ' ';
    while let Some((at, next)) = chars.next() {
        let quoted = open.last() == Some(&'"');
        match next {
            '\\' => {
                chars.next();
            }
            '\'' if !quoted => while chars.next().is_some_and(|(_, c)| c != '\'') {},
            '#' if !quoted && open.last() == Some(&')') && before.is_whitespace() => {
                while chars.next().is_some_and(|(_, c)| c != '\n') {}
            }
            '"' if quoted => {
                open.pop();
            }
            '"' => open.push('"'),
            '(' if before == '$' || !quoted => open.push(')'),
            '{' if before == '$' => open.push('}'),
            _ if !quoted && open.last() == Some(&next) => {
                open.pop();
                if open.is_empty() {
                    return text.get(..at);
                }
            }
            _ => {}
        }
        before = next;
    }
    None
}

/// Collects the parts of a word, joining neighbouring text.
#[derive(Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn add(&mut self, part: Part) {
        self.0.push(part);
    }

    fn unknown(&mut self, quoted: bool) {
        self.add(Part::Unknown { quoted });
    }

    fn text(&mut self, more: &str, is_quoted: bool) {
        match self.0.last_mut() {
            Some(Part::Text { text, quoted }) if *quoted == is_quoted => text.push_str(more),
            _ => self.add(Part::Text { text: more.to_owned(), quoted: is_quoted }),
        }
    }

    fn push(&mut self, next: char, quoted: bool) {
        self.text(next.encode_utf8(&mut [0; 4]), quoted);
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn ends_with_assignment(&self) -> bool {
        matches!(self.0.as_slice(), [Part::Text { text, quoted: false }] if text.ends_with('='))
    }

    fn word(self) -> Word {
        Word { parts: self.0 }
    }
}
