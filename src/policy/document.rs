//! The policy document as users write it.
//!
//! Every struct refuses unknown keys. Doc comments here are the descriptions in the JSON Schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Controller,
    approval::Requirements,
    custom::CustomRuleEntry,
    defaults::Defaults,
    exception::{ExceptionTerms, MigrationException},
};
use crate::{detect::ToolEntry, rules::Level};

/// The `apiVersion` of every document.
pub(super) const API_VERSION: &str = "tidegate.dev/v1alpha1";
/// The `kind` of a policy.
pub(super) const KIND: &str = "MigrationPolicy";

/// What is allowed to happen to databases from the workloads of some namespaces.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MigrationPolicy {
    /// `tidegate.dev/v1alpha1`.
    pub api_version: String,
    /// `MigrationPolicy`.
    pub kind: String,
    /// The usual metadata; only the name is read.
    pub metadata: ObjectMeta,
    /// What the policy says.
    #[serde(default)]
    pub spec: Spec,
    /// What a cluster says about it; not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// The usual metadata; only the name is read.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ObjectMeta {
    /// Name of the policy: it appears in reports, logs and the audit log.
    pub name: String,
}

/// The usual metadata; the name and the namespace are read.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NamespacedMeta {
    /// Name of the exception: it appears in reports, logs and the audit log.
    pub name: String,
    /// The namespace of the objects that are meant. Left out in a file: the one that the file is
    /// installed into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// What a cluster says about a document: whether it is in use, or what is wrong with it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// `metadata.generation` of the document that the conditions are about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds, such as `Ready`.
    pub conditions: Vec<Condition>,
}

/// One condition of a document, as Kubernetes writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about, such as `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in one word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// When the status last changed.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// `metadata.generation` of the document that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// What a policy says.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Spec {
    /// Which namespaces the policy is for. Left out: every namespace.
    #[serde(rename = "match")]
    pub matches: Match,
    /// Ceiling for every rule: a rule's own level is capped by this. Default: `Deny`.
    pub level: Ceiling,
    /// What becomes of a finding that cannot be decided, because a fact is missing. Default: `Warn`.
    pub on_undecided: OnUndecided,
    /// Levels and parameters by rule id. A rule that is not named has its built-in level.
    pub rules: BTreeMap<String, RuleSettings>,
    /// What an approval needs.
    pub approvals: Requirements,
    /// What exceptions need, and which rules they may name.
    pub exceptions: ExceptionTerms,
    /// What mutation fills in on hook Jobs, where it is absent.
    pub defaults: Defaults,
    /// Controllers, besides Kubernetes' own, whose children are not judged again.
    pub controllers: Vec<Controller>,
    /// Tools of your own, besides those that tidegate knows. What they find may refuse.
    pub detectors: Vec<ToolEntry>,
    /// Rules of your own, in the Common Expression Language; at most 100.
    #[schemars(length(max = 100))]
    pub custom_rules: Vec<CustomRuleEntry>,
}

/// The ceiling of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Ceiling(pub Level);

impl Default for Ceiling {
    fn default() -> Self {
        Self(Level::Deny)
    }
}

/// What becomes of a finding that cannot be decided.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum OnUndecided {
    /// It is reported, and the change is let in.
    Audit,
    /// The change is let in with a warning.
    #[default]
    Warn,
    /// The change is refused.
    Deny,
}

impl OnUndecided {
    /// The level that an undecided finding has.
    pub fn level(self) -> Level {
        match self {
            Self::Audit => Level::Audit,
            Self::Warn => Level::Warn,
            Self::Deny => Level::Deny,
        }
    }
}

/// Which namespaces a policy is for. All that is given must match.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Match {
    /// Names of namespaces; `*` stands for any text. Left out: every name.
    pub namespaces: Vec<String>,
    /// Names of namespaces that are left out; `*` stands for any text.
    pub exclude_namespaces: Vec<String>,
    /// What the labels of the namespace must satisfy.
    pub namespace_selector: LabelSelector,
}

/// A Kubernetes label selector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LabelSelector {
    /// Labels that must have exactly these values.
    pub match_labels: BTreeMap<String, String>,
    /// Further requirements; all must hold.
    pub match_expressions: Vec<LabelExpression>,
}

/// One requirement of a label selector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelExpression {
    /// The label's key.
    pub key: String,
    /// How the label is compared.
    pub operator: SelectorOperator,
    /// The values, for `In` and `NotIn`.
    #[serde(default)]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SelectorOperator {
    /// The label is there and has one of the values.
    In,
    /// The label is absent or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

/// Level and parameters of one rule.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RuleSettings {
    /// Level of the rule. Left out: its built-in level.
    pub level: Option<Level>,
    /// Parameters of the rule; its page lists them.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub params: serde_json::Value,
}

/// The JSON Schema of the policy document, for editors.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(MigrationPolicy).to_value()
}

/// The JSON Schema of the exception document, for editors.
pub fn exception_schema() -> serde_json::Value {
    schemars::schema_for!(MigrationException).to_value()
}
