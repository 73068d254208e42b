//! JSON, also several values one after the other.
//!
//! `serde_json` reads the values; the marks come from a second look at a text that is then known
//! to be JSON. YAML's parser would do, but not with `\ud83d\ude00` and not at this speed.

use serde_json::Value;

use super::{
    Document, Position, SourceError, Span,
    locate::{Entry, Inner, Marks},
    split::Chunk,
    yaml::shown,
};

/// Adds every value of a chunk; false when it is not JSON, and then nothing was added.
pub(super) fn read(chunk: &Chunk<'_>, documents: &mut Vec<Result<Document, SourceError>>) -> bool {
    let values = serde_json::Deserializer::from_str(chunk.text).into_iter::<Value>();
    let mut scanner = Scanner { chunk, rest: chunk.text, at: chunk.start, repeated: Vec::new() };
    let mut found = Vec::new();
    for value in values {
        let Ok(value) = value else { return false };
        let marks = scanner.value();
        let repeated = std::mem::take(&mut scanner.repeated);
        found.push(marks.map(|marks| Document::new(value, marks, repeated)));
    }
    let null = |document: &Result<Document, _>| matches!(document, Ok(document) if document.value.is_null());
    documents.extend(found.into_iter().filter(|document| !null(document)));
    true
}

/// Walks over JSON that was read before.
struct Scanner<'a> {
    chunk: &'a Chunk<'a>,
    rest: &'a str,
    at: Position,
    /// Keys that stand twice.
    repeated: Vec<SourceError>,
}

impl<'a> Scanner<'a> {
    /// The next value; nesting is at most what `serde_json` let through.
    fn value(&mut self) -> Result<Marks, SourceError> {
        self.space();
        let start = self.at;
        let inner = match self.rest.as_bytes().first() {
            Some(b'{') => self.object()?,
            Some(b'[') => self.array()?,
            Some(b'"') => {
                self.string();
                Inner::Scalar
            }
            _ => {
                let end = self.rest.find([',', ']', '}', ' ', '\t', '\r', '\n']);
                self.skip(end.unwrap_or(self.rest.len()));
                Inner::Scalar
            }
        };
        Ok(Marks::new(Span { start, end: self.at }, inner))
    }

    fn object(&mut self) -> Result<Inner, SourceError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut names = std::collections::HashSet::new();
        self.skip(1);
        while !self.done(b'}') {
            let start = self.at;
            let name: String = serde_json::from_str(self.string()).unwrap_or_default();
            let key = Span { start, end: self.at };
            if !names.insert(name.clone()) {
                let message = format!("the key `{}` stands twice", shown(&name));
                self.repeated.push(SourceError { position: start, message });
                entries.retain(|entry| entry.name != name);
            }
            self.space();
            self.skip(1);
            entries.push(Entry { name, key, value: self.value()? });
        }
        Ok(Inner::Mapping(entries))
    }

    fn array(&mut self) -> Result<Inner, SourceError> {
        let mut items = Vec::new();
        self.skip(1);
        while !self.done(b']') {
            let marks = self.value()?;
            items.push(Marks { name: self.name(&marks), ..marks });
        }
        Ok(Inner::Sequence(items))
    }

    /// The text under the key `name` of a mapping.
    fn name(&self, marks: &Marks) -> Option<Box<str>> {
        let Inner::Mapping(entries) = &marks.inner else { return None };
        let Span { start, end } = entries.iter().find(|entry| entry.name == "name")?.value.span;
        let base = self.chunk.start.offset;
        let range = start.offset.saturating_sub(base)..end.offset.saturating_sub(base);
        serde_json::from_str(self.chunk.text.get(range)?).ok()
    }

    /// Skips to the next element, or over the end.
    fn done(&mut self, end: u8) -> bool {
        self.space();
        match self.rest.as_bytes().first() {
            Some(b',') => {
                self.skip(1);
                self.space();
                false
            }
            Some(byte) if *byte == end => {
                self.skip(1);
                true
            }
            Some(_) => false,
            None => true,
        }
    }

    /// Skips a string and gives it as written.
    fn string(&mut self) -> &'a str {
        let mut escaped = true; // the opening quote ends nothing
        let end = self.rest.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        self.skip(end.map_or(self.rest.len(), |end| end.saturating_add(1)))
    }

    fn space(&mut self) {
        let text = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.skip(self.rest.len().saturating_sub(text.len()));
    }

    fn skip(&mut self, bytes: usize) -> &'a str {
        let (text, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.at = self.at.after(text);
        self.rest = rest;
        text
    }
}
