//! `concurrent-migration`

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Rule, SetContext, SetFindings, Topic, configure,
    example, parameters, run_to_completion,
};
use crate::{
    detect::Operation,
    model::{ActiveMigration, Database, Fact, annotation::DATABASE},
    plan::{Member, Run},
};

pub(super) static RULE: Rule = Rule {
    id: "concurrent-migration",
    summary: "another migration of the same database runs at the same time",
    why: "Two migrations of one database wait for each other's locks until one is killed, or, where \
          the tool takes none, undo each other. It happens when a release is started while the last \
          one still migrates, when two applications share a database, or when two Jobs of a release \
          are in one wave: hooks of a wave start together. What is running is known to a cluster \
          alone; what will start together is known to the files of a release.",
    fix: "Wait until the other one has finished; give two Jobs of a release two waves. Name the database in `tidegate.dev/database` on every \
          Job that migrates it; without it two Jobs are known to share one only when they name the same host and database, or are in the \
          same namespace and take their credentials from the same Secret. Databases of tenants are \
          told apart by `tidegate.dev/tenant`.",
    sources: &[
        "https://www.postgresql.org/docs/current/explicit-locking.html",
        "https://argo-cd.readthedocs.io/en/stable/user-guide/resource_hooks/",
    ],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Cluster,
    places: &[Place::Admission, Place::Release, Place::Cluster],
    example: example!("concurrent-migration"),
    configure: configure::<ConcurrentMigration>,
    parameters: parameters::<ConcurrentMigration>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ConcurrentMigration {}

impl Check for ConcurrentMigration {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let schema: Vec<_> = run_to_completion(context)
            .filter(|migration| migration.operation().is_schema_change())
            .collect();
        let Some(first) = schema.first() else { return };
        let containers = schema.iter().map(|migration| migration.container);
        let Some(database) = Database::of(context.object, context.namespace, containers) else {
            return;
        };
        let at = format!("metadata.annotations[{DATABASE}]");
        let active = match &context.facts.active_migrations {
            Fact::NotAsked => return,
            Fact::Unknown(why) => return findings.undecided(&RULE, at, why.clone()),
            Fact::Known(active) => active,
        };
        for ActiveMigration { kind, namespace, name, database: other } in *active {
            let itself = *kind == context.object.kind.as_str()
                && namespace == context.namespace
                && *name == context.object.metadata.name.as_str();
            if itself || !database.is_same_as(other) {
                continue;
            }
            findings.object(
                &RULE,
                at.as_str(),
                format!("{namespace}/{name}"),
                format!(
                    "`{}` would run beside {kind} {namespace}/{name}, which migrates the same \
                     database{}",
                    first.main.words,
                    if *kind == "Job" { "" } else { " while it rolls out" }
                ),
                if *kind == "Job" {
                    "wait until that Job has finished"
                } else {
                    "wait until it is rolled out"
                },
            );
        }
    }
    fn check_set(&self, context: &SetContext<'_>, findings: &mut SetFindings) {
        let release = context.release;
        let steps: Vec<(usize, &Member<'_>)> = release
            .migrations()
            .filter(|(_, it)| it.migrates().is_some_and(Operation::is_schema_change))
            .collect();
        for run in &release.runs {
            let mut together: BTreeMap<(usize, String), Vec<(usize, &Member<'_>)>> =
                BTreeMap::new();
            for (index, member) in &steps {
                let words = member.database.iter().flat_map(Database::words);
                for word in words {
                    for step in run.steps_of(*index) {
                        let wave = together.entry((step.batch, word.clone())).or_default();
                        wave.push((*index, member));
                    }
                }
            }
            for wave in together.values() {
                let Some(((_, first), others)) = wave.split_first() else { continue };
                for (index, member) in others {
                    report_together(run, first, (*index, member), findings);
                }
            }
        }
    }
}

/// Two migrations of one database that one wave starts.
fn report_together(
    run: &Run,
    first: &Member<'_>,
    (index, member): (usize, &Member<'_>),
    findings: &mut SetFindings,
) {
    let same = first.database.as_ref().zip(member.database.as_ref());
    let found = findings.on(index);
    let is_known = found.found.iter().any(|it| it.rule == RULE.id);
    if is_known || !same.is_some_and(|(one, other)| one.is_same_as(other)) {
        return;
    }
    let Some(step) = run.steps_of(index).next() else { return };
    found.object(
        &RULE,
        "metadata.annotations",
        first.subject(),
        format!(
            "it starts together with {} in {}, and both migrate the same database",
            first.subject(),
            run.when(step)
        ),
        "give one of them a higher wave",
    );
}
