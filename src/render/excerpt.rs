//! The lines of a file that a finding is about, without what may be a secret.

use crate::source::Span;

/// What stands in place of something that may be a secret.
const MASK: &str = "***";
/// The longest line that is shown, in bytes. Longer ones are generated, and nobody reads them.
const LINE_LENGTH: usize = 200;

/// Some lines of a file, safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// Number of the first line.
    pub line: usize,
    /// The lines, joined by line breaks.
    pub text: String,
    /// The bytes of `text` that are to be underlined.
    pub marked: std::ops::Range<usize>,
}

/// Cuts out the lines of `text` that `focus` touches, without the `hidden` parts.
pub fn excerpt(text: &str, focus: Span, hidden: &[Span]) -> Option<Excerpt> {
    let Span { start: from, end: to } = focus;
    let start = line_start(text, from.offset)?;
    let end = line_end(text, to.offset)?;
    if text.get(start..end)?.lines().any(|line| line.len() > LINE_LENGTH) {
        return None;
    }
    let mut masker = Masker { after_keyword: ends_in_keyword(line_before(text, start)) };
    let mut shown = String::new();
    let mut marked = 0..0;
    let mut at = start;
    for line in text.get(start..end)?.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        let safe = masker.line(bare, at, hidden);
        if at > start {
            shown.push('\n');
        } else {
            // Masking changes only what stands behind the key, so the offset in the line holds.
            let offset = from.offset.saturating_sub(at);
            marked.start = if safe.is_char_boundary(offset) { offset } else { 0 };
        }
        // What follows the value on its last line, such as a comment, is not underlined.
        let line_end = at.saturating_add(bare.len());
        let ends_here = safe == bare && (at..line_end).contains(&to.offset);
        let rest = if ends_here { line_end.saturating_sub(to.offset) } else { 0 };
        shown.push_str(&safe);
        marked.end = shown.len().saturating_sub(rest);
        at = at.saturating_add(line.len());
    }
    shown.truncate(shown.trim_end().len());
    marked.end = marked.end.min(shown.len());
    marked.start = marked.start.min(marked.end);
    Some(Excerpt { line: from.line, text: shown, marked })
}

/// Where the line starts; none when that is further away than any line that is shown.
fn line_start(text: &str, offset: usize) -> Option<usize> {
    let from = offset.saturating_sub(LINE_LENGTH.saturating_add(1));
    let before = text.as_bytes().get(from..offset)?;
    match before.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => Some(from.saturating_add(at).saturating_add(1)),
        None => (from == 0).then_some(0),
    }
}

/// Where the line ends; none when that is further away than any line that is shown.
fn line_end(text: &str, offset: usize) -> Option<usize> {
    let to = offset.saturating_add(LINE_LENGTH).saturating_add(2).min(text.len());
    let after = text.as_bytes().get(offset..to)?;
    match after.iter().position(|byte| *byte == b'\n') {
        Some(at) => Some(offset.saturating_add(at)),
        None => (to == text.len()).then_some(to),
    }
}

/// Those of some spans, in order and apart, that can reach into an excerpt.
pub fn near(spans: &[Span], focus: Span) -> &[Span] {
    let reach = LINE_LENGTH.saturating_add(2);
    let (from, to) =
        (focus.start.offset.saturating_sub(reach), focus.end.offset.saturating_add(reach));
    let first = spans.partition_point(|span| span.end.offset < from);
    let last = spans.partition_point(|span| span.start.offset <= to);
    spans.get(first..last).unwrap_or_default()
}

fn line_before(text: &str, start: usize) -> &str {
    text.get(..start).unwrap_or_default().trim_end().rsplit('\n').next().unwrap_or_default()
}

/// Takes out of lines what may be a secret: what is known to be one by where it stands, and what
/// looks like one. A little too much is masked rather than a little too little.
struct Masker {
    /// The line above ended in `--password` or the like, so that this one is a secret.
    after_keyword: bool,
}

impl Masker {
    fn line(&mut self, line: &str, at: usize, hidden: &[Span]) -> String {
        let after_keyword = std::mem::replace(&mut self.after_keyword, ends_in_keyword(line));
        let end = at.saturating_add(line.len());
        let first = hidden
            .iter()
            .filter(|span| span.start.offset < end.max(1) && span.end.offset > at)
            .map(|span| span.start.offset.saturating_sub(at))
            .min();
        if after_keyword {
            return cut(line, line.len().saturating_sub(line.trim_start().len()));
        }
        let Some(first) = first else { return mask(line) };
        // What stands before it on the same line may be a secret as well.
        let before = mask(line.get(..first).unwrap_or_default());
        if before.ends_with(MASK) { before } else { format!("{before}{MASK}") }
    }
}

/// The line up to a byte, and a mask for the rest.
fn cut(line: &str, at: usize) -> String {
    format!("{}{MASK}", line.get(..at).unwrap_or_default())
}

/// Masks what looks like a secret in one line.
fn mask(line: &str) -> String {
    if let Some(at) = secret_by_name(line) {
        return cut(line, at);
    }
    let mut masked = String::new();
    let mut mask_next = false;
    for word in line.split_inclusive([' ', ',', '"', '\'', '[', ']', '=', '\t', '`']) {
        let bare = word.trim_end_matches([' ', ',', '"', '\'', '[', ']', '=', '\t', '`']);
        let separator = word.get(bare.len()..).unwrap_or_default();
        let hide = mask_next;
        mask_next = hide && bare.is_empty();
        if hide && !bare.is_empty() {
            masked.push_str(MASK);
        } else if let Some(host) = after_credentials(bare) {
            masked.push_str(MASK);
            masked.push_str(host);
        } else if let Some(flag) = password_flag(bare) {
            masked.push_str(flag);
            if bare.len() > flag.len() {
                masked.push_str(MASK);
            } else {
                mask_next = true;
            }
        } else {
            masked.push_str(bare);
        }
        masked.push_str(separator);
    }
    masked
}

/// Words that name a secret.
const KEYWORDS: &[&str] = &[
    "passw",
    "passphrase",
    "pwd",
    "pgpass",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "accesskey",
    "access-key",
    "private_key",
    "private-key",
    "credential",
    "accountkey",
    "pass=",
    "pass:",
    "-pass ",
    "-pass\"",
    "-pass'",
    "auth=",
];

/// Where the value behind a name of a secret starts.
fn secret_by_name(line: &str) -> Option<usize> {
    let lower = line.to_ascii_lowercase();
    let (at, _) = keyword(&lower)?;
    let tail = lower.get(at..)?;
    // The end of the word that the name is in, and what stands between it and the value.
    let name = tail.find(|char: char| !(char.is_ascii_alphanumeric() || "_-".contains(char)))?;
    let value = tail.get(name..)?;
    let gap = value.find(|char: char| !" \t:=,\"'`\\".contains(char))?;
    Some(at.saturating_add(name).saturating_add(gap))
}

/// The first keyword in a text that is in lower case.
fn keyword(lower: &str) -> Option<(usize, &'static str)> {
    KEYWORDS.iter().filter_map(|word| Some((lower.find(word)?, *word))).min()
}

/// True when the line ends in the name of a secret, so that the value is on the next.
fn ends_in_keyword(line: &str) -> bool {
    let lower =
        line.trim_end_matches([' ', '\t', ',', '"', '\'', '\\', '\r', '=']).to_ascii_lowercase();
    let word = lower.rsplit([' ', '\t', '"', '\'', '[', ',']).next().unwrap_or_default();
    // `--password=…` has its value with it.
    word.starts_with('-')
        && !word.contains('=')
        && (keyword(word).is_some()
            || matches!(word, "-p" | "-a" | "-w" | "-pass" | "--pass" | "--pw"))
}

/// `@host…` of `user:password@host` and `scheme://user:password@host`.
fn after_credentials(word: &str) -> Option<&str> {
    let (at, _) = word.rmatch_indices('@').next()?;
    let (before, host) = word.split_at_checked(at)?;
    // `image@sha256:…` names no user, and neither does `@scope/package`.
    let is_digest = host.starts_with("@sha256:") && !before.contains("://");
    let names_user = before.contains("://") || before.contains([':', '/']);
    (names_user && !is_digest && !before.is_empty() && !before.starts_with('@')).then_some(host)
}

/// Flags in one dash that carry a password in many database clients.
fn password_flag(word: &str) -> Option<&str> {
    const OTHERS: &[&str] = &[
        "-path",
        "-plan",
        "-parallel",
        "-params",
        "-port",
        "-prefix",
        "-print",
        "-profile",
        "-project",
        "-provider",
        "-all",
        "-auto",
        "-apply",
        "-args",
        "-add",
        "-after",
        "-p1",
        "-ad",
    ];
    let flag = word.get(..2).filter(|flag| matches!(*flag, "-p" | "-P" | "-a"))?;
    let other = OTHERS.iter().any(|other| word.starts_with(other));
    (!other).then_some(flag)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source;

    #[test]
    fn what_looks_like_a_secret_is_masked() {
        for (line, want) in [
            ("  command: [npx, prisma, migrate]", "  command: [npx, prisma, migrate]"),
            ("  image: ghcr.io/org/app@sha256:0a1b", "  image: ghcr.io/org/app@sha256:0a1b"),
            ("  - postgres://u:CANARY@db:5432/app", "  - ***@db:5432/app"),
            ("  - postgres://u:CAN@ARY@db/app", "  - ***@db/app"),
            ("  - postgres://CANARY@db/app", "  - ***@db/app"),
            ("  - sqlplus scott/CANARY@db", "  - sqlplus ***@db"),
            ("  args: [--password=CANARY, x]", "  args: [--password=***"),
            ("  args: [\"--password\", \"CANARY\"]", "  args: [\"--password\", \"***"),
            ("  DB_PASSWORD: CANARY", "  DB_PASSWORD: ***"),
            ("  command: [mysql, -pCANARY]", "  command: [mysql, -p***]"),
            ("  command: [\"psql\", \"-P\", \"CANARY\"]", "  command: [\"psql\", \"-P\", \"***\"]"),
            ("  - migrate -path ./m up", "  - migrate -path ./m up"),
            ("  - export PGPASSWORD='CANARY'", "  - export PGPASSWORD='***"),
            ("  - redis-cli -a CANARY", "  - redis-cli -a ***"),
            (
                "  - curl -H 'Authorization: Bearer x' --token CANARY",
                "  - curl -H 'Authorization: Bearer x' --token ***",
            ),
        ] {
            assert_eq!(mask(line), want);
        }
    }

    fn shown(text: &str, path: &str) -> Option<Excerpt> {
        let document = source::documents(text).remove(0).unwrap();
        let hidden = document.literals();
        excerpt(text, document.focus(path), &hidden)
    }

    #[test]
    fn the_value_is_underlined_from_its_key() {
        let excerpt =
            shown("spec:\n  template:\n    command: [a, b] # why\n", "spec.template.command")
                .unwrap();
        assert_eq!(excerpt.line, 3);
        assert_eq!(excerpt.text, "    command: [a, b] # why");
        assert_eq!(excerpt.text.get(excerpt.marked).unwrap(), "command: [a, b]");
    }

    #[test]
    fn several_lines_are_shown_and_many_are_not() {
        let excerpt = shown("a:\r\n  b:\r\n  - one\r\n  - two\r\nc: 1\r\n", "a.b").unwrap();
        assert_eq!(excerpt.text, "  b:\n  - one\n  - two");
        let long = format!("a:\n  b:\n{}", "  - x\n".repeat(20));
        assert_eq!(shown(&long, "a.b").unwrap().text, "  b:");
    }

    #[test]
    fn a_literal_of_an_environment_is_hidden_wherever_it_is_seen() {
        let text = "c:\n- env:\n  - name: A\n    value: CANARY\n  - {name: B, value: CANARY}\n  - name: C\n    value: |\n      CANARY\n      CANARY\n";
        for path in
            ["c[0].env", "c[0].env[0]", "c[0].env[0].value", "c[0].env[1].name", "c[0].env[2]"]
        {
            let excerpt = shown(text, path).unwrap();
            assert!(!excerpt.text.contains("CANARY"), "{path}: {}", excerpt.text);
        }
    }

    #[test]
    fn a_line_with_a_literal_is_masked_before_it_too() {
        let text = r#"{"args": ["--token=CANARY"], "env": [{"name": "A", "value": "CANARY"}]}"#;
        let shown = shown(text, "args").unwrap().text;
        assert_eq!(shown, r#"{"args": ["--token=***"#);
    }

    #[test]
    fn literals_that_are_far_away_hide_nothing() {
        let entry = |number| {
            format!(
                "  - {{name: A{number}, value: CANARY}}\n  - name: B\n    value: |\n      CANARY\n      CANARY\n"
            )
        };
        let text = format!("env:\n{}", (0..60).map(entry).collect::<String>());
        let document = source::documents(&text).remove(0).unwrap();
        let literals = document.literals();
        assert_eq!(literals.len(), 120);
        for number in 0..120 {
            let focus = document.focus(&format!("env[{number}]"));
            let hidden = near(&literals, focus);
            assert!(hidden.len() < 30, "{number}: {}", hidden.len());
            let shown = excerpt(&text, focus, hidden).unwrap();
            assert_eq!(Some(&shown), excerpt(&text, focus, &literals).as_ref(), "{number}");
            assert!(!shown.text.contains("CANARY"), "{}", shown.text);
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_not_shown() {
        for (before, after, is_shown) in [(130, 30, true), (190, 30, false), (10, 400, false)] {
            let text = format!(
                "a: 1\n{{\"{}\": 1, \"k\": 2, \"{}\": 3}}\nb: 1\n",
                "x".repeat(before),
                "y".repeat(after)
            );
            let at = text.find("\"k\"").unwrap();
            let position = |offset| source::Position { line: 2, column: 1, offset };
            let focus = Span { start: position(at), end: position(at + 6) };
            assert_eq!(excerpt(&text, focus, &[]).is_some(), is_shown, "{before} {after}");
        }
    }

    #[test]
    fn the_word_after_a_password_flag_is_hidden_on_the_next_line() {
        let text = "args:\n- --password\n- CANARY\n- x\n";
        assert_eq!(shown(text, "args").unwrap().text, "args:\n- --password\n***\n- x");
        assert_eq!(shown(text, "args[1]").unwrap().text, "***");
        let text = "args:\n- --password=CANARY\n- migrate\n";
        assert_eq!(shown(text, "args").unwrap().text, "args:\n- --password=***\n- migrate");
    }

    #[test]
    fn the_contents_of_secrets_and_copies_of_objects_are_hidden() {
        let text = "metadata:\n  annotations:\n    kubectl.kubernetes.io/last-applied-configuration: '{\"a\": \"CANARY\"}'\ndata: {a: CANARY}\nstringData:\n  a: CANARY\n";
        for path in ["metadata", "data", "stringData", "stringData.a"] {
            let excerpt = shown(text, path).unwrap();
            assert!(!excerpt.text.contains("CANARY"), "{path}: {}", excerpt.text);
        }
    }

    proptest! {
        #[test]
        fn every_excerpt_can_be_rendered(
            text in "(([ ]{0,3}(- )?(a|b|value|ä|password): ?([{\\[] ?)?[a-zä\"'@:/]{0,6}[}\\]]?)(\r?\n)?){1,8}"
        ) {
            for document in source::documents(&text).into_iter().flatten() {
                for path in ["", "a", "a.b", "b[0]", "value", "password", "ä.a"] {
                    let Some(excerpt) = excerpt(&text, document.focus(path), &document.literals())
                    else { continue };
                    prop_assert!(excerpt.text.get(excerpt.marked.clone()).is_some());
                    let snippet = annotate_snippets::Snippet::source(excerpt.text.as_str())
                        .line_start(excerpt.line)
                        .annotation(annotate_snippets::AnnotationKind::Primary.span(excerpt.marked));
                    let title = annotate_snippets::Level::ERROR.primary_title("x");
                    let _text = annotate_snippets::Renderer::plain().render(&[title.element(snippet)]);
                }
            }
        }
    }

    #[test]
    fn very_long_lines_are_not_shown() {
        let text = format!("{{\"a\": \"{}\", \"b\": 1}}", "x".repeat(300));
        assert_eq!(shown(&text, "b"), None);
    }
}
