//! A reader of shell scripts that cannot be hurt by what it reads.
//!
//! It reads what `sh` and `bash` have in common and what scripts in manifests are made of. It does
//! so in one pass without going back, so that time grows with the length of the script, and it
//! counts nesting while it descends, so that no script can exhaust the stack. What it cannot read
//! is an error, and the caller falls back to looking at plain words.

use std::rc::Rc;

use compact_str::CompactString;
use smallvec::{SmallVec, smallvec};

mod braces;
mod brackets;
mod lexer;
mod parser;
mod words;

pub(super) use braces::{Alternatives, alternatives};
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
    pub(super) parts: SmallVec<[Part; 1]>,
}

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Text as it is.
    Text { text: CompactString, quoted: bool },
    /// `$NAME`, `${NAME}`, `$1`, `$@`.
    Variable { name: CompactString, quoted: bool },
    /// `${NAME…}`: a value of which something is made.
    Expansion { expansion: Box<Expansion>, quoted: bool },
    /// `$(script)` and backquotes.
    Command { script: String, quoted: bool },
    /// `<(script)`, a file that holds what the script prints, or `>(script)`, one that it reads.
    Process { script: String, is_output: bool },
    /// `(a b c)` after `name=`.
    Array(Vec<Word>),
    /// `$((…))`
    Arithmetic { inside: Box<Word>, quoted: bool },
    /// Something that only a running shell could tell, with what is expanded on the way.
    Unknown { inside: Box<Word>, quoted: bool },
}

/// What stands in `${…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expansion {
    pub(super) name: CompactString,
    /// `[word]`
    pub(super) index: Option<Word>,
    pub(super) change: Change,
}

/// What `${…}` makes of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// `${!NAME}`: the value of the variable that is called so.
    Indirect,
    /// `${#NAME}`
    Length,
    /// `:-`, `-`, `:=` and `=`: the word when there is no value.
    Default { word: Word, assigns: bool, or_empty: bool },
    /// `:+` and `+`: the word when there is a value.
    Alternative { word: Word, or_empty: bool },
    /// `:?` and `?`: the value, or the end.
    Required(Word),
    /// `#`, `##`, `%` and `%%`
    Trim { pattern: Word, at_end: bool, longest: bool },
    /// `/pattern/word`
    Replace { pattern: Word, with: Word, all: bool, place: Place },
    /// `:offset:length`
    Slice { offset: Word, length: Option<Word> },
    /// `^`, `^^`, `,` and `,,`
    Case { upper: bool, all: bool },
}

/// Where `${NAME/pattern/word}` replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Anywhere,
    Start,
    End,
}

impl Part {
    /// True when it stands in quotes, so that nothing in it is special.
    pub(super) fn is_quoted(&self) -> bool {
        match self {
            Self::Text { quoted, .. }
            | Self::Variable { quoted, .. }
            | Self::Expansion { quoted, .. }
            | Self::Command { quoted, .. }
            | Self::Arithmetic { quoted, .. }
            | Self::Unknown { quoted, .. } => *quoted,
            Self::Process { .. } | Self::Array(_) => true,
        }
    }
}

impl Word {
    /// A word of one part.
    pub(super) fn of(part: Part) -> Self {
        Self { parts: smallvec![part] }
    }

    /// The text, if it is one piece of unquoted text: the only form in which a word can be a
    /// keyword, an assignment or the name of a function.
    pub(super) fn bare(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Text { text, quoted: false }] => Some(text),
            _ => None,
        }
    }

    /// The text, if the word holds nothing to expand.
    pub(super) fn literal(&self) -> Option<CompactString> {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text { text, .. } => Some(text.as_str()),
                Part::Variable { .. }
                | Part::Expansion { .. }
                | Part::Command { .. }
                | Part::Process { .. }
                | Part::Array(_)
                | Part::Arithmetic { .. }
                | Part::Unknown { .. } => None,
            })
            .collect()
    }

    /// True when expanding it runs a command.
    pub(super) fn runs(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Arithmetic { inside, .. } => inside.runs(),
            part => matches!(part, Part::Command { .. } | Part::Unknown { .. }),
        })
    }
}

/// Commands one after another.
pub(super) type List = Vec<AndOr>;

/// Pipelines joined by `&&` and `||`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AndOr {
    pub(super) first: Pipeline,
    pub(super) rest: Vec<(Join, Pipeline)>,
    /// Followed by `&`: it runs in a shell of its own.
    pub(super) background: bool,
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
    pub(super) first: Command,
    pub(super) rest: Vec<Command>,
}

/// A command, what is redirected into it and where its output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) kind: Kind,
    /// Most commands have none: what is walked over is kept small.
    pub(super) redirected: Option<Box<Redirected>>,
}

/// What is redirected into a command, and where its output goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Redirected {
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Input {
    /// Nothing is redirected.
    #[default]
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
        assignments: Vec<Assignment>,
        words: Vec<Word>,
    },
    /// `{ … }`
    Group(List),
    /// `( … )`: a shell of its own.
    Subshell(List),
    If {
        arms: Vec<(List, List)>,
        otherwise: List,
    },
    Loop {
        condition: List,
        body: List,
        until: bool,
    },
    For(Box<For>),
    Case(Box<Case>),
    Function {
        name: CompactString,
        body: Rc<List>,
    },
    /// `[[ … ]]`: it runs nothing but the substitutions in it.
    Test(Vec<Word>),
    /// `(( … ))`
    Arithmetic(Word),
}

/// `for name in values`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct For {
    pub(super) name: CompactString,
    pub(super) values: Vec<Word>,
    pub(super) body: List,
}

/// `case subject in`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) subject: Word,
    pub(super) arms: Vec<Arm>,
}

/// `name=word`, `name[index]=word`, `name+=word`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) name: CompactString,
    pub(super) index: Option<CompactString>,
    pub(super) word: Word,
    pub(super) appends: bool,
}

/// One arm of `case`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arm {
    pub(super) patterns: Vec<Word>,
    pub(super) body: List,
    pub(super) end: ArmEnd,
}

/// How an arm of `case` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArmEnd {
    /// `;;`
    Leave,
    /// `;&`: the next body runs as well.
    FallThrough,
    /// `;;&`: the next patterns are tried as well.
    TryNext,
}
