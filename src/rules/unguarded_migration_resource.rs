//! `unguarded-migration-resource`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Repair, Rule, Topic, configure, example, parameters,
};
use crate::model::{AtlasMigration, AtlasSchema, EnvVar, FlywayMigration, MigrationResource};

pub(super) static RULE: Rule = Rule {
    id: "unguarded-migration-resource",
    summary: "a resource of a migration operator has the operator's own guards off",
    why: "Operators such as Atlas and SchemaHero change databases from their own Pod: no Job is made \
          that could be judged, so their own guards are all there is. The Atlas operator applies an \
          AtlasSchema without a question, drops included, unless a lint policy forbids it or Atlas \
          Cloud reviews it (only its first run refuses drops); SchemaHero waits for an approval \
          unless `immediateDeploy` gives it beforehand; Flyway refuses `clean` unless it is told not \
          to.",
    fix: "AtlasSchema: `spec.policy.lint.destructive.error: true`. AtlasMigration: no `autoApprove` for \
          `migrateDown`, `execOrder: linear`. SchemaHero: remove `immediateDeploy` and approve plans \
          with `kubectl schemahero approve`. Flyway operator: neither `clean` nor `undo` among the \
          commands, and leave `cleanDisabled` and `validateOnMigrate` as they are.",
    sources: &[
        "https://atlasgo.io/integrations/kubernetes/declarative",
        "https://github.com/ariga/atlas-operator/blob/master/internal/controller/atlasschema_controller.go",
        "https://github.com/ariga/atlas-operator/blob/master/api/v1alpha1/atlasmigration_types.go",
        "https://github.com/schemahero/schemahero/blob/main/pkg/controller/table/reconcile_table.go",
        "https://github.com/davidkarlsen/flyway-operator/blob/main/api/v1alpha1/migration_types.go",
    ],
    since: "0.1.0",
    level: Level::Warn,
    topic: Topic::Cluster,
    places: Place::EVERYWHERE,
    example: example!("unguarded-migration-resource"),
    configure: configure::<UnguardedMigrationResource>,
    parameters: parameters::<UnguardedMigrationResource>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct UnguardedMigrationResource {}

impl Check for UnguardedMigrationResource {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let mut found = |at: &str, what: &'static str, (mend, repair): Mend| {
            findings.object(&RULE, at, what, what, mend);
            if let Some(repair) = repair {
                findings.mended_by(repair);
            }
        };
        match &context.object.resource {
            None | Some(MigrationResource::SchemaHeroDatabase { immediate_deploy: false }) => {}
            Some(MigrationResource::AtlasSchema(schema)) => atlas_schema(schema, &mut found),
            Some(MigrationResource::AtlasMigration(migration)) => {
                atlas_migration(migration, &mut found);
            }
            Some(MigrationResource::SchemaHeroDatabase { immediate_deploy: true }) => found(
                "spec.immediateDeploy",
                "SchemaHero applies every plan without an approval",
                (
                    "remove immediateDeploy, and approve plans with kubectl schemahero approve",
                    Some(Repair::remove("spec.immediateDeploy")),
                ),
            ),
            Some(MigrationResource::FlywayMigration(migration)) => flyway(migration, &mut found),
        }
    }
}

/// How to mend it, and how that is done without a person.
type Mend = (&'static str, Option<Repair>);
type Found<'f> = dyn FnMut(&str, &'static str, Mend) + 'f;

fn atlas_schema(schema: &AtlasSchema, found: &mut Found<'_>) {
    let AtlasSchema { destructive_error, skips_drops, has_cloud, has_config } = schema;
    let mend = (
        "set spec.policy.lint.destructive.error: true",
        Some(Repair::set("spec.policy.lint.destructive.error", true)),
    );
    match destructive_error {
        Some(true) => {}
        _ if *skips_drops => {}
        Some(false) => found(
            "spec.policy.lint.destructive",
            "the Atlas operator applies changes that drop tables and columns",
            mend,
        ),
        None if *has_cloud || *has_config => {}
        None => found(
            "spec.policy.lint",
            "after its first run the Atlas operator applies drops without a question",
            mend,
        ),
    }
}

fn atlas_migration(migration: &AtlasMigration, found: &mut Found<'_>) {
    if migration.reverts_unasked {
        found(
            "spec.protectedFlows.migrateDown.autoApprove",
            "the Atlas operator reverts migrations without an approval",
            ("remove autoApprove, or do not allow migrateDown", None),
        );
    }
    if migration.is_non_linear {
        found(
            "spec.execOrder",
            "files are applied that were added before the last one that was applied",
            ("set execOrder: linear", Some(Repair::set("spec.execOrder", "linear"))),
        );
    }
}

fn flyway(migration: &FlywayMigration<'_>, found: &mut Found<'_>) {
    let path = "spec.flywayConfiguration";
    for (index, command) in migration.commands.iter().enumerate() {
        let what = match command.as_str() {
            "clean" => "Flyway drops everything in its schemas, whenever the resource changes",
            "undo" => "Flyway reverts a migration, whenever the resource changes",
            _ => continue,
        };
        found(&format!("{path}.commands[{index}]"), what, ("remove the command", None));
    }
    for (index, EnvVar { name, value, .. }) in migration.env_vars.iter().enumerate() {
        if !value.as_deref().is_some_and(|value| value.trim().eq_ignore_ascii_case("false")) {
            continue;
        }
        let what = match name.as_str() {
            "FLYWAY_CLEAN_DISABLED" => "Flyway is let drop everything in its schemas",
            "FLYWAY_VALIDATE_ON_MIGRATE" => "Flyway applies migrations without validating them",
            _ => continue,
        };
        found(&format!("{path}.envVars[{index}]"), what, ("remove the variable", None));
    }
}
