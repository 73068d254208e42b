//! `unknown-hook`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Repair, Rule, Topic, configure, example, parameters,
    replace_words,
};
use crate::model::{Object, UnknownWord};

const ARGO_HOOK: &str = "argocd.argoproj.io/hook";
const HELM_HOOK: &str = "helm.sh/hook";

pub(super) static RULE: Rule = Rule {
    id: "unknown-hook",
    summary: "a hook annotation holds a word that its engine does not know",
    why: "Argo CD reads hook names case-sensitively and drops an object silently when it knows none \
          of them: it is never applied, never compared, and the sync succeeds without the migration. \
          Helm discards a whole manifest when one event is unknown.",
    fix: "Write the word as its engine knows it: `PreSync`, `Sync`, `PostSync`, `SyncFail`, `Skip`, \
          `PreDelete`, `PostDelete` for Argo CD; `pre-install`, `pre-upgrade` and so on for Helm.",
    sources: &[
        "https://argo-cd.readthedocs.io/en/stable/user-guide/resource_hooks/",
        "https://helm.sh/docs/topics/charts_hooks/",
    ],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Hooks,
    places: Place::EVERYWHERE,
    example: example!("unknown-hook"),
    configure: configure::<UnknownHook>,
    parameters: parameters::<UnknownHook>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct UnknownHook {}

impl Check for UnknownHook {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let hooks = &context.object.hooks;
        for word in hooks.argo.unknown.iter().filter(|word| word.key == ARGO_HOOK) {
            let consequence = if hooks.argo.dropped {
                "Argo CD drops the object silently"
            } else {
                "Argo CD passes over it"
            };
            report(findings, context.object, word, consequence);
        }
        for word in hooks.helm.unknown.iter().filter(|word| word.key == HELM_HOOK) {
            report(findings, context.object, word, "Helm discards the whole manifest");
        }
    }
}

fn report(findings: &mut Findings, object: &Object<'_>, unknown: &UnknownWord, consequence: &str) {
    let UnknownWord { key, word, nearest, .. } = unknown;
    let what = if word.is_empty() {
        format!("the annotation is empty: {consequence}")
    } else {
        format!("`{word}` is no hook: {consequence}")
    };
    let mend = match nearest {
        Some(nearest) => format!("write `{nearest}`"),
        None if *key == ARGO_HOOK => "write PreSync, Sync, PostSync or SyncFail".to_owned(),
        None => "write pre-install, pre-upgrade, post-install or post-upgrade".to_owned(),
    };
    let at = format!("metadata.annotations[{key}]");
    findings.object(&RULE, at.clone(), word, what, mend);
    let value = object.metadata.annotation(key);
    if let (Some(value), Some(_)) = (value, unknown.meant()) {
        findings.mended_by(Repair::set(at, replace_words(value, |word| meant(object, key, word))));
    }
}

/// What is meant by a word of an annotation that its engine does not know.
fn meant(object: &Object<'_>, key: &str, word: &str) -> Option<&'static str> {
    let unknown = object.hooks.argo.unknown.iter().chain(&object.hooks.helm.unknown);
    let word = if key == HELM_HOOK { word.to_lowercase() } else { word.to_owned() };
    unknown
        .filter(|unknown| unknown.key == key && unknown.word == word)
        .find_map(UnknownWord::meant)
}
