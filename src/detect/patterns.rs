//! What a shell decides by itself: patterns, tests, and the commands that set variables.

use compact_str::{CompactString, ToCompactString};

use super::{
    arithmetic,
    script::{Flow, Outcome},
    shell::Place,
    state::{ELEMENT, HOLE, Shell},
};

/// The longest value in which a pattern is replaced: every part of it is tried.
const MAX_REPLACED: usize = 64;
/// The longest value that is searched for the end of a pattern.
const MAX_SEARCHED: usize = 256;

/// A piece of a pattern.
#[derive(Clone, Copy)]
enum Piece<'p> {
    /// `*`
    Any,
    /// `?`
    One,
    Char(char),
    /// `[…]`, without its brackets.
    Set(&'p str),
}

impl Piece<'_> {
    /// True when it stands for this one character.
    fn is(self, next: char) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Char(wanted) => wanted == next,
            Self::Set(inside) => {
                let listed = inside.strip_prefix(['!', '^']);
                is_listed(listed.unwrap_or(inside), next) != listed.is_some()
            }
        }
    }
}

/// True when a character is in a set such as `a-z_`.
fn is_listed(set: &str, wanted: char) -> bool {
    let mut chars = set.chars().peekable();
    while let Some(first) = chars.next() {
        let mut ahead = chars.clone();
        if let (Some('-'), Some(last)) = (ahead.next(), ahead.next()) {
            chars = ahead;
            if (first..=last).contains(&wanted) {
                return true;
            }
        } else if first == wanted {
            return true;
        }
    }
    false
}

fn pieces(pattern: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = pattern.chars();
    while let Some(next) = rest.next() {
        pieces.push(match next {
            '*' => Piece::Any,
            '?' => Piece::One,
            '\\' => Piece::Char(rest.next().unwrap_or('\\')),
            '[' => match set(rest.as_str()) {
                Some((inside, after)) => {
                    rest = after.chars();
                    Piece::Set(inside)
                }
                None => Piece::Char('['),
            },
            next => Piece::Char(next),
        });
    }
    pieces
}

/// What stands in brackets, and what follows them: `]` as the first character is one of the set.
fn set(text: &str) -> Option<(&str, &str)> {
    let first = text.strip_prefix(['!', '^']).unwrap_or(text);
    let first =
        text.len().saturating_sub(first.len()).saturating_add(first.chars().next()?.len_utf8());
    let end = text.get(first..)?.find(']')?.saturating_add(first);
    Some((text.get(..end)?, text.get(end.saturating_add(1)..)?))
}

/// True for a pattern that is known and holds nothing that we do not read, such as `[[:digit:]]`.
pub(super) fn is_readable(pattern: &str) -> bool {
    !pattern.contains(HOLE) && !["[:", "[.", "[="].iter().any(|class| pattern.contains(class))
}

/// The text of a pattern in which nothing is special.
fn literal(pattern: &str) -> Option<String> {
    if !pattern.contains(['*', '?', '[', '\\']) {
        return Some(pattern.to_owned());
    }
    let char = |piece| if let Piece::Char(char) = piece { Some(char) } else { None };
    pieces(pattern).into_iter().map(char).collect()
}

/// Text in which nothing is special in a pattern.
pub(super) fn escaped(text: &str, pattern: &mut String) {
    for next in text.chars() {
        if matches!(next, '*' | '?' | '[' | '\\') {
            pattern.push('\\');
        }
        pattern.push(next);
    }
}

/// True when a name fits a pattern of `*`, `?`, `[…]`, `\c` and plain characters.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    if !pattern.contains(['*', '?', '[', '\\']) {
        return pattern == name;
    }
    let (pattern, name): (Vec<Piece<'_>>, Vec<char>) = (pieces(pattern), name.chars().collect());
    let (mut at, mut here) = (0_usize, 0_usize);
    // Where to go on when what follows the last star does not fit.
    let mut retry: Option<(usize, usize)> = None;
    while let Some(next) = name.get(here) {
        match pattern.get(at) {
            Some(Piece::Any) => {
                retry = Some((at, here));
                at = at.saturating_add(1);
                continue;
            }
            Some(wanted) if wanted.is(*next) => {
                at = at.saturating_add(1);
                here = here.saturating_add(1);
                continue;
            }
            _ => {}
        }
        let Some((star, from)) = retry else { return false };
        retry = Some((star, from.saturating_add(1)));
        at = star.saturating_add(1);
        here = from.saturating_add(1);
    }
    pattern.iter().skip(at).all(|rest| matches!(rest, Piece::Any))
}

/// `${NAME#pattern}` and its kin; none where that cannot be told.
pub(super) fn trimmed(value: &str, pattern: &str, at_end: bool, longest: bool) -> Option<String> {
    if value.contains(HOLE) || !is_readable(pattern) {
        return None;
    }
    if let Some(pattern) = literal(pattern) {
        let cut = if at_end { value.strip_suffix(&pattern) } else { value.strip_prefix(&pattern) };
        return Some(cut.unwrap_or(value).to_owned());
    }
    if value.len() > MAX_SEARCHED || pattern.len() > MAX_SEARCHED {
        return None;
    }
    let places = value.char_indices().map(|(at, _)| at).chain([value.len()]);
    let cuts = places
        .filter_map(|at| value.split_at_checked(at))
        .filter(|(head, tail)| fits(pattern, if at_end { tail } else { head }));
    // The shortest match at the end is the last cut, at the start the first.
    let cut = if at_end == longest {
        cuts.min_by_key(|cut| cut.0.len())
    } else {
        cuts.max_by_key(|cut| cut.0.len())
    };
    Some(match cut {
        Some((head, tail)) => if at_end { head } else { tail }.to_owned(),
        None => value.to_owned(),
    })
}

/// `${NAME/pattern/with}` and its kin; none where that cannot be told.
pub(super) fn replaced(
    value: &str,
    pattern: &str,
    with: &str,
    all: bool,
    place: Place,
) -> Option<String> {
    if value.contains(HOLE) || !is_readable(pattern) {
        return None;
    }
    match (literal(pattern), place) {
        (Some(pattern), Place::Start) => Some(match value.strip_prefix(&pattern) {
            Some(rest) => format!("{with}{rest}"),
            None => value.to_owned(),
        }),
        (Some(pattern), Place::End) => Some(match value.strip_suffix(&pattern) {
            Some(rest) => format!("{rest}{with}"),
            None => value.to_owned(),
        }),
        (Some(pattern), Place::Anywhere) if pattern.is_empty() => None,
        (Some(pattern), Place::Anywhere) if all => Some(value.replace(&pattern, with)),
        (Some(pattern), Place::Anywhere) => Some(value.replacen(&pattern, with, 1)),
        (None, _) if value.len() > MAX_REPLACED || pattern.len() > MAX_REPLACED => None,
        (None, place) => Some(searched(value, pattern, with, all, place)),
    }
}

/// Replaces the longest text that fits at each place where any does, from the left.
fn searched(value: &str, pattern: &str, with: &str, all: bool, place: Place) -> String {
    let mut out = String::new();
    let mut rest = value;
    while !rest.is_empty() {
        let ends = rest.char_indices().map(|(at, next)| at.saturating_add(next.len_utf8()));
        let fit = ends.filter_map(|end| rest.split_at_checked(end)).rfind(|(text, after)| {
            (place != Place::End || after.is_empty()) && fits(pattern, text)
        });
        if let Some((_, after)) = fit {
            out.push_str(with);
            rest = after;
            if !all {
                break;
            }
        } else if place == Place::Start {
            break;
        } else {
            let head = rest.chars().next().map_or(0, char::len_utf8);
            let (head, after) = rest.split_at_checked(head).unwrap_or((rest, ""));
            out.push_str(head);
            rest = after;
        }
    }
    out + rest
}

/// Evaluates `[ … ]` and `[[ … ]]`, as far as it can be told.
pub(super) fn test(words: &[CompactString]) -> Option<bool> {
    let words: Vec<&str> = words.iter().map(CompactString::as_str).collect();
    tested(&words)
}

fn tested(words: &[&str]) -> Option<bool> {
    if words.iter().any(|word| word.contains([HOLE, ELEMENT])) {
        return None;
    }
    let compared = |left: &str, right: &str| -> Option<std::cmp::Ordering> {
        Some(left.parse::<i64>().ok()?.cmp(&right.parse::<i64>().ok()?))
    };
    match words {
        ["!", rest @ ..] if rest.len() <= 3 && rest.first() != Some(&"!") => {
            tested(rest).map(|success| !success)
        }
        [left, "=" | "==", right] if !right.contains(['*', '?', '[']) => Some(left == right),
        [left, "!=", right] if !right.contains(['*', '?', '[']) => Some(left != right),
        [left, "-eq", right] => compared(left, right).map(std::cmp::Ordering::is_eq),
        [left, "-ne", right] => compared(left, right).map(std::cmp::Ordering::is_ne),
        [left, "-lt", right] => compared(left, right).map(std::cmp::Ordering::is_lt),
        [left, "-le", right] => compared(left, right).map(std::cmp::Ordering::is_le),
        [left, "-gt", right] => compared(left, right).map(std::cmp::Ordering::is_gt),
        [left, "-ge", right] => compared(left, right).map(std::cmp::Ordering::is_ge),
        [] => Some(false),
        [text] | ["-n", text] => Some(!text.is_empty()),
        ["-z", text] => Some(text.is_empty()),
        _ => None,
    }
}

/// The outcome of the commands that do nothing but succeed, fail or leave.
pub(super) fn trivial(name: &str, args: &[CompactString], shell: &Shell) -> Option<Outcome> {
    match name {
        ":" | "true" => Some(Outcome::SUCCESS),
        "false" => Some(Outcome::of(Some(false))),
        "[" => {
            let words = args.split_last().map(|(_, words)| words).unwrap_or_default();
            Some(Outcome::of(test(words)))
        }
        "test" => Some(Outcome::of(test(args))),
        "exit" => Some(Outcome::then(Flow::Exit)),
        "return" if shell.calls > 0 => Some(Outcome::then(Flow::Return)),
        // Further out goes only who leaves the inner loop.
        "continue" if shell.loops > 0 && args.iter().all(|levels| levels == "1") => {
            Some(Outcome::then(Flow::Continue))
        }
        "break" | "continue" if shell.loops > 0 => Some(Outcome::then(Flow::Break)),
        "return" | "break" | "continue" => Some(Outcome::UNKNOWN),
        _ => None,
    }
}

/// `read`, with the line that it reads if that is known.
pub(super) fn read(args: &[CompactString], line: Option<&str>, shell: &mut Shell) {
    let mut names = Vec::new();
    let mut is_array = false;
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-a" => is_array = true,
            "-d" | "-i" | "-n" | "-N" | "-p" | "-t" | "-u" => drop(words.next()),
            word if word.starts_with('-') => {}
            word => names.push(word),
        }
    }
    if names.is_empty() {
        names.push("REPLY");
    }
    let ifs = shell.get("IFS").unwrap_or_default();
    let Some(line) = line.filter(|line| !line.contains(HOLE)) else {
        return names.iter().for_each(|name| shell.set(name, None));
    };
    let mut rest = if ifs.is_empty() { line } else { line.trim_matches([' ', '\t']) };
    if let (true, [name]) = (is_array, names.as_slice()) {
        let parts: Vec<&str> = rest.split(|c| ifs.contains(c)).filter(|p| !p.is_empty()).collect();
        return shell.set(name, Some(parts.join(ELEMENT.encode_utf8(&mut [0; 4])).into()));
    }
    let last = names.len().saturating_sub(1);
    for (at, name) in names.iter().enumerate() {
        let (word, after) = match rest.split_once(|c| ifs.contains(c)) {
            Some((word, after)) if at < last => (word, after.trim_start_matches([' ', '\t'])),
            _ => (rest, ""),
        };
        shell.set(name, Some((*word).into()));
        rest = after;
    }
}

/// The commands of a shell that change its variables.
pub(super) fn variables(name: &str, args: &[CompactString], shell: &mut Shell) {
    match name {
        "unset" => {
            for arg in args {
                match arg.split_once('[') {
                    Some((name, _)) => shell.set(name, None),
                    None => shell.unset(arg),
                }
            }
        }
        "shift" => {
            let by = args.first().and_then(|n| n.parse().ok()).unwrap_or(1);
            // Where there are not so many, none is taken.
            if let Some(rest) = shell.positional.as_ref().and_then(|all| all.get(by..)) {
                shell.positional = Some(rest.into());
            }
        }
        "set" => {
            let mut words = args;
            while let Some((option, rest)) = words.split_first() {
                if option == "--" {
                    shell.positional = Some(rest.into());
                    return;
                }
                if !option.starts_with(['-', '+']) {
                    shell.positional = Some(words.into());
                    return;
                }
                let takes_name = option.ends_with('o') && option.len() == 2;
                words = rest.get(usize::from(takes_name)..).unwrap_or_default();
            }
        }
        _ => {
            let is_own = matches!(name, "local" | "declare" | "typeset") && shell.calls > 0;
            let is_number = args.iter().any(|arg| arg.starts_with('-') && arg.contains('i'));
            let is_global = args.iter().any(|arg| arg.starts_with('-') && arg.contains('g'));
            for arg in args.iter().filter(|_| is_own && !is_global) {
                let name = arg.split_once('=').map_or(arg.as_str(), |(name, _)| name);
                if !name.starts_with('-') {
                    shell.localize(name.trim_end_matches('+'));
                }
            }
            for arg in args {
                let Some((name, value)) = arg.split_once('=') else { continue };
                match name.strip_suffix('+') {
                    _ if is_number => {
                        let value = arithmetic::value(value, shell);
                        let value = value.map(|value| value.to_compact_string());
                        shell.set(name.trim_end_matches('+'), value);
                    }
                    Some(name) => shell.append(name, value, false),
                    None if !name.starts_with('-') => shell.set(name, Some(value.into())),
                    None => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_patterns_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.sql", "a.sql", true),
            ("*.sql", "a.sqlx", false),
            ("V?__*.sql", "V1__a.sql", true),
            ("V?__*.sql", "V12__a.sql", false),
            ("*a*b", "xaxbxb", true),
            ("*a*b", "xaxbx", false),
            ("*", "", true),
            ("a", "a", true),
            ("", "a", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]a]", "]", true),
            ("[a", "[a", true),
            ("[a-]", "-", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_of_stars_costs_no_more_than_its_product() {
        let name = "a".repeat(2_000);
        assert!(!fits(&format!("{}b", "*a".repeat(500)), &name));
    }
}
