//! Words before expansion to the words that a command is given.

use compact_str::{CompactString, ToCompactString, format_compact};

use super::{
    arithmetic,
    commands::Reader,
    patterns::{self, escaped, fits},
    script::{HOLE, Shell, Stdin},
    shell::{Alternatives, Change, Expansion, Part, Word, alternatives},
    state::{ELEMENT, MAX_VALUE},
};

/// A value, and where it is split into words.
struct Value {
    text: CompactString,
    /// At blanks, or what `IFS` holds instead.
    at_blanks: bool,
    /// Between the elements of an array.
    at_elements: bool,
}

impl Value {
    fn plain(text: CompactString) -> Self {
        Self { text, at_blanks: false, at_elements: false }
    }

    fn hole(quoted: bool) -> Self {
        Self { text: HOLE.to_compact_string(), at_blanks: !quoted, at_elements: false }
    }
}

/// How many characters of a word with brackets are looked at for what one command costs.
const CHARACTERS_A_COMMAND: usize = 8;

impl Reader<'_> {
    /// Expands a word where no splitting takes place.
    pub(super) fn text(&mut self, word: &Word, shell: &mut Shell) -> CompactString {
        if let [Part::Text { text, .. }] = word.parts.as_slice() {
            return text.clone();
        }
        let mut whole = CompactString::default();
        for part in &word.parts {
            let value = self.part(part, shell);
            if value.at_elements {
                whole.push_str(&value.text.replace(ELEMENT, " "));
            } else {
                whole.push_str(&value.text);
            }
        }
        self.spend(whole.len().div_euclid(256));
        if whole.len() > MAX_VALUE { HOLE.to_compact_string() } else { whole }
    }

    /// Expands a word to a pattern, in which what stands in quotes is not special.
    pub(super) fn pattern(&mut self, word: &Word, shell: &mut Shell) -> CompactString {
        let mut pattern = String::new();
        for part in &word.parts {
            let value = self.part(part, shell);
            if part.is_quoted() {
                escaped(&value.text, &mut pattern);
            } else {
                pattern.push_str(&value.text);
            }
        }
        if pattern.len() > MAX_VALUE { HOLE.to_compact_string() } else { pattern.into() }
    }

    /// Expands a word to the words it becomes, and adds them.
    pub(super) fn fields(&mut self, word: &Word, shell: &mut Shell, out: &mut Vec<CompactString>) {
        if let [Part::Text { text, quoted }] = word.parts.as_slice()
            && (*quoted || !text.contains(['*', '?', '{']))
        {
            out.push(text.clone());
            return;
        }
        match alternatives(word, self.work_left().saturating_mul(CHARACTERS_A_COMMAND)) {
            Some(Alternatives { words, cost }) => {
                self.spend(cost.div_euclid(CHARACTERS_A_COMMAND));
                for word in &words {
                    self.split(word, shell, out);
                }
            }
            None => self.split(word, shell, out),
        }
    }

    fn split(&mut self, word: &Word, shell: &mut Shell, out: &mut Vec<CompactString>) {
        let first = out.len();
        // The word that is being put together.
        let mut open: Option<CompactString> = None;
        let mut globs = false;
        let mut length = 0_usize;
        for part in &word.parts {
            globs |=
                matches!(part, Part::Text { text, quoted: false } if text.contains(['*', '?']));
            let value = self.part(part, shell);
            length = length.saturating_add(value.text.len());
            if !value.at_blanks && !value.at_elements {
                open.get_or_insert_default().push_str(&value.text);
                continue;
            }
            let ifs = if value.at_blanks {
                shell.get("IFS").unwrap_or_default()
            } else {
                CompactString::default()
            };
            let splits = |c: char| ifs.contains(c) || (c == ELEMENT && value.at_elements);
            // Other than blanks, each separator ends a word, even an empty one.
            let separates = |c: char| ifs.contains(c) && !c.is_ascii_whitespace();
            let value_text = value.text.strip_suffix(separates).unwrap_or(&value.text);
            let keeps_between = value.at_blanks && value_text.contains(separates);
            // In quotes an empty element is a word like any other.
            let keeps_empty =
                keeps_between || value.at_elements && !value.at_blanks && !value.text.is_empty();
            let mut pieces = value_text.split(splits).peekable();
            while let Some(piece) = pieces.next() {
                if !piece.is_empty() || keeps_empty {
                    open.get_or_insert_default().push_str(piece);
                }
                if pieces.peek().is_some() {
                    out.extend(open.take());
                }
            }
        }
        out.extend(open);
        let words = out.len().saturating_sub(first);
        self.spend(length.div_euclid(256).saturating_add(words.div_euclid(16)));
        if length > MAX_VALUE {
            out.truncate(first);
            out.push(HOLE.to_compact_string());
        }
        if globs
            && let Some([pattern]) = out.get(first..)
            && let Some(found) = self.matching(shell, &pattern.clone())
        {
            out.truncate(first);
            out.extend(found);
        }
    }

    /// The files that a pattern such as `/sql/*.sql` stands for; none where they are not known or
    /// there are none.
    fn matching(&mut self, shell: &Shell, pattern: &str) -> Option<Vec<CompactString>> {
        let (folder, name) = pattern.rsplit_once('/').unwrap_or((".", pattern));
        if folder.contains(['*', '?']) {
            return None;
        }
        let path = shell.resolve(if folder.is_empty() { "/" } else { folder })?;
        if !self.spend(self.disk.size().div_euclid(4)) {
            return None;
        }
        let mut names: Vec<String> = Vec::new();
        for (file, _) in self.files.folder(&path).into_iter().flatten() {
            names.extend(file.split('/').next().map(str::to_owned));
        }
        let inside = |file: &String| {
            let rest = file.strip_prefix(path.trim_end_matches('/'))?.strip_prefix('/')?;
            (!rest.contains('/')).then(|| rest.to_owned())
        };
        names.extend(self.disk.paths().filter_map(inside));
        self.spend(names.len());
        names.retain(|file| fits(name, file));
        names.sort();
        names.dedup();
        let path = path.trim_end_matches('/');
        let found: Vec<_> = names.iter().map(|name| format_compact!("{path}/{name}")).collect();
        (!found.is_empty()).then_some(found)
    }

    fn part(&mut self, part: &Part, shell: &mut Shell) -> Value {
        match part {
            Part::Text { text, .. } => Value::plain(text.clone()),
            Part::Unknown { inside, quoted } => {
                self.nested(|reader| reader.text(inside, shell));
                Value { at_blanks: false, ..Value::hole(*quoted) }
            }
            Part::Arithmetic { inside, quoted } => {
                let text = self.nested(|reader| reader.text(inside, shell));
                match arithmetic::value(&text, shell) {
                    Some(value) => Value::plain(value.to_compact_string()),
                    None => Value { at_blanks: false, ..Value::hole(*quoted) },
                }
            }
            Part::Variable { name, quoted } => variable(name, *quoted, shell),
            Part::Expansion { expansion, quoted } => {
                self.nested(|reader| reader.expansion(expansion, *quoted, shell))
            }
            Part::Array(words) => {
                let mut elements = Vec::new();
                for word in words {
                    self.fields(word, shell, &mut elements);
                }
                Value::plain(elements.join(ELEMENT.encode_utf8(&mut [0; 4])).into())
            }
            Part::Process { script, is_output } => {
                if *is_output {
                    self.run_aside(script, shell);
                    return Value::plain(self.disk.reader(script).into());
                }
                let text = match self.run_aside(script, shell) {
                    Stdin::Text(text) => Some(text),
                    Stdin::None => Some(String::new()),
                    Stdin::Unknown | Stdin::Migration(_) => None,
                };
                Value::plain(self.disk.pipe(text.as_deref()).into())
            }
            Part::Command { script, quoted } => self.substituted(script, *quoted, shell),
        }
    }

    /// `$(script)`
    fn substituted(&mut self, script: &str, quoted: bool, shell: &Shell) -> Value {
        let name = script.trim();
        let is_placeholder = !name.is_empty()
            && name.chars().all(|c| c == '_' || c.is_ascii_uppercase() || c.is_ascii_digit())
            && shell.function(name).is_none()
            && shell.aliased(name).is_none();
        if is_placeholder {
            // `$(NAME)` is how Kubernetes would have written a variable that it lacks.
            return Value::plain(HOLE.to_compact_string());
        }
        match self.run_aside(script, shell) {
            Stdin::Text(text) => Value {
                text: text.trim_end_matches('\n').into(),
                at_blanks: !quoted,
                at_elements: false,
            },
            Stdin::None => {
                Value { text: CompactString::default(), at_blanks: !quoted, at_elements: false }
            }
            Stdin::Unknown | Stdin::Migration(_) => Value::hole(quoted),
        }
    }

    /// Walks a script in a shell of its own; what it prints.
    fn run_aside(&mut self, script: &str, shell: &Shell) -> Stdin {
        if !self.spend(shell.size().saturating_add(script.len().div_euclid(64))) {
            self.plain_words(script);
            return Stdin::Unknown;
        }
        let mut inner = shell.clone();
        inner.traps.clear();
        self.nested(|reader| reader.script(script, &mut inner, &Stdin::None)).1
    }

    fn expansion(&mut self, expansion: &Expansion, quoted: bool, shell: &mut Shell) -> Value {
        let Expansion { name, index, change } = expansion;
        let index = index.as_ref().map(|word| self.text(word, shell));
        let all = match index.as_deref() {
            Some(index @ ("@" | "*")) => Some(index),
            None if matches!(name.as_str(), "@" | "*") => Some(name.as_str()),
            _ => None,
        };
        let value = match index.as_deref() {
            _ if all.is_some() => shell.get(name),
            None => shell.get(name).map(first_element),
            Some(index) => shell.get(name).and_then(|value| element(&value, index, shell)),
        };
        let is_set = shell.is_set(name);
        if let Change::Default { word, assigns, or_empty } = change {
            return self.default(name, value, is_set, (word, *assigns, *or_empty), quoted, shell);
        }
        let changed = match change {
            Change::Alternative { word, or_empty } => {
                let is_empty = if is_set {
                    value.as_ref().map(|value| *or_empty && value.is_empty())
                } else {
                    Some(true)
                };
                let instead = self.instead(word, quoted, shell);
                // Where it is not known, what may be there is what matters.
                if is_empty != Some(true) {
                    return instead;
                }
                Some(CompactString::default())
            }
            Change::Indirect if all.is_none() => value.and_then(|name| shell.get(&name)),
            Change::Indirect => None,
            Change::Length => value.map(|value| match all {
                Some(_) => value.split(ELEMENT).count().to_compact_string(),
                None => value.chars().count().to_compact_string(),
            }),
            change => {
                // `${@:1}` counts from one, `${array[@]:0}` from nothing.
                let first = all.map(|_| i64::from(matches!(name.as_str(), "@" | "*")));
                self.changed(value, change, first, shell)
            }
        };
        let text = changed.unwrap_or_else(|| HOLE.to_compact_string());
        match all {
            Some("@") => Value { text: stripped(text), at_blanks: !quoted, at_elements: true },
            Some(_) => Value {
                text: stripped(text).replace(ELEMENT, " ").into(),
                at_blanks: !quoted,
                at_elements: !quoted,
            },
            None => Value { text, at_blanks: !quoted, at_elements: false },
        }
    }

    /// The word that stands instead of a value: what is quoted in it is not split.
    fn instead(&mut self, word: &Word, quoted: bool, shell: &mut Shell) -> Value {
        match word.parts.as_slice() {
            [part] if !quoted && part.is_quoted() => self.part(part, shell),
            parts => {
                let is_whole = !parts.is_empty() && parts.iter().all(Part::is_quoted);
                let text = self.text(word, shell);
                Value { text, at_blanks: !quoted && !is_whole, at_elements: false }
            }
        }
    }

    /// `${NAME:-word}`, `${NAME:=word}`
    fn default(
        &mut self,
        name: &str,
        value: Option<CompactString>,
        is_set: bool,
        (word, assigns, or_empty): (&Word, bool, bool),
        quoted: bool,
        shell: &mut Shell,
    ) -> Value {
        match value {
            Some(value) if !(or_empty && value.is_empty()) => {
                let at_elements = value.contains(ELEMENT);
                Value { text: value, at_blanks: !quoted, at_elements }
            }
            None if is_set => {
                // What it is set to is not known, nor whether to anything.
                self.maybe(shell, |reader, shell| reader.text(word, shell));
                Value::hole(quoted)
            }
            _ => {
                if !assigns {
                    return self.instead(word, quoted, shell);
                }
                let text = self.text(word, shell);
                shell.set(name, Some(text.clone()));
                Value { text, at_blanks: !quoted, at_elements: false }
            }
        }
    }

    /// What becomes of a value that is changed; `None` when that cannot be told.
    fn changed(
        &mut self,
        value: Option<CompactString>,
        change: &Change,
        first: Option<i64>,
        shell: &mut Shell,
    ) -> Option<CompactString> {
        let mut expand = |word: &Word| {
            let text = self.text(word, shell);
            (!text.contains(HOLE)).then_some(text)
        };
        match change {
            Change::Trim { pattern, at_end, longest } => {
                let pattern = self.pattern(pattern, shell);
                let trim = |text: &str| patterns::trimmed(text, &pattern, *at_end, *longest);
                each(&value?, trim)
            }
            Change::Replace { pattern, with, all, place } => {
                let pattern = self.pattern(pattern, shell);
                let with = self.text(with, shell);
                if with.contains(HOLE) {
                    return None;
                }
                let cost = pattern.len().saturating_mul(value.as_deref().map_or(0, str::len));
                self.spend(cost.div_euclid(64));
                each(&value?, |text| patterns::replaced(text, &pattern, &with, *all, *place))
            }
            Change::Slice { offset, length } => {
                let offset = expand(offset);
                let length = length.as_ref().map(expand);
                let offset = arithmetic::value(&offset?, shell)?;
                let length = match length {
                    Some(length) => Some(arithmetic::value(&length?, shell)?),
                    None => None,
                };
                sliced(&value?, offset, length, first)
            }
            Change::Case { upper, all } => {
                let value = value?;
                let turn = |text: &str| {
                    if *upper { text.to_uppercase() } else { text.to_lowercase() }
                };
                if *all {
                    return Some(turn(&value).into());
                }
                let head = value.chars().next().map_or(0, char::len_utf8);
                let (head, rest) = value.split_at_checked(head)?;
                Some((turn(head) + rest).into())
            }
            Change::Required(word) => {
                drop(expand(word));
                value
            }
            _ => value,
        }
    }
}

/// Changes every element of an array, or the one text that is none.
fn each(value: &str, change: impl Fn(&str) -> Option<String>) -> Option<CompactString> {
    let elements = value.split(ELEMENT).map(change);
    let elements: Vec<String> = elements.collect::<Option<_>>()?;
    Some(elements.join(ELEMENT.encode_utf8(&mut [0; 4])).into())
}

/// `$NAME`
fn variable(name: &str, quoted: bool, shell: &Shell) -> Value {
    let Some(text) = shell.get(name) else { return Value::hole(quoted) };
    match name {
        "@" => Value { text, at_blanks: !quoted, at_elements: true },
        "*" if quoted => {
            let ifs = shell.get("IFS").unwrap_or_default();
            let between = ifs.chars().next().map(String::from).unwrap_or_default();
            Value::plain(text.replace(ELEMENT, &between).into())
        }
        "*" => Value { text, at_blanks: true, at_elements: true },
        _ => Value { text: first_element(text), at_blanks: !quoted, at_elements: false },
    }
}

/// An array without an index is its first element.
fn first_element(value: CompactString) -> CompactString {
    match value.split_once(ELEMENT) {
        Some((first, _)) => bare_element(first).into(),
        None => value,
    }
}

/// An element without the index that may stand before it.
fn bare_element(element: &str) -> &str {
    let inside = element.strip_prefix('[').and_then(|rest| rest.split_once("]="));
    inside.map_or(element, |(_, value)| value)
}

fn stripped(elements: CompactString) -> CompactString {
    if !elements.contains("]=") {
        return elements;
    }
    let bare: Vec<&str> = elements.split(ELEMENT).map(bare_element).collect();
    bare.join(ELEMENT.encode_utf8(&mut [0; 4])).into()
}

/// The element of an array with an index.
fn element(value: &str, index: &str, shell: &mut Shell) -> Option<CompactString> {
    let named = value.split(ELEMENT).filter_map(|element| {
        let (name, value) = element.strip_prefix('[')?.split_once("]=")?;
        (name.trim_matches(['"', '\'']) == index).then_some(value)
    });
    if let Some(value) = named.into_iter().next_back() {
        return Some(value.into());
    }
    let at = arithmetic::value(index, shell)?;
    let from_end = usize::try_from(at.checked_neg()?).ok().and_then(|at| at.checked_sub(1));
    let mut elements = value.split(ELEMENT);
    let element = match from_end {
        Some(at) => elements.nth_back(at),
        None => elements.nth(usize::try_from(at).ok()?),
    };
    element.map(|element| bare_element(element).into())
}

/// A part of a value; of an array if the number of its `first` element is given.
fn sliced(
    value: &str,
    offset: i64,
    length: Option<i64>,
    first: Option<i64>,
) -> Option<CompactString> {
    if value.contains(HOLE) {
        return None;
    }
    let (units, joint): (Vec<String>, &str) = if first.is_some() {
        (value.split(ELEMENT).map(str::to_owned).collect(), "\u{1F}")
    } else {
        (value.chars().map(String::from).collect(), "")
    };
    let count = i64::try_from(units.len()).ok()?;
    let start = if offset < 0 {
        count.saturating_add(offset).max(0)
    } else {
        offset.saturating_sub(first.unwrap_or_default()).clamp(0, count)
    };
    let end = match length {
        None => count,
        Some(length) if length < 0 => count.saturating_add(length),
        Some(length) => start.saturating_add(length).min(count),
    };
    let (start, end) = (usize::try_from(start).ok()?, usize::try_from(end).ok()?);
    Some(units.get(start..end.max(start))?.join(joint).into())
}
