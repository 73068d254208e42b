//! Changelogs in SQL: comments part the change sets and hold what reverts them.
//!
//! `--ignoreLines` is not followed: what it hides counts, so that no statement can hide in it.

/// What a changelog in SQL is made of, in its order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Formatted<'f> {
    pub(super) items: Vec<Item<'f>>,
}

/// One thing in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<'f> {
    /// The statements of a change set.
    Up {
        line: usize,
        text: &'f str,
    },
    /// What reverts the change set before it, line for line from `line` on.
    Down {
        line: usize,
        text: String,
    },
    /// What another change set does reverts it.
    DownElsewhere {
        line: usize,
    },
    Include {
        line: usize,
        path: &'f str,
        is_relative: bool,
        all: bool,
    },
}

/// True for `--liquibase formatted sql` on the first line that holds anything.
pub(super) fn is_formatted(text: &str) -> bool {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty());
    let words = first.and_then(|line| line.strip_prefix("--")).map(str::trim_start);
    words.and_then(|words| keyword(words, "liquibase")).is_some_and(|rest| {
        rest.trim_start().get(..9).is_some_and(|word| word.eq_ignore_ascii_case("formatted"))
    })
}

/// What follows a word, whatever its letters' case.
fn keyword<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(word.len())?;
    start.eq_ignore_ascii_case(word).then_some(rest)
}

/// The reverting lines of one change set.
#[derive(Debug, Default)]
struct Rollback {
    line: usize,
    text: String,
    breaks: usize,
    is_block: bool,
}

impl Rollback {
    /// Adds a line where it stands.
    fn add(&mut self, number: usize, text: &str) {
        if self.text.is_empty() {
            self.line = number;
        }
        let here = self.line.saturating_add(self.breaks);
        for _ in here..number {
            self.text.push('\n');
            self.breaks = self.breaks.saturating_add(1);
        }
        self.text.push_str(text);
        self.text.push(' ');
    }

    fn take<'f>(&mut self) -> Option<Item<'f>> {
        let Self { line, text, .. } = std::mem::take(self);
        (!text.trim().is_empty()).then_some(Item::Down { line, text })
    }
}

/// Reads a changelog in SQL.
pub(super) fn read(text: &str) -> Formatted<'_> {
    let mut formatted = Formatted::default();
    let mut rollback = Rollback::default();
    let (mut start, mut first) = (0_usize, 1_usize);
    let mut end = 0_usize;
    for (number, line) in (1_usize..).zip(text.split_inclusive('\n')) {
        let at = end;
        end = end.saturating_add(line.len());
        let line = line.trim();
        if rollback.is_block {
            rollback.is_block = !line.ends_with("*/");
            rollback.add(number, line.strip_suffix("*/").unwrap_or(line));
            continue;
        }
        if is_block_start(line) {
            rollback.is_block = true;
            continue;
        }
        let Some(comment) = line.strip_prefix("--").map(str::trim_start) else { continue };
        if keyword(comment, "changeset").is_some() {
            formatted.up(first, text.get(start..at));
            formatted.items.extend(rollback.take());
            (start, first) = (at, number);
        } else if let Some(rest) = keyword(comment, "rollback ") {
            formatted.rollback(&mut rollback, number, rest);
        } else if let Some(include) = include(comment, number) {
            formatted.items.push(include);
        }
    }
    formatted.up(first, text.get(start..));
    formatted.items.extend(rollback.take());
    formatted
}

/// `/* liquibase rollback` on a line of its own.
fn is_block_start(line: &str) -> bool {
    line.strip_prefix("/*")
        .and_then(|rest| keyword(rest.trim_start(), "liquibase"))
        .is_some_and(|rest| rest.trim().eq_ignore_ascii_case("rollback"))
}

/// `include file:orders.sql relativeToChangelogFile:true` and `includeAll path:changes/`.
fn include(comment: &str, line: usize) -> Option<Item<'_>> {
    let (all, rest) = match keyword(comment, "includeAll") {
        Some(rest) => (true, rest),
        None => (false, keyword(comment, "include")?),
    };
    let key = if all { "path:" } else { "file:" };
    let path = rest.split_whitespace().find_map(|word| keyword(word, key))?;
    let is_relative = rest
        .split_whitespace()
        .filter_map(|word| keyword(word, "relativeToChangelogFile:"))
        .any(|value| value.trim_matches('"').eq_ignore_ascii_case("true"));
    Some(Item::Include { line, path: path.trim_matches('"'), is_relative, all })
}

impl<'f> Formatted<'f> {
    fn up(&mut self, line: usize, text: Option<&'f str>) {
        if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
            self.items.push(Item::Up { line, text });
        }
    }

    /// A `--rollback` line: statements, the word that there are none, or another change set.
    fn rollback(&mut self, rollback: &mut Rollback, line: usize, rest: &str) {
        let rest = rest.trim();
        let is_none = ["not required", "empty"].iter().any(|word| rest.eq_ignore_ascii_case(word));
        if keyword(rest, "changeset").is_some() {
            self.items.push(Item::DownElsewhere { line });
        } else if !is_none {
            rollback.add(line, rest);
        }
    }
}
