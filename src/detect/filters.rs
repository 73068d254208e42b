//! Small programs that matter for what they print or copy, and for nothing else.

use std::num::NonZeroUsize;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use compact_str::CompactString;

use super::{
    commands::{Reader, Step},
    script::{HOLE, Shell, Stdin},
    script_files::is_stdin,
    shell::MAX_SCRIPT,
    unwrap::basename,
};

/// The most command lines that one `xargs` is followed to.
const MAX_COMMANDS: usize = 64;

impl Reader<'_> {
    /// Deals with a program that prints what is known, or copies files; none for all others.
    pub(super) fn small_program(
        &mut self,
        name: &str,
        args: &[CompactString],
        shell: &Shell,
        stdin: &Stdin,
    ) -> Option<Stdin> {
        let printed = match name {
            "echo" | "printf" => Stdin::Text(printed(name, args)),
            "cat" => self.whole(args, shell, stdin),
            "tee" | "sponge" => self.tee(args, shell, stdin),
            "base64" | "openssl" | "xxd" | "rev" | "tr" | "envsubst" => {
                self.filtered(name, args, shell, stdin)?
            }
            "ln" | "cp" | "mv" | "install" => {
                self.copied(name, args, shell, stdin);
                Stdin::None
            }
            "dd" => {
                let target = args.iter().find_map(|arg| arg.strip_prefix("of="));
                let source = args.iter().find_map(|arg| arg.strip_prefix("if="));
                let text = match source {
                    Some(path) => self.whole(&[path.into()], shell, stdin),
                    None => stdin.clone(),
                };
                self.write_to(target, &text, shell)
            }
            "curl" | "wget" => {
                let option =
                    if name == "curl" { ["-o", "--output"] } else { ["-O", "--output-document"] };
                let mut words = args.iter().skip_while(|arg| !option.contains(&arg.as_str()));
                if let Some(path) = words.nth(1).filter(|path| *path != "-") {
                    self.write_to(Some(path), &Stdin::Unknown, shell);
                }
                // What it is sent for is another question.
                return None;
            }
            // They print nothing, so what is printed around them stays known.
            "sleep" | "mkdir" | "rm" | "rmdir" | "chmod" | "chown" | "touch" | "wait" | "kill" => {
                Stdin::None
            }
            _ => return None,
        };
        self.steps.push(Step::Harmless);
        Some(printed)
    }

    fn write_to(&mut self, path: Option<&str>, text: &Stdin, shell: &Shell) -> Stdin {
        match path {
            Some(path) => {
                if let Some(path) = shell.resolve(path) {
                    self.disk.write(path, text, false);
                }
                Stdin::None
            }
            None => text.clone(),
        }
    }

    /// What `cat` prints.
    fn whole(&self, args: &[CompactString], shell: &Shell, stdin: &Stdin) -> Stdin {
        let mut paths = args.iter().filter(|arg| !arg.starts_with('-') || *arg == "-").peekable();
        if paths.peek().is_none() {
            return stdin.clone();
        }
        let mut whole = Stdin::None;
        for path in paths {
            whole.add(if is_stdin(path) {
                stdin.clone()
            } else {
                self.content(shell, path).map_or(Stdin::Unknown, Stdin::Text)
            });
        }
        whole
    }

    fn tee(&mut self, args: &[CompactString], shell: &Shell, stdin: &Stdin) -> Stdin {
        let appends = args.iter().any(|arg| arg == "-a" || arg == "--append");
        for path in args.iter().filter(|arg| !arg.starts_with('-')) {
            if let Some(script) = self.disk.read_by(path) {
                let mut inner = shell.clone();
                self.nested(|reader| reader.script(&script, &mut inner, stdin));
            } else if let Some(path) = shell.resolve(path) {
                self.disk.write(path, stdin, appends);
            }
        }
        stdin.clone()
    }

    /// What comes out of a filter; none where it is not used as one.
    fn filtered(
        &self,
        name: &str,
        args: &[CompactString],
        shell: &Shell,
        stdin: &Stdin,
    ) -> Option<Stdin> {
        let has = |wanted: &[&str]| args.iter().any(|arg| wanted.contains(&arg.as_str()));
        let decodes = match name {
            "base64" => has(&["-d", "--decode", "-D", "-di", "-id"]),
            "openssl" => has(&["base64", "-base64", "-a"]) && has(&["-d"]),
            "xxd" => args.iter().any(|arg| arg.starts_with("-r")),
            "tr" => args.len() == 2,
            _ => true,
        };
        if !decodes {
            return (name != "openssl").then_some(Stdin::Unknown);
        }
        let mut files = args.iter().filter(|arg| !arg.starts_with('-'));
        let text = match (name, files.next()) {
            ("base64" | "xxd" | "rev", Some(path)) if !is_stdin(path) => self.content(shell, path),
            ("openssl", _) if has(&["-in"]) => args
                .iter()
                .skip_while(|arg| *arg != "-in")
                .nth(1)
                .and_then(|p| self.content(shell, p)),
            _ => match stdin {
                Stdin::Text(text) => Some(text.clone()),
                Stdin::None | Stdin::Unknown | Stdin::Migration(_) => None,
            },
        };
        let result = text.and_then(|text| match name {
            "base64" | "openssl" => decoded(&text),
            "xxd" => from_hex(&text),
            "rev" => Some(
                text.lines()
                    .map(|line| line.chars().rev().chain(['\n']).collect::<String>())
                    .collect(),
            ),
            "tr" => translated(&text, args),
            _ => Some(substituted(&text, shell)),
        });
        Some(result.map_or(Stdin::Unknown, Stdin::Text))
    }

    /// `cp`, `mv`, `ln`, `install`: another name for a file or a program.
    fn copied(&mut self, name: &str, args: &[CompactString], shell: &Shell, stdin: &Stdin) {
        let mut paths = Vec::new();
        let mut words = args.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-m" | "-o" | "-g" | "--mode" | "--owner" | "--group" if name == "install" => {
                    words.next();
                }
                word if word.starts_with('-') => {}
                word => paths.push(word),
            }
        }
        let [sources @ .., target] = paths.as_slice() else { return };
        for source in sources.iter().take(MAX_COMMANDS) {
            let into = if target.ends_with('/') || sources.len() > 1 {
                format!("{}/{}", target.trim_end_matches('/'), basename(source))
            } else {
                (*target).to_owned()
            };
            let Some(path) = shell.resolve(&into) else { continue };
            let text = match stdin {
                Stdin::Text(text) if is_stdin(source) => Some(text.clone()),
                _ => self.content(shell, source),
            };
            match text {
                Some(text) => self.disk.write(path, &Stdin::Text(text), false),
                None => self.disk.link(path, source),
            }
        }
    }
}

/// The command lines of `xargs` with the words that it reads.
pub(super) fn xargs(
    argv: &[CompactString],
    stdin: &Stdin,
    content: impl Fn(&str) -> Option<String>,
) -> Vec<Vec<CompactString>> {
    let mut words = argv.iter().skip(1).peekable();
    let mut replace: Option<CompactString> = None;
    let mut file: Option<&CompactString> = None;
    // How many words each command is given.
    let mut each: Option<NonZeroUsize> = None;
    while let Some(word) = words.next_if(|word| word.starts_with('-')) {
        match word.as_str() {
            "--" => break,
            "-I" | "--replace" => replace = words.next().cloned(),
            "-i" => replace = Some("{}".into()),
            "-a" | "--arg-file" => file = words.next(),
            "-n" | "--max-args" => each = words.next().and_then(|n| n.parse().ok()),
            "-P" | "-d" | "-L" | "-E" | "-s" | "--max-procs" | "--delimiter" | "--max-lines"
            | "--max-chars" => drop(words.next()),
            word => {
                if let Some(number) = word.strip_prefix("-n").or(word.strip_prefix("--max-args=")) {
                    each = number.parse().ok();
                }
                if let Some(name) = word.strip_prefix("-I").or(word.strip_prefix("--replace=")) {
                    replace = Some(name.into());
                }
            }
        }
    }
    let command: Vec<CompactString> = words.cloned().collect();
    if command.is_empty() {
        return Vec::new();
    }
    let text = match (file, stdin) {
        (Some(path), _) => content(path),
        (None, Stdin::Text(text)) => Some(text.clone()),
        (None, Stdin::None) => return vec![command],
        (None, Stdin::Unknown | Stdin::Migration(_)) => None,
    };
    let text = text.unwrap_or_else(|| HOLE.to_string());
    let Some(name) = replace.filter(|name| !name.is_empty()) else {
        let read = text
            .split(|c: char| c.is_ascii_whitespace() || c == '\0')
            .map(|word| CompactString::from(word.replace(['\'', '"', '\\'], "")))
            .filter(|word| !word.is_empty())
            .take(MAX_COMMANDS);
        let read: Vec<_> = read.collect();
        let size = each.map_or(usize::MAX, NonZeroUsize::get);
        if read.is_empty() {
            return vec![command];
        }
        let with = |words: &[CompactString]| [command.as_slice(), words].concat();
        return read.chunks(size).map(with).collect();
    };
    let lines = text.split(['\n', '\0']).filter(|line| !line.is_empty()).take(MAX_COMMANDS);
    let filled = |line: &str| -> Vec<CompactString> {
        command.iter().map(|word| word.replace(name.as_str(), line).into()).collect()
    };
    lines.map(filled).collect()
}

/// Base64 as scripts have it: broken into lines, with or without padding.
pub(super) fn decoded(text: &str) -> Option<String> {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let plain: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    String::from_utf8(ENGINE.decode(plain).ok()?).ok()
}

fn from_hex(text: &str) -> Option<String> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()?;
    let bytes = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high.saturating_mul(16).saturating_add(*low)).ok(),
        _ => None,
    });
    String::from_utf8(bytes.collect::<Option<_>>()?).ok()
}

/// `tr a-z n-za-m`: one character for another.
fn translated(text: &str, args: &[CompactString]) -> Option<String> {
    let [from, to] = args else { return None };
    let (from, to) = (characters(from)?, characters(to)?);
    let turned = |c: char| match from.iter().position(|wanted| *wanted == c) {
        Some(at) => to.get(at).or(to.last()).copied().unwrap_or(c),
        None => c,
    };
    (text.len() <= MAX_SCRIPT).then(|| text.chars().map(turned).collect())
}

/// The characters of a set of `tr`; none for classes, which it also knows.
fn characters(set: &str) -> Option<Vec<char>> {
    if set.contains(['[', '\\', HOLE]) || set.len() > 256 {
        return None;
    }
    let mut all = Vec::new();
    let mut chars = set.chars().peekable();
    while let Some(first) = chars.next() {
        if chars.peek() == Some(&'-') {
            chars.next();
            match chars.next() {
                Some(last) if last.is_ascii() => all.extend(first..=last),
                Some(_) => return None,
                None => all.extend([first, '-']),
            }
        } else {
            all.push(first);
        }
    }
    Some(all)
}

/// What `envsubst` makes of a text.
fn substituted(text: &str, shell: &Shell) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let inside = after.strip_prefix('{');
        let body = inside.unwrap_or(after);
        let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let end = body.find(|c| !is_name(c)).unwrap_or(body.len());
        let (name, tail) = body.split_at_checked(end).unwrap_or((body, ""));
        let tail = if inside.is_some() { tail.strip_prefix('}') } else { Some(tail) };
        match tail {
            Some(tail) if !name.is_empty() && out.len() <= MAX_SCRIPT => {
                match shell.get(name) {
                    Some(value) => out.push_str(&value),
                    None => out.push(HOLE),
                }
                rest = tail;
            }
            _ => {
                out.push('$');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// What `echo` and `printf` print.
pub(super) fn printed(name: &str, args: &[CompactString]) -> String {
    if name == "printf" {
        let args = if args.first().is_some_and(|arg| arg == "--") {
            args.get(1..).unwrap_or_default()
        } else {
            args
        };
        return match args.split_first() {
            Some((format, values)) => formatted(format, values),
            None => String::new(),
        };
    }
    let mut args = args;
    let (mut line, mut escapes) = (true, false);
    while let Some((first, rest)) = args.split_first()
        && let Some(flags) = first.strip_prefix('-')
        && !flags.is_empty()
        && flags.chars().all(|flag| matches!(flag, 'n' | 'e' | 'E'))
    {
        line &= !flags.contains('n');
        escapes |= flags.contains('e');
        args = rest;
    }
    let mut text = args.join(" ");
    if text.contains('\\') {
        text = unescaped(&text, escapes);
    }
    if line {
        text.push('\n');
    }
    text
}

/// `printf format values`; the format is used again for as long as there are values.
fn formatted(format: &str, values: &[CompactString]) -> String {
    let format = if format.contains('\\') { unescaped(format, true) } else { format.to_owned() };
    let mut out = String::new();
    let mut values = values.iter();
    loop {
        let before = values.len();
        let mut rest = format.as_str();
        while let Some((text, after)) = rest.split_once('%') {
            out.push_str(text);
            let flags = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | ' ' | '#' | '.');
            let after = after.trim_start_matches(flags);
            let mut chars = after.chars();
            match chars.next() {
                Some('%') | None => out.push('%'),
                Some('b') => {
                    let value = values.next().map(CompactString::as_str).unwrap_or_default();
                    out.push_str(&unescaped(value, true));
                }
                Some(_) => {
                    out.push_str(values.next().map(CompactString::as_str).unwrap_or_default());
                }
            }
            rest = chars.as_str();
        }
        out.push_str(rest);
        if values.len() == 0 || values.len() == before || out.len() > MAX_SCRIPT {
            return out;
        }
    }
}

/// Replaces escapes. `echo` of some shells does so without being told: then only those are that
/// show more than they hide.
fn unescaped(text: &str, all: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = after.chars();
        let number = |text: &str, most: usize, radix: u32| {
            let digits: String =
                text.chars().take(most).take_while(|c| c.is_digit(radix)).collect();
            let code = u32::from_str_radix(&digits, radix).ok().and_then(char::from_u32)?;
            Some((code, digits.len()))
        };
        let (code, used) = match chars.next() {
            Some('n') => (Some('\n'), 1),
            Some('t') if all => (Some('\t'), 1),
            Some('r') if all => (Some('\r'), 1),
            Some('\\') if all => (Some('\\'), 1),
            Some('x') => match number(chars.as_str(), 2, 16) {
                Some((code, digits)) => (Some(code), digits.saturating_add(1)),
                None => (None, 0),
            },
            Some('0'..='7') => match number(after, 4, 8) {
                Some((code, digits)) => (Some(code), digits),
                None => (None, 0),
            },
            _ => (None, 0),
        };
        out.push(code.unwrap_or('\\'));
        rest = after.get(used..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &[&str]) -> Vec<CompactString> {
        text.iter().map(|word| (*word).into()).collect()
    }

    #[test]
    fn text_is_printed_as_a_shell_prints_it() {
        for (line, expected) in [
            (vec!["echo", "a", "b"], "a b\n"),
            (vec!["echo", "-n", "a"], "a"),
            (vec!["echo", "-ne", "a\\tb"], "a\tb"),
            (vec!["echo", "-x"], "-x\n"),
            (vec!["echo", "\\x \\timing"], "\\x \\timing\n"),
            (vec!["printf", "a\\n"], "a\n"),
            (vec!["printf", "%s-%s\\n", "a", "b"], "a-b\n"),
            (vec!["printf", "%s\\n", "a", "b"], "a\nb\n"),
            (vec!["printf", "%5d%%", "3"], "3%"),
            (vec!["printf", "%b", "a\\nb"], "a\nb"),
            (vec!["printf", "\\146\\x6c"], "fl"),
            (vec!["printf", "%s"], ""),
            (vec!["printf", "plain", "a", "b"], "plain"),
        ] {
            let args = words(&line[1..]);
            assert_eq!(printed(line[0], &args), expected, "{line:?}");
        }
    }

    #[test]
    fn texts_are_decoded() {
        assert_eq!(decoded("Zmx5\nd2F5").as_deref(), Some("flyway"));
        assert_eq!(decoded("Zmx5d2F5Cg").as_deref(), Some("flyway\n"));
        assert_eq!(decoded("/w=="), None);
        assert_eq!(from_hex("666c79\n776179").as_deref(), Some("flyway"));
        assert_eq!(from_hex("6"), None);
        assert_eq!(translated("sylbal", &words(&["a-z", "n-za-m"])).as_deref(), Some("flyony"));
    }

    #[test]
    fn xargs_puts_words_where_they_belong() {
        let none = |_: &str| None;
        let text = Stdin::Text("a b\nc\n".to_owned());
        for (line, expected) in [
            (vec!["xargs", "x"], vec![vec!["x", "a", "b", "c"]]),
            (
                vec!["xargs", "-n", "1", "x", "y"],
                vec![vec!["x", "y", "a"], vec!["x", "y", "b"], vec!["x", "y", "c"]],
            ),
            (vec!["xargs", "-n2", "x"], vec![vec!["x", "a", "b"], vec!["x", "c"]]),
            (vec!["xargs", "-I{}", "x", "-{}-"], vec![vec!["x", "-a b-"], vec!["x", "-c-"]]),
            (vec!["xargs", "-I", "%", "x", "%"], vec![vec!["x", "a b"], vec!["x", "c"]]),
            (vec!["xargs"], vec![]),
        ] {
            assert_eq!(xargs(&words(&line), &text, none), expected, "{line:?}");
        }
    }
}
