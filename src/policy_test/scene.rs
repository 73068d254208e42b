//! One request, and what becomes of it.

use std::fmt::Write as _;

use jiff::Timestamp;
use json_patch::{PatchOperation, jsonptr::Pointer};
use serde_json::{Map, Value};

use super::{
    Suite,
    around::Around,
    document::{ApprovalGiven, Case},
};
use crate::{
    decision::{self, Judged, Mutation, Outcome, Verdict},
    model::{
        ActiveMigration, Change, ChangeOperation, ConfigMapSet, Fact, Facts, Labels, Object,
        annotation,
    },
    policy::{PolicySet, digest},
};

/// The label that the API server itself puts on every namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// What an adapter has gathered for a case.
#[derive(Clone, Debug)]
pub struct Request {
    /// The object as the case or a file has it.
    pub object: Option<Value>,
    /// The object before the request, as the case or a file has it.
    pub old_object: Option<Value>,
    /// The namespace; empty for a cluster-scoped object.
    pub namespace: String,
    /// The ConfigMaps in reach, all as of file 0.
    pub config_maps: ConfigMapSet,
    /// The migrations that run, where the case names any.
    pub active: Vec<ActiveMigration>,
}

/// One request, ready to be judged.
#[derive(Clone, Debug)]
pub struct Scene {
    operation: ChangeOperation,
    subresource: String,
    namespace: String,
    user: String,
    object: Option<Value>,
    old_object: Option<Value>,
    mutate: bool,
    labels: Fact<Labels>,
    config_maps: ConfigMapSet,
    around: Around,
    now: Timestamp,
}

/// Why a case cannot be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field of the case, such as `change`.
    pub field: &'static str,
    /// What is wrong with it.
    pub message: String,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// What becomes of it.
    pub outcome: Outcome,
    /// The policy that applied.
    pub policy: Option<String>,
    /// What was found, the most severe first.
    pub findings: Vec<Judged>,
    /// What the user is warned about.
    pub warnings: Vec<String>,
    /// What mutation filled in, such as `spec.activeDeadlineSeconds=1800`.
    pub filled_in: Vec<String>,
    /// Every field that the patch adds, also labels and annotations, with its value.
    pub added: Vec<(String, Value)>,
}

impl Scene {
    /// Puts a case together.
    ///
    /// # Errors
    ///
    /// When the approval or the change does not fit the object.
    pub fn new(suite: &Suite, case: &Case, request: Request) -> Result<Self, Problem> {
        let Request { mut object, old_object: mut old, namespace, config_maps, active } = request;
        let operation = match case.operation {
            Some(operation) => operation.into(),
            None if old.is_some() => ChangeOperation::Update,
            None => ChangeOperation::Create,
        };
        if let Some(approval) = &case.approval {
            approve(object.as_mut().or(old.as_mut()), approval, &namespace)?;
        }
        let (given, now) = (suite.facts(case, "").0, suite.now(case));
        // Only an approval that names no digest needs that of the object.
        let asks = given.approvals.iter().flatten().any(|approval| approval.digest.is_none());
        let digest = match object.as_ref().or(old.as_ref()).filter(|_| asks) {
            Some(object) => digest_of(object, "facts")?,
            None => String::new(),
        };
        let around = Around::new(given, active, (&digest, &namespace, now));
        if object.is_none() && operation != ChangeOperation::Delete {
            object.clone_from(&old);
        }
        if let (Some(change), Some(object)) = (&case.change, &mut object) {
            apply(object, change)?;
        }
        let labels = match suite.namespace_labels(case) {
            _ if namespace.is_empty() => Fact::Known(Labels::new()),
            Some(labels) => {
                let mut labels = labels.clone();
                labels.insert(NAME_LABEL.to_owned(), namespace.clone());
                Fact::Known(labels)
            }
            None => Fact::NotAsked,
        };
        Ok(Self {
            operation,
            subresource: case.subresource.clone(),
            namespace,
            user: suite.user(case).name.clone(),
            object,
            old_object: old,
            mutate: case.mutate,
            labels,
            config_maps,
            around,
            now,
        })
    }

    /// What admission does with it: first the mutating side fills in, then the result is judged.
    pub fn play(&self, policies: &PolicySet) -> Observed {
        let text = |value: &Option<Value>| value.as_ref().map(Value::to_string);
        let (object, old) = (text(&self.object), text(&self.old_object));
        let change = Change {
            operation: self.operation,
            namespace: &self.namespace,
            name: self.name(),
            subresource: &self.subresource,
            user: &self.user,
            object: object.as_deref(),
            old_object: old.as_deref(),
        };
        let mut facts = Facts {
            config_maps: self.config_maps.seen_from(&self.namespace, 0),
            ..Facts::new(match &self.labels {
                Fact::Known(labels) => Fact::Known(labels),
                Fact::Unknown(why) => Fact::Unknown(why.clone()),
                Fact::NotAsked => Fact::NotAsked,
            })
        };
        self.around.add_to(&mut facts);
        let mutation = self.mutate.then(|| decision::mutate(policies, &change, &facts));
        let patched = match (&mutation, change.object) {
            (Some(mutation), Some(object)) => Some(mutation.applied(object)),
            (_, object) => object.map(Into::into),
        };
        let change = Change { object: patched.as_deref(), ..change };
        observed(self.judge(policies, &change, facts), mutation.as_ref())
    }

    /// Judges it as the webhook does: what it turns out to need is looked up, and it is judged again.
    fn judge(&self, policies: &PolicySet, change: &Change<'_>, mut facts: Facts<'_>) -> Verdict {
        let verdict = decision::validate(policies, change, &facts, self.now);
        let Some(wanted) = &verdict.work.wants.backup else { return verdict };
        facts.named_backup = self.around.backup(wanted);
        match facts.named_backup {
            Fact::NotAsked => verdict,
            _ => decision::validate(policies, change, &facts, self.now),
        }
    }

    fn name(&self) -> &str {
        let object = self.object.as_ref().or(self.old_object.as_ref());
        let name = object.and_then(|object| object.pointer("/metadata/name"));
        name.and_then(Value::as_str).unwrap_or_default()
    }
}

fn observed(verdict: Verdict, mutation: Option<&Mutation>) -> Observed {
    Observed {
        outcome: verdict.outcome,
        warnings: verdict.warnings(),
        policy: verdict.policy,
        findings: verdict.findings,
        filled_in: mutation.map(|mutation| mutation.added.clone()).unwrap_or_default(),
        added: mutation.map(added).unwrap_or_default(),
    }
}

/// Every field that a patch adds.
fn added(mutation: &Mutation) -> Vec<(String, Value)> {
    let mut fields = Vec::new();
    for operation in &mutation.patch.0 {
        if let PatchOperation::Add(add) = operation {
            fields.extend(leaves(field_path(&add.path), &add.value));
        }
    }
    fields
}

/// The fields in a value: what is no map is one, also a list.
pub(super) fn leaves(path: String, value: &Value) -> Vec<(String, Value)> {
    let mut fields = Vec::new();
    let mut todo = vec![(path, value)];
    while let Some((path, value)) = todo.pop() {
        match value {
            Value::Object(map) if !map.is_empty() => {
                // Taken from the end, so that the order stays.
                todo.extend(map.iter().rev().map(|(key, value)| (format!("{path}.{key}"), value)));
            }
            value => fields.push((path, value.clone())),
        }
    }
    fields
}

fn field_path(pointer: &Pointer) -> String {
    let mut path = String::new();
    for token in pointer.tokens() {
        let token = token.decoded();
        if token.bytes().all(|byte| byte.is_ascii_digit()) {
            let _ = write!(path, "[{token}]");
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&token);
        }
    }
    path
}

fn approve(
    object: Option<&mut Value>,
    approval: &ApprovalGiven,
    namespace: &str,
) -> Result<(), Problem> {
    let problem = |message: String| Problem { field: "approval", message };
    let Some(object) = object else { return Ok(()) };
    let digest = match &approval.digest {
        Some(digest) => digest.clone(),
        None => digest_of(object, "approval")?,
    };
    let namespace = approval.namespace.clone().unwrap_or_else(|| namespace.to_owned());
    let given = [
        (annotation::APPROVED_BY, approval.by.as_ref()),
        (annotation::TICKET, approval.ticket.as_ref()),
        (annotation::REASON, approval.reason.as_ref()),
        (annotation::UNTIL, approval.until.as_ref()),
        (annotation::DIGEST, Some(&digest)),
        (annotation::NAMESPACE, Some(&namespace)),
        (annotation::BACKUP, approval.backup.as_ref()),
        (annotation::BACKUP_WAIVER, approval.backup_waiver.as_ref()),
    ];
    let annotations = entry(object, "metadata").and_then(|metadata| entry(metadata, "annotations"));
    let Some(Value::Object(annotations)) = annotations else {
        return Err(problem("the object's metadata.annotations is no map".to_owned()));
    };
    for (key, value) in given {
        if let Some(value) = value {
            annotations.insert(key.to_owned(), value.as_str().into());
        }
    }
    Ok(())
}

/// The digest of an object, for what stands in `field` of the case.
fn digest_of(object: &Value, field: &'static str) -> Result<String, Problem> {
    let json = object.to_string();
    let object = Object::parse(&json).map_err(|error| Problem {
        field,
        message: format!("the object has no digest: {error}"),
    })?;
    Ok(digest(&object).to_string())
}

/// The map under a key, made where there is none.
fn entry<'v>(value: &'v mut Value, key: &str) -> Option<&'v mut Value> {
    let entry = value.as_object_mut()?.entry(key).or_insert(Value::Null);
    if entry.is_null() {
        *entry = Value::Object(Map::new());
    }
    Some(entry)
}

/// A map is a merge patch, a list is a JSON Patch.
fn apply(object: &mut Value, change: &Value) -> Result<(), Problem> {
    let problem = |message: String| Problem { field: "change", message };
    if change.is_object() {
        json_patch::merge(object, change);
        return Ok(());
    }
    let patch: json_patch::Patch =
        serde_json::from_value(change.clone()).map_err(|error| problem(error.to_string()))?;
    json_patch::patch(object, &patch)
        .map_err(|error| problem(format!("does not fit the object: {error}")))
}
