//! Changes of a text that leave everything else as it is: comments, order, style.
//!
//! What an object is to become is given as a value. Where it differs from what stands there, the
//! text itself is changed, at positions that are known from reading it, and the result is read
//! again: what differs from what was asked for is no result but an error. So a style that is not
//! understood here costs an edit, never a manifest.

mod change;
mod write;

use std::{cmp::Reverse, ops::Range};

use serde_json::{Map, Value};

use self::{
    change::{Editor, Side},
    write::Style,
};
use super::{Chunk, Document, Position, SourceError, chunks, documents, path};

/// How many objects of one chunk are tried one by one, where all of them together cannot be
/// changed: each takes a reading of the chunk.
const ONE_BY_ONE: usize = 32;

/// Where to change something: in the object at `prefix` (empty, or such as `items[2]`) that starts
/// at `position`.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Where the object starts in the text.
    pub position: Position,
    /// Where it is in its document.
    pub prefix: &'a str,
}

/// What an object of a chunk is to become.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Which document of the chunk it is in.
    pub document: usize,
    /// Where it is in its document: empty, or such as `items[2]`.
    pub prefix: &'a str,
    /// What it is to be.
    pub value: &'a Value,
}

/// A part of a text, and what stands in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextEdit {
    /// The bytes that go; empty where something is only added.
    pub range: Range<usize>,
    /// What comes in their place.
    pub text: String,
    /// How deep in the document it is: of two things added at one place the deeper one comes first.
    depth: usize,
}

impl TextEdit {
    /// Puts `text` in the place of the bytes of `range`.
    pub fn new(range: Range<usize>, text: impl Into<String>) -> Self {
        Self { range, text: text.into(), depth: 0 }
    }
}

/// An edit that was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// There is no object at the place.
    #[error("there is no object at this place")]
    NoObject,
    /// A key stands twice in the document, so that nobody can tell what it means.
    #[error("a key stands twice in it")]
    Repeated,
    /// What is there is no mapping.
    #[error("`{0}` is there and is no mapping")]
    NoMapping(&'static str),
    /// It stands in an anchor, an alias or a merge, and so in more than one place; the line of it.
    #[error(
        "line {0} is shared by an anchor and an alias, so that a change of it would change more"
    )]
    Shared(usize),
    /// It is written in a style in which the change cannot be made without touching more, such as
    /// explicit keys.
    #[error("it is written in a way that cannot be changed without touching more")]
    Style,
}

/// Sets texts in the mapping at `path` of an object, which is made where it is missing.
///
/// # Errors
///
/// When the text cannot be changed so that this, and nothing else, differs.
pub fn set(
    text: &str,
    place: Place<'_>,
    path: &[&'static str],
    entries: &[(&str, &str)],
) -> Result<String, EditError> {
    let chunks = chunks(text);
    let starts = chunks.partition_point(|chunk| chunk.start.offset <= place.position.offset);
    let chunk = starts.checked_sub(1).and_then(|last| chunks.get(last));
    let chunk = chunk.ok_or(EditError::NoObject)?;
    let read = Read::new(chunk);
    let here = |document: &Document| {
        document.holds(place.prefix) && document.locate(place.prefix).start == place.position
    };
    let mut numbered = read.documents.iter().enumerate();
    let found = numbered.find_map(|(number, document)| {
        let document = document.as_ref().ok().filter(|document| here(document))?;
        Some((number, document))
    });
    let (number, document) = found.ok_or(EditError::NoObject)?;
    if !document.repeated().is_empty() {
        return Err(EditError::Repeated);
    }
    let object = path::get(document.value(), place.prefix).ok_or(EditError::NoObject)?;
    let mut wanted = object.clone();
    set_texts(&mut wanted, path, entries)?;
    let wanted = Wanted { document: number, prefix: place.prefix, value: &wanted };
    let edits = read.rewrite(&[wanted])?;
    Ok(apply(text, &edits))
}

/// The edits of the whole text that make objects of a chunk what is wanted, for each object by
/// itself: what cannot be done with one of them does not keep the others from being changed. All
/// of them can be made together.
pub fn rewrite(chunk: &Chunk<'_>, wanted: &[Wanted<'_>]) -> Vec<Result<Vec<TextEdit>, EditError>> {
    let read = Read::new(chunk);
    let mut planned: Vec<Result<Vec<TextEdit>, EditError>> =
        wanted.iter().map(|one| read.plan(one, Side::After)).collect();
    if read.is_done(wanted, &planned) {
        return planned;
    }
    for (number, (one, plan)) in wanted.iter().zip(&mut planned).enumerate() {
        if plan.is_ok() {
            let alone = (number < ONE_BY_ONE).then(|| read.rewrite(&[*one]));
            *plan = alone.unwrap_or(Err(EditError::Style));
        }
    }
    if read.is_done(wanted, &planned) {
        return planned;
    }
    planned.into_iter().map(|plan| plan.and(Err(EditError::Style))).collect()
}

/// The text with the edits made, which may stand in any order and must not overlap.
pub fn apply(text: &str, edits: &[TextEdit]) -> String {
    let (mut edited, mut done) = (String::with_capacity(text.len()), 0);
    for TextEdit { range, text: new, .. } in in_order(edits) {
        edited.push_str(text.get(done..range.start).unwrap_or_default());
        edited.push_str(new);
        done = range.end;
    }
    edited.push_str(text.get(done..).unwrap_or_default());
    edited
}

/// The edits in the order of the text.
pub fn in_order(edits: &[TextEdit]) -> Vec<&TextEdit> {
    let mut edits: Vec<&TextEdit> = edits.iter().collect();
    edits.sort_by_key(|edit| (edit.range.start, edit.range.end, Reverse(edit.depth)));
    edits
}

/// A chunk that was read, to be changed.
struct Read<'c> {
    chunk: &'c Chunk<'c>,
    documents: Vec<Result<Document, SourceError>>,
    styles: Vec<Option<Style>>,
}

impl<'c> Read<'c> {
    fn new(chunk: &'c Chunk<'c>) -> Self {
        let documents = chunk.documents();
        let style = |document: &Document| {
            let root = document.marks.span.start.offset.saturating_sub(chunk.start.offset);
            Style::of(chunk.text, root, &document.marks)
        };
        let styles = documents.iter().map(|document| document.as_ref().ok().map(style)).collect();
        Self { chunk, documents, styles }
    }

    /// The edits that change all that is wanted, or nothing.
    fn rewrite(&self, wanted: &[Wanted<'_>]) -> Result<Vec<TextEdit>, EditError> {
        for side in [Side::After, Side::Before] {
            let plans: Result<Vec<Vec<TextEdit>>, EditError> =
                wanted.iter().map(|one| self.plan(one, side)).collect();
            let edits: Vec<TextEdit> = plans?.into_iter().flatten().collect();
            if self.is_wanted(wanted, edits.clone()) {
                return Ok(edits);
            }
        }
        Err(EditError::Style)
    }

    fn plan(&self, wanted: &Wanted<'_>, side: Side) -> Result<Vec<TextEdit>, EditError> {
        let document = self.documents.get(wanted.document).and_then(|one| one.as_ref().ok());
        let document = document.filter(|document| document.holds(wanted.prefix));
        let style = self.styles.get(wanted.document).and_then(Option::as_ref);
        let (document, style) = document.zip(style).ok_or(EditError::NoObject)?;
        if !document.repeated().is_empty() {
            return Err(EditError::Repeated);
        }
        let have = path::get(document.value(), wanted.prefix).ok_or(EditError::NoObject)?;
        Editor::new(self.chunk, document, style, side).edits(wanted.prefix, have, wanted.value)
    }

    /// The edits that there are, made together, do what is wanted where there are any.
    fn is_done(&self, wanted: &[Wanted<'_>], planned: &[Result<Vec<TextEdit>, EditError>]) -> bool {
        let plans = wanted.iter().zip(planned);
        let done: Vec<Wanted<'_>> =
            plans.filter_map(|(one, plan)| plan.is_ok().then_some(*one)).collect();
        self.is_wanted(&done, planned.iter().flatten().flatten().cloned().collect())
    }

    /// Only the objects that are meant differ, and they are what they should be.
    fn is_wanted(&self, wanted: &[Wanted<'_>], mut edits: Vec<TextEdit>) -> bool {
        let start = self.chunk.start.offset;
        for TextEdit { range, .. } in &mut edits {
            *range = range.start.saturating_sub(start)..range.end.saturating_sub(start);
        }
        let ordered = in_order(&edits);
        let overlap = |pair: &[&TextEdit]| matches!(pair, [first, second] if first.range.end > second.range.start);
        if ordered.windows(2).any(overlap) {
            return false;
        }
        let after = documents(&apply(self.chunk.text, &edits));
        let value = |document: &Result<Document, SourceError>| {
            document.as_ref().ok().map(|document| document.value().clone())
        };
        let mut values: Vec<Option<Value>> = self.documents.iter().map(value).collect();
        for one in wanted {
            let document = values.get_mut(one.document).and_then(Option::as_mut);
            let Some(place) = document.and_then(|document| path::get_mut(document, one.prefix))
            else {
                return false;
            };
            *place = one.value.clone();
        }
        let pairs = values.iter().zip(&self.documents).zip(&after);
        values.len() == after.len()
            && pairs.into_iter().all(|((want, before), after)| match (before, after) {
                (Ok(before), Ok(after)) => {
                    want.as_ref() == Some(after.value())
                        && before.repeated().len() == after.repeated().len()
                }
                (Err(_), Err(_)) => true,
                _ => false,
            })
    }
}

fn set_texts(
    object: &mut Value,
    path: &[&'static str],
    entries: &[(&str, &str)],
) -> Result<(), EditError> {
    let mut here = object;
    let mut name = "the object";
    for segment in path {
        here = mapping(here, name)?.entry(*segment).or_insert(Value::Null);
        name = segment;
    }
    let map = mapping(here, name)?;
    map.extend(entries.iter().map(|(key, text)| ((*key).to_owned(), Value::from(*text))));
    Ok(())
}

fn mapping<'v>(
    value: &'v mut Value,
    name: &'static str,
) -> Result<&'v mut Map<String, Value>, EditError> {
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().ok_or(EditError::NoMapping(name))
}

/// One entry of a block mapping as a line without its line break.
pub fn entry(key: &str, text: &str) -> String {
    format!("{}: {}", write::plain(key), write::plain(text))
}

#[cfg(test)]
mod tests;
