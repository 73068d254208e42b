//! Where everything in a document stands.

use serde_json::Value;

use super::Span;

/// The spans of a value and of everything in it.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    pub(super) span: Span,
    pub(super) inner: Inner,
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

impl Marks {
    pub(super) fn scalar(span: Span) -> Self {
        Self { span, inner: Inner::Scalar }
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
            let Some((entry_key, value, tail)) = here.step(rest) else {
                return Found { key, span: here.span, exact: false, marks: here };
            };
            (key, here, rest) = (entry_key, value, tail.strip_prefix('.').unwrap_or(tail));
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

    /// One step down: key and value, and the path from there.
    fn step<'p>(&self, path: &'p str) -> Option<(Span, &Self, &'p str)> {
        if let Some((name, tail)) = bracket(path) {
            return match &self.inner {
                Inner::Sequence(items) => {
                    let item = items.get(name.parse::<usize>().ok()?)?;
                    Some((item.span, item, tail))
                }
                Inner::Mapping(entries) => {
                    let entry = entries.iter().find(|entry| entry.name == name)?;
                    Some((entry.key, &entry.value, tail))
                }
                Inner::Scalar => None,
            };
        }
        let Inner::Mapping(entries) = &self.inner else { return None };
        entries
            .iter()
            .filter_map(|entry| Some((entry, after(path, &entry.name)?)))
            .min_by_key(|(_, tail)| tail.len())
            .map(|(entry, tail)| (entry.key, &entry.value, tail))
    }

    /// The spans of everything that stands under a key that literals stand under.
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
        found
    }
}

/// A path with the names of elements in place of their indices, where they have any:
/// `spec.containers[1].env[0]` is `spec.containers[app].env[LOG_LEVEL]`. So it stays the same when
/// others are put before them. What leads nowhere stays as it is.
pub(super) fn by_name(value: &Value, path: &str) -> String {
    let mut named = String::new();
    let mut here = Some(value);
    let mut rest = path.trim_start_matches('.');
    while !rest.is_empty() {
        let step = here.and_then(|here| one_step(here, rest));
        let Some((word, value, tail)) = step else {
            named.push_str(rest);
            break;
        };
        named.push_str(&word);
        if tail.starts_with('.') {
            named.push('.');
        }
        (here, rest) = (Some(value), tail.strip_prefix('.').unwrap_or(tail));
    }
    named
}

/// The value at `path`; null where there is none.
pub(super) fn value_at<'v>(value: &'v Value, path: &str) -> &'v Value {
    let mut here = value;
    let mut rest = path;
    while !rest.is_empty() {
        let Some((_, value, tail)) = one_step(here, rest) else { return &Value::Null };
        (here, rest) = (value, tail.strip_prefix('.').unwrap_or(tail));
    }
    here
}

/// One step down: how it is written, what is there, and the path from there.
fn one_step<'v, 'p>(value: &'v Value, path: &'p str) -> Option<(String, &'v Value, &'p str)> {
    if let Some((inner, tail)) = bracket(path) {
        let (name, value) = match value {
            Value::Array(items) => {
                let item = items.get(inner.parse::<usize>().ok()?)?;
                (item.get("name").and_then(Value::as_str).unwrap_or(inner), item)
            }
            value => (inner, value.get(inner)?),
        };
        return Some((format!("[{name}]"), value, tail));
    }
    let (key, value, tail) = value
        .as_object()?
        .iter()
        .filter_map(|(key, value)| Some((key, value, after(path, key)?)))
        .min_by_key(|(_, _, tail)| tail.len())?;
    Some((key.clone(), value, tail))
}

/// `value` of variables and parameters, the contents of Secrets and ConfigMaps, and the copy of the
/// whole object that `kubectl apply` keeps.
fn holds_literals(key: &str) -> bool {
    matches!(key, "value" | "data" | "stringData" | "binaryData")
        || key.ends_with("/last-applied-configuration")
}

/// `[name]tail` or `["name"]tail`.
fn bracket(path: &str) -> Option<(&str, &str)> {
    let inner = path.strip_prefix('[')?;
    for quote in ['"', '\''] {
        if let Some(quoted) = inner.strip_prefix(quote) {
            let (name, tail) = quoted.split_once(quote)?;
            return Some((name, tail.strip_prefix(']')?));
        }
    }
    inner.split_once(']')
}

/// What follows `name` at the start of `path`, if a whole segment (or several) is `name`.
fn after<'p>(path: &'p str, name: &str) -> Option<&'p str> {
    let tail = match path.strip_prefix(name) {
        Some(tail) => tail,
        None if path.contains('\\') => path.strip_prefix(&name.replace('.', "\\."))?,
        None => return None,
    };
    (tail.is_empty() || tail.starts_with(['.', '['])).then_some(tail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn elements_are_called_by_their_names() {
        let value = json!({
            "metadata": {"annotations": {"argocd.argoproj.io/hook": "Presync"}},
            "spec": {"containers": [
                {"name": "a"},
                {"name": "app", "env": [{"name": "A"}, {"value": "no name"}], "args": ["x"]}
            ]}
        });
        for (path, want) in [
            ("", ""),
            ("spec.containers[1]", "spec.containers[app]"),
            ("spec.containers[1].env[0].value", "spec.containers[app].env[A].value"),
            ("spec.containers[1].env[1].value", "spec.containers[app].env[1].value"),
            ("spec.containers[1].args[0]", "spec.containers[app].args[0]"),
            ("spec.containers[7].args[0]", "spec.containers[7].args[0]"),
            ("spec.template.spec", "spec.template.spec"),
            (
                "metadata.annotations[argocd.argoproj.io/hook]",
                "metadata.annotations[argocd.argoproj.io/hook]",
            ),
            (
                "metadata.annotations.argocd.argoproj.io/hook",
                "metadata.annotations.argocd.argoproj.io/hook",
            ),
            ("spec.containers[", "spec.containers["),
        ] {
            assert_eq!(by_name(&value, path), want);
        }
    }
}
