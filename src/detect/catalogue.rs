//! The tools that we know, as data: `tools.yaml`, compiled once.

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use serde::Deserialize;

use super::{Confidence, Operation, image::Image, sql::Dialect, verb::Verb};

/// The catalogue that comes with tidegate. A test loads it, so that it is never the empty one.
pub(super) static BUILTIN: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::load(include_str!("tools.yaml")).unwrap_or_default());

/// One tool as it is written down. The keys are explained at the top of `tools.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the file, off where absent")]
struct Entry {
    id: String,
    #[expect(dead_code, reason = "names the tool to readers of the file")]
    name: String,
    #[serde(default)]
    images: Vec<String>,
    #[serde(default)]
    entrypoint: Option<String>,
    #[serde(default)]
    executables: Vec<String>,
    #[serde(default)]
    verbs: BTreeMap<Operation, Vec<String>>,
    #[serde(default)]
    hints: BTreeMap<Operation, Vec<String>>,
    #[serde(default)]
    options: Vec<String>,
    #[serde(default)]
    glued: Vec<String>,
    #[serde(default)]
    dry_run: Vec<String>,
    #[serde(default)]
    anywhere: bool,
    #[serde(default)]
    skip: usize,
    #[serde(default)]
    loose: bool,
    #[serde(default)]
    bare: Option<Operation>,
    #[serde(default)]
    image_default: Option<Operation>,
    #[serde(default)]
    ignores_args: bool,
    #[serde(default)]
    general: bool,
    #[serde(default)]
    env: Vec<EnvEntry>,
    #[serde(default)]
    lock: Option<bool>,
    #[serde(default)]
    evidence: Evidence,
    #[serde(default)]
    sql: Option<Client>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Evidence {
    #[default]
    Documented,
    Recalled,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct EnvEntry {
    name: String,
    #[serde(default)]
    values: Vec<String>,
    #[serde(default)]
    operation: Option<Operation>,
    #[serde(default)]
    verb: bool,
}

/// A client that is given statements.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Client {
    #[serde(default)]
    pub(super) dialect: Dialect,
    /// Options that hold statements.
    pub(super) inline: Vec<String>,
    /// Options that name a file of statements.
    pub(super) files: Vec<String>,
    /// Whether statements are read from standard input.
    pub(super) stdin: bool,
    /// The place among the arguments where statements may stand.
    #[serde(default)]
    pub(super) positional: Option<usize>,
    /// The verb without which the program is no client.
    #[serde(default)]
    pub(super) subcommand: Option<String>,
    /// True when the text is what follows `ALTER TABLE name`.
    #[serde(default)]
    pub(super) alter: bool,
}

/// A tool, ready to be matched.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the file, off where absent")]
pub(super) struct Tool {
    pub(super) id: String,
    pub(super) entrypoint: Option<String>,
    pub(super) verbs: Vec<Verb>,
    pub(super) options: Vec<String>,
    pub(super) glued: Vec<String>,
    pub(super) dry_run: Vec<String>,
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
}

/// A variable that decides what a tool does.
#[derive(Debug)]
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

/// The tools and the ways to find them.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    tools: Vec<Tool>,
    by_executable: HashMap<String, Vec<usize>>,
    by_image: HashMap<String, Vec<(Image, usize)>>,
    by_variable: HashMap<String, Vec<EnvRule>>,
}

/// A catalogue that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CatalogueError {
    /// It is no YAML of the right shape.
    #[error("reading the catalogue of tools")]
    Syntax(#[source] serde_saphyr::Error),
    /// Two tools have the same id.
    #[error("two tools are called `{0}`")]
    Duplicate(String),
    /// A tool could never be found.
    #[error("nothing tells `{0}` apart: it needs executables, images or variables")]
    Unreachable(String),
    /// A verb could not be read.
    #[error("tool `{tool}`: `{verb}` is no verb")]
    Verb { tool: String, verb: String },
}

impl Catalogue {
    /// Reads and compiles a catalogue.
    pub(super) fn load(yaml: &str) -> Result<Self, CatalogueError> {
        let entries: Vec<Entry> = serde_saphyr::from_str(yaml).map_err(CatalogueError::Syntax)?;
        let mut catalogue = Self::default();
        for entry in entries {
            catalogue.add(entry)?;
        }
        Ok(catalogue)
    }

    fn add(&mut self, entry: Entry) -> Result<(), CatalogueError> {
        if self.tools.iter().any(|tool| tool.id == entry.id) {
            return Err(CatalogueError::Duplicate(entry.id));
        }
        if entry.executables.is_empty() && entry.images.is_empty() && entry.env.is_empty() {
            return Err(CatalogueError::Unreachable(entry.id));
        }
        let index = self.tools.len();
        for executable in &entry.executables {
            self.by_executable.entry(executable.clone()).or_default().push(index);
        }
        for image in &entry.images {
            let image = Image::parse(image);
            self.by_image.entry(image.basename().to_owned()).or_default().push((image, index));
        }
        for rule in entry.env {
            let EnvEntry { name, values, operation, verb } = rule;
            let rule = EnvRule { tool: index, values, operation, verb };
            self.by_variable.entry(name).or_default().push(rule);
        }
        let mut verbs = Vec::new();
        for (source, is_hint) in [(&entry.verbs, false), (&entry.hints, true)] {
            for (operation, lines) in source {
                for line in lines {
                    let verb = Verb::parse(line, *operation, is_hint).ok_or_else(|| {
                        CatalogueError::Verb { tool: entry.id.clone(), verb: line.clone() }
                    })?;
                    verbs.push(verb);
                }
            }
        }
        self.tools.push(Tool {
            id: entry.id,
            entrypoint: entry.entrypoint,
            verbs,
            options: entry.options,
            glued: entry.glued,
            dry_run: entry.dry_run,
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
            client: entry.sql,
        });
        Ok(())
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
    pub(super) fn by_image(&self, image: &Image) -> Option<&Tool> {
        let (_, index) = self
            .by_image
            .get(image.basename())?
            .iter()
            .filter(|(pattern, _)| pattern.covers(image))
            .max_by_key(|(pattern, _)| pattern.precision())?;
        self.tools.get(*index)
    }

    /// The rules about a variable.
    pub(super) fn by_variable(&self, name: &str) -> &[EnvRule] {
        self.by_variable.get(name).map(Vec::as_slice).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_catalogue_loads() {
        let catalogue = Catalogue::load(include_str!("tools.yaml")).unwrap();
        assert!(catalogue.len() > 100, "{}", catalogue.len());
        assert_eq!(catalogue.len(), BUILTIN.len());
    }

    #[test]
    fn a_mistake_is_named() {
        for (yaml, expected) in [
            (
                "- {id: a, name: A, executables: [a]}\n- {id: a, name: A, executables: [a]}",
                "two tools are called `a`",
            ),
            (
                "- {id: a, name: A}",
                "nothing tells `a` apart: it needs executables, images or variables",
            ),
            (
                "- {id: a, name: A, executables: [a], verbs: {apply: ['+']}}",
                "tool `a`: `+` is no verb",
            ),
            ("- {id: a, nmae: A}", "reading the catalogue of tools"),
        ] {
            let error = Catalogue::load(yaml).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
