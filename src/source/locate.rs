//! Where everything in a document stands.

use super::{
    Span,
    path::{self, Step},
};

/// The spans of a value and of everything in it.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    pub(super) span: Span,
    pub(super) inner: Inner,
    /// Of an element of a sequence: the text under its key `name`.
    pub(super) name: Option<Box<str>>,
}

/// What is in a value.
#[derive(Clone, Debug)]
pub(super) enum Inner {
    Scalar,
    Sequence(Vec<Marks>),
    Mapping(Vec<Entry>),
}

/// One entry of a mapping.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) key: Span,
    pub(super) value: Marks,
}

/// The most lines that a value may have to be pointed at as a whole, and not by its key.
const SHORT: usize = 8;

/// What a path leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'m> {
    pub(super) key: Span,
    pub(super) span: Span,
    /// False when only an ancestor is there.
    pub(super) exact: bool,
    pub(super) marks: &'m Marks,
}

/// One step down: key and value, and the path from there.
struct Down<'m, 'p> {
    key: Span,
    value: &'m Marks,
    rest: &'p str,
}

impl Marks {
    pub(super) fn new(span: Span, inner: Inner) -> Self {
        Self { span, inner, name: None }
    }

    /// What to point at for `path`: the key with its value when that is short, else the key alone;
    /// of an element that is a mapping the first entry.
    pub(super) fn focus(&self, path: &str) -> Span {
        let Found { key, span, exact, marks } = self.find(path);
        let short = span.end.line.saturating_sub(key.start.line) < SHORT;
        if exact && short && span.start >= key.start {
            return Span { start: key.start, end: span.end };
        }
        if key != span {
            return key;
        }
        match &marks.inner {
            Inner::Mapping(entries) if !entries.is_empty() => {
                let first = entries.iter().min_by_key(|entry| entry.key.start);
                let first = first.map_or(key, |Entry { key, value: Self { span, .. }, .. }| {
                    let one_line = span.end.line == key.start.line && span.start >= key.start;
                    Span { start: key.start, end: if one_line { span.end } else { key.end } }
                });
                Span { start: first.start.min(key.start), end: first.end.max(key.start) }
            }
            _ => Span::at(key.start),
        }
    }

    /// The value at `path` or its nearest ancestor.
    pub(super) fn find(&self, path: &str) -> Found<'_> {
        let mut here = self;
        let mut key = self.span;
        let mut rest = path.trim_start_matches('.');
        while !rest.is_empty() {
            let Some(down) = here.step(rest) else {
                return Found { key, span: here.span, exact: false, marks: here };
            };
            (key, here, rest) = (down.key, down.value, down.rest);
        }
        Found { key, span: here.span, exact: true, marks: here }
    }

    /// The entries of a mapping that stand in it themselves, in the order of the text; those that
    /// came by a merge stand elsewhere.
    pub(super) fn own_entries(&self) -> Option<Vec<&Entry>> {
        let Inner::Mapping(entries) = &self.inner else { return None };
        let mut keys: Vec<usize> = entries.iter().map(|entry| entry.key.start.offset).collect();
        keys.sort_unstable();
        let inside = |entry: &&Entry| {
            // What is merged in has the span of the `<<` for a key, and its values stand above it.
            let key = entry.key.start;
            let after = keys.partition_point(|start| *start <= key.offset);
            let before = keys.partition_point(|start| *start < key.offset);
            let once = after.saturating_sub(before) == 1;
            once && key >= self.span.start && entry.value.span.start >= key
        };
        let mut own: Vec<&Entry> = entries.iter().filter(inside).collect();
        own.sort_by_key(|entry| entry.key.start);
        Some(own)
    }

    /// A path with the names of elements in place of their indices, where they have any:
    /// `spec.containers[1].env[0]` is `spec.containers[app].env[LOG_LEVEL]`. So it stays the same
    /// when others are put before them. What leads nowhere stays as it is.
    pub(super) fn by_name(&self, path: &str) -> String {
        let mut named = String::new();
        let (mut here, mut path) = (self, path::below(path));
        while !path.is_empty() {
            let Some(Down { value, rest, .. }) = here.step(path) else {
                named.push_str(path);
                break;
            };
            let word = path.strip_suffix(rest).unwrap_or(path);
            match &value.name {
                Some(name) => {
                    named.extend(["[", name, "]"]);
                    named.push_str(if word.ends_with('.') { "." } else { "" });
                }
                None => named.push_str(word),
            }
            (here, path) = (value, rest);
        }
        named
    }

    /// One step down.
    fn step<'p>(&self, path: &'p str) -> Option<Down<'_, 'p>> {
        match &self.inner {
            Inner::Scalar => None,
            Inner::Sequence(items) => {
                let Step { to, rest } = path::index(path)?;
                let value = items.get(to)?;
                Some(Down { key: value.span, value, rest })
            }
            Inner::Mapping(entries) => {
                let named = entries.iter().map(|entry| (entry.name.as_str(), entry));
                let Step { to: Entry { key, value, .. }, rest } = path::entry(path, named)?;
                Some(Down { key: *key, value, rest })
            }
        }
    }

    /// The spans of everything that stands under a key that literals stand under, in the order of
    /// the text; none touches another.
    pub(super) fn literals(&self) -> Vec<Span> {
        let mut found = Vec::new();
        let mut todo = vec![self];
        while let Some(marks) = todo.pop() {
            match &marks.inner {
                Inner::Scalar => {}
                Inner::Sequence(items) => todo.extend(items),
                Inner::Mapping(entries) => {
                    for Entry { name, value, .. } in entries {
                        if holds_literals(name) {
                            found.push(value.span);
                        }
                        // What is inside can stand elsewhere: an alias stands for its anchor.
                        todo.push(value);
                    }
                }
            }
        }
        found.sort_by_key(|span| span.start.offset);
        found.dedup_by(|next, last| {
            let touches = next.start.offset <= last.end.offset;
            if touches && next.end.offset > last.end.offset {
                last.end = next.end;
            }
            touches
        });
        found
    }
}

/// `value` of variables and parameters, the contents of Secrets and ConfigMaps, and the copy of the
/// whole object that `kubectl apply` keeps.
fn holds_literals(key: &str) -> bool {
    matches!(key, "value" | "data" | "stringData" | "binaryData")
        || key.ends_with("/last-applied-configuration")
}
