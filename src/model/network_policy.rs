//! NetworkPolicies, as far as they limit what Pods may reach.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{StringMap, annotation};
use crate::source::mapping;

/// A `networking.k8s.io/v1` NetworkPolicy.
#[derive(Clone, Debug)]
pub struct NetworkPolicy {
    selector: Selector,
    /// True when what the Pods that it selects may connect to is limited.
    pub limits_egress: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    pod_selector: Selector,
    policy_types: Option<Vec<String>>,
    egress: Option<Vec<serde::de::IgnoredAny>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Selector {
    match_labels: Option<BTreeMap<String, String>>,
    match_expressions: Option<Vec<Expression>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Expression {
    key: String,
    operator: String,
    #[serde(default)]
    values: Vec<String>,
}

impl NetworkPolicy {
    /// Reads the text of a `spec`; none where it is none.
    pub fn parse(spec: &str) -> Option<Self> {
        let spec: Spec = mapping::from_str(spec).ok()?;
        // Without the list, a policy is for egress when it has rules for it.
        let limits_egress = match &spec.policy_types {
            Some(types) => types.iter().any(|kind| kind == "Egress"),
            None => spec.egress.is_some(),
        };
        Some(Self { selector: spec.pod_selector, limits_egress })
    }

    /// True when it selects the Pods with these labels.
    pub fn selects(&self, labels: &StringMap<'_>) -> bool {
        let Selector { match_labels, match_expressions } = &self.selector;
        let mut pairs = match_labels.iter().flatten();
        let mut expressions = match_expressions.iter().flatten();
        // Mutation adds its own labels to hook Jobs before anything runs.
        let has = |key: &str| labels.get(key).is_some() || key == annotation::MIGRATION_LABEL;
        pairs.all(|(key, value)| {
            labels.get(key) == Some(value.as_str())
                || (key == annotation::MIGRATION_LABEL && value == "true")
        }) && expressions.all(|it| match it.operator.as_str() {
            "In" => labels.get(&it.key).is_some_and(|own| it.values.iter().any(|v| v == own)),
            "NotIn" => !labels.get(&it.key).is_some_and(|own| it.values.iter().any(|v| v == own)),
            "Exists" => has(&it.key),
            "DoesNotExist" => !has(&it.key),
            _ => false,
        })
    }
}
