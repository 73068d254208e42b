//! Tokens to commands.

use std::rc::Rc;

use super::{
    AndOr, Command, Input, Join, Kind, List, MAX_SCRIPT, Output, Part, Pipeline, Unreadable, Word,
    lexer::{Operator, Token, tokens},
};

/// Reads a script; `max_depth` bounds how deeply commands may nest.
pub(in crate::detect) fn parse(script: &str, max_depth: usize) -> Result<List> {
    if script.len() > MAX_SCRIPT {
        return Err(Unreadable::Limit);
    }
    let mut parser = Parser {
        tokens: tokens(&script.replace("\r\n", "\n"))?.into_iter().peekable(),
        depth: max_depth,
    };
    let list = parser.list(&[])?;
    match parser.tokens.next() {
        None => Ok(list),
        Some(_) => Err(Unreadable::Syntax),
    }
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    /// How much deeper commands may nest.
    depth: usize,
}

type Result<T> = std::result::Result<T, Unreadable>;

impl Parser {
    /// Commands up to one of `ends`, which is left alone.
    fn list(&mut self, ends: &[&str]) -> Result<List> {
        self.depth = self.depth.checked_sub(1).ok_or(Unreadable::Limit)?;
        let mut list = Vec::new();
        loop {
            while self.eat(Operator::Semicolon) || self.eat_newline() {}
            match self.tokens.peek() {
                None | Some(Token::Operator(Operator::Close | Operator::EndOfCase)) => break,
                Some(Token::Word(word)) if word.bare().is_some_and(|w| ends.contains(&w)) => break,
                Some(_) => {}
            }
            list.push(self.and_or()?);
            let separated = self.eat(Operator::Semicolon)
                || self.eat(Operator::Background)
                || self.eat_newline();
            if !separated {
                break;
            }
        }
        self.depth = self.depth.saturating_add(1);
        Ok(list)
    }

    /// A list that must hold a command and end with `end`, which is consumed.
    fn block(&mut self, end: &str) -> Result<List> {
        let list = self.list(&[end])?;
        self.expect(end)?;
        Ok(list)
    }

    fn and_or(&mut self) -> Result<AndOr> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            let join = if self.eat(Operator::And) {
                Join::And
            } else if self.eat(Operator::Or) {
                Join::Or
            } else {
                return Ok(AndOr { first, rest });
            };
            while self.eat_newline() {}
            rest.push((join, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline> {
        let mut negated = false;
        while self.eat_word("!") {
            negated = !negated;
        }
        let mut commands = vec![self.command()?];
        while self.eat(Operator::Pipe) {
            while self.eat_newline() {}
            commands.push(self.command()?);
        }
        Ok(Pipeline { negated, commands })
    }

    fn command(&mut self) -> Result<Command> {
        let kind = match self.tokens.peek() {
            Some(Token::Operator(Operator::Open)) => {
                self.tokens.next();
                let list = self.list(&[])?;
                if !self.eat(Operator::Close) {
                    return Err(Unreadable::Syntax);
                }
                Kind::Group(list)
            }
            Some(Token::Arithmetic) => {
                self.tokens.next();
                Kind::Test(Vec::new())
            }
            Some(Token::Word(word)) => {
                let word = word.bare().unwrap_or_default().to_owned();
                match self.compound(&word)? {
                    Some(kind) => kind,
                    None => return self.simple(),
                }
            }
            Some(_) => return self.simple(),
            None => return Err(Unreadable::Syntax),
        };
        let mut redirected = Redirected::default();
        while self.redirection(&mut redirected)? {}
        Ok(redirected.command(kind))
    }

    fn compound(&mut self, word: &str) -> Result<Option<Kind>> {
        if !matches!(
            word,
            "{" | "if" | "while" | "until" | "for" | "select" | "case" | "function" | "[["
        ) {
            return Ok(None);
        }
        self.tokens.next();
        Ok(Some(match word {
            "{" => Kind::Group(self.block("}")?),
            "if" => self.if_clause()?,
            "for" | "select" => self.for_clause()?,
            "case" => self.case_clause()?,
            "function" => {
                let name = self.next_word()?.literal().ok_or(Unreadable::Syntax)?;
                if self.eat(Operator::Open) && !self.eat(Operator::Close) {
                    return Err(Unreadable::Syntax);
                }
                self.function(name)?
            }
            "[[" => self.test()?,
            _ => {
                let condition = self.block("do")?;
                Kind::Loop { condition, body: self.block("done")?, until: word == "until" }
            }
        }))
    }

    fn if_clause(&mut self) -> Result<Kind> {
        let mut arms = Vec::new();
        let mut otherwise = Vec::new();
        loop {
            let condition = self.block("then")?;
            let body = self.list(&["elif", "else", "fi"])?;
            arms.push((condition, body));
            if self.eat_word("elif") {
                continue;
            }
            if self.eat_word("else") {
                otherwise = self.list(&["fi"])?;
            }
            self.expect("fi")?;
            return Ok(Kind::If { arms, otherwise });
        }
    }

    fn for_clause(&mut self) -> Result<Kind> {
        let mut values =
            vec![Word { parts: vec![Part::Variable { name: "@".into(), quoted: true }] }];
        let name = if self.tokens.next_if_eq(&Token::Arithmetic).is_some() {
            values.clear();
            String::new()
        } else {
            self.next_word()?.literal().ok_or(Unreadable::Syntax)?
        };
        while self.eat_newline() {}
        if self.eat_word("in") {
            values.clear();
            while let Some(Token::Word(_)) = self.tokens.peek() {
                values.push(self.next_word()?);
            }
        }
        while self.eat(Operator::Semicolon) || self.eat_newline() {}
        let body = if self.eat_word("{") {
            self.block("}")?
        } else {
            self.expect("do")?;
            self.block("done")?
        };
        Ok(Kind::For { name, values, body })
    }

    fn case_clause(&mut self) -> Result<Kind> {
        let subject = self.next_word()?;
        while self.eat_newline() {}
        self.expect("in")?;
        let mut arms = Vec::new();
        loop {
            while self.eat_newline() {}
            if self.eat_word("esac") {
                return Ok(Kind::Case { subject, arms });
            }
            self.eat(Operator::Open);
            let mut patterns = vec![self.next_word()?];
            while self.eat(Operator::Pipe) {
                patterns.push(self.next_word()?);
            }
            if !self.eat(Operator::Close) {
                return Err(Unreadable::Syntax);
            }
            arms.push((patterns, self.list(&["esac"])?));
            self.eat(Operator::EndOfCase);
        }
    }

    fn function(&mut self, name: String) -> Result<Kind> {
        while self.eat_newline() {}
        self.depth = self.depth.checked_sub(1).ok_or(Unreadable::Limit)?;
        let body = self.command()?;
        self.depth = self.depth.saturating_add(1);
        let pipeline = Pipeline { negated: false, commands: vec![body] };
        Ok(Kind::Function {
            name,
            body: Rc::new(vec![AndOr { first: pipeline, rest: Vec::new() }]),
        })
    }

    fn test(&mut self) -> Result<Kind> {
        let mut words = Vec::new();
        loop {
            match self.tokens.next().ok_or(Unreadable::Syntax)? {
                Token::Word(word) if word.bare() == Some("]]") => return Ok(Kind::Test(words)),
                Token::Word(word) | Token::InputFile(word) => words.push(word),
                Token::Output(output) => words.push(output.target),
                Token::Operator(_) | Token::Newline | Token::Arithmetic | Token::InputText(_) => {}
            }
        }
    }

    fn simple(&mut self) -> Result<Command> {
        let mut assignments = Vec::new();
        let mut words: Vec<Word> = Vec::new();
        let mut redirected = Redirected::default();
        loop {
            if self.redirection(&mut redirected)? {
                continue;
            }
            match self.tokens.peek() {
                Some(Token::Word(_)) => {
                    let word = self.next_word()?;
                    match assignment(&word) {
                        Some(pair) if words.is_empty() => assignments.push(pair),
                        _ => words.push(word),
                    }
                }
                Some(Token::Operator(Operator::Open)) if words.len() == 1 => {
                    self.tokens.next();
                    let name = words.pop().and_then(|word| word.literal());
                    let name = name.ok_or(Unreadable::Syntax)?;
                    if !self.eat(Operator::Close) {
                        return Err(Unreadable::Syntax);
                    }
                    return Ok(redirected.command(self.function(name)?));
                }
                _ => break,
            }
        }
        if assignments.is_empty()
            && words.is_empty()
            && redirected.input == Input::Inherited
            && !matches!(
                self.tokens.peek(),
                None | Some(Token::Newline | Token::Operator(Operator::Semicolon))
            )
        {
            // `> file` alone is a command; an operator alone is not.
            return Err(Unreadable::Syntax);
        }
        Ok(redirected.command(Kind::Simple { assignments, words }))
    }

    /// Reads one redirection; false when there is none here.
    fn redirection(&mut self, redirected: &mut Redirected) -> Result<bool> {
        let is_redirection = |token: &Token| {
            matches!(token, Token::InputFile(_) | Token::InputText(_) | Token::Output(_))
        };
        match self.tokens.next_if(is_redirection) {
            Some(Token::InputFile(word)) => {
                redirected.input = match word.parts.as_slice() {
                    // `< <(script)`: what the script prints, as `$(script)` would be.
                    [Part::Command { .. }] => Input::Text(word),
                    _ if word.bare() == Some("/dev/null") => Input::Inherited,
                    _ => Input::File(word),
                };
            }
            Some(Token::InputText(word)) => redirected.input = Input::Text(word),
            Some(Token::Output(output)) => redirected.outputs.push(output),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn eat(&mut self, operator: Operator) -> bool {
        self.tokens.next_if_eq(&Token::Operator(operator)).is_some()
    }

    fn eat_newline(&mut self) -> bool {
        self.tokens.next_if_eq(&Token::Newline).is_some()
    }

    fn eat_word(&mut self, wanted: &str) -> bool {
        self.tokens
            .next_if(|token| matches!(token, Token::Word(word) if word.bare() == Some(wanted)))
            .is_some()
    }

    fn expect(&mut self, wanted: &str) -> Result<()> {
        if self.eat_word(wanted) { Ok(()) } else { Err(Unreadable::Syntax) }
    }

    fn next_word(&mut self) -> Result<Word> {
        match self.tokens.next() {
            Some(Token::Word(word)) => Ok(word),
            _ => Err(Unreadable::Syntax),
        }
    }
}

/// The redirections of one command.
struct Redirected {
    input: Input,
    outputs: Vec<Output>,
}

impl Default for Redirected {
    fn default() -> Self {
        Self { input: Input::Inherited, outputs: Vec::new() }
    }
}

impl Redirected {
    fn command(self, kind: Kind) -> Command {
        Command { kind, input: self.input, outputs: self.outputs }
    }
}

/// Splits `NAME=value`. Appending (`NAME+=value`) is kept as what it appends to: unknown.
pub(super) fn assignment(word: &Word) -> Option<(String, Word)> {
    let Some(Part::Text { text, quoted: false }) = word.parts.first() else { return None };
    let (name, value) = text.split_once('=')?;
    let (name, appends) = match name.strip_suffix('+') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    if !is_name {
        return None;
    }
    let mut parts = Vec::with_capacity(word.parts.len());
    if appends {
        parts.push(Part::Variable { name: name.to_owned(), quoted: true });
    }
    if !value.is_empty() {
        parts.push(Part::Text { text: value.to_owned(), quoted: false });
    }
    parts.extend(word.parts.iter().skip(1).cloned());
    Some((name.to_owned(), Word { parts }))
}
