//! The parts of a file that run up and the parts that run down.
//!
//! Each tool's own rules decide what a marker is. Where its versions differ, what follows a
//! doubtful down marker counts in both directions, so that no statement can hide behind it.

use std::borrow::Cow;

use super::{Change, File, Opaque};
use crate::detect::script::HOLE;

/// How long a name or an expression may be that stands for a value, in characters.
const MAX_EXPRESSION: usize = 100;

/// How a file is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Goose,
    Dbmate,
    SqlMigrate,
    NodePg,
    Tern,
    Mybatis,
    Atlas,
    Graphile,
}

/// What a tool replaces before it runs a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holes {
    /// Nothing.
    None,
    /// `${name}`.
    Dollar,
    /// `{{ name }}`.
    Braces,
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Section<'f> {
    line: usize,
    text: &'f str,
    up: bool,
    down: bool,
}

/// Something wrong with a file, and the line on which it is.
type Broken = (usize, Opaque);

/// What one file runs in one direction.
pub(super) fn changes<'f>(
    style: Style,
    holes: Holes,
    file: &File<'f>,
    up: bool,
) -> Vec<Change<'f>> {
    let text = file.text.trim_start_matches('\u{feff}');
    let holes = match style {
        Style::Goose if text.contains("+goose ENVSUB") => Holes::Dollar,
        _ => holes,
    };
    let sections = match style {
        Style::Goose => goose(text),
        Style::Dbmate => dbmate(text),
        Style::SqlMigrate => sql_migrate(text),
        Style::NodePg => Ok(node_pg(text)),
        Style::Tern => Ok(tern(text)),
        Style::Mybatis => Ok(mybatis(text)),
        Style::Atlas if !up => Err((1, Opaque::Computed)),
        Style::Atlas => Ok(atlas(text)),
        Style::Graphile => graphile(text),
    };
    match sections {
        Ok(sections) => sections
            .into_iter()
            .filter(|section| if up { section.up } else { section.down })
            .filter_map(|section| Change::part(file, section.line, section.text, holes))
            .collect(),
        Err((line, why)) => vec![Change::opaque(file.path, line, why)],
    }
}

/// A line of a text.
#[derive(Clone, Copy, Debug)]
struct Line<'f> {
    number: usize,
    /// Without the line break.
    text: &'f str,
    start: usize,
    /// Where the next line starts.
    end: usize,
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut end = 0_usize;
    (1_usize..).zip(text.split_inclusive('\n')).map(move |(number, line)| {
        let start = end;
        end = end.saturating_add(line.len());
        Line { number, text: line.trim_end_matches(['\n', '\r']), start, end }
    })
}

/// Cuts a text at markers.
struct Cutter<'f> {
    text: &'f str,
    sections: Vec<Section<'f>>,
    line: usize,
    start: usize,
    up: bool,
    down: bool,
}

impl<'f> Cutter<'f> {
    fn new(text: &'f str, up: bool) -> Self {
        Self { text, sections: Vec::new(), line: 1, start: 0, up, down: false }
    }

    /// Ends a part at a marker; what follows it runs up, down, or both.
    fn cut(&mut self, marker: Line<'_>, up: bool, down: bool) {
        self.close(marker.start);
        self.line = marker.number.saturating_add(1);
        self.start = marker.end;
        (self.up, self.down) = (up, down);
    }

    fn close(&mut self, end: usize) {
        let text = self.text.get(self.start..end).unwrap_or_default();
        if (self.up || self.down) && !text.trim().is_empty() {
            let Self { line, up, down, .. } = *self;
            self.sections.push(Section { line, text, up, down });
        }
    }

    fn finish(mut self) -> Vec<Section<'f>> {
        self.close(self.text.len());
        self.sections
    }
}

fn is_statement(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("--")
}

/// A marker of goose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goose {
    Up,
    /// Older versions take a marker in other letters for a comment.
    Down {
        doubtful: bool,
    },
    Begin,
    End,
}

fn goose_marker(line: &str) -> Option<Goose> {
    let words = line.strip_prefix("--")?.trim();
    let marker = words.strip_prefix("+goose")?.trim_start();
    let is = |wanted: &str| marker.eq_ignore_ascii_case(wanted);
    if is("Up") {
        Some(Goose::Up)
    } else if is("Down") {
        Some(Goose::Down { doubtful: words != "+goose Down" })
    } else if is("StatementBegin") {
        Some(Goose::Begin)
    } else if is("StatementEnd") {
        Some(Goose::End)
    } else {
        None
    }
}

fn goose(text: &str) -> Result<Vec<Section<'_>>, Broken> {
    let mut cutter = Cutter::new(text, false);
    let mut is_open = false;
    for line in lines(text) {
        let Some(marker) = goose_marker(line.text) else {
            let is_before = !cutter.up && !cutter.down;
            if is_before && is_statement(line.text) {
                return Err((line.number, Opaque::Early));
            }
            continue;
        };
        let has_begun = cutter.up || cutter.down;
        match marker {
            Goose::Up if !has_begun => cutter.cut(line, true, false),
            Goose::Down { doubtful } if has_begun && !is_open && !cutter.down => {
                cutter.cut(line, doubtful, true);
            }
            Goose::Begin if has_begun && !is_open => is_open = true,
            Goose::End if is_open => is_open = false,
            _ => return Err((line.number, Opaque::Unclosed)),
        }
    }
    if is_open {
        return Err((1, Opaque::Unclosed));
    }
    if !cutter.up && !cutter.down {
        return Err((1, Opaque::Marker));
    }
    Ok(cutter.finish())
}

/// `-- migrate:up` with options after it; `Some(false)` when there are more than one.
fn dbmate_marker(line: &str, direction: &str) -> Option<bool> {
    let words = line.strip_prefix("--")?.trim_start();
    let options = words.strip_prefix("migrate:")?.strip_prefix(direction)?;
    let is_whole = options.is_empty() || options.starts_with(char::is_whitespace);
    is_whole.then(|| options.split_whitespace().count() <= 1)
}

fn dbmate(text: &str) -> Result<Vec<Section<'_>>, Broken> {
    let mut cutter = Cutter::new(text, false);
    for line in lines(text) {
        if !cutter.up && !cutter.down {
            if dbmate_marker(line.text, "up").is_some() {
                cutter.cut(line, true, false);
            } else if dbmate_marker(line.text, "down").is_some() {
                return Err((line.number, Opaque::Unclosed));
            } else if is_statement(line.text) {
                return Err((line.number, Opaque::Early));
            }
        } else if let Some(is_plain) = dbmate_marker(line.text, "down")
            && (!cutter.down || (cutter.up && is_plain))
        {
            // A marker with several options is none to every version of the tool. Only the first
            // marker of each kind counts.
            cutter.cut(line, !is_plain, true);
        }
    }
    if !cutter.up && !cutter.down {
        return Err((1, Opaque::Marker));
    }
    Ok(cutter.finish())
}

fn sql_migrate(text: &str) -> Result<Vec<Section<'_>>, Broken> {
    let mut cutter = Cutter::new(text, false);
    let mut opened = None;
    for line in lines(text) {
        let Some(marker) = line.text.strip_prefix("-- +migrate ") else { continue };
        let has_begun = cutter.up || cutter.down;
        // What stands before the first marker is not run.
        match marker.split_whitespace().next() {
            Some("Up") => cutter.cut(line, true, false),
            Some("Down") => cutter.cut(line, false, true),
            Some("StatementBegin") if has_begun => opened = Some(line.number),
            Some("StatementEnd") if has_begun => opened = None,
            _ => {}
        }
    }
    if let Some(line) = opened {
        return Err((line, Opaque::Unclosed));
    }
    if !cutter.up && !cutter.down {
        return Err((1, Opaque::Marker));
    }
    Ok(cutter.finish())
}

/// The first marker of each kind counts, in either order; without one for up all of it runs up.
fn node_pg(text: &str) -> Vec<Section<'_>> {
    let first = |direction: &str| {
        lines(text).find(|line| {
            let Some(rest) = line.text.trim_start().strip_prefix("--") else { return false };
            let rest = rest.trim_start_matches(|c: char| c == '-' || c.is_whitespace());
            let Some((word, rest)) = rest.split_at_checked(direction.len()) else { return false };
            let after = rest.trim_start();
            let is_migration = after.get(..9).is_some_and(|w| w.eq_ignore_ascii_case("migration"));
            word.eq_ignore_ascii_case(direction) && is_migration && after.len() < rest.len()
        })
    };
    let part = |from: Line<'_>, to: Option<Line<'_>>, up: bool| {
        let end = to.filter(|to| to.start > from.start).map_or(text.len(), |to| to.start);
        let text = text.get(from.start..end).unwrap_or_default();
        Section { line: from.number, text, up, down: !up }
    };
    let (up, down) = (first("up"), first("down"));
    let whole = Section { line: 1, text, up: true, down: false };
    let up_part = up.map_or(whole, |up| part(up, down, true));
    std::iter::once(up_part).chain(down.map(|down| part(down, up, false))).collect()
}

fn tern(text: &str) -> Vec<Section<'_>> {
    const DIVIDER: &str = "---- create above / drop below ----";
    let up = |text| Section { line: 1, text, up: true, down: false };
    let Some((above, below)) = text.split_once(DIVIDER) else { return vec![up(text)] };
    let line = above.matches('\n').count().saturating_add(1);
    vec![up(above), Section { line, text: below, up: false, down: true }]
}

fn mybatis(text: &str) -> Vec<Section<'_>> {
    let mut cutter = Cutter::new(text, true);
    for line in lines(text) {
        let trimmed = line.text.trim();
        let is_comment = trimmed.starts_with("--") || trimmed.starts_with("//");
        let words =
            trimmed.trim_start_matches(|c: char| matches!(c, '-' | '/') || c.is_whitespace());
        if !is_comment || !words.starts_with("@UNDO") {
            continue;
        }
        let plain: String = trimmed.chars().filter(|c| !c.is_whitespace()).collect();
        let is_certain = plain == "--//@UNDO";
        if !cutter.down || (cutter.up && is_certain) {
            cutter.cut(line, !is_certain, true);
        }
    }
    cutter.finish()
}

/// A file may hold several: checks, the migration, and what reverts it.
fn atlas(text: &str) -> Vec<Section<'_>> {
    let is_archive = lines(text)
        .take_while(|line| !is_statement(line.text))
        .any(|line| line.text.trim_end() == "-- atlas:txtar");
    // Above the first file of an archive there are only comments.
    let mut cutter = Cutter::new(text, !is_archive);
    for line in lines(text).filter(|_| is_archive) {
        let name = line.text.strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --"));
        if let Some(name) = name {
            let is_down = name.trim() == "down.sql";
            cutter.cut(line, !is_down, is_down);
        }
    }
    cutter.finish()
}

/// What `--!include` names stands in another folder, and is put in before the file is run.
fn graphile(text: &str) -> Result<Vec<Section<'_>>, Broken> {
    match lines(text).find(|line| line.text.trim_start().starts_with("--!include")) {
        Some(line) => Err((line.number, Opaque::Missing)),
        None => Ok(vec![Section { line: 1, text, up: true, down: false }]),
    }
}

/// Puts a [`HOLE`] where the tool would put a value, and keeps every line where it is.
///
/// Only what is surely no statement makes room for one: a name, or an expression on one line without
/// a semicolon. Anything else stays to be read, as a tool may be told to replace nothing.
pub(super) fn with_holes(text: &str, holes: Holes) -> Cow<'_, str> {
    let (open, close) = match holes {
        Holes::None => return Cow::Borrowed(text),
        Holes::Dollar => ("${", "}"),
        Holes::Braces => ("{{", "}}"),
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, inside)) = rest.split_once(open) {
        out.push_str(before);
        // No further than that, or many that are not closed would take for ever.
        let mut near = inside.char_indices().take(MAX_EXPRESSION);
        let end = near.find(|(_, c)| matches!(c, '\n' | ';' | '}')).map_or(0, |(at, _)| at);
        let (value, after) = inside.split_at_checked(end).unwrap_or((inside, ""));
        match after.strip_prefix(close) {
            Some(after) if holes == Holes::Braces || is_name(value) => {
                out.push(HOLE);
                rest = after;
            }
            _ => {
                out.push_str(open);
                rest = inside;
            }
        }
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// `schema`, `app.schema`, `flyway:timestamp`.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | ':' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tool_puts_in_leaves_a_hole_and_hides_no_statement() {
        for (holes, text, expected) in [
            (Holes::Dollar, "a ${b} c ${d.e:f-g}", "a \u{FFFC} c \u{FFFC}"),
            (Holes::Dollar, "${}${a b}", "${}${a b}"),
            (Holes::Dollar, "'${'; drop x; --}", "'${'; drop x; --}"),
            (Holes::Dollar, "${\n}", "${\n}"),
            (Holes::Dollar, "${x:-'; drop y;'}", "${x:-'; drop y;'}"),
            (Holes::Dollar, "${${a}", "${\u{FFFC}"),
            (Holes::Dollar, "${a", "${a"),
            (Holes::Braces, "{{ .a | quote }}", "\u{FFFC}"),
            (Holes::Braces, "'{{'; drop x; --}}", "'{{'; drop x; --}}"),
            (Holes::Braces, "{{ a\nb }}", "{{ a\nb }}"),
            (Holes::Braces, "{{{{a}}", "\u{FFFC}"),
            (Holes::None, "${a}{{b}}", "${a}{{b}}"),
        ] {
            assert_eq!(with_holes(text, holes), expected, "{text}");
        }
        let open = "${".repeat(100_000);
        assert_eq!(with_holes(&open, Holes::Dollar), open);
    }
}
