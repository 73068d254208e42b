//! Unified diffs of edits that are known, so that nothing has to be compared.

use std::{fmt::Write as _, ops::Range};

use crate::source::edit::{TextEdit, apply, in_order};

/// How many lines are shown around a change.
const CONTEXT: usize = 3;

/// Lines that go, and those that come in their place.
struct Change<'t> {
    /// Numbers of the lines that go, from 0.
    old: Range<usize>,
    new: Vec<&'t str>,
}

/// The edits of a file as `git apply` and `patch -p1` read them; empty where there are none.
///
/// The lines are shown as they are: the result is to be applied.
pub fn diff(file: &str, text: &str, edits: &[TextEdit]) -> String {
    let edited = apply(text, edits);
    let old: Vec<&str> = text.split_inclusive('\n').collect();
    let changes = changes(text, &old, &edited, edits);
    let mut out = String::new();
    if changes.is_empty() {
        return out;
    }
    let name = shown(file);
    let _ = write!(out, "--- a/{name}\n+++ b/{name}\n");
    // How many lines the file has grown by so far.
    let (mut added, mut removed) = (0_usize, 0_usize);
    for group in grouped(&changes) {
        hunk(&old, group, added, removed, &mut out);
        added = group.iter().fold(added, |sum, change| sum.saturating_add(change.new.len()));
        removed = group.iter().fold(removed, |sum, change| sum.saturating_add(change.old.len()));
    }
    out
}

/// A name as it stands behind `a/`: relative, and on one line.
fn shown(file: &str) -> String {
    let relative = file.trim_start_matches("./").trim_start_matches('/');
    let name = relative.replace(char::is_control, "?");
    // What follows a tab is no part of the name; without it a name ends at its first space.
    if name.contains(' ') { format!("{name}\t") } else { name }
}

/// Whole lines that differ, in order and apart from each other.
fn changes<'t>(text: &str, old: &[&str], edited: &'t str, edits: &[TextEdit]) -> Vec<Change<'t>> {
    let mut starts = Vec::with_capacity(old.len());
    let mut offset: usize = 0;
    for line in old {
        starts.push(offset);
        offset = offset.saturating_add(line.len());
    }
    let line_of = |at: usize| starts.partition_point(|start| *start <= at).saturating_sub(1);
    let is_start = |at: usize| at == text.len() || starts.binary_search(&at).is_ok();
    let end_of = |line: usize| starts.get(line).copied().unwrap_or(text.len());
    let mut regions: Vec<Region> = Vec::new();
    for TextEdit { range, text: new, .. } in in_order(edits) {
        // Whole lines that come and go leave the line below them as it is.
        let ends = new.is_empty() || new.ends_with('\n');
        let whole = ends && starts.binary_search(&range.start).is_ok() && is_start(range.end);
        let first = line_of(range.start);
        let last = if whole {
            starts.partition_point(|start| *start < range.end).max(first)
        } else {
            line_of(range.end).saturating_add(1).min(old.len())
        };
        let grown = Region { lines: first..last, added: new.len(), removed: range.len() };
        match regions.last_mut() {
            Some(before) if first < before.lines.end => {
                before.lines.end = before.lines.end.max(last);
                before.added = before.added.saturating_add(grown.added);
                before.removed = before.removed.saturating_add(grown.removed);
            }
            _ => regions.push(grown),
        }
    }
    let (mut added, mut removed) = (0_usize, 0_usize);
    let mut changes: Vec<Change<'_>> = Vec::new();
    for region in regions {
        let start = end_of(region.lines.start).saturating_add(added).saturating_sub(removed);
        added = added.saturating_add(region.added);
        removed = removed.saturating_add(region.removed);
        let end = end_of(region.lines.end).saturating_add(added).saturating_sub(removed);
        let new = edited.get(start..end).unwrap_or_default();
        let new: Vec<&str> = new.split_inclusive('\n').collect();
        let change = trimmed(old, region.lines, &new);
        match (changes.last_mut(), change) {
            (Some(last), Some(next)) if last.old.end == next.old.start => {
                last.old.end = next.old.end;
                last.new.extend(next.new);
            }
            (_, change) => changes.extend(change),
        }
    }
    changes
}

/// Lines with edits in them.
struct Region {
    lines: Range<usize>,
    added: usize,
    removed: usize,
}

/// Without the lines that are the same at both ends.
fn trimmed<'t>(old: &[&str], lines: Range<usize>, new: &[&'t str]) -> Option<Change<'t>> {
    let before = old.get(lines.clone()).unwrap_or_default();
    let same = before.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (before, new) = (before.get(same..)?, new.get(same..)?);
    let tail = before.iter().rev().zip(new.iter().rev());
    let tail = tail.take_while(|(old, new)| old == new).count();
    let old = lines.start.saturating_add(same)..lines.end.saturating_sub(tail);
    let new = new.get(..new.len().saturating_sub(tail))?.to_vec();
    (!old.is_empty() || !new.is_empty()).then_some(Change { old, new })
}

/// Changes that are so near to each other that they share their context.
fn grouped<'c, 't>(changes: &'c [Change<'t>]) -> Vec<&'c [Change<'t>]> {
    let near = CONTEXT.saturating_mul(2);
    changes.chunk_by(|one, next| next.old.start.saturating_sub(one.old.end) <= near).collect()
}

fn hunk(old: &[&str], group: &[Change<'_>], added: usize, removed: usize, out: &mut String) {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return };
    let start = first.old.start.saturating_sub(CONTEXT);
    let end = last.old.end.saturating_add(CONTEXT).min(old.len());
    let removals: usize = group.iter().map(|change| change.old.len()).sum();
    let additions: usize = group.iter().map(|change| change.new.len()).sum();
    let length = end.saturating_sub(start);
    let new_start = start.saturating_add(added).saturating_sub(removed);
    let new_length = length.saturating_add(additions).saturating_sub(removals);
    let _ = writeln!(out, "@@ -{} +{} @@", place(start, length), place(new_start, new_length));
    let mut at = start;
    for change in group {
        lines(' ', old.get(at..change.old.start), out);
        lines('-', old.get(change.old.clone()), out);
        lines('+', Some(&change.new), out);
        at = change.old.end;
    }
    lines(' ', old.get(at..end), out);
}

/// `start,length`; a place without lines is told by the line above it.
fn place(start: usize, length: usize) -> String {
    let start = if length == 0 { start } else { start.saturating_add(1) };
    format!("{start},{length}")
}

fn lines(mark: char, lines: Option<&[&str]>, out: &mut String) {
    for line in lines.unwrap_or_default() {
        out.push(mark);
        out.push_str(line);
        if !line.ends_with('\n') {
            out.push_str("\n\\ No newline at end of file\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(text: &str, replace: &str, with: &str) -> TextEdit {
        let (before, _) = text.split_once(replace).unwrap();
        TextEdit::new(before.len()..before.len().saturating_add(replace.len()), with)
    }

    /// What a diff makes of a text, as `patch` reads it.
    fn patched(text: &str, diff: &str) -> String {
        let mut old = text.split_inclusive('\n').enumerate().peekable();
        let mut new = String::new();
        let mut lines = diff.split_inclusive('\n').skip(2).peekable();
        while let Some(line) = lines.next() {
            let (mark, mut body) = line.split_at(1);
            if lines.peek().is_some_and(|next| next.starts_with('\\')) {
                body = body.trim_end_matches('\n');
            }
            match mark {
                "@" => {
                    let place = body.strip_prefix("@ -").unwrap().split(' ').next().unwrap();
                    let (start, length) = place.split_once(',').unwrap();
                    let above = usize::from(length != "0");
                    let start = start.parse::<usize>().unwrap().saturating_sub(above);
                    while let Some((_, kept)) = old.next_if(|(number, _)| *number < start) {
                        new.push_str(kept);
                    }
                }
                " " => new.push_str(old.next_if(|(_, old)| *old == body).unwrap().1),
                "-" => drop(old.next_if(|(_, old)| *old == body).unwrap()),
                "+" => new.push_str(body),
                _ => {}
            }
        }
        new.extend(old.map(|(_, kept)| kept));
        new
    }

    #[test]
    fn a_diff_shows_what_changes_and_what_is_around_it() {
        let text = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\nm\nn";
        let edits =
            [edit(text, "d\n", "D1\nD2\n"), edit(text, "f\n", "f\nF\n"), edit(text, "n", "N")];
        assert_eq!(
            diff("./x/a.yaml", text, &edits),
            "--- a/x/a.yaml\n+++ b/x/a.yaml\n\
             @@ -1,9 +1,11 @@\n a\n b\n c\n-d\n+D1\n+D2\n e\n f\n+F\n g\n h\n i\n\
             @@ -11,4 +13,4 @@\n k\n l\n m\n-n\n\\ No newline at end of file\n+N\n\
             \\ No newline at end of file\n"
        );
        assert_eq!(diff("a", text, &[]), "");
        assert_eq!(diff("a", text, &[edit(text, "d", "d")]), "", "nothing differs");
        assert!(diff("/a b", text, &edits).starts_with("--- a/a b\t\n+++ b/a b\t\n"));
    }

    proptest::proptest! {
        #[test]
        fn a_diff_applied_is_the_edited_text(
            text in "([ab]{0,3}\n){0,20}[ab]{0,2}",
            edits in proptest::collection::vec((0_usize..30, 0_usize..9, "([ab]{0,2}\n?){0,2}"), 0..6),
        ) {
            let mut done: usize = 0;
            let mut made = Vec::new();
            for (gap, length, new) in edits {
                let start = done.saturating_add(gap.min(20));
                let end = start.saturating_add(length);
                // Two insertions at one place have no order of their own.
                if end <= text.len() {
                    made.push(TextEdit::new(start..end, &new));
                    done = end.saturating_add(1);
                }
            }
            let diff = diff("a", &text, &made);
            proptest::prop_assert_eq!(patched(&text, &diff), apply(&text, &made), "{}", diff);
        }
    }
}
