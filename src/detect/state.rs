//! What a shell knows, and what is on the disk of the container.

use std::{collections::BTreeMap, rc::Rc};

use compact_str::{CompactString, ToCompactString};

use super::{
    Operation,
    files::absolute,
    shell::{List, MAX_SCRIPT},
};

/// Stands in a text for what only a running shell could tell.
pub(super) const HOLE: char = '\u{FFFC}';

/// Stands in a file for a dump that a backup tool wrote there: rows that can be put back.
pub(super) const DUMP: char = '\u{FFFB}';

/// Stands between the elements of an array, which is kept as one text.
pub(super) const ELEMENT: char = '\u{1F}';

/// The longest value that is followed; doubling a variable over and over must not fill the memory.
pub(super) const MAX_VALUE: usize = 64 * 1024;

/// What a command reads, or what it prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Stdin {
    /// Nothing that we know of.
    #[default]
    None,
    /// This text.
    Text(String),
    /// Something that is written elsewhere.
    Unknown,
    /// Statements that a tool printed instead of running them.
    Migration(Operation),
}

impl Stdin {
    /// Adds what is printed next. What is not known does not hide what is.
    pub(super) fn add(&mut self, more: Self) {
        match (&mut *self, more) {
            // What a tool printed counts, whatever is printed around it.
            (Self::Migration(printed), Self::Migration(more)) => *printed = (*printed).max(more),
            (Self::Migration(_), _) | (_, Self::None) | (Self::Unknown, Self::Unknown) => {}
            (_, more @ Self::Migration(_)) | (Self::None, more) => *self = more,
            (Self::Text(text), Self::Text(more)) => {
                text.push_str(&more);
                if text.len() > MAX_SCRIPT {
                    *self = Self::Unknown;
                }
            }
            // A semicolon ends a statement of SQL and a command alike.
            (Self::Text(text), Self::Unknown) => {
                text.push('\n');
                text.push(HOLE);
                text.push_str(";\n");
            }
            (Self::Unknown, Self::Text(more)) => *self = Self::Text(format!("{HOLE};\n{more}")),
        }
    }
}

/// What a variable was before.
#[derive(Clone, Debug)]
pub(super) enum Before {
    Unset,
    /// `None` is a value that is not known.
    Set(Option<CompactString>),
}

/// The variables that a function made its own, by their names.
type Locals = BTreeMap<CompactString, Before>;

/// Variables by their names; `None` for one that is set to something unknown.
pub(super) type Variables = BTreeMap<CompactString, Option<CompactString>>;

/// A map that shells share until one of them changes it. Most shells have none.
#[derive(Debug)]
struct Shared<V>(Option<Rc<BTreeMap<String, V>>>);

impl<V> Shared<V> {
    fn get(&self, name: &str) -> Option<&V> {
        self.0.as_ref()?.get(name)
    }

    fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |map| map.len())
    }
}

impl<V: Clone> Shared<V> {
    fn change(&mut self) -> &mut BTreeMap<String, V> {
        Rc::make_mut(self.0.get_or_insert_default())
    }
}

impl<V> Default for Shared<V> {
    fn default() -> Self {
        Self(None)
    }
}

impl<V> Clone for Shared<V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The state of a shell.
#[derive(Clone, Debug, Default)]
pub(super) struct Shell {
    variables: Rc<Variables>,
    /// `$0`
    pub(super) zero: Option<Rc<str>>,
    /// `$1` and so on; `None` when they are not known.
    pub(super) positional: Option<Rc<[CompactString]>>,
    /// The working directory; `None` when it is the image's or depends on what a branch did.
    pub(super) folder: Option<String>,
    /// Counts changes to a directory that is not known.
    moves: usize,
    /// What a name may stand for: several where a branch decides.
    functions: Shared<Vec<Rc<List>>>,
    aliases: Shared<String>,
    /// What runs when the shell ends.
    pub(super) traps: Vec<String>,
    /// How many branches that may not be taken are around.
    pub(super) branches: usize,
    /// How many loops are around: elsewhere `break` does nothing.
    pub(super) loops: usize,
    /// What variables were before the function that runs made them its own.
    locals: Locals,
    /// How many functions and files are around: elsewhere `return` does nothing.
    pub(super) calls: usize,
}

impl Shell {
    /// A shell in a folder; the arguments that it was started with are not known.
    pub(super) fn new(variables: Rc<Variables>, folder: Option<String>) -> Self {
        Self {
            variables,
            zero: None,
            positional: None,
            folder,
            moves: 0,
            functions: Shared::default(),
            aliases: Shared::default(),
            traps: Vec::new(),
            branches: 0,
            loops: 0,
            locals: Locals::new(),
            calls: 0,
        }
    }

    /// Every variable; `None` for a value that is not known.
    pub(super) fn variables(&self) -> &Variables {
        &self.variables
    }

    /// How much there is to copy.
    pub(super) fn size(&self) -> usize {
        [self.functions.len(), self.aliases.len(), self.traps.len()]
            .into_iter()
            .fold(self.variables.len(), usize::saturating_add)
    }

    /// How long the value of a variable is, in bytes; 0 where it is not known.
    pub(super) fn length(&self, name: &str) -> usize {
        self.variables.get(name).and_then(Option::as_ref).map_or(0, CompactString::len)
    }

    /// A shell that this one starts: it has the variables, and the functions, which may be exported.
    pub(super) fn child(&self, zero: Option<&str>, positional: Vec<CompactString>) -> Self {
        Self {
            zero: zero.map(Rc::from),
            positional: Some(Rc::from(positional)),
            moves: self.moves,
            functions: self.functions.clone(),
            ..Self::new(Rc::clone(&self.variables), self.folder.clone())
        }
    }

    /// The value of a variable; `None` when it is not known, `Some(None)` never.
    pub(super) fn get(&self, name: &str) -> Option<CompactString> {
        if let Ok(index) = name.parse::<usize>() {
            let Some(at) = index.checked_sub(1) else {
                return Some(self.zero.as_deref().unwrap_or("sh").into());
            };
            return self.positional.as_ref().map(|args| args.get(at).cloned().unwrap_or_default());
        }
        match name {
            "@" | "*" => self
                .positional
                .as_ref()
                .map(|args| args.join(ELEMENT.encode_utf8(&mut [0; 4])).into()),
            "#" => self.positional.as_ref().map(|args| args.len().to_compact_string()),
            "?" | "-" | "$" | "!" => None,
            "IFS" if !self.variables.contains_key(name) => Some(" \t\n".into()),
            name => self.variables.get(name).cloned().flatten(),
        }
    }

    /// True for a variable that is set, though maybe to something unknown.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.variables.contains_key(name)
            || !name.starts_with(|c: char| c == '_' || c.is_alphabetic())
    }

    /// Sets a variable; a value with holes is one that is not known in part.
    pub(super) fn set(&mut self, name: &str, value: Option<CompactString>) {
        let value = value.filter(|value| value.len() <= MAX_VALUE);
        Rc::make_mut(&mut self.variables).insert(name.into(), value);
    }

    /// Does something with another `IFS`, if one is given.
    pub(super) fn with_ifs<R>(
        &mut self,
        ifs: Option<CompactString>,
        inner: impl FnOnce(&mut Self) -> R,
    ) -> R {
        if ifs.is_none() {
            return inner(self);
        }
        let outer = self.variables.get("IFS").cloned();
        self.set("IFS", ifs);
        let result = inner(self);
        match outer {
            Some(outer) => self.set("IFS", outer),
            None => self.unset("IFS"),
        }
        result
    }

    /// Makes a variable a function's own.
    pub(super) fn localize(&mut self, name: &str) {
        if !self.locals.contains_key(name) {
            let before = self.variables.get(name).cloned().map_or(Before::Unset, Before::Set);
            self.locals.insert(name.into(), before);
        }
    }

    /// Enters a function; the answer is what [`Shell::leave`] wants.
    pub(super) fn enter(&mut self) -> Locals {
        self.calls = self.calls.saturating_add(1);
        std::mem::take(&mut self.locals)
    }

    /// Leaves a function: its own variables are again what they were.
    pub(super) fn leave(&mut self, outer: Locals) {
        self.calls = self.calls.saturating_sub(1);
        for (name, value) in std::mem::replace(&mut self.locals, outer) {
            match value {
                Before::Set(value) => self.set(&name, value),
                Before::Unset => self.unset(&name),
            }
        }
    }

    /// True when its variables, arguments and folder are those of another.
    pub(super) fn is_set_as(&self, other: &Self) -> bool {
        let is_same =
            Rc::ptr_eq(&self.variables, &other.variables) || self.variables == other.variables;
        is_same && self.positional == other.positional && self.folder == other.folder
    }

    pub(super) fn unset(&mut self, name: &str) {
        Rc::make_mut(&mut self.variables).remove(name);
    }

    /// Adds to a variable, or to an array when `is_array`.
    pub(super) fn append(&mut self, name: &str, more: &str, is_array: bool) {
        let before =
            if self.is_set(name) { self.get(name) } else { Some(CompactString::default()) };
        let whole = before.map(|mut before| {
            if is_array && !before.is_empty() {
                before.push(ELEMENT);
            }
            before.push_str(more);
            before
        });
        self.set(name, whole);
    }

    /// Sets an element of an array. One that is new is kept with its index before it.
    pub(super) fn set_element(&mut self, name: &str, index: &str, value: &str) {
        let is_plain = |element: &str| !element.starts_with('[');
        if let (Some(whole), Ok(at)) = (self.get(name), index.parse::<usize>())
            && self.is_set(name)
            && whole.split(ELEMENT).all(is_plain)
        {
            let mut elements: Vec<&str> = whole.split(ELEMENT).collect();
            if let Some(element) = elements.get_mut(at) {
                *element = value;
                let whole = elements.join(ELEMENT.encode_utf8(&mut [0; 4]));
                return self.set(name, Some(whole.into()));
            }
        }
        self.append(name, &format!("[{index}]={value}"), true);
    }

    /// Goes to another directory.
    pub(super) fn go(&mut self, folder: Option<String>) {
        if folder.is_none() {
            self.moves = self.moves.saturating_add(1);
        }
        self.folder = folder;
    }

    /// A path made absolute. The image's own directory and others that are not known have names that
    /// nothing else has, so that what is written there is found there.
    pub(super) fn resolve(&self, path: &str) -> Option<String> {
        if path.starts_with('/') || self.folder.is_some() {
            return absolute(self.folder.as_deref(), path);
        }
        let here = format!("/{HOLE}{}", self.moves);
        absolute(Some(&here), path).filter(|whole| whole.starts_with(&here))
    }

    pub(super) fn define(&mut self, name: &str, body: &Rc<List>) {
        let certain = self.branches == 0;
        let bodies = self.functions.change().entry(name.to_owned()).or_default();
        if certain {
            bodies.clear();
        }
        bodies.push(Rc::clone(body));
    }

    pub(super) fn function(&self, name: &str) -> Option<Vec<Rc<List>>> {
        self.functions.get(name).cloned()
    }

    pub(super) fn alias(&mut self, name: &str, text: &str) {
        self.aliases.change().insert(name.to_owned(), text.to_owned());
    }

    pub(super) fn aliased(&self, name: &str) -> Option<&str> {
        self.aliases.get(name).map(String::as_str)
    }

    pub(super) fn unalias(&mut self, name: &str) {
        self.aliases.change().remove(name);
    }

    /// Forgets what differs from before a branch that may not have been taken.
    pub(super) fn forget_since(&mut self, before: &Self) {
        if !Rc::ptr_eq(&self.variables, &before.variables) {
            for (name, value) in Rc::make_mut(&mut self.variables) {
                if before.variables.get(name) != Some(value) {
                    *value = None;
                }
            }
            for name in before.variables.keys() {
                // One that the branch has unset.
                if !self.variables.contains_key(name) {
                    Rc::make_mut(&mut self.variables).insert(name.clone(), None);
                }
            }
        }
        if self.folder != before.folder {
            self.go(None);
        }
        if self.positional != before.positional {
            self.positional = None;
        }
    }
}

/// What the scripts of a container left in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnDisk<'d> {
    /// They did not write it.
    Nothing,
    /// They wrote what nobody shows.
    Unknown,
    Text(&'d str),
}

/// Texts by their paths; `None` when what was written is not known.
type Written = Rc<BTreeMap<String, Option<Rc<str>>>>;

/// The files of a container, as far as its scripts write them.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    written: Written,
    /// Other names of programs: copies and links, by path.
    links: BTreeMap<String, String>,
    /// The first path among those of each name.
    linked: BTreeMap<String, String>,
    /// What reads from `>(…)`, by path.
    readers: BTreeMap<String, Rc<str>>,
    pipes: usize,
}

impl Disk {
    pub(super) fn size(&self) -> usize {
        self.written.len()
    }

    /// How long a file is, in bytes; 0 where that is not known.
    pub(super) fn length(&self, path: &str) -> usize {
        self.written.get(path).and_then(Option::as_ref).map_or(0, |text| text.len())
    }

    /// What was written to a file.
    pub(super) fn text(&self, path: &str) -> OnDisk<'_> {
        match self.written.get(path) {
            None => OnDisk::Nothing,
            Some(None) => OnDisk::Unknown,
            Some(Some(text)) => OnDisk::Text(text),
        }
    }

    /// The files as they are now, to be compared with later.
    pub(super) fn before(&self) -> Written {
        Rc::clone(&self.written)
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &String> {
        self.written.keys()
    }

    /// Notes what was written to a file.
    pub(super) fn write(&mut self, path: String, output: &Stdin, appends: bool) {
        if path.starts_with("/dev/") {
            return;
        }
        let text = match output {
            Stdin::None => Some(""),
            Stdin::Text(text) => Some(text.as_str()),
            Stdin::Unknown | Stdin::Migration(_) => None,
        };
        let before = match self.written.get(&path) {
            Some(before) if appends => before.as_deref(),
            _ if appends => None,
            _ => Some(""),
        };
        let whole = match (before, text) {
            (Some(before), Some(text)) => Some(format!("{before}{text}")),
            _ => None,
        };
        let whole = whole.filter(|whole| whole.len() <= MAX_VALUE);
        Rc::make_mut(&mut self.written).insert(path, whole.map(Rc::from));
    }

    /// A file that holds what a substitution prints.
    pub(super) fn pipe(&mut self, text: Option<&str>) -> String {
        let path = self.next_pipe();
        Rc::make_mut(&mut self.written).insert(path.clone(), text.map(Rc::from));
        path
    }

    /// A file that a script reads from.
    pub(super) fn reader(&mut self, script: &str) -> String {
        let path = self.next_pipe();
        self.readers.insert(path.clone(), Rc::from(script));
        path
    }

    pub(super) fn read_by(&self, path: &str) -> Option<Rc<str>> {
        self.readers.get(path).cloned()
    }

    fn next_pipe(&mut self) -> String {
        self.pipes = self.pipes.saturating_add(1);
        format!("/dev/fd/{}", self.pipes.saturating_add(9))
    }

    pub(super) fn link(&mut self, path: String, program: &str) {
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let first = self.linked.entry(name).or_insert_with(|| path.clone());
        if path < *first {
            first.clone_from(&path);
        }
        self.links.insert(path, program.to_owned());
    }

    /// The program that a name is a copy of or a link to; a name without a folder may be found in
    /// any folder of `PATH`.
    pub(super) fn program(&self, shell: &Shell, name: &str) -> Option<&str> {
        if self.links.is_empty() {
            return None;
        }
        let target = if name.contains('/') {
            self.links.get(&shell.resolve(name)?)
        } else {
            self.links.get(self.linked.get(name)?)
        };
        target.map(String::as_str)
    }

    /// Forgets what differs from before a branch that may not have been taken.
    pub(super) fn forget_since(&mut self, before: &Written) {
        if Rc::ptr_eq(&self.written, before) {
            return;
        }
        for (path, text) in Rc::make_mut(&mut self.written) {
            // A file that is there only if the branch was taken holds that or is not there.
            if before.get(path).is_some_and(|before| before != text) {
                *text = None;
            }
        }
    }
}
