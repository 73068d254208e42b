//! From a container to "this runs a migration": with which tool, doing what, and how we know.
//!
//! ```text
//! Container -> argv (command + args, $(VAR) expanded)
//!           -> invocations: wrappers taken off, shell scripts parsed to simple commands
//!           -> catalogue: tool + verb + flags -> operation
//!           -> one Detection per container that does anything with a database schema
//! ```
//!
//! Precedence: a command beats what an image is known to do by default, which beats a variable,
//! which beats a name. A name alone is a hint and never refuses anything.

use crate::model::{Container, ContainerList, Object, PodTemplate, VolumeFile};

use self::{argv::Account, commands::Field};

mod argv;
mod arithmetic;
mod builtins;
mod catalogue;
mod changes;
mod classify;
mod clients;
mod code;
mod commands;
mod detector;
mod effort;
mod entry;
mod environment;
mod expand;
mod files;
mod filters;
mod hints;
mod image;
mod interpreter;
mod loops;
mod names;
mod operation;
mod patterns;
mod runners;
mod script;
mod script_files;
#[cfg(test)]
mod script_tests;
mod setting;
mod shell;
pub mod sql;
mod state;
mod sweep;
mod unwrap;
mod verb;

pub use catalogue::{Client, EntryError};
pub use changes::Convention;
pub use classify::UNKNOWN_TOOL;
pub use detector::Detector;
pub use entry::{EnvEntry, Evidence, Migrations, SettingEntry, ToolEntry, Verbs};
pub use operation::{Confidence, Operation};
pub use sql::Dialect;

/// One container that migrates, backs up, or reads the state of a database schema.
#[derive(Clone, Debug)]
pub struct Detection<'o> {
    /// The template that the container stands in.
    pub template: &'o PodTemplate<'o>,
    /// The container.
    pub container: &'o Container<'o>,
    /// Which of its commands was read.
    pub site: Site,
    /// The most telling invocation: the one whose operation takes precedence.
    pub main: Invocation<'o>,
    /// Every invocation of a known tool in the order of the script, `main` among them.
    pub invocations: Vec<Invocation<'o>>,
    /// True when the same command goes on to something that is no database tool afterwards, such
    /// as `migrate && exec server`.
    pub serves_after: bool,
}

/// Which command of a container was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Site {
    /// `command` and `args`, or what the image is known to run without them.
    Command,
    /// `lifecycle.postStart.exec.command`.
    PostStart,
}

/// One command of a known tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation<'o> {
    /// Id of the tool in the catalogue, such as `flyway`; `unknown` for an opaque script.
    pub tool: &'o str,
    /// What it does.
    pub operation: Operation,
    /// How well we know.
    pub confidence: Confidence,
    /// The words that say so, such as `rails db:migrate`: names of programs, verbs and flags,
    /// never the value of an option or a variable, which may be a secret.
    pub words: String,
    /// Path of the field that they stand in, such as
    /// `spec.template.spec.initContainers[1].command`.
    pub path: String,
    /// The mounted file that the command stands in, if it stands in one.
    pub file: Option<FileRef<'o>>,
    /// The statements that it is given, as far as the manifest shows them.
    pub statements: Vec<sql::Statement>,
    /// The files of statements that it is given and that ConfigMaps in reach show.
    pub files: Vec<SqlFile<'o>>,
    /// The text that it stands in could not be read as a script, or a limit was met, and it was
    /// found by looking for words: it may do less or more than it seems.
    pub from_words: bool,
}

impl<'o> Invocation<'o> {
    /// Every statement that is seen, with the file that it stands in.
    pub fn seen(&self) -> impl Iterator<Item = (Option<FileRef<'o>>, &sql::Statement)> {
        let own = self.statements.iter().map(|statement| (self.file, statement));
        let files = self
            .files
            .iter()
            .flat_map(|file| file.statements.iter().map(|statement| (Some(file.file), statement)));
        own.chain(files)
    }
}

/// A file of statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlFile<'o> {
    /// Which one.
    pub file: FileRef<'o>,
    /// What stands in it, with the lines of the file.
    pub statements: Vec<sql::Statement>,
}

/// A file that a ConfigMap shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRef<'o> {
    /// Name of the ConfigMap, in the namespace of the object.
    pub config_map: &'o str,
    /// The key in it.
    pub key: &'o str,
}

impl<'o> FileRef<'o> {
    fn of(file: &VolumeFile<'o>) -> Self {
        Self { config_map: file.config_map, key: file.key }
    }
}

impl Detection<'_> {
    /// What the container does, by its most telling invocation.
    pub fn operation(&self) -> Operation {
        self.main.operation
    }

    /// True when the container changes schema, data or migration history, as far as a command,
    /// an image or a variable tells. A name alone is not enough.
    pub fn is_migration(&self) -> bool {
        self.main.operation.is_migration() && self.main.confidence > Confidence::Name
    }
}

/// The object's name, when it is a Job with one main container: then it speaks of that container.
fn sole_purpose<'o>(object: &'o Object<'_>, template: &PodTemplate<'_>) -> Option<&'o str> {
    template.job.as_ref()?;
    let is_main = |container: &&Container<'_>| container.list == ContainerList::Main;
    let alone = template.containers.iter().filter(is_main).count() == 1;
    alone.then(|| object.metadata.display_name())
}

fn detection<'o>(
    template: &'o PodTemplate<'o>,
    container: &'o Container<'o>,
    site: Site,
    account: Account<'o>,
) -> Option<Detection<'o>> {
    let serves_after = account.serves_after;
    let invocations: Vec<Invocation<'o>> = account
        .found
        .into_iter()
        .map(|found| Invocation {
            tool: found.tool,
            operation: found.operation,
            confidence: found.confidence,
            words: found.words,
            path: path(container, found.field),
            file: found.file,
            statements: found.statements,
            files: found.files,
            from_words: found.from_words,
        })
        .collect();
    // A command that only reads does not speak for a container that also seems to migrate.
    let main = invocations
        .iter()
        .rev()
        .max_by_key(|i| (i.operation.is_migration(), i.confidence, i.operation))?
        .clone();
    let serves_after = serves_after && main.operation.is_migration();
    Some(Detection { template, container, site, main, invocations, serves_after })
}

fn path(container: &Container<'_>, field: Field) -> String {
    let path = &container.path;
    let field = match field {
        Field::Command => "command",
        Field::Args => "args",
        Field::Source => "source",
        Field::PostStart => "lifecycle.postStart.exec.command",
        Field::Env(index) => return format!("{path}.env[{index}]"),
        Field::EnvFrom(index) => return format!("{path}.envFrom[{index}]"),
        Field::Mounts => "volumeMounts",
        Field::Image => "image",
        Field::Name => "name",
        Field::Owner => return "metadata.name".to_owned(),
    };
    path.of(field)
}
