//! A changelog as a tree, whatever language it is written in.

use serde_json::Value;

use crate::source::{self, Document};

/// How deeply a changelog may nest.
pub(super) const MAX_DEPTH: usize = 64;
/// How many keys a mapping may have, and how deep a value may stand, for its line to be looked up:
/// a look-up goes through all of them.
const MAX_KEYS: usize = 64;
const MAX_PLACE: usize = 10;

/// An element of a changelog.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Without a prefix, so that `ext:dropTable` is `dropTable`.
    pub(super) name: String,
    /// The line on which it starts, from 1.
    pub(super) line: usize,
    /// Attributes, or keys with plain values.
    pub(super) attributes: Vec<(String, String)>,
    /// The text in it, and the line on which that starts.
    pub(super) text: String,
    pub(super) text_line: usize,
    /// Line breaks in the text.
    pub(super) breaks: usize,
    /// The text is written on fewer lines than it has, so that only its first line is known.
    pub(super) is_folded: bool,
    pub(super) children: Vec<Self>,
}

impl Node {
    pub(super) fn new(name: &str, line: usize) -> Self {
        let name = name.rsplit_once(':').map_or(name, |(_, name)| name);
        Self { name: name.to_owned(), line, text_line: line, ..Self::default() }
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        attributes.find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// A value that XML has as an element and YAML as a key.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.attribute(name).or_else(|| self.child(name).map(|child| child.text.as_str()))
    }

    pub(super) fn is(&self, name: &str, wanted: &str) -> bool {
        self.attribute(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(wanted))
    }

    /// The children of a name, also where YAML wraps them: `columns: [{column: …}]`.
    pub(super) fn each(&self, one: &str, many: &str) -> impl Iterator<Item = &Self> {
        let wrapped = self.children.iter().filter(move |child| child.name == many);
        let wrapped = wrapped.flat_map(|child| &child.children);
        self.children.iter().chain(wrapped).filter(move |child| child.name == one)
    }
}

/// Reads YAML or JSON; `None` when it is neither or holds no changelog.
pub(super) fn from_yaml(text: &str) -> Option<Node> {
    let documents = source::documents(text);
    let [Ok(document)] = documents.as_slice() else { return None };
    let changelog = document.value().as_object()?.get("databaseChangeLog")?;
    let mut root = Node::new("databaseChangeLog", 1);
    let builder = Builder { document };
    let is_small = document.value().as_object().is_some_and(|keys| keys.len() <= MAX_KEYS);
    let path = if is_small { "databaseChangeLog" } else { "" };
    let place = Place { path: path.to_owned(), key_line: 1, line: 1, lines: 1, depth: 0 };
    builder.fill(&mut root, changelog, &place)?;
    Some(root)
}

/// Where a value stands.
struct Place {
    /// Empty when its lines are not looked up.
    path: String,
    /// The line of its key.
    key_line: usize,
    line: usize,
    /// On how many lines it is written.
    lines: usize,
    depth: usize,
}

struct Builder<'d> {
    document: &'d Document,
}

impl Builder<'_> {
    /// Adds what a value holds to a node; `None` when it nests too deeply.
    fn fill(&self, node: &mut Node, value: &Value, place: &Place) -> Option<()> {
        if place.depth > MAX_DEPTH {
            return None;
        }
        match value {
            Value::Object(entries) => {
                for (key, value) in entries {
                    let inner = if entries.len() <= MAX_KEYS && !key.contains(['.', '[']) {
                        place.at(format!("{}.{key}", place.path), self.document)
                    } else {
                        place.near()
                    };
                    self.entry(node, key, value, &inner)?;
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let inner = place.at(format!("{}[{index}]", place.path), self.document);
                    self.fill(node, item, &inner)?;
                }
            }
            scalar => {
                node.text = shown(scalar);
                node.text_line = place.line;
                node.is_folded = node.text.trim_end().lines().count() > place.lines;
            }
        }
        Some(())
    }

    fn entry(&self, node: &mut Node, key: &str, value: &Value, place: &Place) -> Option<()> {
        let is_plain = !value.is_object() && !value.is_array();
        if is_plain && !value.is_null() {
            node.attributes.push((key.to_owned(), shown(value)));
        }
        let mut child = Node::new(key, place.key_line);
        self.fill(&mut child, value, place)?;
        node.children.push(child);
        Some(())
    }
}

impl Place {
    /// One step further in.
    fn at(&self, path: String, document: &Document) -> Self {
        if self.path.is_empty() || self.depth >= MAX_PLACE {
            return self.near();
        }
        let span = document.locate(&path);
        let line = span.start.line;
        let lines = span.end.line.saturating_sub(line).saturating_add(1);
        let key_line = document.locate_key(&path).start.line;
        Self { path, key_line, line, lines, depth: self.depth.saturating_add(1) }
    }

    /// One step further in, where lines are not looked up.
    fn near(&self) -> Self {
        let depth = self.depth.saturating_add(1);
        let Self { key_line, line, .. } = *self;
        Self { path: String::new(), key_line, line, lines: 1, depth }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
