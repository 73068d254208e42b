//! `missing-verification`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Level, Place, Rule, SetContext, SetFindings, Topic, configure, example, parameters,
};
use crate::plan::{self, Engine, Release, Rollout, Run, Stage};

pub(super) static RULE: Rule = Rule {
    id: "missing-verification",
    summary: "nothing checks the release after a migration",
    why: "That the Job ended well says that the statements ran, not that the application works with \
          what they left. A check after the rollout fails the sync while the reason is at hand: \
          smoke tests, a count of rows, the tool's own `status`.",
    fix: "Add a Job as PostSync hook (`helm.sh/hook: post-upgrade` with Helm) that asks the \
          application, or the database, whether all is well.",
    sources: &[
        "https://argo-cd.readthedocs.io/en/stable/user-guide/resource_hooks/",
        "https://helm.sh/docs/topics/charts_hooks/",
    ],
    since: "0.1.0",
    level: Level::Audit,
    topic: Topic::Hooks,
    places: Place::RELEASE,
    example: example!("missing-verification"),
    configure: configure::<MissingVerification>,
    parameters: parameters::<MissingVerification>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct MissingVerification {}

impl Check for MissingVerification {
    fn check_set(&self, context: &SetContext<'_>, findings: &mut SetFindings) {
        let release = context.release;
        for run in release.runs.iter().filter(|run| run.rollout != Rollout::Install) {
            let mut late: Vec<&plan::Step> = verifications(release, run).collect();
            late.sort_by_key(|step| std::cmp::Reverse(step.batch));
            let last = late.first().map(|step| step.batch);
            for (index, member) in release.migrations() {
                let Some(step) = run.steps_of(index).next() else { continue };
                let is_checked = last.is_some_and(|last| last > step.batch);
                if is_checked || !release.has_dependents(member) {
                    continue;
                }
                let (kind, mend) = match release.engine {
                    Engine::ArgoCd => {
                        ("PostSync", "add a PostSync hook Job that checks the release")
                    }
                    Engine::Helm => {
                        ("post-upgrade", "add a post-upgrade hook Job that checks the release")
                    }
                };
                findings.on(index).object(
                    &RULE,
                    "metadata.annotations",
                    kind,
                    format!("nothing checks the release afterwards: no {kind} Job does anything but migrate"),
                    mend,
                );
            }
        }
    }
}

/// The steps after the application that are neither a migration nor a backup.
fn verifications<'r>(
    release: &'r Release<'r>,
    run: &'r Run,
) -> impl Iterator<Item = &'r plan::Step> {
    let applications = release.members.iter().enumerate().filter(|(_, it)| it.is_application());
    let started = applications.flat_map(|(index, _)| run.steps_of(index)).map(|step| step.batch);
    let started = started.max();
    run.steps.iter().filter(move |step| {
        let member = release.members.get(step.member);
        let checks = member.is_some_and(|it| {
            it.runs_to_completion() && !it.is_migration_step() && !it.is_backup()
        });
        let late = step.stage == Stage::After
            || (step.stage == Stage::Resources && started.is_some_and(|batch| step.batch > batch));
        checks && late
    })
}
