//! Tokens to commands.

use std::rc::Rc;

use compact_str::CompactString;
use smallvec::SmallVec;

use super::{
    AndOr, Arm, ArmEnd, Assignment, Case, Command, For, Input, Join, Kind, List, MAX_SCRIPT, Part,
    Pipeline, Redirected, Unreadable, Word,
    lexer::{Operator, Token, Tokens},
};

/// What could be read of a script.
#[derive(Debug)]
pub(in crate::detect) struct Parsed {
    /// The commands before the first mistake: a shell runs a script as it reads it, so these run.
    pub(in crate::detect) list: List,
    /// Why the rest was not read.
    pub(in crate::detect) error: Option<Unreadable>,
}

/// Reads a script; `max_depth` bounds how deeply commands may nest.
pub(in crate::detect) fn parse(script: &str, max_depth: usize) -> Parsed {
    let too_long = script.len() > MAX_SCRIPT;
    let script = if too_long {
        let head = script.get(..script.floor_char_boundary(MAX_SCRIPT)).unwrap_or_default();
        head.rsplit_once('\n').map_or(head, |(lines, _)| lines)
    } else {
        script
    };
    let unix = script.contains('\r').then(|| script.replace("\r\n", "\n"));
    let tokens = Tokens::of(unix.as_deref().unwrap_or(script));
    let mut parser = Parser { tokens, depth: max_depth };
    let mut list = Vec::new();
    let wrong = match parser.list_into(&mut list, &[]) {
        Err(error) => Some(error),
        Ok(()) => parser.tokens.next().map(|_| Unreadable::Syntax),
    };
    let limit = too_long.then_some(Unreadable::Limit);
    Parsed { list, error: limit.or(parser.tokens.mistake).or(wrong) }
}

/// Words that begin a command of their own syntax.
const COMPOUNDS: [&str; 10] =
    ["{", "if", "while", "until", "for", "select", "case", "function", "[[", "coproc"];

struct Parser<'s> {
    tokens: Tokens<'s>,
    /// How much deeper commands may nest.
    depth: usize,
}

type Result<T> = std::result::Result<T, Unreadable>;

impl Parser<'_> {
    /// Commands up to one of `ends`, which is left alone.
    fn list(&mut self, ends: &[&str]) -> Result<List> {
        let mut list = Vec::new();
        self.list_into(&mut list, ends)?;
        Ok(list)
    }

    /// The same; what was read before a mistake stays in `list`.
    fn list_into(&mut self, list: &mut List, ends: &[&str]) -> Result<()> {
        self.depth = self.depth.checked_sub(1).ok_or(Unreadable::Limit)?;
        loop {
            while self.eat(Operator::Semicolon) || self.eat_newline() {}
            match self.tokens.peek() {
                None
                | Some(Token::Operator(
                    Operator::Close
                    | Operator::EndOfArm
                    | Operator::FallThrough
                    | Operator::TryNext,
                )) => break,
                Some(Token::Word(word)) if word.bare().is_some_and(|w| ends.contains(&w)) => break,
                Some(_) => {}
            }
            let mut and_or = self.and_or()?;
            and_or.background = self.eat(Operator::Background);
            let separated =
                and_or.background || self.eat(Operator::Semicolon) || self.eat_newline();
            list.push(and_or);
            if !separated {
                break;
            }
        }
        self.depth = self.depth.saturating_add(1);
        Ok(())
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
            let join = match self.tokens.operator() {
                Some(Operator::And) => Join::And,
                Some(Operator::Or) => Join::Or,
                _ => return Ok(AndOr { first, rest, background: false }),
            };
            self.tokens.next();
            while self.eat_newline() {}
            rest.push((join, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline> {
        let mut negated = false;
        while let Some(prefix @ ("!" | "time")) = self.tokens.bare() {
            if prefix == "!" {
                negated = !negated;
                self.tokens.next();
            } else {
                self.tokens.next();
                self.eat_word("-p");
            }
        }
        let first = self.command()?;
        let mut rest = Vec::new();
        while self.eat(Operator::Pipe) {
            while self.eat_newline() {}
            rest.push(self.command()?);
        }
        Ok(Pipeline { negated, first, rest })
    }

    fn command(&mut self) -> Result<Command> {
        let kind = match self.tokens.peek() {
            Some(Token::Operator(Operator::Open)) => {
                self.tokens.next();
                let list = self.list(&[])?;
                if !self.eat(Operator::Close) {
                    return Err(Unreadable::Syntax);
                }
                Kind::Subshell(list)
            }
            Some(Token::Arithmetic(_)) => match self.tokens.next() {
                Some(Token::Arithmetic(inside)) => Kind::Arithmetic(inside),
                _ => return Err(Unreadable::Syntax),
            },
            Some(Token::Word(word)) => {
                let bare = word.bare().unwrap_or_default();
                let keyword = COMPOUNDS.iter().find(|keyword| **keyword == bare);
                match keyword {
                    Some(&"coproc") => return self.coprocess(),
                    Some(keyword) => self.compound(keyword)?,
                    None => return self.simple(Vec::new()),
                }
            }
            Some(_) => return self.simple(Vec::new()),
            None => return Err(Unreadable::Syntax),
        };
        let mut redirected = None;
        while self.redirection(&mut redirected) {}
        Ok(Command { kind, redirected })
    }

    fn compound(&mut self, word: &str) -> Result<Kind> {
        self.tokens.next();
        Ok(match word {
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
            "while" | "until" => {
                let condition = self.block("do")?;
                Kind::Loop { condition, body: self.block("done")?, until: word == "until" }
            }
            _ => return Err(Unreadable::Syntax),
        })
    }

    /// `coproc command`, `coproc NAME { …; }`
    fn coprocess(&mut self) -> Result<Command> {
        self.tokens.next();
        let starts_compound = |token: &Token| match token {
            Token::Operator(Operator::Open) => true,
            Token::Word(word) => word.bare().is_some_and(|word| COMPOUNDS.contains(&word)),
            _ => false,
        };
        self.depth = self.depth.checked_sub(1).ok_or(Unreadable::Limit)?;
        let command = if self.tokens.peek().is_some_and(starts_compound) {
            self.command()?
        } else {
            let first = self.next_word()?;
            if self.tokens.peek().is_some_and(starts_compound) {
                self.command()?
            } else {
                self.simple(vec![first])?
            }
        };
        self.depth = self.depth.saturating_add(1);
        let kind = Kind::Subshell(vec![alone(command)]);
        Ok(Command { kind, redirected: None })
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
        let mut values = vec![Word::of(Part::Variable { name: "@".into(), quoted: true })];
        let is_arithmetic = |token: &Token| matches!(token, Token::Arithmetic(_));
        let name = if let Some(Token::Arithmetic(inside)) = self.tokens.next_if(is_arithmetic) {
            values = vec![inside];
            CompactString::default()
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
        Ok(Kind::For(Box::new(For { name, values, body })))
    }

    fn case_clause(&mut self) -> Result<Kind> {
        let subject = self.next_word()?;
        while self.eat_newline() {}
        self.expect("in")?;
        let mut arms = Vec::new();
        loop {
            while self.eat_newline() {}
            if self.eat_word("esac") {
                return Ok(Kind::Case(Box::new(Case { subject, arms })));
            }
            self.eat(Operator::Open);
            let mut patterns = vec![self.next_word()?];
            while self.eat(Operator::Pipe) {
                patterns.push(self.next_word()?);
            }
            if !self.eat(Operator::Close) {
                return Err(Unreadable::Syntax);
            }
            let body = self.list(&["esac"])?;
            let end = if self.eat(Operator::FallThrough) {
                ArmEnd::FallThrough
            } else if self.eat(Operator::TryNext) {
                ArmEnd::TryNext
            } else {
                self.eat(Operator::EndOfArm);
                ArmEnd::Leave
            };
            arms.push(Arm { patterns, body, end });
        }
    }

    fn function(&mut self, name: CompactString) -> Result<Kind> {
        while self.eat_newline() {}
        self.depth = self.depth.checked_sub(1).ok_or(Unreadable::Limit)?;
        let body = self.command()?;
        self.depth = self.depth.saturating_add(1);
        Ok(Kind::Function { name, body: Rc::new(vec![alone(body)]) })
    }

    fn test(&mut self) -> Result<Kind> {
        let mut words = Vec::new();
        loop {
            match self.tokens.next().ok_or(Unreadable::Syntax)? {
                Token::Word(word) if word.bare() == Some("]]") => return Ok(Kind::Test(words)),
                Token::Word(word)
                | Token::InputFile(word)
                | Token::InputText(word)
                | Token::Arithmetic(word) => words.push(word),
                Token::Output(output) => words.push(output.target),
                // What joins two tests makes the words around it more than one test can have.
                Token::Operator(_) => words.push(Word::default()),
                Token::Newline => {}
            }
        }
    }

    fn simple(&mut self, mut words: Vec<Word>) -> Result<Command> {
        let mut assignments = Vec::new();
        let mut redirected = None;
        loop {
            match self.tokens.peek() {
                Some(Token::InputFile(_) | Token::InputText(_) | Token::Output(_)) => {
                    self.redirection(&mut redirected);
                }
                Some(Token::Word(_)) => {
                    let word = self.next_word()?;
                    let assigned = if words.is_empty() { assignment(&word) } else { None };
                    match assigned {
                        Some(assigned) => assignments.push(assigned),
                        None => words.push(word),
                    }
                }
                Some(Token::Operator(Operator::Open)) if words.len() == 1 => {
                    self.tokens.next();
                    let name = words.pop().and_then(|word| word.literal());
                    let name = name.ok_or(Unreadable::Syntax)?;
                    if !self.eat(Operator::Close) {
                        return Err(Unreadable::Syntax);
                    }
                    return Ok(Command { kind: self.function(name)?, redirected });
                }
                _ => break,
            }
        }
        if assignments.is_empty()
            && words.is_empty()
            && redirected.as_ref().is_none_or(|own| own.input == Input::Inherited)
            && !matches!(
                self.tokens.peek(),
                None | Some(Token::Newline | Token::Operator(Operator::Semicolon))
            )
        {
            // `> file` alone is a command; an operator alone is not.
            return Err(Unreadable::Syntax);
        }
        Ok(Command { kind: Kind::Simple { assignments, words }, redirected })
    }

    /// Reads one redirection; false when there is none here.
    fn redirection(&mut self, redirected: &mut Option<Box<Redirected>>) -> bool {
        let is_redirection = |token: &Token| {
            matches!(token, Token::InputFile(_) | Token::InputText(_) | Token::Output(_))
        };
        let Some(token) = self.tokens.next_if(is_redirection) else { return false };
        let redirected = redirected.get_or_insert_default();
        match token {
            Token::InputFile(word) => redirected.input = Input::File(word),
            Token::InputText(word) => redirected.input = Input::Text(word),
            Token::Output(output) => redirected.outputs.push(output),
            Token::Word(_) | Token::Operator(_) | Token::Arithmetic(_) | Token::Newline => {}
        }
        true
    }

    fn eat(&mut self, operator: Operator) -> bool {
        self.tokens.operator() == Some(operator) && self.tokens.next().is_some()
    }

    fn eat_newline(&mut self) -> bool {
        self.tokens.next_if(|token| matches!(token, Token::Newline)).is_some()
    }

    fn eat_word(&mut self, wanted: &str) -> bool {
        self.tokens.bare() == Some(wanted) && self.tokens.next().is_some()
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

/// A list of one command.
fn alone(command: Command) -> AndOr {
    let first = Pipeline { negated: false, first: command, rest: Vec::new() };
    AndOr { first, rest: Vec::new(), background: false }
}

/// Splits `NAME=value`, `NAME[index]=value` and `NAME+=value`.
pub(super) fn assignment(word: &Word) -> Option<Assignment> {
    let Some(Part::Text { text, quoted: false }) = word.parts.first() else { return None };
    let (name, value) = text.split_once('=')?;
    let (name, appends) = match name.strip_suffix('+') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let (name, index) = match name.split_once('[') {
        Some((name, index)) => (name, Some(index.strip_suffix(']')?.into())),
        None => (name, None),
    };
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    if !is_name {
        return None;
    }
    let mut parts = SmallVec::new();
    if !value.is_empty() {
        parts.push(Part::Text { text: value.into(), quoted: false });
    }
    parts.extend(word.parts.iter().skip(1).cloned());
    Some(Assignment { name: name.into(), index, word: Word { parts }, appends })
}
