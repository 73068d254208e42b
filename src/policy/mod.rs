//! What users write: which rules, at which level, for which namespaces, and what an approval needs.
//!
//! ```text
//! YAML -> document (strict, with positions) -> Policy (compiled once) -> PolicySet (what applies)
//! ```

mod approval;
mod cel;
mod content;
mod crd;
mod custom;
mod defaults;
mod digest;
mod document;
mod enforced;
mod exception;
mod layer;
mod load;
mod name;
mod scope;
mod selector;
mod sense;
mod signature;

use std::sync::Arc;

use crate::{
    detect::Detector,
    rules::{Check, Level, Rule},
};

pub use approval::{
    ApprovalField, ApprovalMeta, ApprovalSpec, ApprovalStatus, GatedOperation, JobReference,
    MaxAge, MigrationApproval, OperationRequirements, Requirements, ResourceUse, Subject,
    TicketPattern, approval_schema, assess, prospects, read_approval,
};
pub use content::{content, names as config_maps};
pub use crd::definitions as custom_resource_definitions;
pub use custom::{CustomMatch, CustomRule, CustomRuleEntry, CustomRules, Subject as CustomSubject};
pub use defaults::{Defaults, OperationDefaults, ResourceDefaults, ResourceName};
pub use digest::{Digest, digest};
pub use document::{
    Condition, MigrationPolicy, OnUndecided, Spec, Status, exception_schema, json_schema,
};
pub use exception::{
    Exception, ExceptionField, ExceptionSet, ExceptionTerms, Excuse, MigrationException,
    guards_data,
};
pub use load::{
    BUILT_IN, LoadError, Loaded, Place, built_in, exception, is_exception, parse, read,
};
pub use scope::{Considered, PolicySet, Scope, Selection};
pub use selector::Requirement;
pub use signature::{
    AllowedSigners, NAMESPACE as SIGNATURE_NAMESPACE, RevokedKey, Signatures, signed_text, signer,
};

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
    /// Rules that the policy brings along; none of them is `Off`.
    pub custom: CustomRules,
    /// What was written, with everything that was left out.
    pub spec: Arc<Spec>,
}

impl Policy {
    /// The level of a rule under this policy.
    pub fn level_of(&self, rule: &str) -> Level {
        let built_in = self.rules.iter().find(|configured| configured.rule.id == rule);
        let custom = || self.custom.rules().iter().find(|custom| custom.id == rule);
        built_in
            .map(|configured| configured.level)
            .or_else(|| custom().map(|custom| custom.level))
            .unwrap_or(Level::Off)
    }

    /// True when it knows a rule of this id, built in or its own, at whatever level.
    pub fn has_rule(&self, rule: &str) -> bool {
        crate::rules::ALL.iter().any(|known| known.id == rule)
            || self.custom.rules().iter().any(|custom| custom.id == rule)
    }
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
