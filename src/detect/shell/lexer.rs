//! Text to tokens.

use std::collections::VecDeque;

use compact_str::CompactString;

use super::{Output, Part, Unreadable, Word};

/// How deeply `${a:-${b:-…}}`, `$((…))` and arrays may nest.
pub(super) const MAX_WORD_DEPTH: usize = 16;

/// How many tokens most lines have at most.
const TOKENS_A_LINE: usize = 16;

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
    /// `(( … ))`, with what is expanded in it.
    Arithmetic(Word),
    Newline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Semicolon,
    And,
    Or,
    Pipe,
    Background,
    /// `;;`
    EndOfArm,
    /// `;&`
    FallThrough,
    /// `;;&`
    TryNext,
    Open,
    Close,
}

/// Longest first, so that `&&` is not read as `&` twice.
const OPERATORS: [(&str, Operator); 11] = [
    (";;&", Operator::TryNext),
    (";;", Operator::EndOfArm),
    (";&", Operator::FallThrough),
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
    end: CompactString,
    strip_tabs: bool,
    expand: bool,
}

pub(super) struct Lexer<'s> {
    pub(super) rest: &'s str,
    /// The tokens of one line.
    tokens: VecDeque<Token>,
    pending: Vec<Pending>,
    /// How deep in `${…}` and its kin this text stands.
    pub(super) depth: usize,
    /// The digits before `>` named another output than the standard one.
    other_output: bool,
    /// Set once `((` was found to have no `))`: looking again would take quadratic time.
    unclosed_arithmetic: bool,
    /// Set once a here-document was found to have no end: looking again would, too.
    unclosed_here: bool,
}

/// The tokens of a script before the first mistake, read line by line.
pub(super) struct Tokens<'s> {
    /// It holds the rest of the line.
    lexer: Lexer<'s>,
    /// Nothing follows that line.
    is_last: bool,
    /// Why there are no more.
    pub(super) mistake: Option<Unreadable>,
}

impl<'s> Tokens<'s> {
    pub(super) fn of(script: &'s str) -> Self {
        let mut lexer = Lexer::new(script, 0);
        lexer.tokens.reserve(TOKENS_A_LINE);
        Self { lexer, is_last: false, mistake: None }
    }

    pub(super) fn peek(&mut self) -> Option<&Token> {
        if self.lexer.tokens.is_empty() && !self.is_last {
            self.line();
        }
        self.lexer.tokens.front()
    }

    /// The next token, if it is an operator.
    pub(super) fn operator(&mut self) -> Option<Operator> {
        if let Some(Token::Operator(operator)) = self.peek() { Some(*operator) } else { None }
    }

    /// The next token, if it is a word that may be a keyword.
    pub(super) fn bare(&mut self) -> Option<&str> {
        if let Some(Token::Word(word)) = self.peek() { word.bare() } else { None }
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        self.peek()?;
        self.lexer.tokens.pop_front()
    }

    pub(super) fn next_if(&mut self, is_wanted: impl FnOnce(&Token) -> bool) -> Option<Token> {
        if self.peek().is_some_and(is_wanted) { self.lexer.tokens.pop_front() } else { None }
    }

    /// Reads the next line that holds a token, and the here-documents that start on it.
    fn line(&mut self) {
        while !self.is_last && !matches!(self.lexer.tokens.back(), Some(Token::Newline)) {
            match self.lexer.token() {
                Ok(true) => {}
                Ok(false) => self.is_last = true,
                Err(mistake) => (self.is_last, self.mistake) = (true, Some(mistake)),
            }
        }
        self.lexer.here_documents();
    }
}

/// The words of a text: the elements of an array.
pub(super) fn words(text: &str, depth: usize) -> Result<Vec<Word>, Unreadable> {
    let mut lexer = Lexer::new(text, depth);
    while lexer.token()? {}
    let is_word = |token| if let Token::Word(word) = token { Some(word) } else { None };
    Ok(lexer.tokens.into_iter().filter_map(is_word).collect())
}

impl<'s> Lexer<'s> {
    pub(super) fn new(rest: &'s str, depth: usize) -> Self {
        Self {
            rest,
            tokens: VecDeque::new(),
            pending: Vec::new(),
            depth,
            other_output: false,
            unclosed_arithmetic: false,
            unclosed_here: false,
        }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    pub(super) fn eat(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes the text before the first special character, all of which are ASCII.
    pub(super) fn run(&mut self, is_special: impl Fn(u8) -> bool) -> &'s str {
        let end = self.rest.bytes().position(is_special).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        run
    }

    /// Passes over the text before a bracket and over the bracket.
    pub(super) fn take_closed(&mut self, close: char) -> Result<&'s str, Unreadable> {
        let inside = super::brackets::closing(self.rest, close).ok_or(Unreadable::Syntax)?;
        self.rest = self.rest.get(inside.len().saturating_add(1)..).unwrap_or_default();
        Ok(inside)
    }

    fn skip_blanks(&mut self) {
        loop {
            self.run(|c| !matches!(c, b' ' | b'\t' | b'\r'));
            if !self.eat("\\\n") {
                return;
            }
        }
    }

    /// Reads one token; false at the end.
    fn token(&mut self) -> Result<bool, Unreadable> {
        self.skip_blanks();
        let Some(next) = self.peek() else { return Ok(false) };
        match next {
            '#' => {
                self.run(|c| c == b'\n');
                return Ok(true);
            }
            '\n' => {
                self.bump();
                self.tokens.push_back(Token::Newline);
                self.here_documents();
                return Ok(true);
            }
            '<' | '>' | '&' if self.redirection()? => return Ok(true),
            '(' if self.arithmetic()? => return Ok(true),
            ';' | '|' | '&' | '(' | ')' => {
                if let Some((text, operator)) =
                    OPERATORS.iter().find(|(text, _)| self.rest.starts_with(text))
                {
                    self.eat(text);
                    self.tokens.push_back(Token::Operator(*operator));
                    return Ok(true);
                }
            }
            _ => {}
        }
        let word = self.word()?;
        // `2>` and `0<`: the digits are no argument.
        let is_descriptor = self.rest.starts_with(['<', '>'])
            && word.bare().is_some_and(|t| t.bytes().all(|b| b.is_ascii_digit()));
        if is_descriptor {
            self.other_output = word.bare() != Some("1");
        } else {
            self.tokens.push_back(Token::Word(word));
        }
        Ok(true)
    }

    fn redirection(&mut self) -> Result<bool, Unreadable> {
        // `<(…)` and `>(…)` are words, and `<&-` has a target like any other.
        if self.rest.starts_with("<(") || self.rest.starts_with(">(") {
            return Ok(false);
        }
        if self.eat("<<<") {
            self.other_output = false;
            self.skip_blanks();
            let mut word = self.word()?;
            word.parts.push(Part::Text { text: "\n".into(), quoted: true });
            self.tokens.push_back(Token::InputText(word));
            return Ok(true);
        }
        if self.rest.starts_with("<<") {
            self.other_output = false;
            return self.here_document_start().map(|()| true);
        }
        if let Some(text) = OUTPUTS.iter().find(|text| self.rest.starts_with(**text)) {
            self.eat(text);
            self.skip_blanks();
            let target = self.word()?;
            let standard = !std::mem::take(&mut self.other_output) && *text != ">&";
            let appends = text.ends_with(">>");
            self.tokens.push_back(Token::Output(Output { target, appends, standard }));
            return Ok(true);
        }
        if self.eat("<&") || self.eat("<") {
            self.other_output = false;
            self.skip_blanks();
            let target = self.word()?;
            self.tokens.push_back(Token::InputFile(target));
            return Ok(true);
        }
        Ok(false)
    }

    fn here_document_start(&mut self) -> Result<(), Unreadable> {
        self.eat("<<");
        let strip_tabs = self.eat("-");
        self.skip_blanks();
        let end = self.word()?;
        let quoted = end.parts.iter().any(|part| matches!(part, Part::Text { quoted: true, .. }));
        self.pending.push(Pending {
            token: self.tokens.len(),
            end: end.literal().ok_or(Unreadable::Syntax)?,
            strip_tabs,
            expand: !quoted,
        });
        self.tokens.push_back(Token::InputText(Word::default()));
        Ok(())
    }

    /// Reads the bodies of the here-documents that started on the line that just ended.
    fn here_documents(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            let body = self.here_body(&pending);
            let body = if pending.strip_tabs {
                let lines = body.split_inclusive('\n');
                lines.map(|line| line.trim_start_matches('\t')).collect()
            } else {
                body
            };
            let expanded = if pending.expand && body.contains(['$', '`', '\\']) {
                super::words::expanding_text(&body, self.depth).ok()
            } else {
                None
            };
            let word = expanded
                .unwrap_or_else(|| Word::of(Part::Text { text: body.into(), quoted: true }));
            if let Some(token) = self.tokens.get_mut(pending.token) {
                *token = Token::InputText(word);
            }
        }
    }

    /// The lines before the end of a here-document.
    ///
    /// Templates often indent the end together with the script, by mistake: where no line is exactly
    /// the end, the first that is the end but for blanks counts.
    fn here_body(&mut self, pending: &Pending) -> String {
        let whole = self.rest;
        let mut loose: Option<(usize, usize)> = None;
        let mut at = 0_usize;
        for line in whole.split_inclusive('\n') {
            let after = at.saturating_add(line.len());
            let text = line.strip_suffix('\n').unwrap_or(line);
            let text = text.strip_suffix('\r').unwrap_or(text);
            let exact = if pending.strip_tabs { text.trim_start_matches('\t') } else { text };
            if exact == pending.end {
                loose = Some((at, after));
                break;
            }
            if loose.is_none() && !text.is_empty() && text.trim() == pending.end {
                loose = Some((at, after));
                if self.unclosed_here {
                    break;
                }
            }
            at = after;
        }
        self.unclosed_here |= at == whole.len();
        let (end, after) = loose.unwrap_or((whole.len(), whole.len()));
        self.rest = whole.get(after..).unwrap_or_default();
        whole.get(..end).unwrap_or_default().to_owned()
    }

    /// `(( … ))` where a command may start.
    fn arithmetic(&mut self) -> Result<bool, Unreadable> {
        if !self.rest.starts_with("((") || self.unclosed_arithmetic || !self.at_command() {
            return Ok(false);
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
                let Some(body) = body.strip_suffix(')') else {
                    // Two nested subshells, as in `((a); b)`.
                    return Ok(false);
                };
                let inside = body.strip_prefix("((").unwrap_or_default();
                let inside = super::words::expanding_text(inside, self.depth)?;
                self.rest = self.rest.get(at.saturating_add(1)..).unwrap_or_default();
                self.tokens.push_back(Token::Arithmetic(inside));
                return Ok(true);
            }
        }
        self.unclosed_arithmetic = true;
        Ok(false)
    }

    fn at_command(&self) -> bool {
        match self.tokens.back() {
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
                Token::InputFile(_) | Token::InputText(_) | Token::Output(_) | Token::Arithmetic(_),
            ) => false,
        }
    }

    /// True after `name=`, so that `(` begins an array.
    pub(super) fn begins_array(&self, parts: &[Part]) -> bool {
        self.rest.starts_with('(')
            && matches!(parts, [Part::Text { text, quoted: false }] if text.ends_with('='))
    }
}
