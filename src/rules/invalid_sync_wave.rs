//! `invalid-sync-wave`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Repair, Rule, Topic, configure, example, parameters,
};
use crate::model::WaveSource;

pub(super) static RULE: Rule = Rule {
    id: "invalid-sync-wave",
    summary: "a sync wave or hook weight is no whole number, and another one counts",
    why: "Argo CD reads a wave as a decimal integer and nothing else: no spaces, no `1.0`, no `1_000`. \
          What does not parse is passed over without a word; `helm.sh/hook-weight` counts instead, or \
          0. A backup that was meant for wave -1 then starts together with the migration that it was \
          to come before. Helm reads a weight in the same way and falls back to 0.",
    fix: "Write a whole number in quotes, such as `\"-1\"`, without spaces.",
    sources: &[
        "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/",
        "https://helm.sh/docs/topics/charts_hooks/",
        "https://github.com/argoproj/argo-cd/tree/master/gitops-engine/pkg/sync/syncwaves",
    ],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Hooks,
    places: Place::EVERYWHERE,
    example: example!("invalid-sync-wave"),
    configure: configure::<InvalidSyncWave>,
    parameters: parameters::<InvalidSyncWave>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct InvalidSyncWave {}

impl Check for InvalidSyncWave {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let argo = &context.object.hooks.argo;
        if argo.invalid_waves.is_empty() {
            return;
        }
        let wave = argo.wave;
        let instead = match argo.wave_source {
            WaveSource::Default => format!("it counts as {wave}"),
            WaveSource::SyncWave => format!("Helm counts it as 0, Argo CD takes sync-wave {wave}"),
            WaveSource::HookWeight => format!("the hook weight {wave} counts instead"),
        };
        for key in &argo.invalid_waves {
            let at = format!("metadata.annotations[{key}]");
            findings.object(
                &RULE,
                at.clone(),
                key,
                format!("the annotation is no whole number, and {instead}"),
                "write a whole number such as \"-1\", in quotes and without spaces",
            );
            let text = context.object.metadata.annotation(key).unwrap_or_default();
            if let Some(number) = whole_number(text) {
                findings.mended_by(Repair::set(at, number.to_string()));
            }
        }
    }
}

/// The whole number that people see in a text: `" -1"`, `1.0`, `1_000`, and `–1` with the dash of a
/// word processor.
fn whole_number(text: &str) -> Option<i64> {
    let plain = text.trim().replace('_', "").replace(['\u{2212}', '\u{2013}'], "-");
    let whole = match plain.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return None,
        None => plain.as_str(),
    };
    whole.parse().ok()
}
