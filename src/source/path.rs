//! Paths as rules write them: `spec.template.spec.containers[0].command`.
//!
//! Keys may hold dots: `metadata.annotations.argocd.argoproj.io/hook`, the same with `\.` for the
//! dots of the key, or with the key in brackets, are all understood; where two keys fit, the longer
//! one is meant.

use serde_json::{Map, Value};

/// One step down a path: what it leads to, and the path from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step<'p, T> {
    pub(super) to: T,
    pub(super) rest: &'p str,
}

/// The element of a sequence that a path starts with.
pub(super) fn index(path: &str) -> Option<Step<'_, usize>> {
    let (name, rest) = bracket(path)?;
    Some(Step { to: name.parse().ok()?, rest: below(rest) })
}

/// The entry of a mapping that a path starts with, out of `entries` with their names.
pub(super) fn entry<'n, 'p, T>(
    path: &'p str,
    mut entries: impl Iterator<Item = (&'n str, T)>,
) -> Option<Step<'p, T>> {
    if let Some((name, rest)) = bracket(path) {
        let (_, to) = entries.find(|(key, _)| *key == name)?;
        return Some(Step { to, rest: below(rest) });
    }
    entries
        .filter_map(|(name, to)| Some(Step { to, rest: after(path, name)? }))
        .min_by_key(|step| step.rest.len())
        .map(|step| Step { rest: below(step.rest), ..step })
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

pub(super) fn below(path: &str) -> &str {
    path.strip_prefix('.').unwrap_or(path)
}

/// The value at exactly `path`.
pub(crate) fn get<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let (mut here, mut path) = (value, below(path));
    while !path.is_empty() {
        (here, path) = match here {
            Value::Array(items) => {
                let step = index(path)?;
                (items.get(step.to)?, step.rest)
            }
            Value::Object(map) => {
                let step = entry(path, map.iter().map(|(name, value)| (name.as_str(), value)))?;
                (step.to, step.rest)
            }
            _ => return None,
        };
    }
    Some(here)
}

/// The same, to be changed.
pub(crate) fn get_mut<'v>(value: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    let (mut here, mut path) = (value, below(path));
    while !path.is_empty() {
        (here, path) = match here {
            Value::Array(items) => {
                let step = index(path)?;
                (items.get_mut(step.to)?, step.rest)
            }
            Value::Object(map) => {
                let found = entry(path, map.keys().map(|name| (name.as_str(), name.clone())))?;
                (map.get_mut(&found.to)?, found.rest)
            }
            _ => return None,
        };
    }
    Some(here)
}

/// Puts `new` at `path`, with the mappings around it that are missing. False where something else
/// than a mapping is in the way, or an element of a sequence is not there.
pub(crate) fn set(value: &mut Value, path: &str, new: Value) -> bool {
    let (mut here, mut path) = (value, below(path));
    while !path.is_empty() {
        if here.is_null() {
            *here = Value::Object(Map::new());
        }
        let down = match here {
            Value::Array(items) => {
                index(path).and_then(|step| Some((items.get_mut(step.to)?, step.rest)))
            }
            Value::Object(map) => {
                let names = map.keys().map(|name| (name.as_str(), name.clone()));
                let found = entry(path, names).or_else(|| missing(path));
                found.map(|step| (map.entry(step.to).or_insert(Value::Null), step.rest))
            }
            _ => None,
        };
        let Some((value, rest)) = down else { return false };
        (here, path) = (value, rest);
    }
    *here = new;
    true
}

/// The first segment of a path that leads to nothing yet.
fn missing(path: &str) -> Option<Step<'_, String>> {
    if let Some((name, rest)) = bracket(path) {
        // A number would be an element, and there is no sequence.
        let is_name = name.parse::<usize>().is_err();
        return is_name.then(|| Step { to: name.to_owned(), rest: below(rest) });
    }
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (name, rest) = path.split_at_checked(end)?;
    (!name.is_empty()).then(|| Step { to: name.to_owned(), rest: below(rest) })
}

/// Takes the entry of a mapping at `path` out. False when there is none.
pub(crate) fn remove(value: &mut Value, path: &str) -> bool {
    let (mut here, mut path) = (value, below(path));
    loop {
        match here {
            Value::Array(items) => {
                let Some(step) = index(path) else { return false };
                let Some(item) = items.get_mut(step.to) else { return false };
                (here, path) = (item, step.rest);
            }
            Value::Object(map) => {
                let names = map.keys().map(|name| (name.as_str(), name.clone()));
                let Some(step) = entry(path, names) else { return false };
                if step.rest.is_empty() {
                    return map.remove(&step.to).is_some();
                }
                let Some(value) = map.get_mut(&step.to) else { return false };
                (here, path) = (value, step.rest);
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_found_and_set_and_removed_by_path() {
        let object = json!({
            "metadata": {"annotations": {"a.io/hook": "x", "a": {"io/hook": 1}}},
            "spec": {"list": [{"n": 1}], "none": null}
        });
        for path in ["metadata.annotations.a.io/hook", "metadata.annotations[a.io/hook]"] {
            assert_eq!(get(&object, path), Some(&json!("x")), "{path}");
        }
        for (path, want) in [
            ("spec.list[0].n", Some("/spec/list/0/n")),
            ("spec.list[0].a.b", Some("/spec/list/0/a/b")),
            ("spec.none.x", Some("/spec/none/x")),
            ("metadata.annotations[b.io/c]", Some("/metadata/annotations/b.io~1c")),
            ("spec.list[7].n", None),
            ("spec.new[0]", None),
            ("spec.list[0].n.x", None),
            ("spec..x", None),
        ] {
            let mut changed = object.clone();
            assert_eq!(set(&mut changed, path, json!("new")), want.is_some(), "{path}");
            if let Some(pointer) = want {
                assert_eq!(changed.pointer(pointer), Some(&json!("new")), "{path}");
                assert_eq!(get_mut(&mut changed, path), Some(&mut json!("new")), "{path}");
                assert!(remove(&mut changed, path), "{path}");
                assert_eq!(changed.pointer(pointer), None, "{path}");
                assert!(!remove(&mut changed, path), "{path}");
            }
        }
        for path in ["", "x", "spec.list[0]", "spec.list[9].n", "spec.none.x"] {
            assert!(!remove(&mut object.clone(), path), "{path}");
        }
    }
}
