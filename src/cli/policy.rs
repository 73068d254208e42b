//! `tidegate policy`

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{exit::Exit, policies, set::Pairs};
use crate::{
    model::{Fact, Facts, Labels},
    policy::{self, Policy, PolicySet},
    rules::{self, Level},
};

const VALIDATE_EXAMPLES: &str = "\
Examples:
  # Before a policy is merged
  tidegate policy validate policies/ exceptions.yaml

Exit code: 0 everything can be used; 2 something cannot, and every error is told.";

const SHOW_EXAMPLES: &str = "\
Examples:
  # Which policy applies to a namespace, and which rule has which level there
  tidegate policy show --policy policies/ --namespace shop \\
    --namespace-labels environment=production

  # Everything that is loaded, for a machine
  tidegate policy show --policy policies/ --format json";

const SCHEMA_EXAMPLES: &str = "\
Examples:
  # Completion and checks in an editor
  tidegate policy schema > policy-schema.json
  tidegate policy schema --kind MigrationException > exception-schema.json";

const CRD_EXAMPLES: &str = "\
Examples:
  tidegate policy crd | kubectl apply -f -";

/// Check policies, and see what they come to.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check policies and exceptions, and tell every error with its place
    #[command(after_long_help = VALIDATE_EXAMPLES)]
    Validate(ValidateArgs),
    /// Show which policy applies, and the level of every rule under it
    #[command(after_long_help = SHOW_EXAMPLES)]
    Show(ShowArgs),
    /// Print the JSON Schema of a document
    #[command(after_long_help = SCHEMA_EXAMPLES)]
    Schema(SchemaArgs),
    /// Print the custom resource definitions of policies, exceptions and approvals
    #[command(after_long_help = CRD_EXAMPLES)]
    Crd,
}

/// Check policies and exceptions, and tell every error with its place.
#[derive(Debug, clap::Args)]
struct ValidateArgs {
    /// Files, or folders of them (*.yaml, *.yml, *.json)
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Show which policy applies, and the level of every rule under it.
#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// Policy file, or folder of them (*.yaml, *.yml, *.json). Repeatable. [default: built-in]
    #[arg(long, value_name = "PATH")]
    policy: Vec<PathBuf>,

    /// The namespace in question. [default: every policy is shown]
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// Labels of that namespace
    #[arg(long, value_name = "KEY=VALUE,...", value_parser = super::set::parse_labels, requires = "namespace")]
    namespace_labels: Option<Pairs>,

    /// How to write the result
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// How to write the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Human,
    /// YAML.
    Yaml,
    /// One JSON document.
    Json,
}

/// Print the JSON Schema of a document.
#[derive(Debug, clap::Args)]
struct SchemaArgs {
    /// The kind of the document
    #[arg(long, value_enum, default_value_t = Kind::MigrationPolicy)]
    kind: Kind,
}

/// A kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[expect(clippy::enum_variant_names, reason = "they are called as the kinds are")]
enum Kind {
    /// A policy
    #[value(name = "MigrationPolicy")]
    MigrationPolicy,
    /// An exception
    #[value(name = "MigrationException")]
    MigrationException,
    /// An approval
    #[value(name = "MigrationApproval")]
    MigrationApproval,
}

/// Does what was asked for.
///
/// # Errors
///
/// Something cannot be read or used, or standard output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let text = match &args.command {
        Command::Validate(args) => return validate(args),
        Command::Show(args) => show(args)?,
        Command::Schema(SchemaArgs { kind }) => {
            let schema = match kind {
                Kind::MigrationPolicy => policy::json_schema(),
                Kind::MigrationException => policy::exception_schema(),
                Kind::MigrationApproval => policy::approval_schema(),
            };
            pretty(&schema)?
        }
        Command::Crd => crd()?,
    };
    write(&text)?;
    Ok(Exit::Clean)
}

fn write(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

fn pretty(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(value)?))
}

fn validate(args: &ValidateArgs) -> anyhow::Result<Exit> {
    let loaded = policies::load_all(&args.paths, None)?;
    let counts = format!(
        "{} and {} can be used\n",
        count(loaded.policies().count(), "policy", "policies"),
        count(loaded.exceptions().iter().count(), "exception", "exceptions"),
    );
    write(&counts)?;
    Ok(Exit::Clean)
}

fn count(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Every definition, as documents of one YAML text.
///
/// # Errors
///
/// When they cannot be written as YAML, which they can.
pub fn crd() -> anyhow::Result<String> {
    let mut text = String::new();
    for definition in policy::custom_resource_definitions() {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&definition).context("cannot be written as YAML")?);
    }
    Ok(text)
}

fn show(args: &ShowArgs) -> anyhow::Result<String> {
    let policies = policies::load(&args.policy)?;
    let shown = match &args.namespace {
        Some(namespace) => in_namespace(&policies, namespace, args.namespace_labels.as_ref()),
        None => policies.policies().map(|policy| Shown::new(policy, None)).collect(),
    };
    match args.format {
        Format::Json => pretty(&json!({ "version": 1, "policies": shown })),
        Format::Yaml => Ok(serde_saphyr::to_string(&json!({ "version": 1, "policies": shown }))?),
        Format::Human => Ok(human(&shown, args.namespace.as_deref())),
    }
}

fn in_namespace(policies: &PolicySet, namespace: &str, labels: Option<&Pairs>) -> Vec<Shown> {
    let mut known = Labels::new();
    let labels = match labels {
        Some(Pairs(labels)) => {
            known.clone_from(labels);
            known.insert("kubernetes.io/metadata.name".to_owned(), namespace.to_owned());
            Fact::Known(&known)
        }
        None => Fact::Unknown("no --namespace-labels were given".into()),
    };
    let considered = policies.consider(namespace, &Facts::new(labels));
    considered.iter().map(|one| Shown::new(one.policy, Some((one.applies, one.why)))).collect()
}

/// One policy as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    name: String,
    /// Whether it applies to the namespace in question; none when no namespace is in question.
    #[serde(skip_serializing_if = "Option::is_none")]
    applies: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'static str>,
    level: Level,
    on_undecided: Level,
    rules: Vec<ShownRule>,
    approvals: Value,
    exceptions: Value,
    defaults: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownRule {
    id: String,
    level: Level,
    /// Where the level comes from.
    from: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    params: Map<String, Value>,
}

impl Shown {
    fn new(policy: &Policy, considered: Option<(bool, &'static str)>) -> Self {
        let value = |value: serde_json::Result<Value>| value.unwrap_or_default();
        Self {
            name: policy.name.clone(),
            applies: considered.map(|(applies, _)| applies),
            because: considered.map(|(_, why)| why),
            level: policy.level,
            on_undecided: policy.on_undecided.level(),
            rules: shown_rules(policy),
            approvals: value(serde_json::to_value(&policy.approvals)),
            exceptions: value(serde_json::to_value(&policy.exceptions)),
            defaults: value(serde_json::to_value(&policy.defaults)),
        }
    }
}

fn shown_rules(policy: &Policy) -> Vec<ShownRule> {
    let capped = |own: Level, from: &str| {
        let level = own.min(policy.level);
        let from = if level < own {
            format!("{from} {own}, capped by the policy's level")
        } else {
            from.to_owned()
        };
        (level, from)
    };
    let mut shown = Vec::new();
    for rule in rules::ALL {
        let settings = policy.spec.rules.get(rule.id);
        let (level, from) = match settings.and_then(|settings| settings.level) {
            Some(level) => capped(level, "rules"),
            None => capped(rule.level, "built-in"),
        };
        let mut params = Map::new();
        let defaults = (rule.parameters)().into_iter();
        params.extend(defaults.map(|parameter| (parameter.name, parameter.default)));
        if let Some(Value::Object(more)) = settings.map(|settings| settings.params.clone()) {
            params.extend(more);
        }
        shown.push(ShownRule { id: rule.id.to_owned(), level, from, params });
    }
    for custom in &policy.spec.custom_rules {
        let (level, from) = capped(custom.level, "customRules");
        let params = custom.params.clone().into_iter().collect();
        shown.push(ShownRule { id: custom.id.clone(), level, from, params });
    }
    shown
}

fn human(shown: &[Shown], namespace: Option<&str>) -> String {
    let mut lines = Vec::new();
    if let Some(namespace) = namespace {
        match shown.iter().find(|policy| policy.applies == Some(true)) {
            Some(policy) => lines.push(format!("policy {} applies to {namespace}", policy.name)),
            None => {
                lines.push(format!("no policy applies to {namespace}: nothing is judged there"));
            }
        }
        for policy in shown {
            let word = if policy.applies == Some(true) { "applies" } else { "does not apply" };
            let because = policy.because.unwrap_or_default();
            lines.push(format!("  {} {word}, because {because}", policy.name));
        }
        lines.push(String::new());
    }
    for policy in shown.iter().filter(|policy| policy.applies != Some(false)) {
        lines.push(format!(
            "{}: level {}, undecided {}",
            policy.name, policy.level, policy.on_undecided
        ));
        let width = policy.rules.iter().map(|rule| rule.id.len()).max().unwrap_or(0);
        for rule in &policy.rules {
            let level = rule.level.to_string();
            lines.push(format!("  {level:<5}  {:<width$}  {}", rule.id, rule.from));
            for (name, value) in &rule.params {
                lines.push(format!("  {:<5}  {:<width$}    {name}: {value}", "", ""));
            }
        }
        for (name, value) in [
            ("approvals", &policy.approvals),
            ("exceptions", &policy.exceptions),
            ("defaults", &policy.defaults),
        ] {
            lines.push(format!("  {name}: {value}"));
        }
    }
    lines.push(String::new());
    let trimmed: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    trimmed.join("\n")
}
