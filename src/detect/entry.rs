//! One tool as it is written down: in `tools.yaml`, and in `spec.detectors` of a policy.
//!
//! Every struct refuses unknown keys. Doc comments here are the descriptions in the JSON Schema.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Operation, catalogue::Client, changes::Convention, sql::Dialect};

/// A program that does something with a database schema, and how its command line is read.
///
/// It needs an `id`, a `name`, and something to recognise it by: `executables`, `images`, `env` or
/// `settings`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the file, off where absent")]
pub struct ToolEntry {
    /// Stable id in lower case, digits and dashes; it appears in findings, labels and metrics.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Pages of the tool's documentation or source that say what the entry says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub docs: Vec<String>,
    /// Whether somebody compared the entry with the tool's documentation or source. Default:
    /// `documented`.
    #[serde(default)]
    pub evidence: Evidence,
    /// Repositories of images, matched on their last path segments whatever the registry;
    /// `:*suffix` restricts the tag.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// The program that these images run `args` with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<String>,
    /// Names of the program, without directories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub executables: Vec<String>,
    /// What a command does, by operation. A verb is a line of words: `word` this word, `a|b` either
    /// word, `<n>` any one word, `<url=*:9200/*>` one of this pattern, `db:*` any word that starts
    /// so, `$` no more words, `+--flag|-f` the flag is there by one of its names, `+--flag=value`
    /// with this value, `!--flag` it is not there. The most specific verb wins.
    #[serde(default)]
    pub verbs: Verbs,
    /// Like `verbs`, for what only looks like it: such a find never refuses anything.
    #[serde(default)]
    pub hints: Verbs,
    /// Verbs that only print the statements which would do this: read-only, unless a client is
    /// given what they print.
    #[serde(default)]
    pub prints: Verbs,
    /// Options that take the next word as their value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// One-letter options whose value follows without a space.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub glued: Vec<String>,
    /// Flags that turn every verb into printing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dry_run: Vec<String>,
    /// Environment variables that do so where they are not empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dry_run_env: Vec<String>,
    /// Several verbs may be given, anywhere on the line.
    #[serde(default)]
    pub anywhere: bool,
    /// So many words may stand before the verb.
    #[serde(default)]
    pub skip: usize,
    /// Verbs match whatever their dashes and capitals.
    #[serde(default)]
    pub loose: bool,
    /// What the program does without a verb.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bare: Option<Operation>,
    /// What the image does without command and args.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_default: Option<Operation>,
    /// The image does so even with args.
    #[serde(default)]
    pub ignores_args: bool,
    /// Most of what the program does is no migration.
    #[serde(default)]
    pub general: bool,
    /// Environment variables that decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvEntry>,
    /// Properties of Spring, Quarkus and their like that decide, wherever they are set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<SettingEntry>,
    /// Whether two runs at once wait for each other. Left out: it depends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<bool>,
    /// Set for a client that is given statements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<Client>,
    /// Set for a tool that runs the files of a folder. Where ConfigMaps show the folder, what is in
    /// it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<Migrations>,
}

/// Where a tool finds the files that it runs.
///
/// A folder may be written as a path, as a `file:` address or after `filesystem:`, and several may
/// stand in one value with commas between them. Relative ones are below the working directory.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Migrations {
    /// How the files are named and divided.
    pub convention: Convention,
    /// Options that name folders, and keys of the tool's settings that do; `<folder>` stands for
    /// words that are paths. Of a changelog they say where paths begin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Environment variables that do, where no option does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Folders where nothing names one: the first that is mounted counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default: Vec<String>,
    /// Options, environment variables and keys of settings that name the root changelog.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub root: Vec<String>,
    /// Options and environment variables that name files of settings, and where such files are
    /// looked for otherwise: absolute paths. What such a file says is read from `key = value` lines;
    /// where it is not shown, the defaults do not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<String>,
    /// The language of the files. Left out: as the address of the database says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
}

impl Migrations {
    /// True when nothing names a folder.
    pub(super) fn is_nowhere(&self) -> bool {
        let Self { options, env, default, root, .. } = self;
        [options, env, default, root].iter().all(|names| names.is_empty())
    }
}

/// Verbs by what they do; see [`Operation`].
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Verbs {
    /// Reads or waits: status, lint, dry run, listing, verification.
    pub read_only: Vec<String>,
    /// Saves data elsewhere.
    pub backup: Vec<String>,
    /// Changes rows: backfill, seed.
    pub data: Vec<String>,
    /// Touches only the tool's own bookkeeping, or breaks its lock.
    pub history_only: Vec<String>,
    /// Runs forward migrations.
    pub apply: Vec<String>,
    /// A migration whose effect is not known.
    pub unknown: Vec<String>,
    /// Compares a model with the live schema and applies the difference, which may drop.
    pub declarative: Vec<String>,
    /// Reverts one or more steps.
    pub rollback: Vec<String>,
    /// The second half of expand and contract: removes what old code still needs.
    pub contract: Vec<String>,
    /// Drops or empties by design, or reverts everything.
    pub destructive: Vec<String>,
}

impl Verbs {
    /// The lines of every operation.
    pub fn by_operation(&self) -> [(Operation, &[String]); 10] {
        [
            (Operation::ReadOnly, &self.read_only),
            (Operation::Backup, &self.backup),
            (Operation::Data, &self.data),
            (Operation::HistoryOnly, &self.history_only),
            (Operation::Apply, &self.apply),
            (Operation::Unknown, &self.unknown),
            (Operation::Declarative, &self.declarative),
            (Operation::Rollback, &self.rollback),
            (Operation::Contract, &self.contract),
            (Operation::Destructive, &self.destructive),
        ]
    }
}

/// Whether somebody compared an entry with the tool's documentation or source.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Nobody did: everything that the entry finds is a hint, which never refuses anything.
    Recalled,
    /// Somebody did.
    #[default]
    Documented,
}

/// An environment variable that decides what a tool does.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct EnvEntry {
    /// Name of the variable.
    pub name: String,
    /// The values that mean `operation`, in any case of letters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// What the tool does with one of `values`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// The variable's value is the verb.
    #[serde(default)]
    pub verb: bool,
}

/// A property that decides what an application does to its database when it starts.
///
/// It is found as a variable, as `-Dname=value` and `--name=value`, and in the JSON of
/// `SPRING_APPLICATION_JSON`. Case, dots, dashes and underscores do not matter, as in Spring's
/// relaxed binding.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SettingEntry {
    /// Name of the property; `*` stands for any text, also none.
    pub name: String,
    /// The values that mean `operation`, in any case of letters.
    pub values: Vec<String>,
    /// What the application does with one of `values`.
    pub operation: Operation,
}
