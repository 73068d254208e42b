//! Resources of operators that migrate databases themselves, without a Pod that anyone could see.
//!
//! **Source:** the types and controllers of ariga/atlas-operator (`api/v1alpha1`),
//! schemahero/schemahero (`pkg/apis/databases/v1alpha4`) and davidkarlsen/flyway-operator
//! (`api/v1alpha1`).

use serde::Deserialize;

use super::{EnvVar, GroupVersionKind, Text, pod::null_is_default};
use crate::source::mapping;

/// A resource that an operator migrates a database for, reduced to its own guards.
#[derive(Debug)]
pub enum MigrationResource<'a> {
    /// `db.atlasgo.io` AtlasSchema: the operator compares and applies the difference.
    AtlasSchema(AtlasSchema),
    /// `db.atlasgo.io` AtlasMigration: the operator applies files.
    AtlasMigration(AtlasMigration),
    /// `databases.schemahero.io` Database: how SchemaHero treats the tables of a database.
    SchemaHeroDatabase {
        /// `spec.immediateDeploy`: plans count as approved.
        immediate_deploy: bool,
    },
    /// `flyway.davidkarlsen.com` Migration: the operator makes a Job that runs Flyway.
    FlywayMigration(FlywayMigration<'a>),
}

/// The guards of an AtlasSchema.
#[derive(Debug, Default)]
pub struct AtlasSchema {
    /// `spec.policy.lint.destructive.error`: changes that drop something are refused. None where
    /// `destructive` is absent; present without `error` it is false.
    pub destructive_error: Option<bool>,
    /// `spec.policy.diff.skip`: neither schemas, tables nor columns are dropped.
    pub skips_drops: bool,
    /// True when the operator has a token for Atlas Cloud: then its own defaults refuse destructive
    /// changes and ask for a review.
    pub has_cloud: bool,
    /// True with `spec.config` or `spec.configFrom`, which may hold a policy that is not seen.
    pub has_config: bool,
}

/// The guards of an AtlasMigration.
#[derive(Debug, Default)]
pub struct AtlasMigration {
    /// `spec.protectedFlows.migrateDown`: `allow` and `autoApprove` both.
    pub reverts_unasked: bool,
    /// `spec.execOrder: non-linear`.
    pub is_non_linear: bool,
}

/// What a Migration of the Flyway operator asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FlywayMigration<'a> {
    /// `spec.flywayConfiguration.commands`.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub commands: Vec<Text<'a>>,
    /// `spec.flywayConfiguration.envVars`.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub env_vars: Vec<EnvVar<'a>>,
}

impl<'a> MigrationResource<'a> {
    /// Reads the `spec` of a resource; none for another kind, and for one that has another shape
    /// than the operator gives it: that is the operator's to refuse.
    pub(super) fn parse(gvk: &GroupVersionKind<'_>, spec: &'a str) -> Option<Self> {
        match (gvk.group, gvk.kind) {
            ("db.atlasgo.io", "AtlasSchema") => atlas_schema(spec).map(Self::AtlasSchema),
            ("db.atlasgo.io", "AtlasMigration") => atlas_migration(spec).map(Self::AtlasMigration),
            ("databases.schemahero.io", "Database") => schema_hero(spec),
            ("flyway.davidkarlsen.com", "Migration") => flyway(spec).map(Self::FlywayMigration),
            _ => None,
        }
    }
}

fn atlas_schema(spec: &str) -> Option<AtlasSchema> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Spec {
        policy: Option<Policy>,
        cloud: Option<Cloud>,
        #[serde(deserialize_with = "null_is_default")]
        config: String,
        config_from: Option<SecretSource>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Policy {
        lint: Option<Lint>,
        diff: Option<Diff>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Lint {
        destructive: Option<Destructive>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Destructive {
        #[serde(deserialize_with = "null_is_default")]
        error: bool,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Diff {
        skip: Option<Skip>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Skip {
        drop_schema: bool,
        drop_table: bool,
        drop_column: bool,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Cloud {
        token_from: Option<SecretSource>,
    }
    let Spec { policy, cloud, config, config_from } = mapping::from_str(spec).ok()?;
    let Policy { lint, diff } = policy.unwrap_or_default();
    let skip = diff.and_then(|diff| diff.skip).unwrap_or_default();
    let is_set = |source: Option<SecretSource>| source.is_some_and(|s| s.secret_key_ref.is_some());
    Some(AtlasSchema {
        destructive_error: lint.and_then(|lint| lint.destructive).map(|check| check.error),
        skips_drops: skip.drop_schema && skip.drop_table && skip.drop_column,
        has_cloud: cloud.is_some_and(|cloud| is_set(cloud.token_from)),
        has_config: !config.is_empty() || is_set(config_from),
    })
}

/// `{secretKeyRef: …}`, of which only the presence counts.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecretSource {
    secret_key_ref: Option<serde::de::IgnoredAny>,
}

fn atlas_migration(spec: &str) -> Option<AtlasMigration> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Spec {
        protected_flows: Option<Flows>,
        #[serde(deserialize_with = "null_is_default")]
        exec_order: String,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Flows {
        migrate_down: Option<Flow>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Flow {
        allow: bool,
        auto_approve: bool,
    }
    let Spec { protected_flows, exec_order } = mapping::from_str(spec).ok()?;
    let down = protected_flows.and_then(|flows| flows.migrate_down).unwrap_or_default();
    Some(AtlasMigration {
        reverts_unasked: down.allow && down.auto_approve,
        is_non_linear: exec_order == "non-linear",
    })
}

fn schema_hero<'a>(spec: &str) -> Option<MigrationResource<'a>> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Spec {
        #[serde(deserialize_with = "null_is_default")]
        immediate_deploy: bool,
    }
    let Spec { immediate_deploy } = mapping::from_str(spec).ok()?;
    Some(MigrationResource::SchemaHeroDatabase { immediate_deploy })
}

fn flyway(spec: &str) -> Option<FlywayMigration<'_>> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Spec<'a> {
        #[serde(borrow, deserialize_with = "null_is_default")]
        flyway_configuration: FlywayMigration<'a>,
    }
    mapping::from_str::<Spec<'_>>(spec).ok().map(|spec| spec.flyway_configuration)
}
