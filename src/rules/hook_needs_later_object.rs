//! `hook-needs-later-object`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Findings, Level, Place, Rule, SetContext, SetFindings, Topic, configure, example,
    parameters,
};
use crate::{
    model::{Container, PodTemplate},
    plan::{self, Engine, Member, Release, Rollout, Run, Step, references},
};

pub(super) static RULE: Rule = Rule {
    id: "hook-needs-later-object",
    summary: "a Job starts before the release creates what it refers to",
    why: "A Pod does not start until every ConfigMap, Secret, ServiceAccount and claim that it names is \
          there, and a PreSync or `pre-install` hook runs before the ordinary objects of the release \
          are created. On a first installation it waits until its deadline, or for ever. Later \
          releases find what the last one left, so the hook runs with the settings of the old \
          release. The same goes for a database that is part of the release.",
    fix: "Move the Job into the sync: `argocd.argoproj.io/hook: Sync` with a wave between what it needs \
          and the application. Or give the Job an object of its own that is a hook as well, in a \
          lower wave (`helm.sh/hook-weight` with Helm). A database belongs into a release of its own, \
          or into a lower wave.",
    sources: &[
        "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/",
        "https://helm.sh/docs/topics/charts_hooks/#writing-a-hook",
        "https://github.com/argoproj/argo-cd/issues/9891",
        "https://github.com/argoproj/argo-cd/issues/7536",
    ],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Hooks,
    places: Place::RELEASE,
    example: example!("hook-needs-later-object"),
    configure: configure::<HookNeedsLaterObject>,
    parameters: parameters::<HookNeedsLaterObject>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct HookNeedsLaterObject {}

impl Check for HookNeedsLaterObject {
    fn check_set(&self, context: &SetContext<'_>, findings: &mut SetFindings) {
        let release = context.release;
        let stores: Vec<(usize, &Member<'_>)> =
            release.members.iter().enumerate().filter(|(_, it)| it.is_data_store()).collect();
        // An upgrade finds what the release before it left.
        for run in release.runs.iter().filter(|run| run.rollout != Rollout::Upgrade) {
            for (index, member) in release.members.iter().enumerate() {
                if !member.runs_to_completion() || !member.is_ours() {
                    continue;
                }
                let Some(step) = run.steps_of(index).next() else { continue };
                for template in &member.object.templates {
                    references_of(release, run, (member, step), template, findings.on(index));
                }
                if member.is_migration_step() {
                    databases_of(run, (member, step), &stores, findings.on(index));
                }
            }
        }
    }
}

/// What a template refers to by name.
fn references_of(
    release: &Release<'_>,
    run: &Run,
    (member, step): (&Member<'_>, &Step),
    template: &PodTemplate<'_>,
    findings: &mut Findings,
) {
    for reference in references(template).into_iter().filter(|reference| !reference.optional) {
        let providers = release.providers(member.namespace, &reference);
        // What is in no step of this rollout was there before it.
        let steps: Vec<(&Member<'_>, &Step)> =
            providers.filter_map(|(index, it)| Some((it, run.steps_of(index).next()?))).collect();
        let is_later =
            |(_, made): &(&Member<'_>, &Step)| release.place(step, made) != plan::Place::After;
        let Some((provider, made)) = steps.first() else { continue };
        if made.batch == step.batch || !steps.iter().all(is_later) {
            continue;
        }
        let (subject, kind) = (provider.subject(), &provider.object.kind);
        findings.object(
            &RULE,
            reference.path.as_str(),
            &subject,
            format!("it refers to {subject}, which is created later: in {}", run.when(made)),
            match release.engine {
                Engine::ArgoCd => format!(
                    "run the Job in the sync, in a wave after the {kind}, or give it one of its own as a hook in a lower wave"
                ),
                Engine::Helm => {
                    format!("give it a {kind} of its own as a hook with a lower weight")
                }
            },
        );
    }
}

/// The databases of the release that a text in the containers names. That a database is somewhere
/// in the release says nothing: it may be of another part.
fn databases_of(
    run: &Run,
    (member, step): (&Member<'_>, &Step),
    stores: &[(usize, &Member<'_>)],
    findings: &mut Findings,
) {
    for (index, store) in stores {
        let name = store.object.metadata.name.as_str();
        let (true, Some(made)) = (store.namespace == member.namespace, run.steps_of(*index).next())
        else {
            continue;
        };
        if made.batch <= step.batch || name.is_empty() {
            continue;
        }
        let mut containers = member.migrations().map(|migration| migration.container);
        if let Some(field) = containers.find_map(|container| names(container, name)) {
            findings.object(
                &RULE,
                field,
                store.subject(),
                format!(
                    "it connects to {}, which is created later: in {}; a first installation waits for it in vain",
                    store.subject(),
                    run.when(made)
                ),
                match run.rollout {
                    Rollout::Sync => "run the Job in the sync, in a wave after the database, or keep the database in a release of its own",
                    Rollout::Install | Rollout::Upgrade => "make it a post-install,pre-upgrade hook, or keep the database in a release of its own",
                },
            );
        }
    }
}

/// The field of a container in which a host of this name stands.
fn names(container: &Container<'_>, host: &str) -> Option<String> {
    for (field, words) in [("command", &container.command), ("args", &container.args)] {
        if words.iter().any(|word| has_host(word, host)) {
            return Some(format!("{}.{field}", container.path));
        }
    }
    let mut variables = container.env.iter().enumerate();
    variables.find_map(|(index, variable)| {
        let value = variable.value.as_deref()?;
        has_host(value, host).then(|| format!("{}.env[{index}]", container.path))
    })
}

/// True when `text` has `host` in it as a whole name: `db` is in `postgres://db:5432/shop` and in
/// `db.shop.svc`, and not in `shop-db`.
fn has_host(text: &str, host: &str) -> bool {
    let part = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(host) {
        // After one slash stands a path.
        let is_url = before.ends_with("//");
        let starts = is_url || !before.ends_with(|char| part(char) || matches!(char, '.' | '/'));
        if starts && !after.starts_with(part) && (is_url || !after.starts_with('/')) {
            return true;
        }
        rest = after;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_whole_name() {
        for (text, is) in [
            ("shop-db", true),
            ("postgres://user@shop-db:5432/shop", true),
            ("jdbc:postgresql://shop-db/shop", true),
            ("--host=shop-db.shop.svc", true),
            ("my-shop-db", false),
            ("shop-db-2", false),
            ("pg.shop-db", false),
            ("/var/lib/shop-db", false),
            ("shop-db/migrations", false),
            ("shop-db-2 shop-db", true),
            ("", false),
        ] {
            assert_eq!(has_host(text, "shop-db"), is, "{text}");
        }
    }
}
