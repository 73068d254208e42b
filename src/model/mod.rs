//! What tidegate looks at, parsed once.
//!
//! ```text
//! JSON text -> Object { identity, metadata, hooks, templates: [PodTemplate { job, containers }] }
//! ```
//!
//! Objects borrow from the text that they were read from. Only what a rule asks for is read;
//! everything else is skipped without being built, at any nesting depth.

pub mod annotation;
mod backup;
mod change;
mod config_map;
mod database;
mod deployment_config;
mod env;
mod fact;
mod hooks;
mod image;
mod job_status;
pub(crate) mod json;
mod nesting;
mod network_policy;
mod object;
mod pod;
mod quantity;
mod resource;
mod rollout;
mod text;
mod volume;
mod workflow;
mod workload;

pub use backup::{BackupKind, BackupReference, BackupState};
pub use change::{Change, Operation as ChangeOperation};
pub use config_map::{ConfigMap, ConfigMapSet, ConfigMaps};
pub(crate) use database::DATABASE_WORDS;
pub use database::{Database, DatabaseSecret, database_secrets};
pub use env::{EnvFrom, EnvSource, EnvVar, FieldRef, KeyRef, ResourceRef};
pub use fact::{ActiveMigration, Backup, Fact, Facts, GrantedApproval, Labels};
pub use hooks::{
    ArgoHook, ArgoPhase, DeletePolicy, HelmEvent, HelmHook, Hooks, UnknownWord, WaveSource,
};
pub use image::ImageReference;
pub use job_status::JobStatus;
pub use network_policy::NetworkPolicy;
pub use object::{GroupVersionKind, Metadata, Object, OwnerReference, ParseError};
pub use pod::{
    Amount, Capabilities, Container, ContainerList, ContainerPath, Job, PodSpec, PodTemplate,
    PullSecret, ResourceList, Resources, SeccompProfile, SecurityContext, VolumeMount,
};
pub use quantity::{Quantity, QuantityError};
pub use resource::{AtlasMigration, AtlasSchema, FlywayMigration, MigrationResource};
pub use rollout::RolloutStatus;
pub use text::{StringMap, Text};
pub use volume::{MountedSource, Volume, VolumeFile};
pub use workload::{Lifetime, WorkloadKind};
