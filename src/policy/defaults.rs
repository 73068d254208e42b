//! What mutation fills in on hook Jobs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::detect::Operation;

/// What mutation fills in on hook Jobs, where it is absent. A value that is set is never changed;
/// `null` means that this one is not filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Defaults {
    /// `spec.activeDeadlineSeconds` of the Job, in seconds. Default: 1800.
    pub active_deadline_seconds: Option<u32>,
    /// `automountServiceAccountToken`, where the Job names no service account. Default: false.
    pub automount_service_account_token: Option<bool>,
    /// `runAsNonRoot`, except where UID 0 is set: that is refused by `root-migration` instead.
    /// Default: true.
    pub run_as_non_root: Option<bool>,
    /// `runAsUser`: a numeric UID above 0. Default: none, the image's own user.
    pub run_as_user: Option<u32>,
    /// `allowPrivilegeEscalation` of every container. Default: false.
    pub allow_privilege_escalation: Option<bool>,
    /// `capabilities.drop` of every container. Default: `[ALL]`.
    pub drop_capabilities: Option<Vec<String>>,
    /// `seccompProfile.type` of the Pod. Default: `RuntimeDefault`.
    pub seccomp_profile: Option<String>,
    /// `resources` of every container.
    pub resources: ResourceDefaults,
    /// Sizes by name, each in place of `resources`. A Job chooses one with the annotation
    /// `tidegate.dev/size`; a name that is not here is no size, and `resources` counts.
    pub sizes: BTreeMap<String, ResourceDefaults>,
    /// What is different for Jobs by what they do, such as `backup`. Of several containers the most
    /// telling operation counts.
    pub operations: BTreeMap<Operation, OperationDefaults>,
    /// Whether the labels `tidegate.dev/migration`, `tool` and `operation` are added. Default: true.
    pub labels: bool,
}

/// What is different for Jobs of one operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct OperationDefaults {
    /// `spec.activeDeadlineSeconds` of the Job, in seconds. Left out: that of every Job.
    pub active_deadline_seconds: Option<u32>,
    /// The size of its containers, one of `sizes`, where the Job chooses none.
    pub size: Option<String>,
}

impl Defaults {
    /// The deadline of a Job that does `operation`, in seconds.
    pub fn deadline(&self, operation: Operation) -> Option<u32> {
        let own = self.operations.get(&operation).and_then(|own| own.active_deadline_seconds);
        own.or(self.active_deadline_seconds)
    }

    /// The resources of the containers of a Job that does `operation` and asks for a size.
    pub fn resources(&self, operation: Operation, asked: Option<&str>) -> &ResourceDefaults {
        let by_operation = || self.operations.get(&operation)?.size.as_deref();
        asked
            .and_then(|size| self.sizes.get(size))
            .or_else(|| self.sizes.get(by_operation()?))
            .unwrap_or(&self.resources)
    }
}

/// Requests and limits by resource, such as `memory: 1Gi`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResourceDefaults {
    /// `requests`. Default: 100m CPU, 128Mi memory.
    pub requests: BTreeMap<ResourceName, String>,
    /// `limits`. Default: 1Gi memory, no CPU: a throttled migration holds its locks for longer.
    pub limits: BTreeMap<ResourceName, String>,
}

/// A resource that mutation fills in.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ResourceName {
    /// CPU, in cores.
    Cpu,
    /// Memory, in bytes.
    Memory,
}

impl ResourceName {
    /// The key in `requests` and `limits`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            active_deadline_seconds: Some(1_800),
            automount_service_account_token: Some(false),
            run_as_non_root: Some(true),
            run_as_user: None,
            allow_privilege_escalation: Some(false),
            drop_capabilities: Some(vec!["ALL".to_owned()]),
            seccomp_profile: Some("RuntimeDefault".to_owned()),
            resources: ResourceDefaults::default(),
            sizes: BTreeMap::new(),
            operations: BTreeMap::new(),
            labels: true,
        }
    }
}

impl Default for ResourceDefaults {
    fn default() -> Self {
        let amount = |name, text: &str| (name, text.to_owned());
        Self {
            requests: [amount(ResourceName::Cpu, "100m"), amount(ResourceName::Memory, "128Mi")]
                .into(),
            limits: [amount(ResourceName::Memory, "1Gi")].into(),
        }
    }
}
