//! What is said of a step, in the same words in every format. Texts of manifests are in it as they
//! are: who writes them down has to make them harmless.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    detect::Operation,
    plan::{
        Engine, LeftOut, Rollout, Stage,
        report::{
            Approved, Attempts, Awaited, Backup, Basis, Deadline, Limits, NotApplied, ObjectName,
            Plan, PlanDiff, PlanNote, PlannedRun, PlannedStep, ReleaseRisk, Role, Shift, Wave,
            Work,
        },
    },
    render::text::plural,
};

/// The application, or a word for the objects that name none.
pub(super) fn name(name: Option<&str>) -> &str {
    name.unwrap_or("release")
}

/// `Argo CD, 6 objects in default`.
pub(super) fn subject(plan: &Plan) -> String {
    let objects = plural(plan.objects, "object", "objects");
    let mut namespaces: Vec<&str> =
        plan.steps().filter_map(|step| step.object.namespace.as_deref()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    let place = match namespaces.as_slice() {
        [] => String::new(),
        [one] => format!(" in {one}"),
        many => format!(" in {} namespaces", many.len()),
    };
    format!("{}, {objects}{place}", plan.engine.title())
}

/// What a release does to databases, and how sure that is.
pub(super) fn risk(risk: &ReleaseRisk) -> String {
    let mut text = match (risk.operation, &risk.object) {
        (Some(operation), Some(object)) => format!("{operation} ({object})"),
        (Some(operation), None) => operation.to_string(),
        (None, _) => "none: nothing is recognised as a migration".to_owned(),
    };
    if risk.unrecognised > 0 {
        let jobs = plural(risk.unrecognised, "Job or Pod", "Jobs and Pods");
        let _ = write!(text, "; what {jobs} will do is not known");
    }
    text
}

/// How often Argo CD tries; none with Helm, which tries once.
pub(super) fn retries(plan: &Plan) -> Option<String> {
    if plan.engine == Engine::Helm {
        return None;
    }
    Some(match &plan.application {
        None => {
            "not known: no Application is among the manifests (an automated sync is tried 6 times \
                 by default)"
                .to_owned()
        }
        Some(application) => match application.retries {
            None => format!("without limit (Application/{})", application.name),
            Some(0) => format!("none (Application/{})", application.name),
            Some(count) => format!("{count} (Application/{})", application.name),
        },
    })
}

/// `helm install and helm upgrade`.
pub(super) fn rollouts(run: &PlannedRun) -> String {
    let words: Vec<&str> = run
        .rollouts
        .iter()
        .map(|rollout| match rollout {
            Rollout::Sync => "sync",
            Rollout::Install => "helm install",
            Rollout::Upgrade => "helm upgrade",
        })
        .collect();
    words.join(" and ")
}

/// When a wave starts, after its place.
pub(super) fn when(wave: &Wave, run: &PlannedRun) -> String {
    let mut text = String::new();
    if wave.stage == Stage::OnFailure {
        text.push_str("only if something fails");
    } else if let Some(before) = wave.after.and_then(|number| run.waves.get(number.checked_sub(1)?))
    {
        let _ = write!(text, "after {}", before.place());
    } else if wave.number > 1 {
        text.push_str("without waiting for what is before");
    }
    if let [first, ..] = wave.not_awaited.as_slice() {
        let _ = write!(text, "; does not wait for step {first}");
        if wave.not_awaited.len() > 1 {
            let _ = write!(text, " and {} more", wave.not_awaited.len().saturating_sub(1));
        }
    }
    if wave.one_by_one && wave.steps.len() > 1 {
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}one after another");
    }
    text
}

/// `Kind/name`, with the namespace where the release spans several.
pub(super) fn object(object: &ObjectName, several: bool) -> String {
    match object.namespace.as_deref().filter(|_| several) {
        Some(namespace) => format!("{}/{namespace}/{}", object.kind, object.name),
        None => object.to_string(),
    }
}

/// True when the objects of a plan go to more than one namespace.
pub(super) fn is_spread(plan: &Plan) -> bool {
    let mut namespaces = plan.steps().filter_map(|step| step.object.namespace.as_deref());
    namespaces.next().is_some_and(|first| namespaces.any(|other| other != first))
}

/// What a step does, the most telling first: `apply with flyway`, or that nobody knows.
pub(super) fn does(step: &PlannedStep) -> String {
    let keeps_running = matches!(step.role, Role::Application | Role::DataStore);
    // What keeps running reads its database all the time.
    let tells = |work: &&Work| {
        work.is_certain() && !(keeps_running && work.operation == Operation::ReadOnly)
    };
    let mut work: Vec<&Work> = step.work.iter().filter(tells).collect();
    work.sort_by_key(|work| std::cmp::Reverse(work.operation));
    let mut parts: Vec<String> = Vec::new();
    if step.is_unrecognised() {
        parts.push("what it does is not known".to_owned());
    }
    for work in work {
        let part = one(work, step.role);
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    let hint = step.work.iter().filter(|work| !work.is_certain()).map(|work| work.operation).max();
    if let Some(hint) = hint.filter(|_| step.risk.is_none() && step.role != Role::Backup) {
        let what = match hint {
            Operation::ReadOnly => "a reader",
            Operation::Backup => "a backup",
            _ => "a migration",
        };
        parts.push(format!("a name hints at {what}"));
    }
    parts.join(", ")
}

fn one(work: &Work, role: Role) -> String {
    let mut text = work.operation.to_string();
    if work.container.is_none() {
        text.push_str(" by its operator");
    }
    if let Some(tool) = &work.tool {
        let _ = write!(text, " with {tool}");
    }
    if work.init && matches!(role, Role::Application | Role::DataStore) {
        text.push_str(" in every Pod, before it starts");
    }
    text
}

/// What its operation rests on, where that is not what was recognised.
pub(super) fn basis(step: &PlannedStep) -> Option<String> {
    let risk = step.risk.as_ref()?;
    (risk.basis == Basis::Declared)
        .then(|| format!("declared as {} by tidegate.dev/risk", risk.operation))
}

/// Whether it is approved.
pub(super) fn approval(approval: &Approved) -> String {
    match approval {
        Approved::NotNeeded => "not needed".to_owned(),
        Approved::Valid { by, until } => {
            let by = by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
            let until = until.map(|until| format!(", valid until {until}")).unwrap_or_default();
            format!("given{by}{until}")
        }
        Approved::Missing => "missing".to_owned(),
        Approved::Expired { until } => format!("expired at {until}"),
        Approved::Invalid { reasons } => format!("does not hold: {}", reasons.join(", ")),
        Approved::Undecided { why } => format!("not known, because {why}"),
        Approved::NoPolicy => "not asked for: no policy is for its namespace".to_owned(),
    }
}

/// What saves the data before.
pub(super) fn backup(backup: &Backup) -> String {
    match backup {
        Backup::Step { number } => format!("step {number}"),
        Backup::SamePod => "in the same Pod, before".to_owned(),
        Backup::Named => "named in tidegate.dev/backup, not proved".to_owned(),
        Backup::Waived => "none, with a waiver that is approved".to_owned(),
        Backup::WaiverDoesNotHold => "none, and its waiver is in no approval that holds".to_owned(),
        Backup::WaiverUndecided => "none, and whether its waiver holds is not known".to_owned(),
        Backup::None => "none among the manifests".to_owned(),
    }
}

/// How long it may take and how often it may run.
pub(super) fn limits(limits: &Limits, engine: Engine) -> String {
    let mut text = match limits.deadline {
        Deadline::Job { seconds, filled_in: false } => {
            format!("at most {}", duration(seconds))
        }
        Deadline::Job { seconds, filled_in: true } => {
            format!("at most {} (filled in at admission)", duration(seconds))
        }
        Deadline::Pod { seconds } => match limits.seconds {
            Some(all) => {
                format!("at most {} a Pod, {} with retries", duration(seconds), duration(all))
            }
            None => format!("at most {} a Pod", duration(seconds)),
        },
        Deadline::None => "no deadline: it may hang for ever".to_owned(),
    };
    let bounded = limits.deadline != Deadline::None;
    match limits.runs {
        Some(runs) => {
            let runs = plural(usize::try_from(runs).unwrap_or(usize::MAX), "run", "runs");
            let and = if bounded { " and" } else { ", at most" };
            let _ = write!(text, "{and} {runs}");
        }
        None => text.push_str(", any number of runs"),
    }
    if limits.restarts_in_place {
        text.push_str(" (restarted in place, logs are lost)");
    }
    match limits.attempts {
        Attempts::AtMost { count: 1 } => {}
        Attempts::AtMost { count } => {
            let _ = write!(text, "; {count} tries of a sync at worst");
            if let Some(seconds) = limits.total_seconds {
                let _ = write!(text, ": {}", duration(seconds));
            }
            if let Some(runs) = limits.total_runs {
                let _ = write!(text, ", {runs} runs");
            }
        }
        Attempts::Unlimited => text.push_str("; a sync is tried again without limit"),
        Attempts::NotKnown if engine == Engine::ArgoCd => text.push_str(" in every sync"),
        Attempts::NotKnown => {}
    }
    text
}

/// Where nobody knows how long it takes and how often it runs.
pub(super) fn no_limits(step: &PlannedStep) -> Option<&'static str> {
    let bounded = matches!(step.role, Role::Backup | Role::Migration) && step.limits.is_none();
    bounded.then_some("how long it takes and how often it runs is not known: its operator decides")
}

/// `1 h 30 min`.
pub(super) fn duration(seconds: u64) -> String {
    let parts = [
        (seconds.checked_div(3_600).unwrap_or_default(), "h"),
        (seconds.checked_div(60).unwrap_or_default().checked_rem(60).unwrap_or_default(), "min"),
        (seconds.checked_rem(60).unwrap_or_default(), "s"),
    ];
    let words: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if words.is_empty() { "0 s".to_owned() } else { words.join(" ") }
}

/// Something to know about when a step counts as done.
pub(super) fn awaited(step: &PlannedStep) -> Option<&'static str> {
    let matters =
        matches!(step.role, Role::Backup | Role::Migration | Role::Verification | Role::Check);
    (matters && step.awaited == Awaited::Nothing)
        .then_some("nobody waits for it: it counts as done when it is applied")
}

/// Of a step that Argo CD moves.
pub(super) const MOVED: &str = "moved here by Argo CD, because something in this wave needs it";

/// One thing that a change makes different.
pub(super) fn shift(shift: &Shift) -> String {
    let shown = |text: &str| if text.is_empty() { "nothing".to_owned() } else { text.to_owned() };
    match shift.what {
        "manifest" => "its manifest".to_owned(),
        what => format!("{what}: {} -> {}", shown(&shift.before), shown(&shift.after)),
    }
}

/// What a change does to the risk of a release; none when it stays.
pub(super) fn risk_change(diff: &PlanDiff) -> Option<String> {
    let word = |risk: &ReleaseRisk| risk.operation.map_or("none", |operation| operation.as_str());
    let (before, after) = (diff.risk_before.as_ref()?, diff.risk_after.as_ref()?);
    (before.operation != after.operation)
        .then(|| format!("risk: {} -> {}", word(before), word(after)))
}

/// Objects that are only counted: `2 ConfigMaps, Service`.
pub(super) fn folded<'s>(steps: impl Iterator<Item = &'s PlannedStep>) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for step in steps {
        let kind = step.object.kind.as_str();
        let count = counts.entry(kind).or_default();
        if *count == 0 {
            kinds.push(kind);
        }
        *count = count.saturating_add(1);
    }
    let words = kinds.iter().map(|kind| format!("{} {kind}", counts.get(kind).unwrap_or(&0)));
    words.collect::<Vec<_>>().join(", ")
}

/// Why an object is never applied.
pub(super) fn left_out(own: &NotApplied, engine: Engine) -> &'static str {
    match (own.why, engine) {
        (LeftOut::Dropped, Engine::ArgoCd) => {
            "Argo CD drops it without a word: its hook annotation holds no hook of a sync"
        }
        (LeftOut::Dropped, Engine::Helm) => {
            "Helm discards it: its hook annotation holds an event that Helm does not know"
        }
        (LeftOut::Skipped, _) => "its hook annotation says Skip",
        (LeftOut::OnDelete, _) => "only when the application is deleted",
        (LeftOut::OtherEvent, Engine::ArgoCd) => {
            "a Helm hook of an event that a sync does not have, such as a test or a rollback"
        }
        (LeftOut::OtherEvent, Engine::Helm) => {
            "a hook of another event, such as a test or a rollback"
        }
    }
}

/// `error`, `warning` or `note`.
pub(super) fn severity(effect: &str) -> &'static str {
    match effect {
        "deny" => "error",
        "warn" => "warning",
        _ => "note",
    }
}

/// Something to know, with the object that it is about.
pub(super) fn note(note: &PlanNote) -> String {
    match &note.object {
        Some(object) => format!("{object}: {}", note.text),
        None => note.text.clone(),
    }
}

/// How many findings are only counted.
pub(super) fn notes(count: usize) -> String {
    plural(count, "note", "notes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (1_800, "30 min"),
            (3_600, "1 h"),
            (90_061, "25 h 1 min 1 s"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
