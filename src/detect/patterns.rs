//! What a shell decides by itself: patterns, tests, and the commands that set variables.

use super::{
    script::{Flow, Outcome},
    state::{ELEMENT, HOLE, Shell},
};

/// True when a name fits a pattern of `*`, `?` and plain characters.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    if !pattern.contains(['*', '?']) {
        return pattern == name;
    }
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut here) = (0_usize, 0_usize);
    // Where to go on when what follows the last star does not fit.
    let mut retry: Option<(usize, usize)> = None;
    while let Some(next) = name.get(here) {
        match pattern.get(at) {
            Some('*') => {
                retry = Some((at, here));
                at = at.saturating_add(1);
                continue;
            }
            Some(wanted) if *wanted == '?' || wanted == next => {
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
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

/// Evaluates `[ … ]` and `[[ … ]]`, as far as it can be told.
pub(super) fn test(words: &[String]) -> Option<bool> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
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
        ["-n", text] => Some(!text.is_empty()),
        ["-z", text] => Some(text.is_empty()),
        _ => None,
    }
}

/// The outcome of the commands that do nothing but succeed, fail or leave.
pub(super) fn trivial(name: &str, args: &[String], shell: &Shell) -> Option<Outcome> {
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
        "break" if shell.loops > 0 => Some(Outcome::then(Flow::Break)),
        "return" | "break" | "continue" => Some(Outcome::UNKNOWN),
        _ => None,
    }
}

/// `read`, with the line that it reads if that is known.
pub(super) fn read(args: &[String], line: Option<&str>, shell: &mut Shell) {
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
    let mut rest = line.trim_matches([' ', '\t']);
    if let (true, [name]) = (is_array, names.as_slice()) {
        let parts: Vec<&str> = rest.split(|c| ifs.contains(c)).filter(|p| !p.is_empty()).collect();
        return shell.set(name, Some(parts.join(ELEMENT.encode_utf8(&mut [0; 4]))));
    }
    let last = names.len().saturating_sub(1);
    for (at, name) in names.iter().enumerate() {
        let (word, after) = match rest.split_once(|c| ifs.contains(c)) {
            Some((word, after)) if at < last => (word, after.trim_start_matches([' ', '\t'])),
            _ => (rest, ""),
        };
        shell.set(name, Some(word.to_owned()));
        rest = after;
    }
}

/// The commands of a shell that change its variables.
pub(super) fn variables(name: &str, args: &[String], shell: &mut Shell) {
    match name {
        "unset" => {
            for arg in args {
                shell.unset(arg);
            }
        }
        "shift" => {
            let by = args.first().and_then(|n| n.parse().ok()).unwrap_or(1);
            if let Some(positional) = &shell.positional {
                shell.positional = Some(positional.get(by..).unwrap_or_default().into());
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
            for arg in args {
                let Some((name, value)) = arg.split_once('=') else { continue };
                match name.strip_suffix('+') {
                    Some(name) => shell.append(name, value, false),
                    None if !name.starts_with('-') => shell.set(name, Some(value.to_owned())),
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
