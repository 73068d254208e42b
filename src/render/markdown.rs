//! For comments on pull requests: GitHub's Markdown, which GitLab and others read as well.
//!
//! Names and messages come from manifests, and whoever writes those may not write the comment. So
//! every character that means something to Markdown or to HTML is an entity, and what would become a
//! mention, a reference or a link is broken by a space of no width.

use std::fmt::Write as _;

use super::{
    Checked, Entry, InputError, Located, Report, Severity,
    text::{plural, prose},
    uri,
};
use crate::{decision::Effect, rules::find};

/// The longest comment that GitHub takes is 65,536 characters. No text has more of them than bytes.
pub(super) const LONGEST: usize = 65_536;
/// What is kept free for the last line, in bytes.
const RESERVE: usize = 256;
/// The longest text that is taken from a manifest into one place, in characters.
const LONGEST_TEXT: usize = 600;

/// A report as Markdown: a line with the result, a table, and the details folded away. Never longer
/// than a comment may be; what had to be left out is counted.
pub fn markdown(report: &Report) -> String {
    let mut text = String::from("<!-- tidegate check -->\n");
    let _ = writeln!(text, "### tidegate: {}\n", headline(report));
    let mut left_out: usize = 0;
    let mut add = |text: &mut String, block: &str| {
        let room = LONGEST.saturating_sub(RESERVE);
        if text.len().saturating_add(block.len()) <= room {
            text.push_str(block);
        } else {
            left_out = left_out.saturating_add(1);
        }
    };
    if let Some(table) = table(report) {
        text.push_str(&table);
    }
    for error in report.errors() {
        add(&mut text, &unreadable(error));
    }
    let mut blocks = blocks(report);
    // The most severe first, so that what is cut is what matters least; the order stays otherwise.
    blocks.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
    for (_, block) in blocks {
        add(&mut text, &block);
    }
    if left_out > 0 {
        let many = plural(left_out, "entry does", "entries do");
        let _ = writeln!(text, "{many} not fit into this comment: see the whole report.\n");
    }
    text
}

/// `2 objects would be refused, 1 warning`.
fn headline(report: &Report) -> String {
    let tally = report.totals.tally;
    let mut parts = Vec::new();
    for (count, one, many) in [
        (tally.errors, "input could not be read", "inputs could not be read"),
        (tally.refused, "object would be refused", "objects would be refused"),
        (tally.warnings, "warning", "warnings"),
        (tally.notes, "note", "notes"),
        (tally.baselined, "in the baseline", "in the baseline"),
    ] {
        if count > 0 {
            parts.push(plural(count, one, many));
        }
    }
    if parts.is_empty() {
        parts.push("nothing found".to_owned());
    }
    let checked = plural(report.totals.counts.checked, "object", "objects");
    let files = plural(report.totals.counts.files, "file", "files");
    format!("{} ({checked} in {files} checked)", parts.join(", "))
}

/// How often each rule found something, worst first.
fn table(report: &Report) -> Option<String> {
    let rows = report.by_rule();
    if rows.is_empty() {
        return None;
    }
    let columns = if report.totals.baseline.is_some() { 4 } else { 3 };
    let names = ["Refused", "Warnings", "Notes", "Baseline"];
    let names: Vec<&str> = names.into_iter().take(columns).collect();
    let mut text = format!("| Rule | {} |\n|---|{}\n", names.join(" | "), "---:|".repeat(columns));
    for row in rows {
        let counts = [row.errors, row.warnings, row.notes, row.baselined].into_iter().take(columns);
        let counts: Vec<String> = counts
            .map(|count| if count == 0 { String::new() } else { count.to_string() })
            .collect();
        let _ = writeln!(text, "| {} | {} |", escaped(row.rule), counts.join(" | "));
    }
    text.push('\n');
    Some(text)
}

/// A folded block for every finding that counts, and one for all that do not.
fn blocks(report: &Report) -> Vec<(Severity, String)> {
    let mut blocks = Vec::new();
    for entry in &report.entries {
        let Entry::Object(object) = entry else { continue };
        // Of what is known there may be much: it is only counted.
        for found in object.findings.iter().filter(|found| found.effect != Effect::Baselined) {
            let excused = found.excused_by(report.totals.baseline.as_deref());
            blocks.push((found.effect.into(), block(object, found, excused)));
        }
    }
    blocks
}

fn block(object: &Checked, found: &Located, excused: Option<String>) -> String {
    let start = found.span.start;
    let word = match Severity::from(found.effect) {
        Severity::Error => "refused",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let mut text = format!(
        "<details><summary><b>{word}</b>: <code>{}</code> {}</summary>\n\n",
        code(&object.subject()),
        escaped(&found.what)
    );
    let file = format!("{}:{}:{}", uri::plain(&object.file), start.line, start.column);
    let _ = writeln!(text, "- Place: <code>{}</code>", code(&file));
    let _ = writeln!(text, "- Field: <code>{}</code>", code(&found.path));
    if let Some(origin) = &object.origin {
        let _ = writeln!(text, "- From: <code>{}</code>", code(origin));
    }
    let _ = writeln!(text, "- Rule: <code>{}</code>", code(found.rule));
    let _ = writeln!(text, "- Fix: {}", escaped(&found.mend));
    if found.undecided {
        text.push_str("- A fact is missing: the policy decides what that comes to\n");
    }
    if let Some(why) = excused {
        let _ = writeln!(text, "- Does not count: {}", escaped(&why));
    }
    if let Some(rule) = find(found.rule) {
        let _ = writeln!(text, "- Why: {}", escaped(rule.why));
    }
    text.push_str("\n</details>\n\n");
    text
}

fn unreadable(error: &InputError) -> String {
    format!("- **not readable**: {}\n\n", escaped(&error.to_string()))
}

/// A text that says in Markdown what it says, and nothing else. In one line; what stands between
/// backticks is code.
pub(super) fn escaped(text: &str) -> String {
    let mut room = LONGEST_TEXT;
    let mut safe = String::new();
    for piece in prose(text) {
        if room == 0 {
            break;
        }
        if piece.code {
            let _ = write!(safe, "<code>{}</code>", entities(&piece.text, room, &[]));
        } else {
            let text = entities(&piece.text, room, &['@', '#', ':', '!', '$', '%', '&', '~']);
            safe.push_str(&broken(&broken(&text, "www&#46;"), "gh-"));
        }
        room = room.saturating_sub(piece.text.chars().count());
    }
    safe
}

/// The same between `<code>` tags, where there are no mentions, references, links and emoji.
pub(super) fn code(text: &str) -> String {
    entities(text, LONGEST_TEXT, &[])
}

/// Every character that means something is an entity, and after some a space of no width follows.
/// Longer texts are cut.
fn entities(text: &str, longest: usize, broken_after: &[char]) -> String {
    let mut safe = String::new();
    for (count, char) in text.chars().enumerate() {
        if count == longest {
            safe.push('\u{2026}');
            break;
        }
        match char {
            ' ' | '-' | '/' | ',' | ';' => safe.push(char),
            char if char.is_control() => safe.push(' '),
            char if char.is_ascii_punctuation() => {
                let _ = write!(safe, "&#{};", u32::from(char));
                if broken_after.contains(&char) {
                    safe.push_str("&#8203;");
                }
            }
            char => safe.push(char),
        }
    }
    safe
}

/// Breaks a word, in whatever case, by a space of no width behind its first letter.
fn broken(text: &str, word: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut result = String::new();
    let mut done = 0;
    for (at, _) in lower.match_indices(word) {
        let cut = at.saturating_add(1);
        result.push_str(text.get(done..cut).unwrap_or_default());
        result.push_str("&#8203;");
        done = cut;
    }
    result.push_str(text.get(done..).unwrap_or_default());
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        let text =
            "<img src=x> | **b** [a](http://x) @team #12 a:b\n# h GH-1 www.x ![](y) $x$ !1 ~l";
        let safe = escaped(text);
        for char in "<>|*`[]()@!$~\n".chars() {
            assert!(!safe.contains(char), "{char}: {safe}");
        }
        assert!(!safe.replace("&#", "").contains('#'), "{safe}");
        assert!(
            !safe.contains("www&#46;") && !safe.contains("GH-") && !safe.contains(":/"),
            "{safe}"
        );
        assert_eq!(escaped("a b-c/d higher"), "a b-c/d higher");
        assert_eq!(escaped("`x` an odd `"), "<code>x</code> an odd &#96;");
        assert_eq!(escaped("`</code>@a`"), "<code>&#60;/code&#62;&#64;a</code>");
        assert_eq!(code("github/www.x"), "github/www&#46;x");
    }

    #[test]
    fn a_very_long_text_is_cut() {
        assert_eq!(escaped(&"x".repeat(10_000)).chars().count(), LONGEST_TEXT + 1);
    }
}
