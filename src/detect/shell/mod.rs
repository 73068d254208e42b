//! A reader of shell scripts that cannot be hurt by what it reads.
//!
//! It reads what `sh` and `bash` have in common and what scripts in manifests are made of. It does
//! so in one pass without going back, so that time grows with the length of the script, and it
//! counts nesting while it descends, so that no script can exhaust the stack. What it cannot read
//! is an error, and the caller falls back to looking at plain words.

use std::rc::Rc;

mod lexer;
mod parser;

pub(super) use parser::parse;

/// The longest script that is read, in bytes: a ConfigMap may hold 1 MiB, a shell script of that
/// size is nothing that anybody reviewed.
pub(super) const MAX_SCRIPT: usize = 256 * 1024;

/// Why a script was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is no shell syntax that we know.
    Syntax,
    /// It is too long or nested too deeply.
    Limit,
}

/// One word before expansion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) parts: Vec<Part>,
}

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Text as it is.
    Text { text: String, quoted: bool },
    /// `$NAME`, `${NAME}`, `$1`, `$@`.
    Variable { name: String, quoted: bool },
    /// `${NAME:-word}` and `${NAME:=word}`: the word when the variable is unset or empty.
    Default { name: String, word: Word, quoted: bool },
    /// `$(script)` and backquotes.
    Command { script: String, quoted: bool },
    /// Something that only a running shell could tell.
    Unknown { quoted: bool },
}

impl Word {
    /// The text, if it is one piece of unquoted text: the only form in which a word can be a
    /// keyword, an assignment or the name of a function.
    pub(super) fn bare(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Text { text, quoted: false }] => Some(text),
            _ => None,
        }
    }

    /// The text, if the word holds nothing to expand.
    pub(super) fn literal(&self) -> Option<String> {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text { text, .. } => Some(text.as_str()),
                Part::Variable { .. }
                | Part::Default { .. }
                | Part::Command { .. }
                | Part::Unknown { .. } => None,
            })
            .collect()
    }
}

/// Commands one after another.
pub(super) type List = Vec<AndOr>;

/// Pipelines joined by `&&` and `||`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AndOr {
    pub(super) first: Pipeline,
    pub(super) rest: Vec<(Join, Pipeline)>,
}

/// How a pipeline depends on the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    /// `&&`
    And,
    /// `||`
    Or,
}

/// Commands joined by `|`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pipeline {
    pub(super) negated: bool,
    pub(super) commands: Vec<Command>,
}

/// A command, what is redirected into it and where its output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) kind: Kind,
    pub(super) input: Input,
    pub(super) outputs: Vec<Output>,
}

/// A redirection of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) target: Word,
    /// `>>`
    pub(super) appends: bool,
    /// It is the standard output that goes there, not the errors alone.
    pub(super) standard: bool,
}

/// What a command reads from a redirection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// Nothing is redirected.
    Inherited,
    /// `< file`
    File(Word),
    /// A here-document or a here-string.
    Text(Word),
}

/// The kinds of commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Simple {
        assignments: Vec<(String, Word)>,
        words: Vec<Word>,
    },
    Group(List),
    If {
        arms: Vec<(List, List)>,
        otherwise: List,
    },
    Loop {
        condition: List,
        body: List,
        until: bool,
    },
    For {
        name: String,
        values: Vec<Word>,
        body: List,
    },
    Case {
        subject: Word,
        arms: Vec<(Vec<Word>, List)>,
    },
    Function {
        name: String,
        body: Rc<List>,
    },
    /// `[[ … ]]` and `(( … ))`: they run nothing but the substitutions in them.
    Test(Vec<Word>),
}
