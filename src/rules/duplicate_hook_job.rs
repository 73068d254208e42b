//! `duplicate-hook-job`

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Level, Place, Rule, SetContext, SetFindings, Topic, configure, example, parameters,
};
use crate::{
    model::DeletePolicy,
    plan::{Engine, Member, Release, Run, Stage, Step},
};

pub(super) static RULE: Rule = Rule {
    id: "duplicate-hook-job",
    summary: "two Jobs of a release get one name, or Jobs with generated names pile up",
    why: "Of two Jobs of one name in one phase, the second replaces the first or is refused, and one of \
          the migrations does not run. Argo CD makes the name of a hook from `generateName`, the \
          revision, the phase and the second of the sync: two with the same `generateName` get the \
          same name. `BeforeHookCreation`, which is also the default, never matches a generated \
          name, so every sync leaves one more Job behind.",
    fix: "Give each Job a name of its own. With `generateName`, set \
          `argocd.argoproj.io/hook-delete-policy: HookSucceeded` or `ttlSecondsAfterFinished`; better, \
          give the Job a fixed name and no delete policy.",
    sources: &[
        "https://argo-cd.readthedocs.io/en/stable/user-guide/resource_hooks/",
        "https://github.com/argoproj/argo-cd/issues/9184",
    ],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Hooks,
    places: Place::RELEASE,
    example: example!("duplicate-hook-job"),
    configure: configure::<DuplicateHookJob>,
    parameters: parameters::<DuplicateHookJob>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct DuplicateHookJob {}

impl Check for DuplicateHookJob {
    fn check_set(&self, context: &SetContext<'_>, findings: &mut SetFindings) {
        let release = context.release;
        for run in &release.runs {
            same_names(release, run, findings);
        }
        if release.engine == Engine::ArgoCd {
            for run in &release.runs {
                for (step, member) in jobs(release, run) {
                    if step.hook && piles_up(member) {
                        findings.on(step.member).object(
                            &RULE,
                            "metadata.generateName",
                            "piles up",
                            "every sync leaves one more Job behind: nothing deletes one with a generated name",
                            "give it a fixed name, or set ttlSecondsAfterFinished or the delete policy HookSucceeded",
                        );
                    }
                }
            }
        }
    }
}

/// Every Job of a rollout, with its step.
fn jobs<'r>(
    release: &'r Release<'r>,
    run: &'r Run,
) -> impl Iterator<Item = (&'r Step, &'r Member<'r>)> {
    let steps = run.steps.iter().filter_map(|step| Some((step, release.members.get(step.member)?)));
    steps.filter(|(_, member)| member.is_job() && member.is_ours())
}

fn same_names(release: &Release<'_>, run: &Run, findings: &mut SetFindings) {
    let mut seen: BTreeMap<(Stage, &str, bool, &str), usize> = BTreeMap::new();
    for (step, member) in jobs(release, run) {
        let metadata = &member.object.metadata;
        let generated = metadata.name.is_empty();
        // The API server makes a name of its own for each that nobody else has made one for.
        if generated && !(release.engine == Engine::ArgoCd && step.hook) {
            continue;
        }
        let key = (step.stage, member.namespace, generated, metadata.display_name());
        let first = *seen.entry(key).or_insert(step.member);
        if first == step.member || metadata.display_name().is_empty() {
            continue;
        }
        let field = if generated { "metadata.generateName" } else { "metadata.name" };
        let found = findings.on(step.member);
        // An installation and an upgrade have it both.
        if found.found.iter().any(|it| it.rule == RULE.id && it.at == field) {
            continue;
        }
        found.object(
            &RULE,
            field,
            metadata.display_name(),
            format!(
                "another Job of {} has the same {}",
                step.stage.title(run.rollout),
                if generated { "generateName, and so gets the same name" } else { "name" }
            ),
            "give each Job a name of its own",
        );
    }
}

/// True for a hook Job with a generated name that nothing deletes.
fn piles_up(member: &Member<'_>) -> bool {
    let object = member.object;
    let job = object.templates.iter().find_map(|template| template.job.as_ref());
    object.metadata.name.is_empty()
        && !object.metadata.generate_name.is_empty()
        && !object.hooks.argo.delete_policies.contains(&DeletePolicy::HookSucceeded)
        && job.is_some_and(|job| job.ttl_seconds_after_finished.is_none())
}
