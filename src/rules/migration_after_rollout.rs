//! `migration-after-rollout`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Level, Place, Rule, SetContext, SetFindings, Topic, configure, example, parameters,
};
use crate::{
    detect::Operation,
    plan::{self, Member, Release, Rollout, Run, Step},
};

pub(super) static RULE: Rule = Rule {
    id: "migration-after-rollout",
    summary: "a migration runs in or after the step that starts the code that needs it",
    why: "New code that starts before its schema is there fails, or writes what the migration then \
          breaks. Inside one wave Argo CD applies a Deployment before a Job, and it starts both \
          without waiting. When the new Pods wait for the schema and the migration is a PostSync or \
          `post-upgrade` hook, neither ever starts: hooks after the sync wait until the Pods are \
          ready, and so do those of Helm with `--wait`. Pods that wait for the schema may start beside the \
          migration that brings it. Steps that clean up afterwards (contract steps, backfills) belong there and are not \
          found.",
    fix: "Make the Job a PreSync hook (`helm.sh/hook: pre-install,pre-upgrade` with Helm), or give it \
          a lower `argocd.argoproj.io/sync-wave` than the application.",
    sources: &[
        "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/",
        "https://helm.sh/docs/topics/charts_hooks/",
        "https://github.com/apache/airflow/issues/29078",
    ],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Hooks,
    places: Place::RELEASE,
    example: example!("migration-after-rollout"),
    configure: configure::<MigrationAfterRollout>,
    parameters: parameters::<MigrationAfterRollout>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct MigrationAfterRollout {}

impl Check for MigrationAfterRollout {
    fn check_set(&self, context: &SetContext<'_>, findings: &mut SetFindings) {
        let release = context.release;
        for (index, member) in release.migrations() {
            if !member.migrates().is_some_and(comes_first) {
                continue;
            }
            // On installation there is no code yet that could run on the old schema, and the
            // database may be part of the release: what counts is a sync, or an upgrade.
            let Some(run) = release.runs.last() else { continue };
            for step in run.steps_of(index) {
                if let Some((application, start)) = late(release, run, member, step) {
                    report(member, run, step, application, start, findings.on(index));
                    break;
                }
            }
        }
    }
}

/// True for what new code needs; what cleans up after it is not.
fn comes_first(operation: Operation) -> bool {
    matches!(operation, Operation::Apply | Operation::Declarative | Operation::Unknown)
}

/// The first application that a step does not come before, unless another step of the same
/// migration does.
fn late<'r>(
    release: &'r Release<'r>,
    run: &Run,
    migration: &'r Member<'r>,
    step: &Step,
) -> Option<(&'r Member<'r>, &'r Step)> {
    let place = |step: &Step, start: &Step| release.place(step, start);
    release.first_too_early(migration, step, |application, start| {
        // Pods that wait for the schema may start beside what brings it.
        let waits = place(step, start) == plan::Place::Together && waits_for_schema(application);
        let mut others = run.steps_of(step.member);
        !waits && !others.any(|other| place(other, start) == plan::Place::Before)
    })
}

fn report(
    member: &Member<'_>,
    run: &Run,
    step: &Step,
    application: &Member<'_>,
    start: &Step,
    findings: &mut super::Findings,
) {
    let words = member.migrations().next().map(|migration| migration.main.words.as_str());
    let what = words.map_or_else(|| "it".to_owned(), |words| format!("`{words}`"));
    let waits = match run.rollout {
        _ if step.batch <= start.batch || !waits_for_schema(application) => "",
        Rollout::Sync => ", whose Pods wait for it: neither ever gets ready",
        Rollout::Install | Rollout::Upgrade => {
            ", whose Pods wait for it: with `--wait` neither ever gets ready"
        }
    };
    findings.object(
        &RULE,
        "metadata.annotations",
        format!("{}|{}", step.stage.title(run.rollout), application.subject()),
        format!(
            "{what} runs in {}, {} {}{waits}",
            run.when(step),
            if step.batch == start.batch { "together with" } else { "after" },
            format_args!("{} in {}", application.subject(), run.when(start)),
        ),
        match run.rollout {
            Rollout::Sync => "make it a PreSync hook, or give it a lower sync-wave",
            Rollout::Install | Rollout::Upgrade => "make it a pre-install,pre-upgrade hook",
        },
    );
}

/// True when Pods do not get ready before a migration has run: an initContainer asks a migration
/// tool, or is called after the wait.
fn waits_for_schema(application: &Member<'_>) -> bool {
    let containers = application.object.templates.iter().flat_map(|template| &template.containers);
    let mut init = containers.filter(|it| it.list == crate::model::ContainerList::Init);
    init.any(|container| {
        let name = container.name.to_ascii_lowercase();
        let asks = application.detections.iter().any(|detection| {
            std::ptr::eq(detection.container, container)
                && detection.operation() == Operation::ReadOnly
        });
        asks || (name.contains("wait") && (name.contains("migrat") || name.contains("schema")))
    })
}
