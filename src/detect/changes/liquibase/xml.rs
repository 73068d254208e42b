//! XML to a tree.
//!
//! The reader is a stream: it neither recurses nor expands entities that a document declares, and
//! a reference to one makes the changelog unreadable.

use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesStart, Event},
};

use super::tree::{MAX_DEPTH, Node};

/// Reads a document; `None` when it is not well-formed, nests too deeply or declares anything.
pub(super) fn read(text: &str) -> Option<Node> {
    let mut reader = Reader::from_str(text);
    let mut lines = Lines { text, at: 0, line: 1 };
    let mut open: Vec<Node> = Vec::new();
    let mut root = None;
    loop {
        let start = reader.buffer_position();
        let event = reader.read_event().ok()?;
        match event {
            Event::Start(tag) => {
                if open.len() > MAX_DEPTH {
                    return None;
                }
                open.push(element(&tag, lines.at(start))?);
            }
            Event::Empty(tag) => close(element(&tag, lines.at(start))?, &mut open, &mut root)?,
            Event::End(_) => close(open.pop()?, &mut open, &mut root)?,
            Event::Text(piece) => {
                add(&mut open, &piece.xml_content(XmlVersion::Explicit1_0), lines.at(start));
            }
            Event::CData(piece) => {
                add(&mut open, &piece.xml_content(XmlVersion::Explicit1_0), lines.at(start));
            }
            Event::GeneralRef(reference) => match reference.resolve_char_ref().ok()? {
                Some(char) => add(&mut open, char.encode_utf8(&mut [0; 4]), lines.at(start)),
                None => add(&mut open, resolve_predefined_entity(&reference)?, lines.at(start)),
            },
            Event::DocType(_) => return None,
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
    root.filter(|_| open.is_empty())
}

fn element(tag: &BytesStart<'_>, line: usize) -> Option<Node> {
    let mut node = Node::new(tag.name().as_ref(), line);
    for attribute in tag.attributes() {
        let attribute = attribute.ok()?;
        let value = attribute.normalized_value(XmlVersion::Explicit1_0).ok()?;
        node.attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
    }
    Some(node)
}

/// An element is complete; `None` for a second root.
fn close(node: Node, open: &mut [Node], root: &mut Option<Node>) -> Option<()> {
    match open.last_mut() {
        Some(parent) => parent.children.push(node),
        None if root.is_none() => *root = Some(node),
        None => return None,
    }
    Some(())
}

/// Adds text to the innermost element. A comment or an element inside it takes its own lines, which
/// are filled up, so that every line of the text stays where it is.
fn add(open: &mut [Node], text: &str, line: usize) {
    let Some(node) = open.last_mut() else { return };
    if node.text.is_empty() {
        node.text_line = line;
    }
    let here = node.text_line.saturating_add(node.breaks);
    for _ in here..line {
        node.text.push('\n');
        node.breaks = node.breaks.saturating_add(1);
    }
    node.breaks = node.breaks.saturating_add(text.matches('\n').count());
    node.text.push_str(text);
}

/// Lines of places that come in their order.
struct Lines<'t> {
    text: &'t str,
    at: usize,
    line: usize,
}

impl Lines<'_> {
    fn at(&mut self, position: u64) -> usize {
        let position = usize::try_from(position).unwrap_or(usize::MAX);
        let passed = self.text.get(self.at..position).unwrap_or_default();
        let breaks = passed.matches('\n').count();
        self.line = self.line.saturating_add(breaks);
        self.at = self.at.max(position.min(self.text.len()));
        self.line
    }
}
