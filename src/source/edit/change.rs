//! From the difference of two values to edits of the text.

use serde_json::{Map, Value};

use super::{
    super::{
        Chunk, Document,
        locate::{Entry, Inner, Marks},
    },
    EditError, TextEdit,
    write::Style,
};

/// Where in a block mapping something is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Below its last entry, or a scalar below the scalars that it starts with.
    After,
    /// Above its first entry, where what ends the last one is hard to tell.
    Before,
}

/// Collects the edits of one object.
pub(super) struct Editor<'t> {
    /// The text of the chunk; offsets of marks are those of the whole text.
    text: &'t str,
    base: usize,
    document: &'t Document,
    style: &'t Style,
    side: Side,
    edits: Vec<TextEdit>,
}

impl<'t> Editor<'t> {
    pub(super) fn new(
        chunk: &Chunk<'t>,
        document: &'t Document,
        style: &'t Style,
        side: Side,
    ) -> Self {
        let base = chunk.start.offset;
        Self { text: chunk.text, base, document, style, side, edits: Vec::new() }
    }

    /// What makes the object at `prefix`, which is `have`, what is wanted.
    pub(super) fn edits(
        mut self,
        prefix: &str,
        have: &Value,
        want: &Value,
    ) -> Result<Vec<TextEdit>, EditError> {
        let marks = self.document.marks.find(prefix).marks;
        self.value(None, marks, have, want)?;
        Ok(self.edits)
    }

    /// A value that is the value of `entry`, or an item of a list.
    fn value(
        &mut self,
        entry: Option<&Entry>,
        marks: &Marks,
        have: &Value,
        want: &Value,
    ) -> Result<(), EditError> {
        if have == want {
            return Ok(());
        }
        if self.document.is_shared(marks.span.start) {
            return Err(EditError::Shared(marks.span.start.line));
        }
        match (have, want, &marks.inner) {
            (Value::Object(have), Value::Object(want), Inner::Mapping(_)) => {
                self.mapping(marks, have, want)
            }
            (Value::Array(have), Value::Array(want), Inner::Sequence(items))
                if have.len() == want.len() =>
            {
                let pairs = items.iter().zip(have.iter().zip(want));
                for (item, (have, want)) in pairs {
                    self.value(None, item, have, want)?;
                }
                Ok(())
            }
            (Value::Null, Value::Object(want), Inner::Scalar) => {
                self.fill(entry.ok_or(EditError::Style)?, want)
            }
            (_, Value::Object(_) | Value::Array(_), _) => Err(EditError::Style),
            (_, want, Inner::Scalar) => self.replace(entry, marks, want).ok_or(EditError::Style),
            _ => Err(EditError::Style),
        }
    }

    fn mapping(
        &mut self,
        marks: &Marks,
        have: &Map<String, Value>,
        want: &Map<String, Value>,
    ) -> Result<(), EditError> {
        let own = marks.own_entries().ok_or(EditError::Style)?;
        let find = |name: &str| own.iter().copied().find(|entry| entry.name == name);
        let mut added = Map::new();
        for (name, value) in want {
            match (have.get(name), find(name)) {
                (Some(old), _) if old == value => {}
                (Some(old), Some(entry)) => self.value(Some(entry), &entry.value, old, value)?,
                // What a merge brings is shared; one's own entry below it counts more.
                (Some(_), None) if value.is_object() || value.is_array() => {
                    return Err(EditError::Shared(marks.span.start.line));
                }
                (Some(_) | None, _) => {
                    added.insert(name.clone(), value.clone());
                }
            }
        }
        for name in have.keys().filter(|name| !want.contains_key(*name)) {
            let entry = find(name).ok_or(EditError::Shared(marks.span.start.line))?;
            self.remove(marks, &own, entry).ok_or(EditError::Style)?;
        }
        if added.is_empty() {
            return Ok(());
        }
        self.add(marks, &own, added).ok_or(EditError::Style)
    }

    /// Another scalar in place of the one that is there.
    fn replace(&mut self, entry: Option<&Entry>, marks: &Marks, want: &Value) -> Option<()> {
        let (start, end) = (marks.span.start.offset, marks.span.end.offset);
        let depth = marks.span.start.column;
        let Some(entry) = entry else {
            // An item of a list has no header that could be told from it.
            let old = self.part(start, end)?;
            let one_line = !old.is_empty() && !old.contains('\n');
            let new = one_line.then(|| self.style.like(old, want))?;
            return self.push(start, end, new, depth);
        };
        let after = self.colon(entry)?;
        if end <= after || start < after || start == end {
            // Nothing stands there.
            let new = format!(" {}", self.style.like("", want));
            return self.push(after, after, new, depth);
        }
        let before = self.part(after, start)?;
        if before.contains('#') {
            return None;
        }
        if before.contains('\n') {
            // The header of a block scalar, which goes with it.
            let new = format!(" {}", self.style.like("", want));
            return self.push(after, end, new, depth);
        }
        let new = self.style.like(self.part(start, end)?, want);
        self.push(start, end, new, depth)
    }

    /// Entries below a key that has no value.
    fn fill(&mut self, entry: &Entry, want: &Map<String, Value>) -> Result<(), EditError> {
        self.try_fill(entry, want).ok_or(EditError::Style)
    }

    fn try_fill(&mut self, entry: &Entry, want: &Map<String, Value>) -> Option<()> {
        let after = self.colon(entry)?;
        let line_end = self.line_end(after)?;
        let (start, end) = (entry.value.span.start.offset, entry.value.span.end.offset);
        // An empty value stands wherever the parser noticed that it is empty.
        let given = start >= after && end <= line_end && end > start;
        if self.style.json {
            let indent = self.indent(entry.key.start.offset).map(str::to_owned);
            let new = self.style.flow(&Value::Object(want.clone()), indent.as_deref());
            return given.then(|| self.push(start, end, new, 0))?;
        }
        if given {
            self.push(after, end, String::new(), 0)?;
        }
        let indent = entry.key.start.column.checked_sub(1)?.checked_add(self.style.step)?;
        let mut block = String::new();
        self.style.block(want, indent, &mut block);
        self.push_line(after, block, indent)
    }

    /// Adds entries to a mapping.
    fn add(&mut self, marks: &Marks, own: &[&Entry], added: Map<String, Value>) -> Option<()> {
        let open = marks.span.start.offset;
        if self.rest(open)?.starts_with('{') {
            return self.add_to_flow(open, own, &added);
        }
        let first = own.first()?;
        let indent = first.key.start.column.checked_sub(1)?;
        if self.side == Side::Before {
            let mut block = String::new();
            self.style.block(&added, indent, &mut block);
            // The first line stands where the first key stood, perhaps behind a dash.
            let at = first.key.start.offset;
            let block = format!("{}{}", block.trim_start_matches(' '), " ".repeat(indent));
            return self.push(at, at, block, indent);
        }
        let scalars = own.iter().take_while(|entry| matches!(entry.value.inner, Inner::Scalar));
        let Inner::Mapping(all) = &marks.inner else { return None };
        // Above a merge an entry would not count.
        let last_scalar = scalars.last().filter(|_| all.len() == own.len());
        let is_short = |value: &Value| !value.is_object() && !value.is_array();
        let (short, long): (Map<_, _>, Map<_, _>) =
            added.into_iter().partition(|(_, value)| last_scalar.is_some() && is_short(value));
        for (entries, above) in [(short, last_scalar), (long, own.last())] {
            if !entries.is_empty() {
                let mut block = String::new();
                self.style.block(&entries, indent, &mut block);
                let end = self.end_of(above?)?;
                self.push_line(end, block, indent)?;
            }
        }
        Some(())
    }

    /// Into `{a: b}`, also where every entry has a line of its own.
    fn add_to_flow(
        &mut self,
        open: usize,
        own: &[&Entry],
        added: &Map<String, Value>,
    ) -> Option<()> {
        let Some(last) = own.last() else {
            let entries =
                added.iter().map(|(key, value)| self.style.flow_entry(key, value, None, ": "));
            let new = entries.collect::<Vec<_>>().join(", ");
            let at = open.checked_add(1)?;
            return self.push(at, at, new, 0);
        };
        let indent = self.indent(last.key.start.offset).map(str::to_owned);
        let after = self.colon(last)?;
        let end = self.end_of(last)?;
        let tight = self.style.json && !self.rest(after)?.starts_with([' ', '\t', '\r', '\n']);
        let colon = if tight { ":" } else { ": " };
        let entries = added
            .iter()
            .map(|(key, value)| self.style.flow_entry(key, value, indent.as_deref(), colon));
        let entries: Vec<String> = entries.collect();
        let separator = match &indent {
            Some(indent) => format!(",{}{indent}", self.style.newline),
            None if tight => ",".to_owned(),
            None => ", ".to_owned(),
        };
        let new = entries.join(&separator);
        let rest = self.rest(end)?;
        match indent {
            // A comment belongs to what stands before it.
            Some(indent) if rest.trim_start_matches(' ').starts_with('#') => {
                let rest = self.part(end, self.line_end(end)?)?;
                self.push(end, end, ",".to_owned(), 0)?;
                let line_end = end.checked_add(rest.trim_end().len())?;
                self.push(line_end, line_end, format!("{}{indent}{new}", self.style.newline), 0)
            }
            _ => self.push(end, end, format!("{separator}{new}"), 0),
        }
    }

    /// Takes an entry out of a mapping in which something stays.
    fn remove(&mut self, marks: &Marks, own: &[&Entry], entry: &Entry) -> Option<()> {
        let at = own.iter().position(|own| own.key == entry.key)?;
        let next = own.get(at.checked_add(1)?);
        let before = at.checked_sub(1).and_then(|before| own.get(before));
        let start = entry.key.start.offset;
        let end = self.end_of(entry)?;
        let depth = entry.key.start.column;
        let is_flow = self.rest(marks.span.start.offset)?.starts_with('{');
        if let Some(indent) = self.indent(start).filter(|_| !is_flow) {
            let line = start.checked_sub(indent.len())?;
            let line_end = self.line_end(end)?;
            if let Some(next) = line_end.checked_add(1).filter(|next| *next <= self.end()) {
                return self.push(line, next, String::new(), depth);
            }
            // Nothing is below it: its line goes with the line break above.
            return self.push(line.checked_sub(1)?, line_end, String::new(), depth);
        }
        let (start, end) = match (next, before) {
            (Some(next), _) => (start, next.key.start.offset),
            (None, Some(before)) if is_flow => (self.end_of(before)?, end),
            _ => return None,
        };
        let kept = self.part(start, end)?;
        (!kept.contains('#')).then(|| self.push(start, end, String::new(), depth))?
    }

    /// The offset after the colon that follows a key.
    fn colon(&self, entry: &Entry) -> Option<usize> {
        let after = entry.key.end.offset;
        let colon = self.rest(after)?.find(|char: char| char != ' ')?;
        let colon = after.checked_add(colon)?;
        self.rest(colon)?.starts_with(':').then(|| colon.checked_add(1))?
    }

    /// Where the text of an entry ends.
    fn end_of(&self, entry: &Entry) -> Option<usize> {
        let mut end = self.colon(entry)?;
        let mut here = &entry.value;
        loop {
            let starts = self.rest(here.span.start.offset)?;
            let (start, stop) = (here.span.start.offset, here.span.end.offset);
            match &here.inner {
                // An alias ends where its name does, and not where its anchor stands.
                Inner::Mapping(_) | Inner::Sequence(_) if starts.starts_with(['{', '[', '*']) => {
                    return Some(end.max(stop));
                }
                Inner::Scalar if start < stop && start >= end => {
                    return Some(self.kept(start, stop).unwrap_or(stop));
                }
                Inner::Scalar => return Some(end),
                Inner::Mapping(_) => {
                    let own = here.own_entries()?;
                    let last = own.last()?;
                    end = self.colon(last)?;
                    here = &last.value;
                }
                Inner::Sequence(items) => here = items.last()?,
            }
        }
    }

    /// The end of a block scalar whose header keeps the empty lines below it (`|+`).
    fn kept(&self, start: usize, end: usize) -> Option<usize> {
        let line = start.checked_sub(self.indent(start)?.len())?;
        let above = self.part(self.base, line)?.trim_end_matches(['\r', '\n']);
        let above = above.rsplit('\n').next()?;
        let header = above.split(" #").next()?.trim_end().rsplit([' ', '\t']).next()?;
        let mut keeps = header.starts_with(['|', '>']).then(|| header.contains('+'))?;
        let mut end = end;
        while keeps {
            let next = self.line_end(end)?.checked_add(1)?;
            let line = self.part(next, self.line_end(next)?)?;
            keeps = line.trim().is_empty() && next < self.end();
            end = if keeps { next } else { end };
        }
        Some(end)
    }

    /// The white space that a line starts with, where nothing else stands before `at`.
    fn indent(&self, at: usize) -> Option<&'t str> {
        let before = self.part(self.base, at)?;
        let above = before.trim_end_matches([' ', '\t']);
        let starts = above.is_empty() || above.ends_with('\n');
        starts.then(|| before.get(above.len()..))?
    }

    /// The end of the line, without its line feed.
    fn line_end(&self, at: usize) -> Option<usize> {
        let rest = self.rest(at)?;
        at.checked_add(rest.find('\n').unwrap_or(rest.len()))
    }

    fn end(&self) -> usize {
        self.base.saturating_add(self.text.len())
    }

    fn part(&self, start: usize, end: usize) -> Option<&'t str> {
        self.text.get(start.checked_sub(self.base)?..end.checked_sub(self.base)?)
    }

    fn rest(&self, start: usize) -> Option<&'t str> {
        self.text.get(start.checked_sub(self.base)?..)
    }

    /// Adds lines below the line of `at`.
    fn push_line(&mut self, at: usize, lines: String, depth: usize) -> Option<()> {
        let line_end = self.line_end(at)?;
        if line_end < self.end() {
            let next = line_end.checked_add(1)?;
            return self.push(next, next, lines, depth);
        }
        let lines = lines.trim_end_matches(['\r', '\n']);
        self.push(line_end, line_end, format!("{}{lines}", self.style.newline), depth)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the last step of others that may fail")]
    fn push(&mut self, start: usize, end: usize, text: String, depth: usize) -> Option<()> {
        self.edits.push(TextEdit { range: start..end, text, depth });
        Some(())
    }
}
