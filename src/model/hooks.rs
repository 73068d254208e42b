//! Hooks, delete policies and waves, as Argo CD and as Helm read them.
//!
//! The two engines disagree on the same annotations, so they are read apart and can be asked
//! apart: [`ArgoHook`] is what Argo CD does with the object, [`HelmHook`] what `helm install` does.
//! Argo CD also reads Helm's annotations, from any manifest, by rules of its own.
//!
//! **Source:** argo-cd `gitops-engine/pkg/sync/{hook,syncwaves}`, helm
//! `pkg/release/v1/util/manifest_sorter.go`.

use super::StringMap;

const ARGO_HOOK: &str = "argocd.argoproj.io/hook";
const ARGO_DELETE_POLICY: &str = "argocd.argoproj.io/hook-delete-policy";
const ARGO_WAVE: &str = "argocd.argoproj.io/sync-wave";
const HELM_HOOK: &str = "helm.sh/hook";
const HELM_DELETE_POLICY: &str = "helm.sh/hook-delete-policy";
const HELM_WEIGHT: &str = "helm.sh/hook-weight";

/// What both engines make of one object's annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// As Argo CD reads them.
    pub argo: ArgoHook,
    /// As Helm reads them.
    pub helm: HelmHook,
}

impl Hooks {
    /// Reads the annotations of an object.
    pub fn parse(annotations: &StringMap<'_>) -> Self {
        let keys =
            [ARGO_HOOK, ARGO_DELETE_POLICY, ARGO_WAVE, HELM_HOOK, HELM_DELETE_POLICY, HELM_WEIGHT];
        let relevant = keys.iter().any(|key| annotations.get(key).is_some());
        if !relevant {
            return Self::default();
        }
        Self { argo: ArgoHook::parse(annotations), helm: HelmHook::parse(annotations) }
    }

    /// True when either engine runs the object as a hook of a sync, install or upgrade.
    pub fn is_hook(&self) -> bool {
        !self.argo.phases.is_empty() || !self.helm.events.is_empty()
    }
}

/// A phase of an Argo CD sync or deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArgoPhase {
    /// Before everything else.
    PreSync,
    /// With the ordinary resources.
    Sync,
    /// After every resource is healthy.
    PostSync,
    /// After a failed sync.
    SyncFail,
    /// Before the Application's resources are deleted (Argo CD 3.3 and later).
    PreDelete,
    /// After they are gone (Argo CD 2.10 and later).
    PostDelete,
}

impl ArgoPhase {
    /// The word in the annotation.
    pub fn word(self) -> &'static str {
        match self {
            Self::PreSync => "PreSync",
            Self::Sync => "Sync",
            Self::PostSync => "PostSync",
            Self::SyncFail => "SyncFail",
            Self::PreDelete => "PreDelete",
            Self::PostDelete => "PostDelete",
        }
    }

    /// The phase that Argo CD runs a Helm event in; `None` for events that it ignores.
    fn from_helm(event: &str) -> Option<Self> {
        match event {
            "pre-install" | "pre-upgrade" => Some(Self::PreSync),
            "post-install" | "post-upgrade" => Some(Self::PostSync),
            "pre-delete" => Some(Self::PreDelete),
            "post-delete" => Some(Self::PostDelete),
            _ => None,
        }
    }
}

/// When a hook object is deleted, in Argo CD's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeletePolicy {
    /// Before the next run creates it again.
    BeforeHookCreation,
    /// After the whole sync succeeded.
    HookSucceeded,
    /// After the whole sync failed.
    HookFailed,
}

impl DeletePolicy {
    fn from_argo(word: &str) -> Option<Self> {
        match word {
            "BeforeHookCreation" => Some(Self::BeforeHookCreation),
            "HookSucceeded" => Some(Self::HookSucceeded),
            "HookFailed" => Some(Self::HookFailed),
            _ => None,
        }
    }

    fn from_helm(word: &str) -> Option<Self> {
        match word {
            "before-hook-creation" => Some(Self::BeforeHookCreation),
            "hook-succeeded" => Some(Self::HookSucceeded),
            "hook-failed" => Some(Self::HookFailed),
            _ => None,
        }
    }
}

/// A word that an engine does not know, and the nearest one that it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    /// The annotation it stands in.
    pub key: &'static str,
    /// The word as written; empty when the annotation is.
    pub word: String,
    /// The nearest known word, if one is near.
    pub nearest: Option<&'static str>,
    /// True when nothing else can have been meant than the nearest: it differs by its case, by a
    /// hyphen or by a slip of the hand, and no other word is nearly as near.
    pub is_slip: bool,
}

impl UnknownWord {
    /// The word that was meant, where only one can have been.
    pub fn meant(&self) -> Option<&'static str> {
        self.nearest.filter(|_| self.is_slip)
    }
}

/// Where the wave came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaveSource {
    /// Nothing set it: 0.
    #[default]
    Default,
    /// `argocd.argoproj.io/sync-wave`.
    SyncWave,
    /// `helm.sh/hook-weight`, which Argo CD reads when there is no valid `sync-wave`.
    HookWeight,
}

/// What Argo CD does with an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArgoHook {
    /// The phases it runs in as a hook, sorted; empty for an ordinary resource.
    pub phases: Vec<ArgoPhase>,
    /// True when the object is removed from the desired state without a word: it has a hook
    /// annotation in which no value is known.
    pub dropped: bool,
    /// True when it is `Skip` alone: not applied, not compared, not pruned.
    pub skipped: bool,
    /// True when the phases come from `helm.sh/hook`.
    pub from_helm: bool,
    /// Words of Argo CD's own annotations that it does not know and therefore ignores.
    pub unknown: Vec<UnknownWord>,
    /// The union of both annotations' policies; `BeforeHookCreation` when none is valid.
    pub delete_policies: Vec<DeletePolicy>,
    /// The wave inside the phase.
    pub wave: i64,
    /// Where the wave came from.
    pub wave_source: WaveSource,
    /// Wave annotations that do not parse, and are silently passed over.
    pub invalid_waves: Vec<&'static str>,
}

const ARGO_HOOK_WORDS: [&str; 7] =
    ["PreSync", "Sync", "PostSync", "SyncFail", "Skip", "PreDelete", "PostDelete"];
const ARGO_DELETE_WORDS: [&str; 3] = ["BeforeHookCreation", "HookSucceeded", "HookFailed"];

impl ArgoHook {
    fn parse(annotations: &StringMap<'_>) -> Self {
        let argo = annotations.get(ARGO_HOOK);
        let helm = annotations.get(HELM_HOOK);
        let mut hook = Self::default();
        hook.read_phases(argo, helm);
        hook.read_delete_policies(annotations);
        hook.read_wave(annotations);
        hook
    }

    /// The classification of gitops-engine, step by step in its order.
    fn read_phases(&mut self, argo: Option<&str>, helm: Option<&str>) {
        let argo_words: Vec<&str> = argo.map(items).unwrap_or_default();
        let helm_words: Vec<&str> = helm.map(items).unwrap_or_default();
        let mut skip = false;
        let mut any_argo_type = false;
        for word in &argo_words {
            let phase = match *word {
                "PreSync" => Some(ArgoPhase::PreSync),
                "Sync" => Some(ArgoPhase::Sync),
                "PostSync" => Some(ArgoPhase::PostSync),
                "SyncFail" => Some(ArgoPhase::SyncFail),
                "Skip" => {
                    skip = true;
                    None
                }
                "PreDelete" | "PostDelete" => continue,
                other => {
                    self.unknown.push(unknown(ARGO_HOOK, other, &ARGO_HOOK_WORDS));
                    continue;
                }
            };
            any_argo_type = true;
            self.phases.extend(phase);
        }
        if !any_argo_type {
            let sync_phase = |word: &&str| {
                ArgoPhase::from_helm(word)
                    .filter(|phase| !matches!(phase, ArgoPhase::PreDelete | ArgoPhase::PostDelete))
            };
            self.phases.extend(helm_words.iter().filter_map(sync_phase));
            self.from_helm = !self.phases.is_empty();
        }
        let is_hook = match (argo, helm) {
            (Some(_), _) => !(skip && self.phases.is_empty()),
            (None, Some(value)) => value != "crd-install",
            (None, None) => false,
        };
        for (argo_word, helm_word, phase) in [
            ("PreDelete", "pre-delete", ArgoPhase::PreDelete),
            ("PostDelete", "post-delete", ArgoPhase::PostDelete),
        ] {
            if argo_words.contains(&argo_word) {
                self.phases.push(phase);
                self.from_helm = false;
            } else if helm_words.contains(&helm_word) {
                self.from_helm |= self.phases.is_empty();
                self.phases.push(phase);
            }
        }
        self.phases.sort_unstable();
        self.phases.dedup();
        self.skipped = !is_hook && skip;
        self.dropped = is_hook && self.phases.is_empty();
        if self.dropped && argo.is_some_and(|_| argo_words.is_empty()) {
            self.unknown.push(unknown(ARGO_HOOK, "", &ARGO_HOOK_WORDS));
        }
    }

    fn read_delete_policies(&mut self, annotations: &StringMap<'_>) {
        for word in annotations.get(ARGO_DELETE_POLICY).map(items).unwrap_or_default() {
            match DeletePolicy::from_argo(word) {
                Some(policy) => self.delete_policies.push(policy),
                None => self.unknown.push(unknown(ARGO_DELETE_POLICY, word, &ARGO_DELETE_WORDS)),
            }
        }
        let helm = annotations.get(HELM_DELETE_POLICY).map(items).unwrap_or_default();
        self.delete_policies.extend(helm.into_iter().filter_map(DeletePolicy::from_helm));
        if self.delete_policies.is_empty() {
            self.delete_policies.push(DeletePolicy::BeforeHookCreation);
        }
        self.delete_policies.sort_unstable();
        self.delete_policies.dedup();
    }

    fn read_wave(&mut self, annotations: &StringMap<'_>) {
        for (key, source) in
            [(ARGO_WAVE, WaveSource::SyncWave), (HELM_WEIGHT, WaveSource::HookWeight)]
        {
            let Some(text) = annotations.get(key) else { continue };
            match atoi(text) {
                Some(wave) if self.wave_source == WaveSource::Default => {
                    self.wave = wave;
                    self.wave_source = source;
                }
                Some(_) => {}
                None => self.invalid_waves.push(key),
            }
        }
    }

    /// True when the next run deletes what an earlier one left.
    pub fn is_replaced(&self) -> bool {
        self.delete_policies.contains(&DeletePolicy::BeforeHookCreation)
    }
}

/// An event that Helm runs hooks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HelmEvent {
    /// Before the first installation.
    PreInstall,
    /// After it.
    PostInstall,
    /// Before an upgrade.
    PreUpgrade,
    /// After it.
    PostUpgrade,
    /// Before a release is uninstalled.
    PreDelete,
    /// After it.
    PostDelete,
    /// Before a rollback.
    PreRollback,
    /// After it.
    PostRollback,
    /// `helm test`.
    Test,
}

impl HelmEvent {
    fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "pre-install" => Self::PreInstall,
            "post-install" => Self::PostInstall,
            "pre-upgrade" => Self::PreUpgrade,
            "post-upgrade" => Self::PostUpgrade,
            "pre-delete" => Self::PreDelete,
            "post-delete" => Self::PostDelete,
            "pre-rollback" => Self::PreRollback,
            "post-rollback" => Self::PostRollback,
            "test" | "test-success" => Self::Test,
            _ => return None,
        })
    }
}

const HELM_HOOK_WORDS: [&str; 10] = [
    "pre-install",
    "post-install",
    "pre-upgrade",
    "post-upgrade",
    "pre-delete",
    "post-delete",
    "pre-rollback",
    "post-rollback",
    "test",
    "test-success",
];
const HELM_DELETE_WORDS: [&str; 3] = ["before-hook-creation", "hook-succeeded", "hook-failed"];

/// What Helm does with an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HelmHook {
    /// True when there is a `helm.sh/hook` annotation.
    pub present: bool,
    /// The events it runs at, sorted; empty for an ordinary resource or a discarded manifest.
    pub events: Vec<HelmEvent>,
    /// True when Helm leaves the whole manifest out, because one event is unknown.
    pub discarded: bool,
    /// Words that Helm does not know: of `hook`, which discard the manifest, and of
    /// `hook-delete-policy`, which disable the default policy.
    pub unknown: Vec<UnknownWord>,
    /// Delete policies that Helm knows. `BeforeHookCreation` when the annotation has no item.
    pub delete_policies: Vec<DeletePolicy>,
    /// `helm.sh/hook-weight`; 0 when absent or invalid.
    pub weight: i64,
    /// True when the weight does not parse.
    pub invalid_weight: bool,
}

impl HelmHook {
    fn parse(annotations: &StringMap<'_>) -> Self {
        let Some(value) = annotations.get(HELM_HOOK) else { return Self::default() };
        let mut hook = Self { present: true, ..Self::default() };
        for word in value.split(',').map(|word| word.trim().to_lowercase()) {
            match HelmEvent::from_word(&word) {
                Some(event) => hook.events.push(event),
                None => hook.unknown.push(unknown(HELM_HOOK, &word, &HELM_HOOK_WORDS)),
            }
        }
        hook.discarded = !hook.unknown.is_empty();
        if hook.discarded {
            hook.events.clear();
        }
        hook.events.sort_unstable();
        hook.events.dedup();
        match annotations.get(HELM_DELETE_POLICY) {
            None => hook.delete_policies.push(DeletePolicy::BeforeHookCreation),
            Some(value) => {
                for word in value.split(',').map(|word| word.trim().to_lowercase()) {
                    match DeletePolicy::from_helm(&word) {
                        Some(policy) => hook.delete_policies.push(policy),
                        None => hook.unknown.push(unknown(
                            HELM_DELETE_POLICY,
                            &word,
                            &HELM_DELETE_WORDS,
                        )),
                    }
                }
            }
        }
        if let Some(text) = annotations.get(HELM_WEIGHT) {
            hook.weight = atoi(text).unwrap_or(0);
            hook.invalid_weight = atoi(text).is_none();
        }
        hook
    }

    /// True when the next run deletes what an earlier one left.
    pub fn is_replaced(&self) -> bool {
        self.delete_policies.contains(&DeletePolicy::BeforeHookCreation)
    }
}

/// The items of a list as Argo CD splits it: trimmed, empty ones left out.
fn items(value: &str) -> Vec<&str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
}

/// Go's `strconv.Atoi`, whose language `i64::from_str` shares: sign, decimal digits, nothing else.
fn atoi(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn unknown(key: &'static str, word: &str, known: &'static [&'static str]) -> UnknownWord {
    let plain = |text: &str| text.replace(['-', '_'], "").to_lowercase();
    let distance = |candidate: &str| strsim::damerau_levenshtein(&plain(candidate), &plain(word));
    let mut near: Vec<(usize, &'static str)> =
        known.iter().map(|candidate| (distance(candidate), *candidate)).collect();
    near.sort_unstable();
    let (best, second) = (near.first().copied(), near.get(1).copied());
    let nearest = best.filter(|(distance, word)| distance.saturating_mul(3) <= word.len());
    let is_slip = nearest.zip(second).is_some_and(|((nearest, _), (second, _))| {
        let margin = second.saturating_sub(nearest);
        nearest == 0 || (nearest <= 2 && margin >= 2) || margin >= 4
    });
    UnknownWord { key, word: word.to_owned(), nearest: nearest.map(|(_, word)| word), is_slip }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Text;

    fn hooks(entries: &[(&'static str, &'static str)]) -> Hooks {
        let entries =
            entries.iter().map(|(key, value)| (Text::from(*key), Text::from(*value))).collect();
        Hooks::parse(&StringMap::from_entries(entries).unwrap())
    }

    #[test]
    fn argo_is_case_sensitive_and_drops_what_it_does_not_know() {
        for value in ["presync", "Presync", "pre-install", "", " , "] {
            let argo = hooks(&[(ARGO_HOOK, value)]).argo;
            assert!(argo.dropped, "{value:?}");
            assert_eq!(argo.phases, [], "{value:?}");
        }
        let argo = hooks(&[(ARGO_HOOK, "PreSync,Garbage")]).argo;
        assert_eq!(argo.phases, [ArgoPhase::PreSync]);
        assert!(!argo.dropped);
        assert_eq!(argo.unknown.len(), 1);
    }

    #[test]
    fn a_mis_cased_word_names_its_nearest() {
        let argo = hooks(&[(ARGO_HOOK, "pre-sync")]).argo;
        assert_eq!(argo.unknown[0].nearest, Some("PreSync"));
        let helm = hooks(&[(HELM_HOOK, "pre-instal")]).helm;
        assert_eq!(helm.unknown[0].nearest, Some("pre-install"));
        let argo = hooks(&[(ARGO_HOOK, "bananas")]).argo;
        assert_eq!(argo.unknown[0].nearest, None);
    }

    #[test]
    fn a_slip_is_told_from_a_guess() {
        for (key, word, meant) in [
            (ARGO_HOOK, "presync", Some("PreSync")),
            (ARGO_HOOK, "pre-sync", Some("PreSync")),
            (ARGO_HOOK, "PreSnyc", Some("PreSync")),
            (ARGO_HOOK, "sync_fail", Some("SyncFail")),
            (ARGO_HOOK, "Synch", Some("Sync")),
            (ARGO_HOOK, "PSync", None),
            (ARGO_HOOK, "posync", None),
            (ARGO_HOOK, "pre-install", None),
            (HELM_HOOK, "pre-instal", Some("pre-install")),
            (HELM_HOOK, "preupgrade", Some("pre-upgrade")),
            (HELM_HOOK, "install", None),
            (HELM_HOOK, "rollback", None),
            (HELM_HOOK, "tests", Some("test")),
            (ARGO_HOOK, "SyncFailed", Some("SyncFail")),
            (ARGO_DELETE_POLICY, "hook-succeded", Some("HookSucceeded")),
        ] {
            let hooks = hooks(&[(key, word)]);
            let unknown = hooks.argo.unknown.iter().chain(&hooks.helm.unknown).next().unwrap();
            assert_eq!(unknown.meant(), meant, "{word}");
        }
    }

    #[test]
    fn helm_lower_cases_and_one_unknown_event_discards_the_manifest() {
        let helm = hooks(&[(HELM_HOOK, "Pre-Install, PRE-UPGRADE")]).helm;
        assert_eq!(helm.events, [HelmEvent::PreInstall, HelmEvent::PreUpgrade]);
        let helm = hooks(&[(HELM_HOOK, "pre-install,pre-sync")]).helm;
        assert!(helm.discarded);
        assert_eq!(helm.events, []);
        assert!(hooks(&[(HELM_HOOK, "")]).helm.discarded);
        assert!(hooks(&[(HELM_HOOK, "crd-install")]).helm.discarded);
    }

    #[test]
    fn valid_argo_words_win_over_helm_but_garbage_falls_back() {
        let both = hooks(&[(ARGO_HOOK, "PostSync"), (HELM_HOOK, "pre-install")]).argo;
        assert_eq!(both.phases, [ArgoPhase::PostSync]);
        let fallback = hooks(&[(ARGO_HOOK, "garbage"), (HELM_HOOK, "pre-install")]).argo;
        assert_eq!(fallback.phases, [ArgoPhase::PreSync]);
        assert!(fallback.from_helm && !fallback.dropped);
    }

    #[test]
    fn delete_phases_are_read_from_either_annotation() {
        let argo = hooks(&[(ARGO_HOOK, "PreDelete"), (HELM_HOOK, "pre-install")]).argo;
        assert_eq!(argo.phases, [ArgoPhase::PreSync, ArgoPhase::PreDelete]);
        let argo = hooks(&[(HELM_HOOK, "post-delete")]).argo;
        assert_eq!(argo.phases, [ArgoPhase::PostDelete]);
        assert!(argo.from_helm && !argo.dropped);
        for (argo, helm) in [("PreDelete", "post-delete"), ("PreSync", "pre-delete")] {
            assert!(
                !hooks(&[(ARGO_HOOK, argo), (HELM_HOOK, helm)]).argo.from_helm,
                "{argo} {helm}"
            );
        }
    }

    #[test]
    fn skip_alone_skips_and_with_others_does_nothing() {
        let alone = hooks(&[(ARGO_HOOK, "Skip")]).argo;
        assert!(alone.skipped && !alone.dropped);
        let with = hooks(&[(ARGO_HOOK, "Skip,PreSync")]).argo;
        assert_eq!(with.phases, [ArgoPhase::PreSync]);
        assert!(!with.skipped);
    }

    #[test]
    fn helm_tests_and_rollbacks_are_dropped_by_argo() {
        for value in ["test", "test-success", "pre-rollback"] {
            let hooks = hooks(&[(HELM_HOOK, value)]);
            assert!(hooks.argo.dropped, "{value}");
            assert!(!hooks.helm.discarded, "{value}");
        }
        assert!(!hooks(&[(HELM_HOOK, "crd-install")]).argo.dropped);
    }

    #[test]
    fn delete_policies_are_a_union_for_argo_and_a_typo_disables_helms_default() {
        let both = hooks(&[
            (ARGO_HOOK, "PreSync"),
            (ARGO_DELETE_POLICY, "HookSucceeded"),
            (HELM_HOOK, "pre-install"),
            (HELM_DELETE_POLICY, "before-hook-creation"),
        ]);
        assert_eq!(
            both.argo.delete_policies,
            [DeletePolicy::BeforeHookCreation, DeletePolicy::HookSucceeded]
        );
        let typo = hooks(&[(HELM_HOOK, "pre-install"), (HELM_DELETE_POLICY, "hook-success")]);
        assert!(!typo.helm.is_replaced());
        assert_eq!(typo.helm.unknown[0].nearest, Some("hook-succeeded"));
        assert!(typo.argo.is_replaced(), "Argo CD ignores the word and falls back to its default");
    }

    #[test]
    fn waves_follow_atoi_and_fall_back_to_the_weight() {
        for (wave, weight, want, source) in [
            (Some("-1"), None, -1, WaveSource::SyncWave),
            (Some("+7"), None, 7, WaveSource::SyncWave),
            (Some("1.0"), None, 0, WaveSource::Default),
            (Some(" 1"), Some("5"), 5, WaveSource::HookWeight),
            (Some("2"), Some("5"), 2, WaveSource::SyncWave),
            (None, Some("1_000"), 0, WaveSource::Default),
        ] {
            let mut entries = Vec::new();
            entries.extend(wave.map(|wave| (ARGO_WAVE, wave)));
            entries.extend(weight.map(|weight| (HELM_WEIGHT, weight)));
            let argo = hooks(&entries).argo;
            assert_eq!((argo.wave, argo.wave_source), (want, source), "{wave:?} {weight:?}");
        }
    }
}
