//! What an expression may say.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators,
};

use super::{
    CompileError,
    charge::{Appended, appended, is_count},
};
use crate::source::did_you_mean;

/// Largest tree of an expression, in levels: the interpreter recurses.
const DEPTH: usize = 40;
/// How deep loops nest; a loop over the result of a loop counts as nested.
const LOOPS: usize = 2;
/// Most `+` of an expression: each copies.
const ADDITIONS: usize = 16;
/// Largest pattern of `matches`, compiled, in bytes.
const PATTERN_SIZE: usize = 1 << 16;
/// Functions that an expression may call, with how many arguments, counting the one before the dot.
const FUNCTIONS: &[(&str, usize)] = &[
    ("size", 1),
    ("contains", 2),
    ("startsWith", 2),
    ("endsWith", 2),
    ("matches", 2),
    ("string", 1),
    ("int", 1),
    ("uint", 1),
    ("double", 1),
    ("bool", 1),
    ("type", 1),
];
/// What becomes a loop or a test when it is parsed, for suggestions.
const MACROS: &[&str] = &["has", "all", "exists", "exists_one", "map", "filter"];
/// Names of types, which are values: `type(x) == string`.
const TYPES: &[&str] =
    &["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// Checks a tree as it was parsed, and gives the variables that it reads, sorted.
pub(super) fn check(
    source: &str,
    variables: &[&str],
    tree: &IdedExpr,
) -> Result<Vec<String>, CompileError> {
    let mut checker = Checker { source, variables, bound: Vec::new(), read: Vec::new(), plus: 0 };
    checker.check(tree, Place::default())?;
    let mut read = checker.read;
    read.sort_unstable();
    read.dedup();
    Ok(read)
}

/// Where in an expression something stands.
#[derive(Clone, Copy, Default)]
struct Place {
    depth: usize,
    /// How many loops are around it.
    loops: usize,
    /// True in what a loop does in each turn.
    in_turn: bool,
    /// True in a list or a map that is written out.
    in_literal: bool,
}

/// Checks a tree as it was parsed.
struct Checker<'c> {
    source: &'c str,
    variables: &'c [&'c str],
    /// Variables of the loops around.
    bound: Vec<String>,
    read: Vec<String>,
    plus: usize,
}

impl Checker<'_> {
    fn check(&mut self, tree: &IdedExpr, place: Place) -> Result<(), CompileError> {
        let place = Place { depth: place.depth.saturating_add(1), ..place };
        if place.depth > DEPTH {
            return Err(self.error("", format!("nests deeper than {DEPTH} levels")));
        }
        match &tree.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => self.check(&select.operand, place),
            Expr::Call(call) => self.call(call, place),
            Expr::List(list) => {
                let is_constant = |element: &IdedExpr| matches!(element.expr, Expr::Literal(_));
                if !list.elements.iter().all(is_constant) {
                    self.literal(place)?;
                }
                let place = Place { in_literal: true, ..place };
                list.elements.iter().try_for_each(|element| self.check(element, place))
            }
            Expr::Map(map) => {
                self.literal(place)?;
                let place = Place { in_literal: true, ..place };
                map.entries.iter().try_for_each(|entry| match &entry.expr {
                    EntryExpr::MapEntry(entry) => {
                        self.check(&entry.key, place)?;
                        self.check(&entry.value, place)
                    }
                    EntryExpr::StructField(field) => self.check(&field.value, place),
                })
            }
            Expr::Comprehension(looped) => self.looped(looped, place),
            Expr::Struct(made) => {
                Err(self.error(&made.type_name, "makes a message, which is not supported"))
            }
            Expr::Unspecified => Err(self.error("", "cannot be parsed")),
        }
    }

    fn name(&mut self, name: &str) -> Result<(), CompileError> {
        let plain = name.trim_start_matches('.');
        if self.bound.iter().any(|bound| bound == name) || TYPES.contains(&plain) {
            return Ok(());
        }
        if self.variables.contains(&name) {
            self.read.push(name.to_owned());
            return Ok(());
        }
        let known = self.variables.iter().copied().chain(self.bound.iter().map(String::as_str));
        let message = format!("there is no variable `{name}`{}", did_you_mean(name, known));
        Err(self.error(name, message))
    }

    fn call(&mut self, call: &CallExpr, place: Place) -> Result<(), CompileError> {
        let name = call.func_name.as_str();
        let is_operator = !name.starts_with(|first: char| first.is_ascii_alphabetic());
        if !is_operator {
            self.function(call)?;
        } else if matches!(name, operators::OPT_INDEX | operators::OPT_SELECT) {
            return Err(self.error("?", "optional values are not supported"));
        }
        if name == operators::ADD {
            self.plus = self.plus.saturating_add(1);
            if place.in_turn {
                return Err(self.error("+", "`+` cannot stand inside a loop: it copies"));
            }
            if self.plus > ADDITIONS {
                return Err(self.error("+", format!("has more than {ADDITIONS} `+`")));
            }
        }
        let operands = call.target.iter().map(|target| &**target).chain(&call.args);
        operands.into_iter().try_for_each(|operand| self.check(operand, place))
    }

    fn function(&self, call: &CallExpr) -> Result<(), CompileError> {
        let name = call.func_name.as_str();
        let arguments = call.args.len().saturating_add(usize::from(call.target.is_some()));
        let Some((_, wanted)) = FUNCTIONS.iter().find(|(known, _)| *known == name) else {
            if MACROS.contains(&name) {
                return Err(self.error(name, format!("`{name}` is not used as it is meant")));
            }
            let known = FUNCTIONS.iter().map(|(known, _)| *known).chain(MACROS.iter().copied());
            let message = format!("there is no function `{name}`{}", did_you_mean(name, known));
            return Err(self.error(name, message));
        };
        if arguments != *wanted {
            let message = format!("`{name}` takes {wanted} and not {arguments} arguments");
            return Err(self.error(name, message));
        }
        if name == "matches" { self.pattern(call) } else { Ok(()) }
    }

    /// A pattern that stands in the expression is known to be small; any other is not.
    fn pattern(&self, call: &CallExpr) -> Result<(), CompileError> {
        let Some(Expr::Literal(LiteralValue::String(pattern))) =
            call.args.last().map(|last| &last.expr)
        else {
            return Err(self.error("matches", "`matches` needs a pattern that is written out"));
        };
        regex::RegexBuilder::new(pattern.inner())
            .size_limit(PATTERN_SIZE)
            .build()
            .map(drop)
            .map_err(|error| {
                let message = match error {
                    regex::Error::CompiledTooBig(_) => "the pattern is too large".to_owned(),
                    error => {
                        let text = error.to_string();
                        let last = text.lines().last().unwrap_or_default();
                        format!("no pattern: {}", last.trim_start_matches("error: "))
                    }
                };
                self.error("matches", message)
            })
    }

    /// What a loop does must not build anything larger than what it reads.
    fn literal(&self, place: Place) -> Result<(), CompileError> {
        if place.in_turn {
            return Err(self
                .error("", "no list or map of anything but constants can be made inside a loop"));
        }
        Ok(())
    }

    fn looped(&mut self, looped: &ComprehensionExpr, place: Place) -> Result<(), CompileError> {
        let place = Place { loops: place.loops.saturating_add(1), ..place };
        if place.loops > LOOPS {
            let message =
                format!("loops nest deeper than {LOOPS}, or one follows another too often");
            return Err(self.error("", message));
        }
        if place.in_literal {
            return Err(self.error("", "no loop can stand inside a list or a map"));
        }
        self.check(&looped.iter_range, place)?;
        let appended = appended(looped);
        if appended.is_some() && place.in_turn {
            let message = "`map` and `filter` cannot stand inside a loop: use `exists` or `all`";
            return Err(self.error("", message));
        }
        let names = [Some(&looped.iter_var), looped.iter_var2.as_ref(), Some(&looped.accu_var)];
        let before = self.bound.len();
        self.bound.extend(names.into_iter().flatten().cloned());
        let turn = Place { in_turn: true, ..place };
        let checked = match appended {
            // The list and the `+` of these two are the loop itself and are charged.
            Some(Appended { guard, element }) => guard
                .map_or(Ok(()), |guard| self.check(guard, turn))
                .and_then(|()| self.check(element, turn)),
            None => self.folded(looped, turn),
        };
        self.bound.truncate(before);
        checked
    }

    fn folded(&mut self, looped: &ComprehensionExpr, turn: Place) -> Result<(), CompileError> {
        let counts = is_count(looped);
        let before = self.plus;
        self.check(&looped.accu_init, turn)?;
        self.check(&looped.loop_cond, turn)?;
        // `exists_one` counts with `+`, which is no `+` of the user's.
        let step = if counts { Place { in_turn: false, ..turn } } else { turn };
        self.check(&looped.loop_step, step)?;
        if counts {
            self.plus = before;
        }
        self.check(&looped.result, turn)
    }

    /// An error at the first place where `word` stands in the expression.
    fn error(&self, word: &str, message: impl Into<String>) -> CompileError {
        let at = if word.is_empty() { 0 } else { word_at(self.source, word).unwrap_or(0) };
        let before = self.source.get(..at).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        CompileError {
            line: before.matches('\n').count().saturating_add(1),
            column: line.chars().count().saturating_add(1),
            message: message.into(),
        }
    }
}

/// The offset of a name that stands by itself, and not as a part of another or after a dot.
fn word_at(source: &str, word: &str) -> Option<usize> {
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    let alone = |at: usize| {
        let before = source.get(..at).and_then(|text| text.chars().next_back());
        let after = source.get(at.saturating_add(word.len())..).and_then(|t| t.chars().next());
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    };
    let all = || source.match_indices(word).map(|(at, _)| at);
    let is_symbol = !word.starts_with(is_word);
    all().find(|at| is_symbol || alone(*at))
}
