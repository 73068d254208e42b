//! What users write: which rules, at which level, for which namespaces, and what an approval needs.
//!
//! ```text
//! YAML -> document (strict, with positions) -> Policy (compiled once) -> PolicySet (what applies)
//! ```

mod approval;
mod defaults;
mod digest;
mod document;
mod exception;
mod load;
mod scope;
mod selector;

use std::sync::Arc;

use crate::{
    detect::Detector,
    rules::{Check, Level, Rule},
};

pub use approval::{ApprovalField, Requirements, assess};
pub use defaults::{Defaults, ResourceDefaults, ResourceName};
pub use digest::{Digest, digest};
pub use document::{MigrationPolicy, OnUndecided, json_schema};
pub use exception::{
    Exception, ExceptionField, ExceptionSet, ExceptionTerms, Excuse, MigrationException,
    guards_data,
};
pub use load::{
    BUILT_IN, LoadError, Loaded, Place, built_in, exception, is_exception, parse, read,
};
pub use scope::{PolicySet, Scope, Selection};
pub use selector::Requirement;

/// The id under which an object is reported that cannot be read. It is no rule: it has no
/// parameters, follows the policy's own level and cannot be excused.
pub const UNREADABLE_OBJECT: &str = "unreadable-object";

/// True for the id of a rule: lower-case words and numbers with single `-` between them.
fn is_rule_id(id: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    id.len() <= 63
        && id.starts_with(|first: char| first.is_ascii_lowercase())
        && id.split('-').all(is_word)
}

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
    /// What an exception needs.
    pub exceptions: ExceptionTerms,
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
