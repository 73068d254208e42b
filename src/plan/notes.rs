//! What to know of a release that no rule refuses.

use std::collections::BTreeSet;

use super::{Engine, Member, Referenced, Release, Rollout, references};

/// Argo CD's own finalizer of hooks.
const HOOK_FINALIZER: &str = "argocd.argoproj.io/hook-finalizer";
/// The annotation with options of one object.
const SYNC_OPTIONS: &str = "argocd.argoproj.io/sync-options";
/// The longest name of a Job that its Pods can carry as a label.
const MAX_NAME: usize = 63;
/// Characters that Argo CD adds to `generateName`, without the phase: seven of the revision, two
/// hyphens and the seconds since 1970.
const ADDED: usize = 19;
/// `helm --timeout`, unless it is given, in seconds.
const HELM_TIMEOUT: i64 = 300;

/// One thing to know of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The member that it is about; none where it is about all of them.
    pub member: Option<usize>,
    /// A word for it that stays the same, such as `no-sync-for-hooks`.
    pub id: &'static str,
    /// What is so: a sentence without its full stop.
    pub text: String,
}

impl Release<'_> {
    /// What to know of the release, by member.
    ///
    /// Sources: the issues and documents of Argo CD and Helm that `docs/traps.md` names.
    pub fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        self.note_sync(&mut notes);
        if self.has_hook_of_its_own() {
            let text = "a change of nothing but a hook starts no automatic sync: hooks do not count for \
                        whether the application is in sync";
            notes.push(Note { member: None, id: "no-sync-for-hooks", text: text.to_owned() });
        }
        for (index, member) in self.members.iter().enumerate() {
            let mut note = |id, text| notes.push(Note { member: Some(index), id, text });
            if member.is_hook() && self.engine == Engine::ArgoCd {
                foreign_finalizers(member, &mut note);
                generated_name(member, &mut note);
            }
            if !member.is_ours() || !member.runs_to_completion() {
                continue;
            }
            if self.is_replaced_by_every_sync(member) {
                note(
                    "runs-with-every-sync",
                    "`Force=true` and `Replace=true` make every sync delete and run it again, also one of \
                     self-heal"
                        .to_owned(),
                );
            }
            self.note_references(index, member, &mut note);
            let deadline = member.object.templates.iter().find_map(|it| it.job.as_ref());
            let deadline = deadline.and_then(|job| job.active_deadline_seconds);
            if let Some(seconds) = deadline.filter(|seconds| *seconds > HELM_TIMEOUT)
                && self.engine == Engine::Helm
                && member.is_hook()
            {
                note(
                    "longer-than-the-timeout-of-helm",
                    format!(
                        "it may run for {seconds} s, and Helm gives up after {HELM_TIMEOUT} s: give \
                         `--timeout`"
                    ),
                );
            }
        }
        notes
    }

    /// True when a hook that works with a database can change while nothing else does: it has an
    /// image that only hooks have.
    fn has_hook_of_its_own(&self) -> bool {
        let others = self.members.iter().filter(|member| !member.is_hook());
        let shared: BTreeSet<&str> = others.flat_map(Member::images).collect();
        let is_own = |member: &Member<'_>| {
            member.is_hook()
                && member.is_ours()
                && member.runs_to_completion()
                && member.images().any(|image| !shared.contains(image))
        };
        self.engine == Engine::ArgoCd && self.members.iter().any(is_own)
    }

    /// True for an ordinary Job that Argo CD deletes and creates again with every sync.
    fn is_replaced_by_every_sync(&self, member: &Member<'_>) -> bool {
        let own = member.object.metadata.annotation(SYNC_OPTIONS).unwrap_or_default();
        let has = |option: &str| {
            let mut own = own.split(',').map(str::trim);
            own.any(|own| own == option)
                || self.application.as_ref().is_some_and(|it| it.has_option(option))
        };
        self.engine == Engine::ArgoCd
            && member.is_job()
            && !member.is_hook()
            && has("Force=true")
            && has("Replace=true")
    }

    /// What the Argo CD application says about syncs.
    fn note_sync(&self, notes: &mut Vec<Note>) {
        let Some(application) = &self.application else { return };
        let mut note = |id, text: String| notes.push(Note { member: None, id, text });
        if application.prune {
            note(
                "prune-is-not-shown",
                "what is no longer among the manifests is deleted, the highest wave first; only the \
                 cluster knows what that is"
                    .to_owned(),
            );
        }
        let has_hook = self.migrations().any(|(_, member)| member.is_hook());
        if !has_hook {
            return;
        }
        if application.self_heal {
            note(
                "self-heal-runs-no-hooks",
                "self-heal, selective syncs and `argocd app rollback` apply objects without hooks: an \
                 application that checks its schema when it starts is safe from that"
                    .to_owned(),
            );
        }
        match application.retries() {
            Some(0) => {}
            Some(retries) => note(
                "retries-run-hooks-again",
                format!(
                    "a sync that fails is tried again {retries} times, and runs every hook again each time"
                ),
            ),
            None => note(
                "retries-run-hooks-again",
                "a sync that fails is tried again without limit, and runs every hook again each time"
                    .to_owned(),
            ),
        }
    }

    /// What a step refers to and the release does not have, and what it has and nobody waits for.
    fn note_references(
        &self,
        index: usize,
        member: &Member<'_>,
        note: &mut impl FnMut(&'static str, String),
    ) {
        let mut seen = BTreeSet::new();
        for reference in member.object.templates.iter().flat_map(references) {
            let is_standard = reference.kind == Referenced::ServiceAccount
                && reference.name == "default"
                || reference.name == "kube-root-ca.crt";
            let name = (reference.kind, reference.name);
            if reference.optional || is_standard || !seen.insert(name) {
                continue;
            }
            let mut providers = self.providers(member.namespace, &reference).peekable();
            if providers.peek().is_none() {
                note(
                    "must-exist",
                    format!(
                        "{}/{} is not among the manifests: it must be there before",
                        reference.kind.kind(),
                        reference.name
                    ),
                );
            }
            for (made, provider) in providers {
                let is_made_by_operator = *provider.object.kind != *reference.kind.kind();
                let together = self.runs.iter().any(|run| {
                    let mut own = run.steps_of(index);
                    own.any(|step| run.steps_of(made).any(|other| other.batch == step.batch))
                });
                if is_made_by_operator && together {
                    note(
                        "made-by-an-operator",
                        format!(
                            "it starts together with {}, which an operator makes its {} from: a lower \
                             wave waits for it",
                            provider.subject(),
                            reference.kind.kind()
                        ),
                    );
                }
            }
        }
    }

    /// The objects that Argo CD moves to where something needs them, with the time they get.
    pub fn moved(&self) -> impl Iterator<Item = (usize, String)> {
        let runs = self.runs.iter().filter(|run| run.rollout == Rollout::Sync);
        runs.flat_map(|run| {
            let moved = run.steps.iter().filter(|step| step.moved);
            moved.map(|step| (step.member, run.when(step)))
        })
    }
}

fn foreign_finalizers(member: &Member<'_>, note: &mut impl FnMut(&'static str, String)) {
    let finalizers = member.object.metadata.finalizers.iter();
    for finalizer in finalizers.filter(|it| it.as_str() != HOOK_FINALIZER) {
        note(
            "foreign-finalizer",
            format!(
                "the finalizer `{finalizer}` keeps Argo CD from replacing the hook until somebody else \
                 removes it"
            ),
        );
    }
}

fn generated_name(member: &Member<'_>, note: &mut impl FnMut(&'static str, String)) {
    let metadata = &member.object.metadata;
    let prefix = metadata.generate_name.as_str();
    if !metadata.name.is_empty() || prefix.is_empty() {
        return;
    }
    let phases = member.object.hooks.argo.phases.iter();
    let phase = phases.map(|phase| phase.word().len()).max().unwrap_or(0);
    let longest = MAX_NAME.saturating_sub(ADDED).saturating_sub(phase);
    if prefix.len() > longest {
        note(
            "long-generated-name",
            format!(
                "`generateName` has {} characters, and Argo CD adds so many that a Job takes no more \
                 than {longest}",
                prefix.len()
            ),
        );
    }
    if prefix.contains(['.', '_']) {
        note(
            "generated-name-with-dots",
            "`generateName` has a character that the host name of a Pod cannot have".to_owned(),
        );
    }
}
