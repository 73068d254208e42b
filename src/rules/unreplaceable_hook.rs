//! `unreplaceable-hook`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Repair, Rule, Topic, configure, example, parameters,
    replace_words,
};
use crate::{
    detect::Confidence,
    model::{Object, UnknownWord, WorkloadKind},
};

pub(super) static RULE: Rule = Rule {
    id: "unreplaceable-hook",
    summary: "a named hook Job is not deleted before it is created again",
    why: "Without `BeforeHookCreation` the Job of the last release is still there when the next one \
          starts. If it failed or its image changed, every sync fails with `field is immutable` \
          until someone deletes it by hand; if nothing changed, it counts as done and does not run. \
          `HookSucceeded` alone is this trap: it does not delete a Job that failed.",
    fix: "Leave the delete policy out (both Argo CD and Helm then replace the Job), or add \
          `BeforeHookCreation` (`before-hook-creation` for Helm).",
    sources: &[
        "https://argo-cd.readthedocs.io/en/stable/user-guide/resource_hooks/#hook-deletion-policies",
        "https://helm.sh/docs/topics/charts_hooks/#hook-deletion-policies",
        "https://github.com/alphagov/govuk-helm-charts/pull/362",
    ],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Hooks,
    places: Place::EVERYWHERE,
    example: example!("unreplaceable-hook"),
    configure: configure::<UnreplaceableHook>,
    parameters: parameters::<UnreplaceableHook>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct UnreplaceableHook {}

impl Check for UnreplaceableHook {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let object = context.object;
        // A generated name is never met again, so there is nothing to replace.
        let named = object.metadata.generate_name.is_empty();
        let ours = context.detections.iter().any(|found| found.main.confidence > Confidence::Name);
        if object.workload != WorkloadKind::Job || !named || !ours {
            return;
        }
        let (argo, helm) = (&object.hooks.argo, &object.hooks.helm);
        let by_argo = !argo.phases.is_empty() && !argo.from_helm;
        let (stuck, key, word) = if by_argo {
            (!argo.is_replaced(), "argocd.argoproj.io/hook-delete-policy", "BeforeHookCreation")
        } else {
            let stuck = !helm.events.is_empty() && !helm.is_replaced();
            (stuck, "helm.sh/hook-delete-policy", "before-hook-creation")
        };
        if stuck {
            let at = format!("metadata.annotations[{key}]");
            findings.object(
                &RULE,
                at.clone(),
                word,
                format!("the hook Job of an earlier run is not deleted first (no {word})"),
                format!("add {word}, or remove the annotation"),
            );
            if let Some(policy) = replaceable(object, key, word) {
                findings.mended_by(Repair::set(at, policy));
            }
        }
    }
}

/// The delete policy with `word` in it, and with the words that were meant; `None` where it holds a
/// word of which nobody knows what was meant.
fn replaceable(object: &Object<'_>, key: &str, word: &str) -> Option<String> {
    let policy = object.metadata.annotation(key).unwrap_or_default();
    let unknown = object.hooks.argo.unknown.iter().chain(&object.hooks.helm.unknown);
    let unknown: Vec<&UnknownWord> =
        unknown.filter(|unknown| unknown.key == key && !unknown.word.is_empty()).collect();
    if unknown.iter().any(|unknown| unknown.meant().is_none()) {
        return None;
    }
    let meant = |word: &str| {
        let is = |unknown: &&&UnknownWord| unknown.word.eq_ignore_ascii_case(word);
        unknown.iter().find(is).and_then(|unknown| unknown.meant())
    };
    let policy = replace_words(policy, meant);
    let mut words = policy.split(',').map(str::trim);
    if words.clone().any(|known| known.eq_ignore_ascii_case(word)) {
        return Some(policy);
    }
    let is_empty = words.all(str::is_empty);
    Some(if is_empty { word.to_owned() } else { format!("{word},{policy}") })
}
