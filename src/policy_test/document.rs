//! The document as users write it.
//!
//! Every struct refuses unknown keys. Doc comments here are the descriptions in the JSON Schema.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value},
};
use serde_json::Value;

use super::given::FactsGiven;
use crate::{
    decision::{Effect, Outcome},
    model::{ChangeOperation, Labels},
    rules::Level,
};

/// Cases that say what becomes of requests under a policy.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyTest {
    /// `tidegate.dev/v1alpha1`.
    pub api_version: String,
    /// `PolicyTest`.
    pub kind: String,
    /// The usual metadata; only the name is read.
    pub metadata: Metadata,
    /// The cases, and what they have in common.
    pub spec: Spec,
}

/// The usual metadata; only the name is read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct Metadata {
    /// Name of the test: it appears in reports.
    pub name: String,
}

/// The cases, and what they have in common.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// Policy files, or folders of them, relative to this file. Left out: `policy.yaml` beside this
    /// file or in the nearest folder above. Empty: the policy that is compiled in.
    pub policies: Option<Vec<String>>,
    /// The present, RFC 3339. Default: `2026-01-01T00:00:00Z`.
    #[serde(default, deserialize_with = "moment")]
    #[schemars(with = "Option<String>")]
    pub now: Option<Timestamp>,
    /// Namespace of objects that name none. Default: `default`.
    pub namespace: Option<String>,
    /// Labels of the namespace. Left out or null: they are not known, and the policy's
    /// `onUndecided` settles what depends on them.
    pub namespace_labels: Option<Labels>,
    /// Who asks. Default: nobody in particular.
    #[serde(default)]
    pub user: User,
    /// What else is known.
    #[serde(default)]
    pub facts: FactsGiven,
    /// The cases.
    pub cases: Vec<Case>,
}

/// Who asks, as the API server authenticated them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct User {
    /// Name, such as `alice@example.com` or
    /// `system:serviceaccount:kube-system:deployment-controller`.
    pub name: String,
    /// Groups, as in a request. No verdict depends on them.
    pub groups: Vec<String>,
}

/// One request, and what should become of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Case {
    /// What is shown by this case; unique in the file.
    pub name: String,
    /// The object, as it stands in a manifest.
    pub object: Option<Value>,
    /// The object, from a manifest.
    pub object_from: Option<ObjectFrom>,
    /// The object before the request, which makes it an UPDATE. Without an object, the new one is
    /// the old one with `change`.
    pub old_object: Option<Value>,
    /// The object before the request, from a manifest.
    pub old_object_from: Option<ObjectFrom>,
    /// An approval that is put on the object before `change`; its digest is worked out. Where the
    /// object comes from the old one, that one has it as well.
    pub approval: Option<ApprovalGiven>,
    /// What is changed in the object: a map is a JSON merge patch, a list is a JSON Patch.
    pub change: Option<Value>,
    /// What is asked for. Default: UPDATE where there is an old object, else CREATE.
    pub operation: Option<RequestOperation>,
    /// The part of the object that is changed, such as `scale`. Default: the object itself.
    #[serde(default)]
    pub subresource: String,
    /// Whether the request is a dry run, as `kubectl --dry-run=server` asks for. It gets the same
    /// verdict.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether what the webhook would fill in on CREATE is filled in first. Default: true.
    #[serde(default = "yes")]
    pub mutate: bool,
    /// The present, RFC 3339, instead of that of all cases.
    #[serde(default, deserialize_with = "moment")]
    #[schemars(with = "Option<String>")]
    pub now: Option<Timestamp>,
    /// The namespace, instead of the object's own.
    pub namespace: Option<String>,
    /// Labels of the namespace, instead of those of all cases; null: they are not known.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Option<Labels>")]
    pub namespace_labels: Option<Option<Labels>>,
    /// Who asks, instead of that of all cases.
    pub user: Option<User>,
    /// What else is known, instead of that of all cases.
    pub facts: Option<FactsGiven>,
    /// What should become of it.
    pub expect: Expect,
}

/// An object in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectFrom {
    /// The file, relative to this one.
    pub file: String,
    /// `kind` of the object, where the file holds several.
    pub kind: Option<String>,
    /// Name (or the prefix of a generated one) of the object, where the file holds several.
    pub name: Option<String>,
}

/// An approval: annotations of the object. What is left out is not annotated.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ApprovalGiven {
    /// `tidegate.dev/approved-by`.
    pub by: Option<String>,
    /// `tidegate.dev/approval-ticket`.
    pub ticket: Option<String>,
    /// `tidegate.dev/approval-reason`.
    pub reason: Option<String>,
    /// `tidegate.dev/approved-until`, RFC 3339.
    pub until: Option<String>,
    /// `tidegate.dev/approved-digest`. Default: that of the object.
    pub digest: Option<String>,
    /// `tidegate.dev/approved-namespace`. Default: that of the case.
    pub namespace: Option<String>,
    /// `tidegate.dev/backup`: what was saved.
    pub backup: Option<String>,
    /// `tidegate.dev/backup-waiver`: why nothing was.
    pub backup_waiver: Option<String>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RequestOperation {
    /// A new object.
    Create,
    /// A change of an existing one, or of a subresource.
    Update,
    /// A removal.
    Delete,
    /// `exec`, `attach`, `port-forward`, `proxy`.
    Connect,
}

impl From<RequestOperation> for ChangeOperation {
    fn from(operation: RequestOperation) -> Self {
        match operation {
            RequestOperation::Create => Self::Create,
            RequestOperation::Update => Self::Update,
            RequestOperation::Delete => Self::Delete,
            RequestOperation::Connect => Self::Connect,
        }
    }
}

/// What should become of a request.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    /// What becomes of it.
    pub verdict: ExpectedVerdict,
    /// Name of the policy that applies. Left out: it is not looked at.
    pub policy: Option<String>,
    /// What is found. Left out: nothing.
    #[serde(default)]
    pub findings: ExpectedFindings,
    /// Warnings: exactly as many, and each is a part of one. Left out: they are not looked at.
    pub warnings: Option<Vec<String>>,
    /// Fields that mutation fills in, by path, with their values; null: the field is not filled in.
    /// Others may be filled in as well. Empty: nothing is filled in. Left out: it is not looked at.
    pub patch: Option<BTreeMap<String, Value>>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExpectedVerdict {
    /// It is judged and let in.
    Admitted,
    /// It is judged and kept out.
    Refused,
    /// It changes nothing that the policy reads, and is let in.
    Unchanged,
    /// A controller made it for an owner that was judged; it is let in.
    ControllerChild,
    /// It is nothing that tidegate judges; it is let in.
    NotJudged,
    /// No policy is for its namespace; it is let in.
    NoPolicy,
}

impl ExpectedVerdict {
    /// The outcome that is meant.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Admitted => Outcome::Admitted,
            Self::Refused => Outcome::Refused,
            Self::Unchanged => Outcome::Unchanged,
            Self::ControllerChild => Outcome::ControllerChild,
            Self::NotJudged => Outcome::NotJudged,
            Self::NoPolicy => Outcome::NoPolicy,
        }
    }
}

/// What is found.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum ExpectedFindings {
    /// Exactly these, in any order.
    Exactly(Vec<FindingEntry>),
    /// At least some, and not some others.
    Loosely(LooseFindings),
}

/// At least some findings, and not some others.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LooseFindings {
    /// Each of these is found; others may be.
    pub contains: Vec<FindingEntry>,
    /// None of these is found.
    pub without: Vec<FindingEntry>,
}

impl Default for ExpectedFindings {
    fn default() -> Self {
        Self::Exactly(Vec::new())
    }
}

impl ExpectedFindings {
    /// Every entry, with its path from `findings`.
    pub fn entries(&self) -> Vec<(String, &FindingEntry)> {
        let list = |at: &str, entries: &'_ [FindingEntry]| -> Vec<String> {
            (0..entries.len()).map(|index| format!("{at}[{index}]")).collect()
        };
        match self {
            Self::Exactly(entries) => list("", entries).into_iter().zip(entries).collect(),
            Self::Loosely(LooseFindings { contains, without }) => list(".contains", contains)
                .into_iter()
                .zip(contains)
                .chain(list(".without", without).into_iter().zip(without))
                .collect(),
        }
    }
}

/// A finding: a rule's id, or more about it.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum FindingEntry {
    /// The rule's id alone.
    Rule(String),
    /// The rule's id and more.
    Finding(Finding),
}

impl FindingEntry {
    /// What is meant.
    pub fn finding(&self) -> Finding {
        match self {
            Self::Rule(rule) => Finding { rule: rule.clone(), ..Finding::default() },
            Self::Finding(finding) => finding.clone(),
        }
    }

    /// The rule's id.
    pub fn rule(&self) -> &str {
        match self {
            Self::Rule(rule) => rule,
            Self::Finding(finding) => &finding.rule,
        }
    }
}

/// A finding. What is left out is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Finding {
    /// The rule's id.
    pub rule: String,
    /// What it does to the verdict.
    pub effect: Option<ExpectedEffect>,
    /// The level that the policy gives it.
    pub level: Option<Level>,
    /// Path of the field.
    pub path: Option<String>,
    /// A part of the line that the webhook answers.
    pub message: Option<String>,
    /// Whether a fact was missing and `onUndecided` settled it.
    pub undecided: Option<bool>,
}

/// What a finding does to the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExpectedEffect {
    /// A refusal.
    Deny,
    /// A warning.
    Warn,
    /// Reported only.
    Audit,
    /// The old object had it already: reported only.
    Existing,
    /// An exception excuses it, so it is reported only.
    Excepted,
}

impl ExpectedEffect {
    /// The effect that is meant.
    pub fn effect(self) -> Effect {
        match self {
            Self::Deny => Effect::Refuses,
            Self::Warn => Effect::Warns,
            Self::Audit => Effect::Audits,
            Self::Existing => Effect::Ratcheted,
            Self::Excepted => Effect::Excepted,
        }
    }
}

fn yes() -> bool {
    true
}

/// A moment, where one is given.
pub(super) fn moment<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let read = |text: String| {
        text.parse().map_err(|_error| {
            de::Error::custom(format!("`{text}` is no RFC 3339 time such as 2026-01-31T18:00:00Z"))
        })
    };
    text.map(read).transpose()
}

/// Null is something else than nothing.
fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

// By hand, because what serde derives for "one or the other" says nothing about what is wrong.
impl<'de> Deserialize<'de> for ExpectedFindings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = ExpectedFindings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of findings, or a map with `contains` or `without`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(value::SeqAccessDeserializer::new(seq))
                    .map(ExpectedFindings::Exactly)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                LooseFindings::deserialize(value::MapAccessDeserializer::new(map))
                    .map(ExpectedFindings::Loosely)
            }
        }

        deserializer.deserialize_any(Read)
    }
}

impl<'de> Deserialize<'de> for FindingEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = FindingEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the id of a rule, or a map with `rule`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(FindingEntry::Rule(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Finding::deserialize(value::MapAccessDeserializer::new(map))
                    .map(FindingEntry::Finding)
            }
        }

        deserializer.deserialize_any(Read)
    }
}

/// The JSON Schema of the document, for editors.
pub fn json_schema() -> Value {
    schemars::schema_for!(PolicyTest).to_value()
}
