//! What is fixed about a rule besides its check: topic, places, example, parameters.

use std::fmt;

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Check, ParameterError};
use crate::source::mapping::Mappings;

/// What a rule is about: how lists of rules are grouped, in the order in which people meet them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// Where a migration runs.
    Placement,
    /// What cannot be undone, and who agreed to it.
    Destructive,
    /// What Argo CD and Helm make of annotations.
    Hooks,
    /// How the Job runs: how long, how often, with what.
    Jobs,
    /// Credentials, privileges and reach.
    Security,
    /// What the statements do.
    Sql,
    /// What only shows beside other objects and operators of a cluster.
    Cluster,
}

impl Topic {
    /// Every topic, in order.
    pub const ALL: [Self; 7] = [
        Self::Placement,
        Self::Destructive,
        Self::Hooks,
        Self::Jobs,
        Self::Security,
        Self::Sql,
        Self::Cluster,
    ];

    /// The heading over its rules.
    pub fn title(self) -> &'static str {
        match self {
            Self::Placement => "Where a migration runs",
            Self::Destructive => "Destructive operations",
            Self::Hooks => "Hooks and order",
            Self::Jobs => "Settings of the Job",
            Self::Security => "Security",
            Self::Sql => "SQL",
            Self::Cluster => "Cluster",
        }
    }

    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Placement => "placement",
            Self::Destructive => "destructive",
            Self::Hooks => "hooks",
            Self::Jobs => "jobs",
            Self::Security => "security",
            Self::Sql => "sql",
            Self::Cluster => "cluster",
        }
    }
}

/// Where a rule can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// By the webhook, when an object is created or changed.
    Admission,
    /// By `check`, on manifests.
    Manifests,
    /// By `check` and `plan`, on all manifests of a release together.
    Release,
    /// On the objects that live in a cluster.
    Cluster,
}

impl Place {
    /// Everywhere: nothing is needed but the object.
    pub const EVERYWHERE: &'static [Self] = &[Self::Admission, Self::Manifests, Self::Cluster];
    /// Only where the other objects of the release are there.
    pub const RELEASE: &'static [Self] = &[Self::Release];
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admission => "at admission",
            Self::Manifests => "on manifests",
            Self::Release => "on a whole release",
            Self::Cluster => "on live objects",
        })
    }
}

/// Two fixtures of the rule: what it finds something in, and the same mended.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// `tests/rules/<id>/fail-example.yaml`.
    pub refused: &'static str,
    /// `tests/rules/<id>/pass-example.yaml`.
    pub mended: &'static str,
}

/// The example of the rule with this id. Tests run both files.
macro_rules! example {
    ($id:literal) => {
        $crate::rules::Example {
            refused: include_str!(concat!("../../tests/rules/", $id, "/fail-example.yaml")),
            mended: include_str!(concat!("../../tests/rules/", $id, "/pass-example.yaml")),
        }
    };
}
pub(super) use example;

/// One parameter of a rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parameter {
    /// Its key in `params`.
    pub name: String,
    /// What holds where a policy does not say.
    pub default: Value,
    /// What it does.
    pub about: String,
}

/// Builds a check from its parameters.
pub(super) fn configure<C>(params: Value) -> Result<Box<dyn Check>, ParameterError>
where
    C: Check + DeserializeOwned + 'static,
{
    serde_path_to_error::deserialize::<_, C>(Mappings(params))
        .map(|check| Box::new(check) as Box<dyn Check>)
        .map_err(|error| ParameterError {
            path: error.path().to_string(),
            source: error.into_inner(),
        })
}

/// The parameters of a check: their names and defaults, and what their doc comments say.
pub(super) fn parameters<C: Default + Serialize + JsonSchema>() -> Vec<Parameter> {
    let schema = schemars::schema_for!(C).to_value();
    let about = |name: &str| {
        let text = schema.pointer(&format!("/properties/{name}/description"));
        text.and_then(Value::as_str).unwrap_or_default().replace('\n', " ")
    };
    let defaults = match serde_json::to_value(C::default()) {
        Ok(Value::Object(defaults)) => defaults,
        _ => serde_json::Map::new(),
    };
    defaults
        .into_iter()
        .map(|(name, default)| Parameter { about: about(&name), name, default })
        .collect()
}
