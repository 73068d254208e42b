//! Text to values that know their line and column.
//!
//! ```text
//! text -> chunks between `---` -> events -> (Value, Marks) -> Document
//! ```
//!
//! YAML is read as Kubernetes reads it: `sigs.k8s.io/yaml`, which is go-yaml v2 followed by a
//! conversion to JSON. So `yes` is a boolean, `0755` is 493, and `1:` is the key `"1"`. There is
//! one addition: a key that stands twice in one mapping is reported, as `kubectl --validate=strict`
//! does, while the last one counts, as for Helm, Argo CD and the API server.

pub mod edit;
mod json;
mod locate;
pub(crate) mod mapping;
mod names;
pub(crate) mod path;
mod scalar;
mod split;
mod text;
mod yaml;

use serde_json::Value;

use locate::Marks;

pub(crate) use names::{did_you_mean, wildcard, with_nearest};
pub use split::{Chunk, chunks};
pub use text::{decode, encode_like};

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Offset in bytes, from 0.
    pub offset: usize,
}

impl Position {
    /// The first character of a text.
    pub const START: Self = Self { line: 1, column: 1, offset: 0 };
}

/// A part of a text: from the first character up to, not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first character.
    pub start: Position,
    /// The character after the last.
    pub end: Position,
}

impl Span {
    /// An empty span.
    pub fn at(position: Position) -> Self {
        Self { start: position, end: position }
    }
}

/// One document of a text.
#[derive(Clone, Debug)]
pub struct Document {
    value: Value,
    marks: Marks,
    origin: Option<String>,
    repeated: Vec<SourceError>,
    /// What stands for more than one value, sorted and apart from each other: what has an anchor
    /// that is used, and where it is used.
    shared: Vec<Span>,
}

impl Document {
    fn new(value: Value, marks: Marks, repeated: Vec<SourceError>) -> Self {
        Self { value, marks, origin: None, repeated, shared: Vec::new() }
    }

    /// The same, with what stands for more than one value.
    fn sharing(mut self, mut spans: Vec<Span>) -> Self {
        spans.sort_by_key(|span| span.start);
        for span in spans {
            match self.shared.last_mut() {
                Some(last) if span.start < last.end => last.end = last.end.max(span.end),
                _ => self.shared.push(span),
            }
        }
        self
    }

    /// True when what starts at `at` is part of something that stands for more than one value.
    fn is_shared(&self, at: Position) -> bool {
        let before = self.shared.partition_point(|span| span.start <= at);
        let last = before.checked_sub(1).and_then(|last| self.shared.get(last));
        last.is_some_and(|span| at < span.end)
    }

    /// Keys that stand twice in one mapping; the last one counts.
    pub fn repeated(&self) -> &[SourceError] {
        &self.repeated
    }

    /// The document, unless a key stands twice in it.
    ///
    /// # Errors
    ///
    /// The first such key.
    pub fn strict(mut self) -> Result<Self, SourceError> {
        if self.repeated.is_empty() { Ok(self) } else { Err(self.repeated.swap_remove(0)) }
    }

    /// The document as JSON.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Takes the value out; positions stay behind.
    pub fn take_value(&mut self) -> Value {
        self.value.take()
    }

    /// Where a template engine says that the document comes from: the last `# Source:` comment
    /// above it, as Helm writes it.
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// Where the value at `path` stands, or its nearest ancestor that is there. A block scalar
    /// (`|`, `>`) starts at its first line, below the indicator.
    ///
    /// A path is written as rules write it: `spec.template.spec.containers[0].command`.
    pub fn locate(&self, path: &str) -> Span {
        self.marks.find(path).span
    }

    /// Where the key at `path` stands; an element of a sequence has none, and its own span is
    /// given.
    pub fn locate_key(&self, path: &str) -> Span {
        self.marks.find(path).key
    }

    /// What to point at when something is wrong at `path`: the key with its value where that is
    /// short, else the key alone, and of an element of a sequence its first entry.
    pub fn focus(&self, path: &str) -> Span {
        self.marks.focus(path)
    }

    /// A path of the object at `prefix` with the names of elements in place of their indices, so
    /// that it stays the same when others are put before them.
    pub fn by_name(&self, prefix: &str, path: &str) -> String {
        let found = self.marks.find(prefix);
        if found.exact { found.marks.by_name(path) } else { path::below(path).to_owned() }
    }

    /// True when there is a value at exactly `path`.
    pub fn holds(&self, path: &str) -> bool {
        self.marks.find(path).exact
    }

    /// Where literals stand that may be secrets: values of variables, the contents of Secrets.
    pub fn literals(&self) -> Vec<Span> {
        self.marks.literals()
    }
}

/// A document that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{}: {message}", position.line, position.column)]
pub struct SourceError {
    /// Where.
    pub position: Position,
    /// What is wrong; holds nothing of the text but a key or a single character.
    pub message: String,
}

/// Every document of a text, YAML (also several documents) or JSON.
///
/// A broken document does not hide the others. Empty documents are left out. Never panics, and
/// neither nesting nor aliases can make the result much larger than the text.
pub fn documents(text: &str) -> Vec<Result<Document, SourceError>> {
    chunks(text).iter().flat_map(Chunk::documents).collect()
}

impl Chunk<'_> {
    /// Every document of the chunk: one, but where `...` ends documents or JSON values follow one
    /// another. The first error ends it.
    pub fn documents(&self) -> Vec<Result<Document, SourceError>> {
        let mut documents = Vec::new();
        if !(self.looks_like_json() && json::read(self, &mut documents)) {
            yaml::read(self, &mut documents);
        }
        if let Some(Ok(document)) = documents.first_mut() {
            document.origin = self.origin();
        }
        documents
    }
}

#[cfg(test)]
mod tests;
