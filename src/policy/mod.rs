//! What users write: which rules, at which level, for which namespaces, and what an approval needs.
//!
//! ```text
//! YAML -> document (strict, with positions) -> Policy (compiled once) -> PolicySet (what applies)
//! ```

mod approval;
mod content;
mod defaults;
mod digest;
mod document;
mod load;
mod scope;

use std::sync::Arc;

use crate::{
    detect::Detector,
    rules::{Check, Level, Rule},
};

pub use approval::{
    ApprovalField, GatedOperation, MaxAge, OperationRequirements, Requirements, Subject,
    TicketPattern, assess,
};
pub use content::{content, names as config_maps};
pub use defaults::{Defaults, ResourceDefaults, ResourceName};
pub use digest::{Digest, digest};
pub use document::{MigrationPolicy, OnUndecided, json_schema};
pub use load::{BUILT_IN, LoadError, built_in, parse};
pub use scope::{PolicySet, Scope, Selection};

/// A policy as it is applied: read, checked and compiled once, when it is loaded.
#[derive(Debug)]
pub struct Policy {
    /// `metadata.name`.
    pub name: String,
    /// Which namespaces it is for.
    pub scope: Scope,
    /// What becomes of a finding that cannot be decided.
    pub on_undecided: OnUndecided,
    /// The rules that run, with their level already capped by the policy's.
    pub rules: Vec<ConfiguredRule>,
    /// The ceiling for every rule, and the level of an object that cannot be read.
    pub level: Level,
    /// What an approval needs.
    pub approvals: Requirements,
    /// What mutation fills in.
    pub defaults: Defaults,
    /// Controllers, besides Kubernetes' own, whose children were judged as their owner.
    pub controllers: Vec<Controller>,
    /// What finds migrations: the built-in catalogue with the policy's own tools.
    pub detector: Arc<Detector>,
}

/// One rule of a policy.
#[derive(Debug)]
pub struct ConfiguredRule {
    /// The rule.
    pub rule: &'static Rule,
    /// Its level under this policy; never `Off`.
    pub level: Level,
    /// The rule with its parameters.
    pub check: Box<dyn Check>,
}

/// A controller that creates one kind of object for another: `user` makes `creates` for `owner`.
#[derive(
    Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Controller {
    /// The user that the controller authenticates as, such as
    /// `system:serviceaccount:argo-rollouts:argo-rollouts`.
    pub user: String,
    /// `group/Kind` of the owner, such as `argoproj.io/Rollout`.
    pub owner: String,
    /// `group/Kind` of what it creates, such as `apps/ReplicaSet`; a core kind has no group.
    pub creates: String,
}
