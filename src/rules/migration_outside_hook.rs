//! `migration-outside-hook`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Rule, Topic, configure, example, job_migrations,
    parameters,
};
use crate::{
    detect::Operation,
    model::{ImageReference, Object, WorkloadKind},
};

/// With it, Flux deletes and creates again what it cannot change.
const FLUX_FORCE: &str = "kustomize.toolkit.fluxcd.io/force";
/// The shortest text of hexadecimal digits at the end of a name that is read as a hash.
const MIN_HASH: usize = 7;

pub(super) static RULE: Rule = Rule {
    id: "migration-outside-hook",
    summary: "a migration Job of one name is no hook of Argo CD or Helm",
    why: "The template of a Job cannot be changed. With the next image the apply fails with `field \
          is immutable`, or nothing happens at all because the Job is complete, and the release goes \
          on without its migration. Nothing puts an ordinary Job before the rollout either: Argo CD \
          applies Deployments before Jobs of the same wave, and Helm applies both at once. When the \
          Job is deleted, self-heal creates it again and the migration runs at any time.",
    fix: "Make it a hook: `argocd.argoproj.io/hook: PreSync`, or `helm.sh/hook: \
          pre-install,pre-upgrade`. A Job that has a new name in every release, such as one with the \
          tag of its image, is left alone, as is one that Flux replaces \
          (`kustomize.toolkit.fluxcd.io/force: enabled`), one with `generateName`, one that another \
          object owns, and what is done once and by hand: reverting, destroying, mending the tool's \
          own table.",
    sources: &[
        "https://kubernetes.io/docs/concepts/workloads/controllers/job/",
        "https://argo-cd.readthedocs.io/en/stable/user-guide/resource_hooks/",
        "https://fluxcd.io/flux/use-cases/running-jobs/",
        "https://github.com/kubernetes/kubernetes/issues/89657",
        "https://github.com/apache/airflow/issues/27561",
    ],
    since: "0.1.0",
    level: Level::Warn,
    topic: Topic::Placement,
    places: Place::EVERYWHERE,
    example: example!("migration-outside-hook"),
    configure: configure::<MigrationOutsideHook>,
    parameters: parameters::<MigrationOutsideHook>,
};

/// The rule's parameters.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct MigrationOutsideHook {
    /// Lets Jobs be no hook whose name changes with the release: it has the tag of the image in it,
    /// or ends with a hash or a number. The order is then for sync waves to keep.
    allow_release_names: bool,
}

impl Default for MigrationOutsideHook {
    fn default() -> Self {
        Self { allow_release_names: true }
    }
}

impl Check for MigrationOutsideHook {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let object = context.object;
        if object.workload != WorkloadKind::Job || is_hook(object) || is_made_anew(object) {
            return;
        }
        for (_job, migration) in job_migrations(context) {
            if !is_for_every_release(migration.operation()) {
                continue;
            }
            let name = &object.metadata.name;
            if self.allow_release_names && is_release_name(name, &migration.container.image) {
                continue;
            }
            findings.object(
                &RULE,
                "metadata.annotations",
                &migration.main.words,
                format!(
                    "the Job that runs `{}` is no hook: it cannot be changed, and nothing puts it \
                     before the rollout",
                    migration.main.words
                ),
                "annotate it as a PreSync or pre-install,pre-upgrade hook",
            );
        }
    }
}

/// True for what an engine runs as a hook, or was meant to: a wrong word is a finding of
/// `unknown-hook`, and what is skipped is run by hand.
fn is_hook(object: &Object<'_>) -> bool {
    let (argo, helm) = (&object.hooks.argo, &object.hooks.helm);
    object.hooks.is_hook() || argo.dropped || argo.skipped || helm.discarded
}

/// True for a Job that nobody applies twice: its name is made up, another object makes it, or Flux
/// deletes the old one first.
fn is_made_anew(object: &Object<'_>) -> bool {
    let metadata = &object.metadata;
    let forced = metadata.annotation(FLUX_FORCE);
    // Who writes an owner to get round this loses nothing but a hint: everything else is judged.
    (metadata.name.is_empty() && !metadata.generate_name.is_empty())
        || metadata.owner_references.iter().any(|owner| owner.controller)
        || forced.is_some_and(|value| value.eq_ignore_ascii_case("enabled"))
}

/// True for a name that speaks of a release.
fn is_release_name(name: &str, image: &str) -> bool {
    let tag = ImageReference::parse(image).tag.filter(|tag| *tag != "latest");
    // A dot and an underscore of a tag are usually written as dashes in a name.
    let plain = |text: &str| text.to_ascii_lowercase().replace(['.', '_', '+'], "-");
    let padded = format!("-{}-", plain(name));
    let has_tag = tag.is_some_and(|tag| padded.contains(&format!("-{}-", plain(tag))));
    let mut from_the_end = name.rsplit('-').filter(|_| name.contains('-'));
    let last = from_the_end.next().unwrap_or_default();
    // Helm's `.Release.Revision` often has a random end behind it.
    let number = [last, from_the_end.next().unwrap_or_default()]
        .iter()
        .any(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    let hash = last.len() >= MIN_HASH
        && last.bytes().all(|byte| byte.is_ascii_hexdigit())
        && last.bytes().any(|byte| byte.is_ascii_digit());
    // No name of Kubernetes has these, so something is put in their place before it is applied.
    let placeholder =
        name.bytes().any(|byte| byte.is_ascii_uppercase() || matches!(byte, b'$' | b'{' | b'_'));
    has_tag || number || hash || placeholder
}

/// True for what every release does. What reverts, destroys or mends the tool's own table is done
/// once, by hand and with an approval: there a hook would be the mistake.
fn is_for_every_release(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Apply | Operation::Declarative | Operation::Unknown | Operation::Contract
    )
}

#[cfg(test)]
mod tests {
    use super::is_release_name;

    #[test]
    fn a_release_name_has_the_tag_a_hash_or_a_number() {
        for (name, image, want) in [
            ("shop-migrate-1-4-2", "ghcr.io/example/shop:1.4.2", true),
            ("shop-v1.4.2-migrate", "shop:v1.4.2", true),
            ("migrate-3f2a1c9", "shop", true),
            ("migrate-12", "shop:12.1", true),
            ("migrate", "shop:1.4.2", false),
            ("migrate-latest", "shop:latest", false),
            ("migrate-defaced", "shop", false),
            ("migrate-db", "shop:b", false),
            ("1234567", "shop", false),
            ("shop-migrate-3-9hygj", "shop", true),
            ("shop-migrate-JOB_SUFFIX", "shop", true),
            ("shop-migrate-${TAG}", "shop", true),
        ] {
            assert_eq!(is_release_name(name, image), want, "{name} {image}");
        }
    }
}
