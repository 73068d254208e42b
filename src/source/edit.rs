//! Changes of a text that leave everything else as it is: comments, order, style.
//!
//! A change is made in the text itself, at positions that are known from reading it, and the result
//! is read again: what differs from what was asked for is no result but an error. So a style that
//! is not understood here costs an edit, never a manifest.

use serde_json::{Map, Value};

use super::{
    Document, Position, documents,
    locate::{Entry, Marks},
    scalar,
};

/// Where to change something: in the object at `prefix` (empty, or such as `items[2]`) that starts
/// at `position`.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Where the object starts in the text.
    pub position: Position,
    /// Where it is in its document.
    pub prefix: &'a str,
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
    /// It is written in a style in which the change cannot be made without touching more: anchors
    /// that are used elsewhere, explicit keys.
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
    let before = documents(text);
    let (number, document) = before
        .iter()
        .enumerate()
        .filter_map(|(number, document)| Some((number, document.as_ref().ok()?)))
        .find(|(_, document)| {
            document.holds(place.prefix) && document.locate(place.prefix).start == place.position
        })
        .ok_or(EditError::NoObject)?;
    if !document.repeated().is_empty() {
        return Err(EditError::Repeated);
    }
    let mut wanted = document.value().clone();
    apply(&mut wanted, place.prefix, path, entries)?;
    let root = document.marks.span.start.offset;
    let editor = Editor {
        text,
        newline: if text.contains("\r\n") { "\r\n" } else { "\n" },
        json: text.get(root..).is_some_and(|text| text.starts_with('{')),
    };
    let object = document.marks.find(place.prefix).marks;
    for side in [Side::After, Side::Before] {
        let Some(edited) = editor.edit(object, path, entries, side) else { continue };
        if is_wanted(&before, &documents(&edited), number, &wanted) {
            return Ok(edited);
        }
    }
    Err(EditError::Style)
}

/// The same on the value.
fn apply(
    value: &mut Value,
    prefix: &str,
    path: &[&'static str],
    entries: &[(&str, &str)],
) -> Result<(), EditError> {
    let mut here = value;
    for segment in prefix.split(['.', '[', ']']).filter(|segment| !segment.is_empty()) {
        here = match here {
            Value::Array(items) => {
                segment.parse::<usize>().ok().and_then(|index| items.get_mut(index))
            }
            Value::Object(map) => map.get_mut(segment),
            _ => None,
        }
        .ok_or(EditError::NoObject)?;
    }
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

/// Only the one document differs, and it is what it should be.
fn is_wanted<E>(
    before: &[Result<Document, E>],
    after: &[Result<Document, E>],
    number: usize,
    wanted: &Value,
) -> bool {
    before.len() == after.len()
        && before.iter().zip(after).enumerate().all(|(index, pair)| match pair {
            (Ok(_), Ok(after)) if index == number => {
                after.value() == wanted && after.repeated().is_empty()
            }
            (Ok(before), Ok(after)) => before.value() == after.value(),
            (Err(_), Err(_)) => true,
            _ => false,
        })
}

/// Where in a block mapping something is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Below its last entry.
    After,
    /// Above its first entry, where what ends the last one is hard to tell.
    Before,
}

/// A part of the text, by offsets, and what stands in its place.
type Patch = (usize, usize, String);

struct Editor<'t> {
    text: &'t str,
    newline: &'static str,
    json: bool,
}

impl Editor<'_> {
    fn edit(
        &self,
        object: &Marks,
        path: &[&'static str],
        entries: &[(&str, &str)],
        side: Side,
    ) -> Option<String> {
        let mut here = object;
        let mut missing = path.iter();
        for segment in path {
            let Some(entry) = here.own_entries()?.into_iter().find(|own| own.name == *segment)
            else {
                break;
            };
            missing.next();
            if entry.value.own_entries().is_none() {
                return self.fill(entry, &nest(missing, entries));
            }
            here = &entry.value;
        }
        let own = here.own_entries()?;
        let in_place = missing.as_slice().is_empty();
        let mut patches: Vec<Patch> = Vec::new();
        let mut added = Vec::new();
        for entry in entries {
            match own.iter().find(|own| in_place && own.name == entry.0) {
                Some(old) => patches.push(self.replace(old, entry.1)?),
                None => added.push(*entry),
            }
        }
        if !added.is_empty() {
            patches.push(self.add(here, &own, &nest(missing, &added), side)?);
        }
        self.patch(patches)
    }

    fn patch(&self, mut patches: Vec<Patch>) -> Option<String> {
        patches.sort_by_key(|(start, ..)| *start);
        let (mut edited, mut done) = (String::with_capacity(self.text.len()), 0);
        for (start, end, new) in patches {
            edited.push_str(self.text.get(done..start)?);
            edited.push_str(&new);
            done = end;
        }
        edited.push_str(self.text.get(done..)?);
        Some(edited)
    }

    /// Another value in place of the one that is there, in the style of the text around it.
    fn replace(&self, entry: &Entry, new: &str) -> Option<Patch> {
        let after = self.colon(entry)?;
        let end = entry.value.span.end.offset.max(after);
        let json = self.text.get(entry.key.start.offset..)?.starts_with('"');
        let new = if json { quoted(new) } else { written(new) };
        Some((after, end, format!(" {new}")))
    }

    /// The offset after the colon that follows a key.
    fn colon(&self, entry: &Entry) -> Option<usize> {
        let after = entry.key.end.offset;
        let colon = self.text.get(after..)?.find(|char: char| char != ' ')?;
        let colon = after.checked_add(colon)?;
        self.text.get(colon..)?.starts_with(':').then(|| colon.checked_add(1))?
    }

    /// Entries below a key that has no value.
    fn fill(&self, entry: &Entry, new: &Map<String, Value>) -> Option<String> {
        let after = self.colon(entry)?;
        let end = entry.value.span.end.offset;
        let rest = self.text.get(after..)?;
        let line = rest.find('\n').unwrap_or(rest.len());
        let line_end = after.checked_add(line)?;
        let indent = entry.key.start.column.checked_add(1)?;
        let mut block = String::new();
        self.block(new, indent, &mut block);
        // An empty value stands wherever the parser noticed that it is empty.
        let given = entry.value.span.start.offset >= after && end <= line_end && end > after;
        let kept = self.text.get(if given { end } else { after }..line_end)?;
        let kept = kept.trim_end();
        let space = if kept.is_empty() || kept.starts_with(' ') { "" } else { " " };
        let block = block.trim_end_matches(['\r', '\n']);
        let line_break = if kept.ends_with('\r') { "\n" } else { self.newline };
        let new = format!("{space}{kept}{line_break}{block}");
        let carriage = self.text.get(..line_end)?.ends_with('\r');
        let line_end = if carriage { line_end.checked_sub(1)? } else { line_end };
        self.patch(vec![(after, line_end, new)])
    }

    fn add(
        &self,
        mapping: &Marks,
        own: &[&Entry],
        new: &Map<String, Value>,
        side: Side,
    ) -> Option<Patch> {
        let open = mapping.span.start.offset;
        if self.text.get(open..)?.starts_with('{') {
            return self.add_to_flow(open, own, new);
        }
        let first = own.first()?;
        let indent = first.key.start.column.checked_sub(1)?;
        let mut block = String::new();
        self.block(new, indent, &mut block);
        if side == Side::Before {
            // The first line stands where the first key stood, perhaps behind a dash.
            let at = first.key.start.offset;
            let block = block.trim_start_matches(' ');
            return Some((at, at, format!("{block}{}", " ".repeat(indent))));
        }
        let end =
            own.iter().map(|entry| entry.value.span.end.offset.max(entry.key.end.offset)).max()?;
        let rest = self.text.get(end..)?;
        if let Some(line) = rest.find('\n') {
            let at = end.checked_add(line)?.checked_add(1)?;
            return Some((at, at, block));
        }
        let at = self.text.len();
        let block = block.trim_end_matches(['\r', '\n']);
        Some((at, at, format!("{}{block}", self.newline)))
    }

    /// Into `{a: b}`, also where every entry has a line of its own.
    fn add_to_flow(&self, open: usize, own: &[&Entry], new: &Map<String, Value>) -> Option<Patch> {
        let entries: Vec<String> = new.iter().map(|entry| self.flow(entry)).collect();
        let Some(last) = own.last() else {
            let at = open.checked_add(1)?;
            return Some((at, at, entries.join(", ")));
        };
        let before = self.text.get(open..last.key.start.offset)?;
        let separator = match before.rsplit_once('\n') {
            Some((_, indent)) if indent.trim().is_empty() => format!(",{}{indent}", self.newline),
            _ => ", ".to_owned(),
        };
        let at = last.value.span.end.offset;
        Some((at, at, format!("{separator}{}", entries.join(&separator))))
    }

    /// An entry of a flow mapping, which in JSON has quotes everywhere.
    fn flow(&self, (key, value): (&String, &Value)) -> String {
        let text = |text: &str| if self.json { quoted(text) } else { written(text) };
        let value = match value {
            Value::Object(map) => {
                let entries: Vec<String> = map.iter().map(|entry| self.flow(entry)).collect();
                format!("{{{}}}", entries.join(", "))
            }
            other => other.as_str().map_or_else(|| other.to_string(), text),
        };
        format!("{}: {value}", text(key))
    }

    /// A block mapping, each line with its line break.
    fn block(&self, map: &Map<String, Value>, indent: usize, out: &mut String) {
        for (key, value) in map {
            out.push_str(&" ".repeat(indent));
            out.push_str(&written(key));
            match value {
                Value::Object(inner) => {
                    out.push(':');
                    out.push_str(self.newline);
                    self.block(inner, indent.saturating_add(2), out);
                }
                value => {
                    out.push_str(": ");
                    out.push_str(&value.as_str().map_or_else(|| value.to_string(), written));
                    out.push_str(self.newline);
                }
            }
        }
    }
}

/// The entries under the keys that are missing around them.
fn nest<'p>(
    missing: impl DoubleEndedIterator<Item = &'p &'static str>,
    entries: &[(&str, &str)],
) -> Map<String, Value> {
    let entries = entries.iter();
    let map = entries.map(|(key, text)| ((*key).to_owned(), Value::from(*text))).collect();
    missing.rev().fold(map, |inner, key| {
        let mut outer = Map::new();
        outer.insert((*key).to_owned(), Value::Object(inner));
        outer
    })
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// One entry of a block mapping as a line without its line break.
pub fn entry(key: &str, text: &str) -> String {
    format!("{}: {}", written(key), written(text))
}

/// A text as YAML: bare where it cannot be taken for anything else, else in double quotes.
fn written(text: &str) -> String {
    let starts = text.starts_with(|char: char| char.is_ascii_alphabetic());
    let ends = text.ends_with(|char: char| char.is_ascii_alphanumeric());
    let plain = |char: char| char.is_ascii_alphanumeric() || " ._@/+-".contains(char);
    let is_text = scalar::resolve(text).is_ok_and(|value| value.is_string());
    if starts && ends && is_text && text.chars().all(plain) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotate(text: &str) -> Result<String, EditError> {
        let Ok(document) = documents(text).remove(0) else { panic!("{text}") };
        let place = Place { position: document.locate("").start, prefix: "" };
        let entries = [("t/by", "alice@example.com"), ("t/until", "2026-06-02T12:00:00Z")];
        set(text, place, &["metadata", "annotations"], &entries)
    }

    const BY: &str = "t/by: alice@example.com";
    const UNTIL: &str = "t/until: \"2026-06-02T12:00:00Z\"";

    #[test]
    fn only_lines_are_added() {
        for (before, after) in [
            (
                "kind: Job # a\nmetadata:\n  name: a # the name\n  annotations:\n    x: y # why\n# end\nspec: {}\n",
                format!(
                    "kind: Job # a\nmetadata:\n  name: a # the name\n  annotations:\n    x: y # why\n    {BY}\n    {UNTIL}\n# end\nspec: {{}}\n"
                ),
            ),
            (
                "metadata:\n  annotations:\n    x: |\n      two\n      lines\n  name: a\n",
                format!(
                    "metadata:\n  annotations:\n    x: |\n      two\n      lines\n    {BY}\n    {UNTIL}\n  name: a\n"
                ),
            ),
            (
                "metadata:\n  annotations:\n    x: |+\n      kept\n\n  name: a\n",
                format!(
                    "metadata:\n  annotations:\n    {BY}\n    {UNTIL}\n    x: |+\n      kept\n\n  name: a\n"
                ),
            ),
            (
                "metadata:\n  name: a\nkind: Job",
                format!("metadata:\n  name: a\n  annotations:\n    {BY}\n    {UNTIL}\nkind: Job"),
            ),
            ("kind: Job", format!("kind: Job\nmetadata:\n  annotations:\n    {BY}\n    {UNTIL}")),
            (
                "metadata:\r\n  annotations:\r\n    x: y\r\nkind: Job\r\n",
                format!(
                    "metadata:\r\n  annotations:\r\n    x: y\r\n    {BY}\r\n    {UNTIL}\r\nkind: Job\r\n"
                ),
            ),
            (
                "metadata:\n  annotations: # none yet\n  name: a\n",
                format!("metadata:\n  annotations: # none yet\n    {BY}\n    {UNTIL}\n  name: a\n"),
            ),
            (
                "metadata:\r\n  annotations:\r\n  name: a\r\n",
                format!("metadata:\r\n  annotations:\r\n    {BY}\r\n    {UNTIL}\r\n  name: a\r\n"),
            ),
            (
                "metadata:\n  annotations: null\n  name: a\n",
                format!("metadata:\n  annotations:\n    {BY}\n    {UNTIL}\n  name: a\n"),
            ),
            (
                "metadata:\n    name: a\n    annotations:\n        x: y\n",
                format!(
                    "metadata:\n    name: a\n    annotations:\n        x: y\n        {BY}\n        {UNTIL}\n"
                ),
            ),
        ] {
            assert_eq!(annotate(before).unwrap(), after, "{before}");
        }
    }

    #[test]
    fn flow_style_stays_flow_style() {
        let both = format!("{BY}, {UNTIL}");
        for (before, after) in [
            ("metadata: {name: a}\n", format!("metadata: {{name: a, annotations: {{{both}}}}}\n")),
            (
                "metadata: {name: a, annotations: {x: y}} # c\n",
                format!("metadata: {{name: a, annotations: {{x: y, {both}}}}} # c\n"),
            ),
            ("metadata: {annotations: {}}\n", format!("metadata: {{annotations: {{{both}}}}}\n")),
            (
                "{\"metadata\":{\"annotations\":{\"t/by\":\"bob\"}}}",
                r#"{"metadata":{"annotations":{"t/by": "alice@example.com", "t/until": "2026-06-02T12:00:00Z"}}}"#.to_owned(),
            ),
            (
                "{\n  \"metadata\": {\n    \"annotations\": {\n      \"x\": \"y\"\n    }\n  }\n}\n",
                "{\n  \"metadata\": {\n    \"annotations\": {\n      \"x\": \"y\",\n      \"t/by\": \"alice@example.com\",\n      \"t/until\": \"2026-06-02T12:00:00Z\"\n    }\n  }\n}\n".to_owned(),
            ),
        ] {
            assert_eq!(annotate(before).unwrap(), after, "{before}");
        }
    }

    #[test]
    fn what_is_there_is_replaced_where_it_stands() {
        for (old, new) in [
            ("t/by: bob # who", format!("{BY} # who")),
            ("t/by: 'bob'", BY.to_owned()),
            ("t/by: |\n      bob", BY.to_owned()),
            ("t/by: >-\n      bob\n      b", BY.to_owned()),
            ("\"t/by\": bob", "\"t/by\": \"alice@example.com\"".to_owned()),
            ("t/by:", BY.to_owned()),
        ] {
            let before = format!("metadata:\n  annotations:\n    {old}\n    x: y\n  name: a\n");
            let after =
                format!("metadata:\n  annotations:\n    {new}\n    x: y\n    {UNTIL}\n  name: a\n");
            assert_eq!(annotate(&before).unwrap(), after, "{before}");
        }
    }

    #[test]
    fn only_the_object_that_is_meant_changes() {
        let text = "# head\nkind: A\nmetadata: {name: a}\n---\nkind: List\nitems:\n  - metadata:\n      name: a\n  - metadata:\n      name: b\n    kind: B\n---\nkind: C\n";
        let document = documents(text).remove(1).unwrap();
        let prefix = "items[1]";
        let place = Place { position: document.locate(prefix).start, prefix };
        let edited = set(text, place, &["metadata", "annotations"], &[("a", "b")]).unwrap();
        let want =
            text.replace("      name: b\n", "      name: b\n      annotations:\n        a: b\n");
        assert_eq!(edited, want);
    }

    #[test]
    fn what_cannot_be_changed_alone_is_an_error() {
        let shared = "x: &a {k: v}\nmetadata: {annotations: *a}\n";
        assert_eq!(annotate(shared), Err(EditError::Style));
        let anchored = "metadata:\n  annotations: &a\n    k: v\nx: *a\n";
        assert_eq!(annotate(anchored), Err(EditError::Style));
        assert_eq!(annotate("metadata: 1\n"), Err(EditError::NoMapping("metadata")));
        assert_eq!(annotate("a: 1\na: 2\n"), Err(EditError::Repeated));
        let gone = Place { position: Position::START, prefix: "items[7]" };
        assert_eq!(set("a: 1\n", gone, &["b"], &[("c", "d")]), Err(EditError::NoObject));
    }

    #[test]
    fn a_merged_mapping_gets_its_own_entries() {
        let text = "base: &a\n  x: y\nmetadata:\n  annotations:\n    <<: *a\n    k: v\n";
        let want = format!("{text}    {BY}\n    {UNTIL}\n");
        assert_eq!(annotate(text).unwrap(), want);
    }

    proptest::proptest! {
        /// Whatever the text is, an edit is made as it was asked for or not at all.
        #[test]
        fn an_edit_is_exact_or_refused(
            lines in proptest::collection::vec("( {0,4})(metadata:|annotations:|- |a: |b: |\"x\": )?(\\{|\\}|&a |\\*a|<<: \\*a|\\||v|'q'|# c|---|\\[\\]|null)?", 0..9),
            end in "(\r)?\n",
        ) {
            let text = lines.join(&end);
            for document in documents(&text).iter().flatten() {
                let place = Place { position: document.locate("").start, prefix: "" };
                let edited = set(&text, place, &["metadata", "annotations"], &[("k", "v: w")]);
                if let Ok(edited) = edited {
                    let found = documents(&edited).iter().flatten().any(|document| {
                        document.value()["metadata"]["annotations"]["k"] == "v: w"
                    });
                    proptest::prop_assert!(found, "{text}\n=>\n{edited}");
                }
            }
        }
    }
}
