//! For people: like a compiler.

use std::{fmt::Write as _, path::Path};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::{
    Checked, Entry, InputError, Located, Severity, Stream, Totals,
    text::{one_line, plural},
    uri,
};
use crate::decision::Effect;

/// The name that standard input has in a report.
pub const STDIN: &str = "<stdin>";

/// A report for people, and how to write it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Human<'l> {
    /// Use colours.
    pub color: bool,
    /// Leave out notes and the summary.
    pub quiet: bool,
    /// The folder that relative names of files start at, where the names are to be links.
    pub links: Option<&'l Path>,
}

impl Stream for Human<'_> {
    fn entry(&mut self, entry: &Entry, text: &mut String) {
        match entry {
            Entry::Error(error) => self.add(text, &error.file, unreadable(error)),
            Entry::Object(object) => {
                for found in &object.findings {
                    let told = !(self.quiet && found.effect < Effect::Warns);
                    // Of what is known there may be much: it is only counted.
                    if told && found.effect != Effect::Baselined {
                        self.add(text, &object.file, finding(object, found));
                    }
                }
                if !self.quiet && !object.filled_in.is_empty() {
                    self.add(text, &object.file, filled_in(object));
                }
            }
        }
    }

    fn end(&mut self, totals: &Totals, text: &mut String) {
        for remark in totals.remarks.iter().filter(|remark| remark.warns || !self.quiet) {
            let level = if remark.warns { Level::WARNING } else { Level::NOTE };
            let origin = Origin::path(remark.file.as_str()).line(remark.line);
            let group = Group::with_title(level.primary_title(one_line(&remark.message)))
                .element(origin.char_column(remark.column));
            self.add(text, &remark.file, group);
        }
        if !self.quiet {
            summary(text, totals);
        }
    }
}

impl Human<'_> {
    /// Adds what stands in a file.
    fn add(&self, text: &mut String, file: &str, group: Group<'_>) {
        let renderer = if self.color { Renderer::styled() } else { Renderer::plain() };
        let told = renderer.render(&[group]);
        match self.links {
            // Standard input is no file that could be opened.
            Some(folder) if file != STDIN => text.push_str(&linked(&told, file, folder)),
            _ => text.push_str(&told),
        }
        text.push_str("\n\n");
    }
}

/// Makes the name of a file a link, where it stands as `--> file`. What a title says is never one,
/// whatever it looks like, because titles stand before it and hold no line break.
fn linked(text: &str, file: &str, folder: &Path) -> String {
    let place = text.split_once('\n').and_then(|(title, rest)| {
        let (before, after) = rest.split_once(file)?;
        before.contains("-->").then(|| (format!("{title}\n{before}"), after))
    });
    let Some((before, after)) = place else { return text.to_owned() };
    let target = uri::of(&folder.join(uri::plain(file)).to_string_lossy());
    // OSC 8, as https://gist.github.com/egmontkob/eb114294efbcd5adb1944c9f3cb5feda has it.
    format!("{before}\u{1b}]8;;{target}\u{1b}\\{file}\u{1b}]8;;\u{1b}\\{after}")
}

fn finding<'a>(object: &'a Checked, found: &'a Located) -> Group<'a> {
    let level = match Severity::from(found.effect) {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = format!("{}: {}", object.subject(), found.what);
    let mut group = Group::with_title(level.primary_title(one_line(&title)).id(found.rule));
    group = match &found.excerpt {
        Some(excerpt) => group.element(
            Snippet::source(excerpt.text.as_str())
                .line_start(excerpt.line)
                .path(&*object.file)
                .annotation(AnnotationKind::Primary.span(excerpt.marked.clone())),
        ),
        None => group.element(
            Origin::path(&*object.file)
                .line(found.span.start.line)
                .char_column(found.span.start.column),
        ),
    };
    if !found.path.is_empty() {
        group =
            group.element(Level::NOTE.no_name().message(one_line(&format!("at: {}", found.path))));
    }
    if let Some(origin) = &object.origin {
        group = group.element(Level::NOTE.no_name().message(format!("from: {}", one_line(origin))));
    }
    if found.undecided {
        group =
            group.element(Level::NOTE.message(
                "undecided, because a fact is missing: the policy's onUndecided settled it",
            ));
    }
    if let Some(excuse) = &found.excuse {
        group = group.element(Level::NOTE.message(one_line(&excuse.text())));
    }
    group.element(Level::HELP.message(one_line(&found.mend)))
}

fn filled_in(object: &Checked) -> Group<'_> {
    let title = format!("{}: filled in at admission:", object.subject());
    let group = Group::with_title(Level::NOTE.primary_title(one_line(&title))).element(
        Origin::path(&*object.file).line(object.position.line).char_column(object.position.column),
    );
    let fields = object.filled_in.iter();
    group.elements(fields.map(|field| Level::NOTE.no_name().message(one_line(field))))
}

fn unreadable(error: &InputError) -> Group<'_> {
    let mut origin = Origin::path(error.file.as_str());
    if let Some(position) = error.position {
        origin = origin.line(position.line).char_column(position.column);
    }
    Group::with_title(Level::ERROR.primary_title(one_line(&error.message))).element(origin)
}

/// `3 objects checked in 2 files: 1 refused, 1 warning; policy default`.
fn summary(text: &mut String, totals: &Totals) {
    let Totals { counts, tally, .. } = totals;
    let mut results = Vec::new();
    for (count, one, many) in [
        (tally.refused, "refused", "refused"),
        (tally.warnings, "warning", "warnings"),
        (tally.notes, "note", "notes"),
        (tally.baselined, "in the baseline", "in the baseline"),
        (tally.errors, "error", "errors"),
    ] {
        if count > 0 {
            results.push(format!("{count} {}", if count == 1 { one } else { many }));
        }
    }
    if results.is_empty() {
        results.push("nothing found".to_owned());
    }
    let checked = plural(counts.checked, "object", "objects");
    let files = plural(counts.files, "file", "files");
    let _ = write!(text, "{checked} checked in {files}: {}", results.join(", "));
    let policies = totals.policies();
    if !policies.is_empty() {
        let word = if policies.len() == 1 { "policy" } else { "policies" };
        let _ = write!(text, "; {word} {}", policies.join(", "));
    }
    text.push('\n');
    let left_out: Vec<String> = [
        (counts.not_judged, "object that runs nothing", "objects that run nothing"),
        (
            counts.no_policy,
            "object in a namespace that no policy is for",
            "objects in namespaces that no policy is for",
        ),
        (
            counts.foreign,
            "document that is no Kubernetes object",
            "documents that are no Kubernetes objects",
        ),
        (counts.own, "document for tidegate itself", "documents for tidegate itself"),
    ]
    .into_iter()
    .filter(|(count, _, _)| *count > 0)
    .map(|(count, one, many)| plural(count, one, many))
    .collect();
    if !left_out.is_empty() {
        let _ = writeln!(text, "not checked: {}", left_out.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        render::{Report, text_of},
        source::Position,
    };

    fn page(file: &str, message: &str, color: bool, links: Option<&Path>) -> String {
        let position = Some(Position { line: 3, column: 7, offset: 0 });
        let message = message.to_owned();
        let error = InputError { file: file.to_owned(), position, message };
        let mut report = Report::default();
        report.add(Entry::Error(error));
        text_of(Human { color, quiet: true, links }, &report)
    }

    #[test]
    fn names_of_files_are_links_where_that_is_wanted() {
        let folder = Path::new("/home/a b");
        for color in [false, true] {
            let text = page("./x/y.yaml", "it is ./x/y.yaml", color, Some(folder));
            let link = "\u{1b}]8;;file:///home/a%20b/x/y.yaml\u{1b}\\./x/y.yaml\u{1b}]8;;\u{1b}\\";
            assert_eq!(text.matches("]8;;file").count(), 1, "{text}");
            assert!(text.contains(link), "{text}");
            let (title, _) = text.split_once('\n').unwrap();
            assert!(!title.contains("]8;;"), "{title}");
            let without = text.replace(link, "./x/y.yaml");
            assert_eq!(without, page("./x/y.yaml", "it is ./x/y.yaml", color, None));
        }
    }
}
