//! `hook-deletes-shared-object`

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Level, Place, Rule, SetContext, SetFindings, Topic, configure, example, parameters,
};
use crate::{
    model::{DeletePolicy, HelmEvent},
    plan::{Engine, Member, Release, Rollout, references},
};

pub(super) static RULE: Rule = Rule {
    id: "hook-deletes-shared-object",
    summary: "a ConfigMap, Secret, ServiceAccount or claim is a hook, and a workload uses it",
    why: "Hooks are deleted and created again by every rollout. A ServiceAccount that comes back has \
          another uid, so that the tokens of running Pods stop working; a ConfigMap or Secret is \
          missing for the Pods that start in between; a claim takes its data with it. With \
          `HookSucceeded` it is gone once the sync is done, and the next Pod does not start.",
    fix: "Keep one for the hook and one for the workload, under two names. Or make it an ordinary \
          object, and the Job a Sync hook in a wave after it.",
    sources: &[
        "https://argo-cd.readthedocs.io/en/stable/user-guide/resource_hooks/#hook-deletion-policies",
        "https://helm.sh/docs/topics/charts_hooks/#hook-resources-are-not-managed-with-corresponding-releases",
        "https://github.com/argoproj/argo-cd/issues/3837",
        "https://github.com/argoproj/argo-cd/issues/13429",
    ],
    since: "0.1.0",
    level: Level::Warn,
    topic: Topic::Hooks,
    places: Place::RELEASE,
    example: example!("hook-deletes-shared-object"),
    configure: configure::<HookDeletesSharedObject>,
    parameters: parameters::<HookDeletesSharedObject>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct HookDeletesSharedObject {}

impl Check for HookDeletesSharedObject {
    fn check_set(&self, context: &SetContext<'_>, findings: &mut SetFindings) {
        let release = context.release;
        let mut seen = BTreeSet::new();
        let workloads = release.members.iter().filter(|it| !it.runs_to_completion());
        for workload in workloads.filter(|it| !it.is_hook()) {
            for reference in workload.object.templates.iter().flat_map(references) {
                for (index, shared) in release.providers(workload.namespace, &reference) {
                    if !is_deleted(release, index, shared) || !seen.insert(index) {
                        continue;
                    }
                    let is_once = shared.object.hooks.helm.events == [HelmEvent::PreInstall];
                    let (how, engine) = match release.engine {
                        Engine::ArgoCd => {
                            ("every sync deletes and creates it again", "argocd.argoproj.io/hook")
                        }
                        Engine::Helm if is_once => {
                            ("the installation deletes it once it succeeded", "helm.sh/hook")
                        }
                        Engine::Helm => {
                            ("every upgrade deletes and creates it again", "helm.sh/hook")
                        }
                    };
                    findings.on(index).object(
                        &RULE,
                        "metadata.annotations",
                        workload.subject(),
                        format!("{how}, and {} uses it", workload.subject()),
                        format!("remove `{engine}`, or give the hook and the workload one each"),
                    );
                }
            }
        }
    }
}

/// True when a rollout that the workload lives through deletes the object.
fn is_deleted(release: &Release<'_>, index: usize, shared: &Member<'_>) -> bool {
    let hooks = &shared.object.hooks;
    let mut runs = release.runs.iter().filter(|run| match run.rollout {
        Rollout::Sync | Rollout::Upgrade => true,
        Rollout::Install => hooks.helm.delete_policies.contains(&DeletePolicy::HookSucceeded),
    });
    runs.any(|run| run.steps_of(index).any(|step| step.hook))
}
