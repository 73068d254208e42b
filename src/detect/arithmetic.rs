//! Arithmetic of the shell, as far as the values are known.

use compact_str::ToCompactString;

use super::state::{ELEMENT, HOLE, Shell};

/// The longest expression that is calculated, in bytes.
const MAX_LENGTH: usize = 1024;
/// How deeply an expression may nest.
const MAX_DEPTH: usize = 32;
/// How many variables are followed that hold the names of others.
const MAX_NAMES: usize = 8;

/// How strongly operators bind, longest first so that `**` is not read as `*`.
const OPERATORS: [(&str, u8); 21] = [
    ("**", 13),
    ("<<", 10),
    (">>", 10),
    ("<=", 9),
    (">=", 9),
    ("==", 8),
    ("!=", 8),
    ("&&", 4),
    ("||", 3),
    ("*", 12),
    ("/", 12),
    ("%", 12),
    ("+", 11),
    ("-", 11),
    ("<", 9),
    (">", 9),
    ("&", 7),
    ("^", 6),
    ("|", 5),
    ("?", 2),
    (",", 0),
];
const CONDITIONAL: u8 = 2;
const ASSIGNMENT: u8 = 1;

/// What may stand between a name and `=`, longest first.
const ASSIGNED: [&str; 10] = ["<<", ">>", "+", "-", "*", "/", "%", "&", "^", "|"];

/// The value of an expression in which everything is expanded; what it assigns is assigned.
///
/// `None` where it is not known or does not fit into 64 bits: then what it assigns is not known.
pub(super) fn value(text: &str, shell: &mut Shell) -> Option<i64> {
    let known = calculated(text, shell);
    if known.is_none() {
        forget(text, shell);
    }
    known
}

fn calculated(text: &str, shell: &mut Shell) -> Option<i64> {
    if text.len() > MAX_LENGTH || text.contains(HOLE) {
        return None;
    }
    let text = text.replace('"', "");
    if text.trim().is_empty() {
        return Some(0);
    }
    let mut expression = Expression { rest: &text, shell, depth: MAX_DEPTH };
    let value = expression.binary(0, true)?;
    expression.rest.trim().is_empty().then_some(value)
}

/// Forgets every variable of an expression that assigns any.
pub(super) fn forget(text: &str, shell: &mut Shell) {
    let assigns = text.match_indices('=').any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default();
        let is_shift = before.ends_with("<<") || before.ends_with(">>");
        let compares = before.ends_with(['=', '!', '<', '>']);
        let is_doubled = text.get(at.saturating_add(1)..).is_some_and(|r| r.starts_with('='));
        is_shift || !(compares || is_doubled)
    });
    if !assigns && !text.contains("++") && !text.contains("--") {
        return;
    }
    for name in text.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()) {
        if is_name(name) {
            shell.set(name, None);
        }
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
}

/// `12`, `0x1f`, `017`, `2#101`
fn number(digits: &str) -> Option<i64> {
    let (radix, digits) = if let Some((radix, digits)) = digits.split_once('#') {
        (radix.parse().ok().filter(|radix| (2..=36).contains(radix))?, digits)
    } else if let Some(digits) = digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        (16, digits)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, digits)
    } else {
        (10, digits)
    };
    let is_whole = digits.chars().all(|c| c.is_ascii_alphanumeric());
    if is_whole { i64::from_str_radix(digits, radix).ok() } else { None }
}

struct Expression<'e> {
    rest: &'e str,
    shell: &'e mut Shell,
    /// How much deeper it may nest.
    depth: usize,
}

impl<'e> Expression<'e> {
    fn eat(&mut self, symbol: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(symbol) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Operands joined by operators that bind at least so strongly. What does not run, as the
    /// right of `0 && …`, is read and has no effect.
    fn binary(&mut self, least: u8, runs: bool) -> Option<i64> {
        self.depth = self.depth.checked_sub(1)?;
        let mut left = self.unary(runs)?;
        loop {
            self.rest = self.rest.trim_start();
            let operator = OPERATORS.iter().find(|(symbol, _)| self.rest.starts_with(symbol));
            let Some((symbol, power)) = operator.filter(|(_, power)| *power >= least) else {
                break;
            };
            self.eat(symbol);
            let tighter = power.saturating_add(1);
            left = match *symbol {
                "?" => {
                    let yes = self.binary(0, runs && left != 0)?;
                    let no = if self.eat(":") {
                        self.binary(CONDITIONAL, runs && left == 0)?
                    } else {
                        return None;
                    };
                    if left != 0 { yes } else { no }
                }
                "&&" => {
                    let right = self.binary(tighter, runs && left != 0)?;
                    i64::from(left != 0 && right != 0)
                }
                "||" => {
                    let right = self.binary(tighter, runs && left == 0)?;
                    i64::from(left != 0 || right != 0)
                }
                // From the right: `2 ** 3 ** 2` is `2 ** 9`.
                "**" => {
                    let right = self.binary(*power, runs)?;
                    if runs { applied("**", left, right)? } else { 0 }
                }
                symbol => {
                    let right = self.binary(tighter, runs)?;
                    if runs { applied(symbol, left, right)? } else { 0 }
                }
            };
        }
        self.depth = self.depth.saturating_add(1);
        Some(left)
    }

    fn unary(&mut self, runs: bool) -> Option<i64> {
        self.depth = self.depth.checked_sub(1)?;
        let value = if self.eat("++") {
            self.stepped(1, runs)?
        } else if self.eat("--") {
            self.stepped(-1, runs)?
        } else if self.eat("+") {
            self.unary(runs)?
        } else if self.eat("-") {
            self.unary(runs)?.checked_neg()?
        } else if self.eat("!") {
            i64::from(self.unary(runs)? == 0)
        } else if self.eat("~") {
            !self.unary(runs)?
        } else if self.eat("(") {
            let inside = self.binary(0, runs)?;
            if !self.eat(")") {
                return None;
            }
            inside
        } else {
            self.operand(runs)?
        };
        self.depth = self.depth.saturating_add(1);
        Some(value)
    }

    /// The letters, digits and signs of a name or a number.
    fn word(&mut self) -> &'e str {
        self.rest = self.rest.trim_start();
        let is_part = |c: char| c == '_' || c == '#' || c.is_ascii_alphanumeric();
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        word
    }

    /// A number, or a variable with what is done to it.
    fn operand(&mut self, runs: bool) -> Option<i64> {
        let word = self.word();
        if !is_name(word) {
            return number(word);
        }
        if self.eat("++") {
            return self.assign(word, runs, |old| old.checked_add(1)).map(|(old, _)| old);
        }
        if self.eat("--") {
            return self.assign(word, runs, |old| old.checked_sub(1)).map(|(old, _)| old);
        }
        let symbol = ASSIGNED.iter().find(|symbol| {
            self.rest.strip_prefix(**symbol).is_some_and(|rest| rest.starts_with('='))
        });
        if let Some(symbol) = symbol {
            self.eat(symbol);
            self.eat("=");
            let right = self.binary(ASSIGNMENT, runs)?;
            return self.assign(word, runs, |old| applied(symbol, old, right)).map(|(_, new)| new);
        }
        if self.rest.starts_with('=') && !self.rest.starts_with("==") {
            self.eat("=");
            let right = self.binary(ASSIGNMENT, runs)?;
            if runs {
                self.shell.set(word, Some(right.to_compact_string()));
            }
            return Some(right);
        }
        if runs { self.variable(word) } else { Some(0) }
    }

    /// `++NAME`
    fn stepped(&mut self, by: i64, runs: bool) -> Option<i64> {
        let name = self.word();
        if !is_name(name) {
            return None;
        }
        self.assign(name, runs, |old| old.checked_add(by)).map(|(_, new)| new)
    }

    /// Changes a variable; its value before and after.
    fn assign(
        &mut self,
        name: &str,
        runs: bool,
        change: impl FnOnce(i64) -> Option<i64>,
    ) -> Option<(i64, i64)> {
        if !runs {
            return Some((0, 0));
        }
        let old = self.variable(name)?;
        let new = change(old)?;
        self.shell.set(name, Some(new.to_compact_string()));
        Some((old, new))
    }

    /// The value of a variable that holds a number, or the name of one that does.
    fn variable(&self, name: &str) -> Option<i64> {
        let mut name = name.to_owned();
        for _ in 0..MAX_NAMES {
            let value = self.shell.get(&name)?;
            if value.contains([HOLE, ELEMENT]) || self.rest.starts_with('[') {
                return None;
            }
            let text = value.trim();
            if text.is_empty() {
                return Some(0);
            }
            if !is_name(text) {
                return match text.strip_prefix('-') {
                    Some(digits) => number(digits)?.checked_neg(),
                    None => number(text),
                };
            }
            text.clone_into(&mut name);
        }
        None
    }
}

fn applied(symbol: &str, left: i64, right: i64) -> Option<i64> {
    match symbol {
        "+" => left.checked_add(right),
        "-" => left.checked_sub(right),
        "*" => left.checked_mul(right),
        "/" => left.checked_div(right),
        "%" => left.checked_rem(right),
        "**" => left.checked_pow(u32::try_from(right).ok()?),
        "<<" => {
            let shifted = left.checked_shl(u32::try_from(right).ok()?)?;
            (shifted.checked_shr(u32::try_from(right).ok()?)? == left).then_some(shifted)
        }
        ">>" => left.checked_shr(u32::try_from(right).ok()?),
        "&" => Some(left & right),
        "|" => Some(left | right),
        "^" => Some(left ^ right),
        "<" => Some(i64::from(left < right)),
        ">" => Some(i64::from(left > right)),
        "<=" => Some(i64::from(left <= right)),
        ">=" => Some(i64::from(left >= right)),
        "==" => Some(i64::from(left == right)),
        "!=" => Some(i64::from(left != right)),
        "," => Some(right),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_not_known() {
        let mut shell = Shell::default();
        for text in [
            "9223372036854775807 + 1",
            "-9223372036854775807 - 2",
            "2 ** 63",
            "2 ** -1",
            "1 << 63",
            "1 << 64",
            "1 >> 64",
            "1 / 0",
            "1 % 0",
            "9223372036854775808",
            "08",
            "1#0",
            "99#1",
            "1 +",
            "(1",
            "1 2",
            "N = 1 +",
            "1 ? 2",
            "a[0]",
        ] {
            assert_eq!(value(text, &mut shell), None, "{text}");
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let mut shell = Shell::default();
        for text in ["(".repeat(1_000), "-".repeat(1_000), "1+".repeat(100_000), "!".repeat(999)] {
            assert_eq!(value(&text, &mut shell), None);
        }
        shell.set("A", Some("B".into()));
        shell.set("B", Some("A".into()));
        assert_eq!(value("A", &mut shell), None);
    }

    #[test]
    fn what_an_unknown_expression_assigns_is_not_known() {
        for (text, is_known) in [("N==M", true), ("N<=M", true), ("N=M", false), ("N<<=M", false)] {
            let mut shell = Shell::default();
            shell.set("N", Some("3".into()));
            assert_eq!(value(text, &mut shell), None, "{text}");
            assert_eq!(shell.get("N").is_some(), is_known, "{text}");
        }
    }
}
