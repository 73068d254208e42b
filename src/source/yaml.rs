//! YAML events to values with marks.

use std::collections::{HashMap, HashSet};

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, Span as EventSpan, Tag};
use serde_json::{Map, Value};

use super::{
    Document, Position, SourceError, Span,
    locate::{Entry, Inner, Marks},
    scalar,
    split::Chunk,
};

/// How many values aliases may add to one document. Kubernetes refuses far fewer.
const ALIASED_VALUES: usize = 100_000;

/// Adds every document of a chunk; the first error ends it.
pub(super) fn read(chunk: &Chunk<'_>, documents: &mut Vec<Result<Document, SourceError>>) {
    let mut options = granit_parser::options! { block_scalar_eof_without_line_feed: true };
    options.set_emit_comments(false);
    let mut builder = Builder {
        chunk,
        stack: Vec::new(),
        anchors: HashMap::new(),
        aliased: 0,
        repeated: Vec::new(),
        shared: Vec::new(),
    };
    for event in Parser::new_from_str_with_options(chunk.text, options) {
        let done = match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => Err(SourceError {
                position: builder.position(error.marker()),
                message: message(error.kind()),
            }),
        };
        match done {
            Ok(None | Some(Node { value: Value::Null, .. })) => {}
            Ok(Some(Node { value, marks, .. })) => {
                let repeated = std::mem::take(&mut builder.repeated);
                let shared = std::mem::take(&mut builder.shared);
                documents.push(Ok(Document::new(value, marks, repeated).sharing(shared)));
            }
            Err(error) => {
                documents.push(Err(error));
                return;
            }
        }
    }
}

/// The parser's words, where they need no knowledge of parsers.
fn message(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::UnknownAnchor => "an alias of an anchor that is not there".to_owned(),
        ErrorKind::RecursionLimitExceeded => "the document is nested too deeply".to_owned(),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation => {
            "a tab where YAML wants spaces: indent with spaces".to_owned()
        }
        other => other.to_string(),
    }
}

/// A value that is complete.
#[derive(Clone)]
struct Node {
    value: Value,
    marks: Marks,
    /// How many values it is.
    size: usize,
    /// A plain `<<`, which as a key means "merge".
    merge: bool,
}

/// A collection that is being read.
struct Frame {
    start: Position,
    flow: bool,
    anchor: usize,
    size: usize,
    items: Items,
}

enum Items {
    Sequence(Vec<Value>, Vec<Marks>),
    Mapping(Box<Mapping>),
}

#[derive(Default)]
struct Mapping {
    values: Map<String, Value>,
    entries: Vec<Entry>,
    /// Names that came by a merge and may be set again.
    merged: HashSet<String>,
    key: Option<Key>,
}

struct Key {
    name: String,
    span: Span,
    merge: bool,
}

struct Builder<'c> {
    chunk: &'c Chunk<'c>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    aliased: usize,
    /// Keys that stand twice in a mapping of the document.
    repeated: Vec<SourceError>,
    /// What aliases stand for, and the aliases.
    shared: Vec<Span>,
}

impl Builder<'_> {
    /// Takes one event; a complete document comes back.
    fn event(&mut self, event: Event<'_>, at: EventSpan) -> Result<Option<Node>, SourceError> {
        let span = self.span(at);
        match event {
            Event::DocumentStart(..) => {
                self.anchors.clear();
                self.shared.clear();
                self.aliased = 0;
                Ok(None)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(&text, style, tag.as_deref(), span)?;
                self.complete(node, anchor)
            }
            Event::Alias(anchor) => {
                let node = self.alias(anchor, span)?;
                self.complete(node, 0)
            }
            Event::SequenceStart(style, anchor, _) => {
                let items = Items::Sequence(Vec::new(), Vec::new());
                self.open(span, style, anchor, items)
            }
            Event::MappingStart(style, anchor, _) => {
                self.open(span, style, anchor, Items::Mapping(Box::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            _ => Ok(None),
        }
    }

    fn open(
        &mut self,
        span: Span,
        style: granit_parser::StructureStyle,
        anchor: usize,
        items: Items,
    ) -> Result<Option<Node>, SourceError> {
        if let Some(Frame { items: Items::Mapping(mapping), .. }) = self.stack.last()
            && mapping.key.is_none()
        {
            return Err(error(span, "a key must be a string"));
        }
        let flow = style == granit_parser::StructureStyle::Flow;
        self.stack.push(Frame { start: span.start, flow, anchor, size: 1, items });
        Ok(None)
    }

    fn close(&mut self, end: Span) -> Result<Option<Node>, SourceError> {
        let Some(frame) = self.stack.pop() else { return Ok(None) };
        let (value, inner, last) = match frame.items {
            Items::Sequence(values, marks) => {
                let last = marks.last().map(|mark| mark.span.end);
                (Value::Array(values), Inner::Sequence(marks), last)
            }
            Items::Mapping(mapping) => {
                let last = mapping.entries.last().map(|entry| entry.value.span.end);
                (Value::Object(mapping.values), Inner::Mapping(mapping.entries), last)
            }
        };
        // A block collection ends where the next token starts, which may be pages further down.
        let end = if frame.flow { end.end } else { last.unwrap_or(frame.start) };
        let span = Span { start: frame.start, end: end.max(frame.start) };
        let node = Node { value, marks: Marks::new(span, inner), size: frame.size, merge: false };
        self.complete(node, frame.anchor)
    }

    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<Node, SourceError> {
        let plain = style == ScalarStyle::Plain;
        let value = match tag {
            None if plain => scalar::resolve(text),
            None => Ok(Value::String(text.to_owned())),
            Some(tag) => scalar::resolve_tagged(tag.core_suffix().unwrap_or("str"), text),
        };
        let value = value.map_err(|problem| error(span, problem))?;
        let span = match style {
            ScalarStyle::Literal | ScalarStyle::Folded => self.trim(span),
            _ => span,
        };
        let merge = plain && tag.is_none() && text == "<<";
        Ok(Node { value, marks: Marks::new(span, Inner::Scalar), size: 1, merge })
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<Node, SourceError> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(error(span, "an alias inside the value that it stands for"));
        };
        self.aliased = self.aliased.saturating_add(node.size);
        if self.aliased > ALIASED_VALUES {
            return Err(error(span, "aliases make the document too large"));
        }
        let mut node = node.clone();
        self.shared.extend([node.marks.span, span]);
        node.marks.span = span;
        Ok(node)
    }

    /// A value is complete: hand it to the collection around it.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<Option<Node>, SourceError> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(frame) = self.stack.last_mut() else { return Ok(Some(node)) };
        frame.size = frame.size.saturating_add(node.size);
        match &mut frame.items {
            Items::Sequence(values, marks) => {
                let name = node.value.get("name").and_then(Value::as_str).map(Box::from);
                values.push(node.value);
                marks.push(Marks { name, ..node.marks });
            }
            Items::Mapping(mapping) => self.repeated.extend(mapping.take(node)?),
        }
        Ok(None)
    }

    fn position(&self, marker: &Marker) -> Position {
        let Chunk { start, .. } = self.chunk;
        Position {
            line: start.line.saturating_add(marker.line()).saturating_sub(1),
            column: marker.col().saturating_add(1),
            offset: start.offset.saturating_add(marker.byte_offset().unwrap_or_default()),
        }
    }

    fn span(&self, at: EventSpan) -> Span {
        Span { start: self.position(&at.start), end: self.position(&at.end) }
    }

    /// A block scalar without the line breaks after it.
    fn trim(&self, span: Span) -> Span {
        let base = self.chunk.start.offset;
        let range = span.start.offset.saturating_sub(base)..span.end.offset.saturating_sub(base);
        let text = self.chunk.text.get(range).unwrap_or_default();
        Span { start: span.start, end: span.start.after(text.trim_end()) }
    }
}

impl Mapping {
    /// Takes a key or a value; a key that was there before comes back as a fault.
    fn take(&mut self, node: Node) -> Result<Option<SourceError>, SourceError> {
        let span = node.marks.span;
        match self.key.take() {
            None => {
                let name = scalar::key(node.value);
                let name = name.ok_or_else(|| error(span, "a key must be a string"))?;
                self.key = Some(Key { name, span, merge: node.merge });
                Ok(None)
            }
            Some(Key { merge: true, span: key, .. }) => self.merge(node, key).map(|()| None),
            Some(Key { name, span: key, .. }) => {
                let was_merged = !self.merged.is_empty() && self.merged.remove(&name);
                let twice = self.set(&name, node.value, key, node.marks) && !was_merged;
                Ok(twice.then(|| error(key, format!("the key `{}` stands twice", shown(&name)))))
            }
        }
    }

    /// True when there was something under this name.
    fn set(&mut self, name: &str, value: Value, key: Span, marks: Marks) -> bool {
        let was_there = self.values.insert(name.to_owned(), value).is_some();
        if was_there {
            self.entries.retain(|entry| entry.name != name);
        }
        self.entries.push(Entry { name: name.to_owned(), key, value: marks });
        was_there
    }

    /// `<<: *defaults` or `<<: [*first, *second]`, where earlier ones win. As in go-yaml v2 what
    /// is merged in replaces what stands above it and is replaced by what stands below.
    fn merge(&mut self, node: Node, key: Span) -> Result<(), SourceError> {
        let span = node.marks.span;
        match (node.value, node.marks.inner) {
            (Value::Object(mut values), Inner::Mapping(entries)) => {
                for Entry { name, value: marks, .. } in entries {
                    let value = values.remove(&name).unwrap_or_default();
                    self.merged.insert(name.clone());
                    self.set(&name, value, key, marks);
                }
                Ok(())
            }
            (Value::Array(values), Inner::Sequence(marks)) => {
                for (value, marks) in values.into_iter().zip(marks).rev() {
                    if !value.is_object() {
                        return Err(error(marks.span, "only a mapping can be merged in"));
                    }
                    self.merge(Node { value, marks, size: 1, merge: false }, key)?;
                }
                Ok(())
            }
            _ => Err(error(span, "only a mapping can be merged in")),
        }
    }
}

fn error(span: Span, message: impl Into<String>) -> SourceError {
    SourceError { position: span.start, message: message.into() }
}

/// A key as it may stand in a message: short and without control characters.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(80).map(|char| if char.is_control() { ' ' } else { char }).collect()
}
