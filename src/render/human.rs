//! For people: like a compiler.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::{
    Checked, Entry, InputError, Located, Report, Severity,
    text::{one_line, plural},
};
use crate::decision::Effect;

/// How to write for people.
#[derive(Clone, Copy, Debug, Default)]
pub struct Human {
    /// Use colours.
    pub color: bool,
    /// Leave out notes and the summary.
    pub quiet: bool,
}

/// A report for people.
pub fn human(report: &Report, options: &Human) -> String {
    let renderer = if options.color { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for entry in &report.entries {
        match entry {
            Entry::Error(error) => add(&mut text, &renderer, unreadable(error)),
            Entry::Object(object) => {
                for found in &object.findings {
                    if !(options.quiet && found.effect < Effect::Warns) {
                        add(&mut text, &renderer, finding(object, found));
                    }
                }
                if !options.quiet && !object.filled_in.is_empty() {
                    add(&mut text, &renderer, filled_in(object));
                }
            }
        }
    }
    for remark in report.remarks.iter().filter(|remark| remark.warns || !options.quiet) {
        let level = if remark.warns { Level::WARNING } else { Level::NOTE };
        let origin = Origin::path(remark.file.as_str()).line(remark.line);
        let group = Group::with_title(level.primary_title(one_line(&remark.message)))
            .element(origin.char_column(remark.column));
        add(&mut text, &renderer, group);
    }
    if !options.quiet {
        summary(&mut text, report);
    }
    text
}

fn add(text: &mut String, renderer: &Renderer, group: Group<'_>) {
    text.push_str(&renderer.render(&[group]));
    text.push_str("\n\n");
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
                .path(object.file.as_str())
                .annotation(AnnotationKind::Primary.span(excerpt.marked.clone())),
        ),
        None => group.element(
            Origin::path(object.file.as_str())
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
    if found.effect == Effect::Baselined {
        group = group.element(Level::NOTE.message("it is in the baseline"));
    }
    group.element(Level::HELP.message(one_line(&found.mend)))
}

fn filled_in(object: &Checked) -> Group<'_> {
    let title = format!("{}: filled in at admission:", object.subject());
    let group = Group::with_title(Level::NOTE.primary_title(one_line(&title))).element(
        Origin::path(object.file.as_str())
            .line(object.position.line)
            .char_column(object.position.column),
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
fn summary(text: &mut String, report: &Report) {
    let counts = report.counts;
    let tally = report.tally();
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
    let policies = report.policies();
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
