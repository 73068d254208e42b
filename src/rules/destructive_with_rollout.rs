//! `destructive-with-rollout`

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Findings, Level, Place, Rule, SetContext, SetFindings, Topic, configure, example,
    fingerprint, kind_of, parameters,
};
use crate::{
    detect::Operation,
    plan::{Member, Release},
};

pub(super) static RULE: Rule = Rule {
    id: "destructive-with-rollout",
    summary: "a destructive step and a change of the code are in one release",
    why: "While a release rolls out, old and new Pods run side by side, and after a rollback the old \
          ones run alone. What the old code still reads must be there until no Pod of it is left: \
          first a release without the code that needs it, then, when nobody would go back any more, \
          a release of its own that removes it.",
    fix: "Roll out the code first. Bring the destructive step in a later release that changes nothing \
          else.",
    sources: &[
        "https://martinfowler.com/bliki/ParallelChange.html",
        "https://docs.gitlab.com/development/database/avoiding_downtime_in_migrations/",
    ],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Destructive,
    places: Place::RELEASE,
    example: example!("destructive-with-rollout"),
    configure: configure::<DestructiveWithRollout>,
    parameters: parameters::<DestructiveWithRollout>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct DestructiveWithRollout {}

impl Check for DestructiveWithRollout {
    fn check_set(&self, context: &SetContext<'_>, findings: &mut SetFindings) {
        let release = context.release;
        let before = context.before.map(by_identity);
        for (index, member) in release.migrations() {
            // What is declared can only raise what was found.
            let operation = member.migrates().max(member.declares());
            let Some(operation) = operation.filter(|operation| removes(*operation)) else {
                continue;
            };
            if !release.has_dependents(member) {
                continue;
            }
            let found = findings.on(index);
            let Some(before) = &before else {
                found.undecided(&RULE, "spec", "the release before this one is not known");
                continue;
            };
            let old = before.get(&member.identity());
            if old.is_some_and(|old| runs(old) == runs(member)) {
                // It is not of this release.
                continue;
            }
            let dependents = release.dependents(member);
            let applications = dependents.iter().filter_map(|index| release.members.get(*index));
            if let Some(changed) = applications.into_iter().find(|it| is_changed(it, before)) {
                report(member, operation, changed, found);
            }
        }
    }
}

type Before<'b> = BTreeMap<(&'b str, &'b str, &'b str, &'b str), &'b Member<'b>>;

fn by_identity<'b>(release: &'b Release<'b>) -> Before<'b> {
    release.members.iter().map(|member| (member.identity(), member)).collect()
}

/// True for what takes something away that running code may need.
fn removes(operation: Operation) -> bool {
    matches!(operation, Operation::Destructive | Operation::Contract)
}

/// What a member runs against a database.
fn runs(member: &Member<'_>) -> Vec<String> {
    member.migrations().map(fingerprint).collect()
}

/// True when an application runs another image than before, or is new.
fn is_changed(application: &Member<'_>, before: &Before<'_>) -> bool {
    let old = before.get(&application.identity());
    old.is_none_or(|old| !old.images().eq(application.images()))
}

fn report(
    member: &Member<'_>,
    operation: Operation,
    changed: &Member<'_>,
    findings: &mut Findings,
) {
    let words = member.migrations().next().map(|migration| migration.main.words.as_str());
    let what = words.map_or_else(|| "it".to_owned(), |words| format!("`{words}`"));
    let declared = if member.migrates() < Some(operation) { "by its own declaration " } else { "" };
    findings.object(
        &RULE,
        "spec",
        changed.subject(),
        format!(
            "{what} is {declared}{} and is new in a release that changes the image of {}",
            kind_of(operation),
            changed.subject()
        ),
        "roll out the code first, and bring the step in a release of its own",
    );
}
