//! Rules that a policy brings along, written in CEL.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, OnceLock, PoisonError},
};

use ::cel::common::value::Val;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    cel::{self, Expression, Input, Reads, Rules},
    exception::compile_kinds,
    load::Loader,
};
use crate::{
    detect::{Detection, Operation},
    model::{ContainerList, Fact, Facts, Labels, Object},
    rules::{self, Finding, Findings, Level, Undecided},
};

/// Most custom rules of one policy.
const MOST: usize = 100;
/// Longest text of a rule, in characters.
const TEXT_LENGTH: usize = 300;
/// Longest text that a message expression makes, in characters.
const MESSAGE_LENGTH: usize = 200;
/// Largest object that expressions are evaluated on, in bytes of JSON. etcd holds 1.5 MiB.
const LARGEST: usize = 128 * 1_024;
/// What an expression may read.
const VARIABLES: &[&str] = &["object", "oldObject", "migrations", "facts", "params"];
/// What a message expression may read.
const MESSAGE_VARIABLES: &[&str] = &["object", "migrations", "facts", "params"];
/// What it may read of the object: all else may hold a secret.
const MESSAGE_FIELDS: &[&str] = &[
    "object.apiVersion",
    "object.kind",
    "object.metadata.name",
    "object.metadata.generateName",
    "object.metadata.namespace",
    "object.metadata.labels",
];

/// A rule of your own, in the Common Expression Language.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomRuleEntry {
    /// Its id in kebab-case, named after the bad thing; not that of a built-in rule.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"), length(max = 63))]
    pub id: String,
    /// Its level, capped by that of the policy. Default: `Warn`.
    #[serde(default = "warn")]
    pub level: Level,
    /// What it looks at. Left out: every object that runs something or is a hook.
    #[serde(default, rename = "match")]
    pub matches: CustomMatch,
    /// What must hold, over `object`, `oldObject`, `migrations`, `facts` and `params`. A rule that
    /// reads `oldObject` is evaluated on UPDATE only. At most 4096 bytes.
    #[schemars(length(min = 1, max = 4096))]
    pub expression: String,
    /// What is wrong when it does not hold: a clause without a full stop.
    #[schemars(length(min = 1, max = 300))]
    pub message: String,
    /// Makes a better message; it may read of `object` only its identity and labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub message_expression: Option<String>,
    /// How to mend it: a clause in the imperative, without a full stop.
    #[schemars(length(min = 1, max = 300))]
    pub mend: String,
    /// Path of the field that findings point at, such as `spec.template`. Default: `spec`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Values that the expressions read as `params`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
}

/// What a custom rule looks at. All that is given must match.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CustomMatch {
    /// Kinds, such as `Job` or, with its group, `batch/Job`. Left out: every kind.
    pub kinds: Vec<String>,
    /// What some container must do, such as `apply`. Left out: anything, also nothing.
    pub operations: Vec<Operation>,
}

fn warn() -> Level {
    Level::Warn
}

/// The custom rules of a policy, as they are applied.
#[derive(Debug, Default)]
pub struct CustomRules {
    rules: Vec<CustomRule>,
    /// What they read of the object.
    object: Reads,
    /// What they read of the object as it was.
    old: Reads,
}

/// A custom rule as it is applied.
#[derive(Debug)]
pub struct CustomRule {
    /// Its id.
    pub id: &'static str,
    /// Its level under this policy; never `Off`.
    pub level: Level,
    kinds: Vec<(Option<String>, String)>,
    operations: Vec<Operation>,
    expression: Expression,
    message: String,
    message_expression: Option<Expression>,
    mend: String,
    field: String,
    params: Option<Box<dyn Val>>,
}

/// What custom rules are told about one object.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'s> {
    /// The object, read.
    pub object: &'s Object<'s>,
    /// The object as JSON.
    pub json: &'s str,
    /// On UPDATE the object as it was, as JSON.
    pub old: Option<&'s str>,
    /// The namespace of the object; empty when it is cluster-scoped.
    pub namespace: &'s str,
    /// The user who asks; empty when nobody does.
    pub user: &'s str,
    /// What its containers do.
    pub detections: &'s [Detection<'s>],
    /// What the cluster knows.
    pub facts: &'s Facts<'s>,
}

impl CustomRules {
    fn new(rules: Vec<CustomRule>) -> Self {
        let (mut object, mut old) = (Reads::default(), Reads::default());
        for (rule, bit) in rules.iter().zip(bits()) {
            for expression in std::iter::once(&rule.expression).chain(&rule.message_expression) {
                expression.add_reads("object", bit, &mut object);
                expression.add_reads("oldObject", bit, &mut old);
            }
        }
        Self { rules, object, old }
    }

    /// The rules; none of them is `Off`.
    pub fn rules(&self) -> &[CustomRule] {
        &self.rules
    }

    /// Runs them on an object. Nothing is read for rules that are not for it.
    pub fn run(&self, subject: &Subject<'_>, findings: &mut Findings) {
        let mut applied: Rules = 0;
        for (rule, bit) in self.rules.iter().zip(bits()) {
            if rule.is_for(subject) {
                applied |= bit;
            }
        }
        let values = Values::new(self, subject, applied);
        for (rule, bit) in self.rules.iter().zip(bits()) {
            if applied & bit != 0 {
                rule.check(&values, findings);
            }
        }
    }
}

/// The bit of each rule of a policy, one after the other: there are more than [`MOST`].
fn bits() -> impl Iterator<Item = Rules> {
    std::iter::successors(Some(1), |bit: &Rules| bit.checked_mul(2))
}

impl CustomRule {
    fn is_for(&self, subject: &Subject<'_>) -> bool {
        let gvk = subject.object.gvk();
        let is_kind = |(group, kind): &(Option<String>, String)| {
            kind == gvk.kind && group.as_ref().is_none_or(|group| group == gvk.group)
        };
        let does = |operation: &Operation| {
            subject.detections.iter().any(|found| found.operation() == *operation)
        };
        (self.kinds.is_empty() || self.kinds.iter().any(is_kind))
            && (self.operations.is_empty() || self.operations.iter().any(does))
            && (subject.old.is_some() || !self.expression.reads("oldObject"))
    }

    fn check(&self, values: &Values<'_>, findings: &mut Findings) {
        let at = || self.field.clone();
        if values.size() > LARGEST {
            let why = format!("the object has more than {} KiB", LARGEST / 1_024).into();
            return findings.undecided.push(Undecided { rule: self.id, at: at(), why });
        }
        let input = RuleInput { values, params: self.params.as_deref() };
        match self.expression.holds(&input) {
            Ok(true) => {}
            Ok(false) => {
                let made = self.message_expression.as_ref().and_then(|made| made.text(&input).ok());
                let made = made.map(|text| one_line(&text));
                let what = made.clone().unwrap_or_else(|| self.message.clone());
                findings.found.push(Finding {
                    rule: self.id,
                    key: format!("{}|{what}", self.field),
                    at: at(),
                    evidence: made.unwrap_or_default(),
                    what: what.into(),
                    mend: self.mend.clone().into(),
                    repair: None,
                });
            }
            Err(why) => {
                findings.undecided.push(Undecided { rule: self.id, at: at(), why: why.into() });
            }
        }
    }
}

/// One line of bounded length.
fn one_line(text: &str) -> String {
    let line: Vec<&str> = text.split(|c: char| c.is_control() || c.is_whitespace()).collect();
    let line = line.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MESSAGE_LENGTH {
        return line;
    }
    let mut cut: String = line.chars().take(MESSAGE_LENGTH.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

type Slot<'v> = OnceLock<Option<Box<dyn Val + 'v>>>;

/// The variables of one object; each is made once, when the first rule asks for it, with what the rules
/// that are for the object read of it.
struct Values<'s> {
    rules: &'s CustomRules,
    /// Those that are for the object.
    applied: Rules,
    subject: &'s Subject<'s>,
    object: Slot<'s>,
    old: Slot<'s>,
    migrations: Slot<'static>,
    facts: Slot<'static>,
}

impl<'s> Values<'s> {
    fn new(rules: &'s CustomRules, subject: &'s Subject<'s>, applied: Rules) -> Self {
        Self {
            rules,
            applied,
            subject,
            object: OnceLock::new(),
            old: OnceLock::new(),
            migrations: OnceLock::new(),
            facts: OnceLock::new(),
        }
    }

    fn size(&self) -> usize {
        self.subject.json.len().saturating_add(self.subject.old.map_or(0, str::len))
    }
}

struct RuleInput<'v, 's> {
    values: &'v Values<'s>,
    params: Option<&'v dyn Val>,
}

impl Input for RuleInput<'_, '_> {
    fn value(&self, name: &str) -> Option<&dyn Val> {
        let Values { rules, applied, subject, object, old, migrations, facts } = self.values;
        match name {
            "object" => {
                let spec = ("spec", subject.object.written_spec());
                let read = || cel::read_by_field(subject.json, spec, &rules.object, *applied);
                object.get_or_init(read).as_deref().map(|value| value as &dyn Val)
            }
            "oldObject" => {
                let read = || cel::read(subject.old?, &rules.old, *applied);
                old.get_or_init(read).as_deref().map(|value| value as &dyn Val)
            }
            "migrations" => {
                migrations.get_or_init(|| cel::value(migrations_of(subject))).as_deref()
            }
            "facts" => facts.get_or_init(|| cel::value(facts_of(subject))).as_deref(),
            "params" => self.params,
            _ => None,
        }
    }

    fn size(&self) -> usize {
        // What is found is a few words for each container, and a container is longer than that.
        self.values.size()
    }
}

/// What the containers do; nothing of it can be a secret.
fn migrations_of(subject: &Subject<'_>) -> Value {
    let migrations = subject.detections.iter().filter(|found| found.is_migration());
    let one = |found: &Detection<'_>| {
        json!({
            "container": found.container.name.as_str(),
            "list": match found.container.list {
                ContainerList::Init => "init",
                ContainerList::Sidecar => "sidecar",
                ContainerList::Main => "main",
                ContainerList::Ephemeral => "ephemeral",
                ContainerList::DeploymentHook => "deployment-hook",
            },
            "path": found.container.path.to_string(),
            "image": found.container.image.as_str(),
            "tool": found.main.tool,
            "operation": found.operation().as_str(),
            "words": found.main.words,
        })
    };
    migrations.map(one).collect()
}

/// What is not known is not there, and an expression that reads it is undecided.
fn facts_of(subject: &Subject<'_>) -> Value {
    let mut facts = json!({ "namespace": { "name": subject.namespace } });
    if let Fact::Known(labels) = subject.facts.namespace_labels
        && let Some(Value::Object(namespace)) = facts.get_mut("namespace")
    {
        let labels: &Labels = labels;
        namespace.insert("labels".to_owned(), json!(labels));
    }
    if let (false, Value::Object(facts)) = (subject.user.is_empty(), &mut facts) {
        facts.insert("user".to_owned(), json!(subject.user));
    }
    facts
}

/// Checks and compiles the custom rules of a policy; errors go to the loader.
pub(super) fn compile(
    loader: &mut Loader<'_>,
    entries: Vec<CustomRuleEntry>,
    ceiling: Level,
) -> CustomRules {
    if entries.len() > MOST {
        loader.fail("spec.customRules", format!("has more than {MOST} rules"));
        return CustomRules::default();
    }
    let mut seen = BTreeSet::new();
    let mut compiled = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let field = format!("spec.customRules[{index}]");
        check_id(loader, &field, &entry.id);
        if !seen.insert(entry.id.clone()) {
            loader.fail(&format!("{field}.id"), format!("`{}` is used already", entry.id));
        }
        compiled.extend(compile_one(loader, &field, entry, ceiling));
    }
    CustomRules::new(compiled)
}

fn check_id(loader: &mut Loader<'_>, field: &str, id: &str) {
    let field = format!("{field}.id");
    if !super::is_rule_id(id) {
        loader.fail(&field, format!("`{id}` is no id: words in lower case, joined by `-`"));
    }
    if id == super::UNREADABLE_OBJECT || rules::ALL.iter().any(|rule| rule.id == id) {
        loader.fail(&field, format!("`{id}` is that of a built-in rule"));
    }
}

fn compile_one(
    loader: &mut Loader<'_>,
    field: &str,
    entry: CustomRuleEntry,
    ceiling: Level,
) -> Option<CustomRule> {
    for (name, text) in [("message", &entry.message), ("mend", &entry.mend)] {
        let field = format!("{field}.{name}");
        if text.trim().is_empty() {
            loader.fail(&field, "must not be empty");
        } else if text.trim().chars().any(char::is_control) {
            loader.fail(&field, "must be one line");
        } else if text.chars().count() > TEXT_LENGTH {
            loader.fail(&field, format!("has more than {TEXT_LENGTH} characters"));
        }
    }
    let kinds = compile_kinds(loader, &format!("{field}.match.kinds"), &entry.matches.kinds);
    let at = format!("{field}.expression");
    let expression = compile_expression(loader, &at, &entry.expression, VARIABLES);
    let message_expression = entry.message_expression.as_ref().and_then(|text| {
        let at = format!("{field}.messageExpression");
        let made = compile_expression(loader, &at, text, MESSAGE_VARIABLES)?;
        if !made.reads_only("object", MESSAGE_FIELDS) {
            let message = "reads more of `object` than its identity and its labels, and the rest \
                           may hold a secret";
            loader.fail(&at, message);
        }
        Some(made)
    });
    let params = cel::value(json!(entry.params));
    if params.is_none() {
        loader.fail(&format!("{field}.params"), "cannot be read by an expression");
    }
    let level = entry.level.min(ceiling);
    (level > Level::Off).then_some(())?;
    Some(CustomRule {
        id: intern(&entry.id),
        level,
        kinds,
        operations: entry.matches.operations,
        expression: expression?,
        message: entry.message.trim().to_owned(),
        message_expression,
        mend: entry.mend.trim().to_owned(),
        field: entry.field.unwrap_or_else(|| "spec".to_owned()),
        params,
    })
}

fn compile_expression(
    loader: &mut Loader<'_>,
    field: &str,
    text: &str,
    variables: &[&str],
) -> Option<Expression> {
    cel::compile(text, variables)
        .map_err(|error| loader.fail_inside(field, text, error.line, error.column, error.message))
        .ok()
}

/// The id as one that lives for ever, as those of built-in rules do.
///
/// Every id is kept once, at most 63 bytes of it, so that policies can be loaded again and again.
fn intern(id: &str) -> &'static str {
    static IDS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut ids = IDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = ids.get(id) {
        return known;
    }
    let id: &'static str = Box::leak(id.to_owned().into_boxed_str());
    ids.insert(id);
    id
}
