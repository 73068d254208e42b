//! What refuses an operation until somebody approves it.

use std::{cell::LazyCell, fmt::Write as _};

use sha2::{Digest as _, Sha256};

use super::{Context, Findings, Rule, Standing};
use crate::{
    detect::{Confidence, Detection, Operation},
    model::{Container, EnvVar, Object, Text, annotation},
};

/// Refuses the operations that are `gated` unless an approval of them holds.
pub(super) fn gate(
    rule: &Rule,
    context: &Context<'_>,
    findings: &mut Findings,
    gated: impl Fn(Operation) -> bool,
) {
    let mut seen = false;
    for migration in context.migrations() {
        seen = true;
        // A script may have thousands of commands, and each would hash the whole script.
        let runs = LazyCell::new(|| fingerprint(migration));
        // A hint beside something that is known refuses no more than one that stands alone.
        let known = migration.invocations.iter().filter(|it| it.confidence > Confidence::Name);
        for invocation in known {
            let operation = context.approval.operation(invocation);
            if !gated(operation) {
                continue;
            }
            let (why, ask) = match refusal(context.approval.standing(operation)) {
                Gate::Open => continue,
                Gate::Undecided(why) => {
                    findings.undecided(rule, migration.container.path.to_string(), why.to_owned());
                    continue;
                }
                Gate::Closed { why, ask } => (why, ask),
            };
            let declared =
                if operation == invocation.operation { "" } else { "by its own declaration " };
            findings.container(
                rule,
                migration,
                "",
                format!("{}|{}", invocation.words, *runs),
                format!(
                    "`{}` of container `{}` is {declared}{} and {why}",
                    invocation.words,
                    migration.container.name,
                    kind_of(operation)
                ),
                ask,
            );
        }
    }
    if !seen {
        gate_declared(rule, context, findings, gated);
    }
}

/// An object in which no migration is recognised is what it declares itself to be.
fn gate_declared(
    rule: &Rule,
    context: &Context<'_>,
    findings: &mut Findings,
    gated: impl Fn(Operation) -> bool,
) {
    let Some(operation) = context.approval.declared_risk().filter(|risk| gated(*risk)) else {
        return;
    };
    let at = format!("metadata.annotations.{}", annotation::RISK);
    match refusal(context.approval.standing(operation)) {
        Gate::Open => {}
        Gate::Undecided(why) => findings.undecided(rule, at, why.to_owned()),
        Gate::Closed { why, ask } => {
            let what = format!("it declares itself {} and {why}", kind_of(operation));
            // Over an update it is the same finding only as long as it runs the same.
            findings.object(rule, at, runs(context.object), what, ask);
        }
    }
}

/// What a standing means for a rule.
enum Gate<'a> {
    Open,
    Undecided(&'a str),
    Closed { why: String, ask: String },
}

fn refusal(standing: &Standing) -> Gate<'_> {
    match standing {
        Standing::Valid | Standing::NotNeeded => Gate::Open,
        Standing::Undecided { why } => Gate::Undecided(why),
        Standing::Missing { ask } => {
            Gate::Closed { why: "has no approval".to_owned(), ask: ask.clone() }
        }
        Standing::Invalid { reasons, ask } => Gate::Closed {
            why: format!("has an approval that does not hold: {}", reasons.join(", ")),
            ask: ask.clone(),
        },
    }
}

/// Tells over an update whether a container still runs exactly the same. The words of a finding
/// alone do not hold the SQL, which may stand in an argument or in a variable; nor may the finding
/// hold it, since it may be a secret. Baselines keep it, so it stays the same in other releases.
pub(super) fn fingerprint(migration: &Detection<'_>) -> String {
    let Container { image, command, args, env, source, .. } = migration.container;
    let mut hash = Sha256::new();
    // The count before each list and the length before each text keep neighbours apart.
    let mut list = |texts: &[&str]| {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX).to_be_bytes();
        hash.update(count(texts.len()));
        for text in texts {
            hash.update(count(text.len()));
            hash.update(text);
        }
    };
    for texts in [command, args, migration.container.post_start().unwrap_or_default()] {
        list(&texts.iter().map(Text::as_str).collect::<Vec<_>>());
    }
    list(&[image, source.as_deref().unwrap_or_default()]);
    for var in env {
        list(&env_words(var));
    }
    hex(hash)
}

/// The same of an object as a whole, where nothing tells which part of it migrates.
pub(super) fn runs(object: &Object<'_>) -> String {
    hex(Sha256::new_with_prefix(object.spec))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A variable: its value, or a reference with its kind and key.
fn env_words<'v>(var: &'v EnvVar<'_>) -> [&'v str; 4] {
    let name = var.name.as_str();
    let from = var.value_from.as_ref();
    if let Some(key) = from.and_then(|from| from.secret_key_ref.as_ref()) {
        return [name, "Secret", &key.name, &key.key];
    }
    if let Some(key) = from.and_then(|from| from.config_map_key_ref.as_ref()) {
        return [name, "ConfigMap", &key.name, &key.key];
    }
    if let Some(field) = from.and_then(|from| from.field_ref.as_ref()) {
        return [name, "field", &field.field_path, ""];
    }
    if let Some(resource) = from.and_then(|from| from.resource_field_ref.as_ref()) {
        return [name, "resource", &resource.resource, ""];
    }
    [name, "value", var.value.as_deref().unwrap_or_default(), ""]
}

/// What an operation is called in a sentence.
pub(super) fn kind_of(operation: Operation) -> &'static str {
    match operation {
        Operation::Rollback => "a rollback",
        Operation::Contract => "a contract step that cannot be undone",
        Operation::Destructive => "destructive",
        Operation::Unknown => "a migration of unknown effect",
        Operation::ReadOnly
        | Operation::Backup
        | Operation::Data
        | Operation::HistoryOnly
        | Operation::Apply
        | Operation::Declarative => "a migration",
    }
}
