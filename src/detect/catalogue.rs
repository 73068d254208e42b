//! The tools that we know, as data: `tools.yaml`, compiled once.

use std::{collections::HashMap, fmt};

use foldhash::fast::FixedState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Confidence, Operation,
    entry::{EnvEntry, Evidence, Migrations, SettingEntry, ToolEntry},
    image::Image,
    setting::{Outlines, Setting},
    sql::Dialect,
    unwrap::basename,
    verb::Verb,
};
use crate::source::{self, Document, mapping::Mappings, with_nearest};

/// A client that is given statements.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Client {
    /// The language that it speaks. Default: `generic`.
    #[serde(default)]
    pub dialect: Dialect,
    /// Options that hold statements.
    pub inline: Vec<String>,
    /// Options that name a file of statements.
    pub files: Vec<String>,
    /// Whether statements are read from standard input.
    pub stdin: bool,
    /// The place among the arguments where statements may stand.
    #[serde(default)]
    pub positional: Option<usize>,
    /// The verb without which the program is no client.
    #[serde(default)]
    pub subcommand: Option<String>,
    /// True when the text is what follows `ALTER TABLE name`.
    #[serde(default)]
    pub alter: bool,
}

/// A tool, ready to be matched.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the file, off where absent")]
pub(super) struct Tool {
    pub(super) id: String,
    entrypoint: Option<String>,
    executables: Vec<String>,
    pub(super) verbs: Vec<Verb>,
    pub(super) options: Vec<String>,
    pub(super) glued: Vec<String>,
    pub(super) dry_run: Vec<String>,
    pub(super) dry_run_env: Vec<String>,
    pub(super) anywhere: bool,
    pub(super) skip: usize,
    pub(super) loose: bool,
    pub(super) bare: Option<Operation>,
    pub(super) image_default: Option<Operation>,
    pub(super) ignores_args: bool,
    pub(super) general: bool,
    /// Whether two runs at once wait for each other.
    pub(super) lock: Option<bool>,
    /// The most that anything found by this entry can be.
    pub(super) ceiling: Confidence,
    pub(super) client: Option<Client>,
    /// Where it finds the files that it runs.
    pub(super) migrations: Option<Migrations>,
    /// Written by a user: where it speaks, no built-in entry does.
    pub(super) is_users: bool,
}

impl Tool {
    /// The program that an image of this tool runs its arguments with: the one that is called like
    /// the image, where the entry does not say.
    pub(super) fn entrypoint(&self, image: &Image<'_>) -> Option<&str> {
        let is_image = |name: &&String| name.as_str() == image.basename();
        self.entrypoint
            .as_ref()
            .or_else(|| self.executables.iter().find(is_image))
            .map(String::as_str)
    }

    /// True for an option whose value is the next word.
    pub(super) fn takes_value(&self, option: &str) -> bool {
        self.options.iter().any(|own| own == option)
    }
}

/// A variable that decides what a tool does.
#[derive(Clone, Debug)]
pub(super) struct EnvRule {
    pub(super) tool: usize,
    values: Vec<String>,
    operation: Option<Operation>,
    /// Its value is the verb.
    pub(super) verb: bool,
}

impl EnvRule {
    /// What the tool does when the variable has this value.
    pub(super) fn operation(&self, value: &str) -> Option<Operation> {
        let is_listed = self.values.iter().any(|wanted| wanted.eq_ignore_ascii_case(value));
        self.operation.filter(|_| is_listed)
    }
}

/// Entries by a name. They come from catalogues alone, so nobody can choose names of one hash.
type Index<V> = HashMap<String, V, FixedState>;

/// The tools and the ways to find them.
#[derive(Clone, Debug, Default)]
pub(super) struct Catalogue {
    tools: Vec<Tool>,
    by_executable: Index<Vec<usize>>,
    by_image: Index<Vec<(Image<'static>, usize)>>,
    by_variable: Index<Vec<EnvRule>>,
    settings: Vec<Setting>,
    /// The values of settings, and the names of variables that there are rules about, from afar.
    values: Outlines,
    variables: Outlines,
}

/// One thing wrong with an entry of a catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryError {
    /// The place of the entry, from 0.
    pub index: usize,
    /// The entry's `id`; empty where it has none.
    pub tool: String,
    /// The field inside the entry, such as `verbs.apply[0]`; empty for the whole entry.
    pub field: String,
    /// What is wrong, with the nearest valid value where there is one.
    pub message: String,
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, tool, field, message } = self;
        match (tool.as_str(), field.as_str()) {
            ("", "") => write!(f, "entry {index}: {message}"),
            ("", field) => write!(f, "entry {index}: {field}: {message}"),
            (tool, "") => write!(f, "tool `{tool}`: {message}"),
            (tool, field) => write!(f, "tool `{tool}`: {field}: {message}"),
        }
    }
}

impl std::error::Error for EntryError {}

impl Catalogue {
    /// Reads and compiles a catalogue; the first error is the answer.
    pub(super) fn load(yaml: &str) -> Result<Self, EntryError> {
        let wrong = |message: String| EntryError {
            index: 0,
            tool: String::new(),
            field: String::new(),
            message,
        };
        let mut documents = source::documents(yaml);
        let value = match documents.pop().map(|last| last.and_then(Document::strict)) {
            Some(Ok(mut document)) if documents.is_empty() => document.take_value(),
            Some(Err(error)) => {
                let line = error.position.line;
                return Err(wrong(format!("line {line}: {}", error.message)));
            }
            _ => return Err(wrong("must be one list of tools".to_owned())),
        };
        let Value::Array(values) = value else {
            return Err(wrong("must be a list of tools".to_owned()));
        };
        let mut catalogue = Self::default();
        for (index, value) in values.into_iter().enumerate() {
            let entry = read(index, &value)?;
            let added = catalogue.add(index, &entry, false);
            added.map_err(|errors| errors.into_iter().next().unwrap_or_else(|| wrong(entry.id)))?;
        }
        Ok(catalogue)
    }

    /// Adds a tool, unless something is wrong with it.
    pub(super) fn add(
        &mut self,
        index: usize,
        entry: &ToolEntry,
        is_users: bool,
    ) -> Result<(), Vec<EntryError>> {
        let mut errors = self.wrong(entry);
        let verbs = verbs(entry, &mut errors);
        if !errors.is_empty() {
            let error =
                |(field, message)| EntryError { index, tool: entry.id.clone(), field, message };
            return Err(errors.into_iter().map(error).collect());
        }
        self.index(entry, is_users);
        self.tools.push(Tool {
            id: entry.id.clone(),
            entrypoint: entry.entrypoint.clone(),
            executables: entry.executables.clone(),
            verbs,
            options: entry.options.clone(),
            glued: entry.glued.clone(),
            dry_run: entry.dry_run.clone(),
            dry_run_env: entry.dry_run_env.clone(),
            anywhere: entry.anywhere,
            skip: entry.skip,
            loose: entry.loose,
            bare: entry.bare,
            image_default: entry.image_default,
            ignores_args: entry.ignores_args,
            general: entry.general,
            lock: entry.lock,
            ceiling: match entry.evidence {
                Evidence::Documented => Confidence::Command,
                Evidence::Recalled => Confidence::Name,
            },
            client: entry.sql.clone(),
            migrations: entry.migrations.clone(),
            is_users,
        });
        Ok(())
    }

    /// What is wrong with an entry, but for its verbs: field and message.
    fn wrong(&self, entry: &ToolEntry) -> Vec<(String, String)> {
        let mut errors = Vec::new();
        let mut fail = |field: String, message: &str| errors.push((field, message.to_owned()));
        let is_id =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if entry.id.is_empty() || entry.id.len() > 63 || !entry.id.chars().all(is_id) {
            fail("id".to_owned(), "must be 1 to 63 of a-z, 0-9, - and _");
        }
        if let Some(other) = self.by_id(&entry.id) {
            let whose = if other.is_users { "used already" } else { "that of a built-in tool" };
            fail("id".to_owned(), &format!("`{}` is {whose}", entry.id));
        }
        let is_reachable = !entry.executables.is_empty()
            || !entry.images.is_empty()
            || !entry.env.is_empty()
            || !entry.settings.is_empty();
        if !is_reachable {
            let message =
                "nothing tells it apart: it needs `executables`, `images`, `env` or `settings`";
            fail(String::new(), message);
        }
        for (at, SettingEntry { name, values, .. }) in entry.settings.iter().enumerate() {
            if Setting::normal(name).chars().filter(|c| *c != '*').count() < 8 {
                let message = "must name a property by at least 8 letters";
                fail(format!("settings[{at}].name"), message);
            }
            if values.is_empty() {
                fail(format!("settings[{at}].values"), "must not be empty");
            }
        }
        for (at, name) in entry.executables.iter().enumerate() {
            let folders = name.matches('/').count();
            if basename(name).is_empty() || name.contains(char::is_whitespace) || folders > 1 {
                let message = "must be a program's name without blanks, with one folder at most";
                fail(format!("executables[{at}]"), message);
            }
        }
        for (at, image) in entry.images.iter().enumerate() {
            if Image::parse(image).basename().is_empty() || image.contains(char::is_whitespace) {
                fail(format!("images[{at}]"), "must be a repository");
            }
        }
        for (at, rule) in entry.env.iter().enumerate() {
            let EnvEntry { name, values, operation, verb } = rule;
            if name.is_empty() {
                fail(format!("env[{at}].name"), "must name a variable");
            }
            let decides = operation.is_some() && !values.is_empty();
            if decides == *verb || operation.is_some() == values.is_empty() {
                fail(format!("env[{at}]"), "needs `values` with `operation`, or `verb`");
            }
        }
        if entry.migrations.as_ref().is_some_and(Migrations::is_nowhere) {
            let message = "needs `options`, `env`, `default` or `root`: nothing names a folder";
            fail("migrations".to_owned(), message);
        }
        if entry.image_default.is_some() && entry.images.is_empty() {
            fail("imageDefault".to_owned(), "says what `images` do, and there are none");
        }
        errors
    }

    /// Makes a tool that is about to be added findable; a user's before built-in ones.
    fn index(&mut self, entry: &ToolEntry, is_users: bool) {
        let index = self.tools.len();
        for executable in &entry.executables {
            let tools = self.by_executable.entry(executable.clone()).or_default();
            tools.insert(if is_users { 0 } else { tools.len() }, index);
        }
        for image in &entry.images {
            let image = Image::parse(image).into_owned();
            self.by_image.entry(image.basename().to_owned()).or_default().push((image, index));
        }
        for rule in &entry.env {
            let EnvEntry { name, values, operation, verb } = rule.clone();
            let rule = EnvRule { tool: index, values, operation, verb };
            self.variables.add(&name);
            let rules = self.by_variable.entry(name).or_default();
            if is_users {
                rules.retain(|rule| self.tools.get(rule.tool).is_some_and(|tool| tool.is_users));
            }
            rules.push(rule);
        }
        for setting in &entry.settings {
            self.settings.push(Setting::new(setting, index));
            setting.values.iter().for_each(|value| self.values.add(value));
        }
    }

    /// The tools that a program of this name may be.
    pub(super) fn by_executable(&self, name: &str) -> impl Iterator<Item = &Tool> {
        self.by_executable
            .get(name)
            .into_iter()
            .flatten()
            .filter_map(|index| self.tools.get(*index))
    }

    /// How many tools there are.
    pub(super) fn len(&self) -> usize {
        self.tools.len()
    }

    /// True when a tool has this name.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.by_executable.contains_key(name)
    }

    /// The tool that an image holds; the most exact pattern wins.
    pub(super) fn by_image(&self, image: &Image<'_>) -> Option<&Tool> {
        let (_, index) = self
            .by_image
            .get(image.basename())?
            .iter()
            .filter(|(pattern, _)| pattern.covers(image))
            .max_by_key(|(pattern, index)| {
                let is_users = self.tools.get(*index).is_some_and(|tool| tool.is_users);
                (is_users, pattern.precision())
            })?;
        self.tools.get(*index)
    }

    /// The rules about a variable.
    pub(super) fn by_variable(&self, name: &str) -> &[EnvRule] {
        if !self.variables.has(name) {
            return &[];
        }
        self.by_variable.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// What a property with this value means: the tool, the operation and the name to show.
    pub(super) fn setting(&self, name: &str, value: &str) -> Option<(&Tool, Operation, &str)> {
        if name.len() > 256 || !self.may_be_set(value) {
            return None;
        }
        let value = bare(value);
        // Most values are no setting's, and then the name does not matter.
        let mut fitting = self.settings.iter().filter(|setting| setting.takes(value)).peekable();
        fitting.peek()?;
        let name = Setting::normal(name);
        let setting =
            fitting.filter(|setting| setting.is_called(&name)).max_by_key(|s| s.operation)?;
        Some((self.tools.get(setting.tool)?, setting.operation, &setting.name))
    }

    /// False when no property has this value.
    pub(super) fn may_be_set(&self, value: &str) -> bool {
        value.len() <= 64 && self.values.has(bare(value))
    }

    /// The tool of a rule.
    pub(super) fn tool(&self, index: usize) -> Option<&Tool> {
        self.tools.get(index)
    }

    /// The tool with an id.
    pub(super) fn by_id(&self, id: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.id == id)
    }
}

/// A value without blanks and quotes around it.
fn bare(value: &str) -> &str {
    let is_bare = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    // Almost all are.
    if is_bare(value.as_bytes().first()) && is_bare(value.as_bytes().last()) {
        return value;
    }
    value.trim().trim_matches(['"', '\''])
}

/// Reads one entry, strictly.
fn read(index: usize, value: &Value) -> Result<ToolEntry, EntryError> {
    serde_path_to_error::deserialize::<_, ToolEntry>(Mappings(value)).map_err(|error| EntryError {
        index,
        tool: value.get("id").and_then(Value::as_str).unwrap_or_default().to_owned(),
        field: Some(error.path().to_string()).filter(|path| path != ".").unwrap_or_default(),
        message: with_nearest(&error.inner().to_string()),
    })
}

/// The verbs of an entry; lines that cannot be read are added to `errors`.
fn verbs(entry: &ToolEntry, errors: &mut Vec<(String, String)>) -> Vec<Verb> {
    let mut verbs = Vec::new();
    for (key, source) in
        [("verbs", &entry.verbs), ("hints", &entry.hints), ("prints", &entry.prints)]
    {
        for (operation, lines) in source.by_operation() {
            for (at, line) in lines.iter().enumerate() {
                let Some(mut verb) = Verb::parse(line, operation, key == "hints") else {
                    let field = format!("{key}.{operation}[{at}]");
                    errors.push((field, format!("`{line}` is no verb")));
                    continue;
                };
                if key == "prints" {
                    verb.prints = Some(operation);
                    verb.operation = Operation::ReadOnly;
                }
                verbs.push(verb);
            }
        }
    }
    verbs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_named() {
        for (yaml, expected) in [
            (
                "- {id: a, name: A, executables: [a]}\n- {id: a, name: A, executables: [a]}",
                "tool `a`: id: `a` is that of a built-in tool",
            ),
            (
                "- {id: a, name: A}",
                "tool `a`: nothing tells it apart: it needs `executables`, `images`, `env` \
                 or `settings`",
            ),
            (
                "- {id: a, name: A, executables: [a], verbs: {apply: [up, '+']}}",
                "tool `a`: verbs.apply[1]: `+` is no verb",
            ),
            (
                "- {id: a, name: A, executables: [/usr/bin/a]}",
                "tool `a`: executables[0]: must be a program's name without blanks, with one folder at most",
            ),
            (
                "- {id: a, name: A, env: [{name: X, values: [z]}]}",
                "tool `a`: env[0]: needs `values` with `operation`, or `verb`",
            ),
            (
                "- {id: A, name: A, executables: [a]}",
                "tool `A`: id: must be 1 to 63 of a-z, 0-9, - and _",
            ),
            (
                "- {id: a, name: A, executables: [a], migrations: {convention: goose}}",
                "tool `a`: migrations: needs `options`, `env`, `default` or `root`",
            ),
            ("{}", "entry 0: must be a list of tools"),
            ("[", "entry 0: line 1: "),
        ] {
            let error = Catalogue::load(yaml).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_mistyped_name_comes_with_the_nearest() {
        for (yaml, field, nearest) in [
            ("- {id: a, nmae: A}", "nmae", "`name`"),
            ("- {id: a, name: A, verbs: {aply: [up]}}", "verbs.aply", "`apply`"),
            ("- {id: a, name: A, bare: destroctive}", "bare", "`destructive`"),
            ("- {id: a, name: A, evidence: documneted}", "evidence", "`documented`"),
        ] {
            let error = Catalogue::load(yaml).unwrap_err();
            assert!(error.field.starts_with(field), "{error}");
            assert!(error.message.ends_with(&format!("(did you mean {nearest}?)")), "{error}");
        }
    }
}
