//! `migration-runs-twice`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Check, Context, Findings, Level, Place, Rule, Topic, configure, example, parameters};
use crate::model::{ArgoPhase, HelmEvent, Hooks, WorkloadKind};

const ARGO_HOOK: &str = "argocd.argoproj.io/hook";
const HELM_HOOK: &str = "helm.sh/hook";

pub(super) static RULE: Rule = Rule {
    id: "migration-runs-twice",
    summary: "hook annotations run a migration in two phases, or before and after",
    why: "Argo CD knows no install and no upgrade: it maps `pre-install` and `pre-upgrade` to PreSync, \
          `post-install` and `post-upgrade` to PostSync. The common `post-install,pre-upgrade` so \
          becomes both: the migration runs twice in every sync, and the first one hangs where the \
          chart brings its own database. With annotations of both engines that disagree, the same \
          Job migrates before the rollout under one and after it under the other.",
    fix: "Name one moment for both engines: `argocd.argoproj.io/hook: PreSync` with `helm.sh/hook: \
          pre-install,pre-upgrade`. Where Argo CD applies nothing, set `argoCd: false`.",
    sources: &[
        "https://argo-cd.readthedocs.io/en/stable/user-guide/helm/#helm-hooks",
        "https://helm.sh/docs/topics/charts_hooks/",
        "https://github.com/argoproj/argo-cd/issues/7536",
        "https://github.com/argoproj/argo-cd/issues/6456",
    ],
    since: "0.1.0",
    level: Level::Warn,
    topic: Topic::Hooks,
    places: Place::EVERYWHERE,
    example: example!("migration-runs-twice"),
    configure: configure::<MigrationRunsTwice>,
    parameters: parameters::<MigrationRunsTwice>,
};

/// The rule's parameters.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct MigrationRunsTwice {
    /// Whether Argo CD applies what is judged here. Without it only what Helm itself runs twice is
    /// found.
    argo_cd: bool,
}

impl Default for MigrationRunsTwice {
    fn default() -> Self {
        Self { argo_cd: true }
    }
}

impl Check for MigrationRunsTwice {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let object = context.object;
        let runs_as_hook = matches!(object.workload, WorkloadKind::Job | WorkloadKind::Pod);
        let mut schema = context.migrations().filter(|found| found.operation().is_schema_change());
        let Some(migration) = schema.next().filter(|_| runs_as_hook) else { return };
        let words = &migration.main.words;
        let hooks = &object.hooks;
        if let Some((key, what)) = self.fault(hooks) {
            let at = format!("metadata.annotations[{key}]");
            let mend = "name one moment: PreSync for Argo CD, pre-install,pre-upgrade for Helm";
            findings.object(&RULE, at, key, format!("`{words}` {what}"), mend);
        }
    }
}

impl MigrationRunsTwice {
    /// The annotation that is wrong, and what comes of it.
    fn fault(&self, hooks: &Hooks) -> Option<(&'static str, String)> {
        let argo: Vec<ArgoPhase> =
            hooks.argo.phases.iter().copied().filter(|phase| is_of_a_sync(*phase)).collect();
        let key = if hooks.argo.from_helm { HELM_HOOK } else { ARGO_HOOK };
        if self.argo_cd && argo.len() > 1 {
            let phases: Vec<&str> = argo.iter().map(|phase| phase.word()).collect();
            return Some((key, format!("runs in {} of every sync", phases.join(" and "))));
        }
        let helm = &hooks.helm.events;
        let both = |one, other| helm.contains(&one) && helm.contains(&other);
        if both(HelmEvent::PreInstall, HelmEvent::PostInstall)
            || both(HelmEvent::PreUpgrade, HelmEvent::PostUpgrade)
        {
            return Some((HELM_HOOK, "runs before and after the same release".to_owned()));
        }
        if self.argo_cd && key == ARGO_HOOK && disagree(&argo, helm) {
            return Some((
                ARGO_HOOK,
                "runs before the rollout under one of Argo CD and Helm, and after it under the other"
                    .to_owned(),
            ));
        }
        None
    }
}

/// The phases of a sync that goes well.
fn is_of_a_sync(phase: ArgoPhase) -> bool {
    matches!(phase, ArgoPhase::PreSync | ArgoPhase::Sync | ArgoPhase::PostSync)
}

/// True when one engine runs it only before and the other only after. `Sync` is between the two
/// and disagrees with neither.
fn disagree(argo: &[ArgoPhase], helm: &[HelmEvent]) -> bool {
    let helm_before =
        helm.iter().any(|e| matches!(e, HelmEvent::PreInstall | HelmEvent::PreUpgrade));
    let helm_after =
        helm.iter().any(|e| matches!(e, HelmEvent::PostInstall | HelmEvent::PostUpgrade));
    let before = argo.contains(&ArgoPhase::PreSync);
    let after = argo.contains(&ArgoPhase::PostSync);
    (before && helm_after && !helm_before) || (after && helm_before && !helm_after)
}
