//! Values as text, in the style of the text around them.

use serde_json::{Map, Value};

use super::super::{
    Position,
    locate::{Inner, Marks},
    scalar,
};

/// How a document is written.
#[derive(Clone, Debug)]
pub(super) struct Style {
    /// The line break.
    pub(super) newline: &'static str,
    /// True where every text has double quotes: in JSON.
    pub(super) json: bool,
    /// By how many spaces a mapping stands deeper than its key.
    pub(super) step: usize,
    /// By how many spaces the dashes of a list stand deeper than its key.
    pub(super) dash: usize,
}

impl Style {
    /// The style of the first things in a document that show one.
    ///
    /// `root` is where in the text its root stands.
    pub(super) fn of(text: &str, root: usize, marks: &Marks) -> Self {
        let first = text.split('\n').next().unwrap_or_default();
        let base = marks.span.start.offset.saturating_sub(root);
        let root = text.get(root..).unwrap_or_default();
        let (mut step, mut dash) = (None, None);
        let mut todo = vec![marks];
        while let (Some(here), true) = (todo.pop(), step.is_none() || dash.is_none()) {
            let Some(entries) = here.own_entries() else {
                if let Inner::Sequence(items) = &here.inner {
                    todo.extend(items.iter().rev());
                }
                continue;
            };
            for entry in entries {
                let key = entry.key.start;
                // What stands on the line of its key is written in one line.
                let deeper = |at: Position| {
                    if at.line > key.line { at.column.checked_sub(key.column) } else { None }
                };
                match &entry.value.inner {
                    Inner::Mapping(_) => {
                        let found = deeper(entry.value.span.start);
                        step = step.or(found.filter(|step| *step > 0));
                    }
                    Inner::Sequence(items) => {
                        let item = items.first().map(|item| item.span.start);
                        let item = item.filter(|item| item.line > key.line);
                        let at = item.and_then(|item| dash_before(text, item, base));
                        dash = dash.or(at.and_then(|at| at.checked_sub(key.column)));
                    }
                    Inner::Scalar => {}
                }
            }
            todo.extend(here.own_entries().into_iter().flatten().rev().map(|entry| &entry.value));
        }
        let small = |columns: &usize| *columns <= 8;
        Self {
            newline: if first.ends_with('\r') { "\r\n" } else { "\n" },
            json: root.starts_with('{') || root.starts_with('['),
            step: step.filter(small).unwrap_or(2),
            dash: dash.filter(small).unwrap_or(2),
        }
    }

    /// A block mapping, each line with its line break.
    pub(super) fn block(&self, map: &Map<String, Value>, indent: usize, out: &mut String) {
        for (key, value) in map {
            out.push_str(&" ".repeat(indent));
            out.push_str(&plain(key));
            out.push(':');
            match value {
                Value::Object(inner) if !inner.is_empty() => {
                    out.push_str(self.newline);
                    self.block(inner, indent.saturating_add(self.step), out);
                }
                Value::Array(items) if !items.is_empty() => {
                    out.push_str(self.newline);
                    self.items(items, indent.saturating_add(self.dash), out);
                }
                value => {
                    out.push(' ');
                    out.push_str(&self.flow(value, None));
                    out.push_str(self.newline);
                }
            }
        }
    }

    /// The items of a block sequence, each with its line break.
    pub(super) fn items(&self, items: &[Value], indent: usize, out: &mut String) {
        for item in items {
            out.push_str(&" ".repeat(indent));
            out.push_str("- ");
            out.push_str(&self.flow(item, None));
            out.push_str(self.newline);
        }
    }

    /// A value in flow style: in one line, or in JSON, where `indent` is that of the lines around
    /// it, with a line for every entry.
    pub(super) fn flow(&self, value: &Value, indent: Option<&str>) -> String {
        let indent = indent.filter(|_| self.json);
        let inner = indent.map(|indent| {
            let tabs = indent.contains('\t');
            let step = if tabs { "\t".to_owned() } else { " ".repeat(self.step) };
            format!("{indent}{step}")
        });
        let wrap = |open: char, parts: &[String], close: char| match (indent, &inner) {
            (Some(indent), Some(inner)) if !parts.is_empty() => {
                let newline = self.newline;
                let between = format!(",{newline}{inner}");
                format!("{open}{newline}{inner}{}{newline}{indent}{close}", parts.join(&between))
            }
            _ => format!("{open}{}{close}", parts.join(", ")),
        };
        match value {
            Value::Object(map) => {
                let entry = |(key, value): (&String, &Value)| {
                    self.flow_entry(key, value, inner.as_deref(), ": ")
                };
                wrap('{', &map.iter().map(entry).collect::<Vec<_>>(), '}')
            }
            Value::Array(items) => {
                let item = |item| self.flow(item, inner.as_deref());
                wrap('[', &items.iter().map(item).collect::<Vec<_>>(), ']')
            }
            Value::String(text) if self.json => quoted(text),
            Value::String(text) => plain(text),
            other => other.to_string(),
        }
    }

    /// An entry of a flow mapping.
    pub(super) fn flow_entry(
        &self,
        key: &str,
        value: &Value,
        indent: Option<&str>,
        colon: &str,
    ) -> String {
        let key = if self.json { quoted(key) } else { plain(key) };
        format!("{key}{colon}{}", self.flow(value, indent))
    }

    /// A scalar in the place of one that is written as `old`, with the quotes that it has.
    pub(super) fn like(&self, old: &str, value: &Value) -> String {
        match value {
            Value::String(text) if old.starts_with('"') => quoted(text),
            Value::String(text) if old.starts_with('\'') && !text.contains(char::is_control) => {
                format!("'{}'", text.replace('\'', "''"))
            }
            value => self.flow(value, None),
        }
    }
}

/// The column of the dash that an item stands behind, where it starts its line. Offsets start at
/// `base`.
fn dash_before(text: &str, item: Position, base: usize) -> Option<usize> {
    let before = text.get(..item.offset.checked_sub(base)?)?;
    let line = before.rsplit('\n').next()?;
    let spaces = line.len().checked_sub(line.trim_start_matches(' ').len())?;
    line.get(spaces..)?.starts_with('-').then(|| spaces.checked_add(1))?
}

/// `100m`, `1Gi`: a number with a unit, which no reader of YAML takes for a number.
fn is_quantity(text: &str) -> bool {
    let unit = text.trim_start_matches(|char: char| char.is_ascii_digit());
    unit.len() < text.len() && matches!(unit, "m" | "k" | "M" | "G" | "Ki" | "Mi" | "Gi" | "Ti")
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A text as YAML: bare where it cannot be taken for anything else, else in double quotes.
pub(super) fn plain(text: &str) -> String {
    let starts = text.starts_with(|char: char| char.is_ascii_alphabetic());
    let ends = text.ends_with(|char: char| char.is_ascii_alphanumeric());
    let plain = |char: char| char.is_ascii_alphanumeric() || " ._@/+-".contains(char);
    let is_text = scalar::resolve(text).is_ok_and(|value| value.is_string());
    if is_text && ((starts && ends && text.chars().all(plain)) || is_quantity(text)) {
        text.to_owned()
    } else {
        quoted(text)
    }
}
