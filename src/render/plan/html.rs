//! One page for browsers, with the waves as a picture.
//!
//! The picture is a list that style sheets lay out, so that a screen reader reads what others see.

use askama::Template;

use super::{PlanReport, words};
use crate::{
    plan::{
        Engine, Stage,
        report::{
            ChecklistItem, Difference, DifferenceKind, Noted, Plan, PlanDiff, PlannedRun,
            PlannedStep, Role, Wave,
        },
    },
    render::{
        html::Page,
        text::{Piece, one_line, plural, prose},
    },
};

/// The most steps of a wave that the picture names.
const MOST_CHIPS: usize = 8;

#[derive(Template)]
#[template(path = "plan.html")]
struct PlanPage<'p> {
    page: Page,
    headline: String,
    tiles: Vec<Tile>,
    errors: Vec<String>,
    releases: Vec<ReleaseView<'p>>,
}

/// A number that is seen first.
struct Tile {
    class: &'static str,
    count: usize,
    name: &'static str,
}

/// Something that is known, by its name.
struct Fact {
    name: String,
    value: String,
}

struct ReleaseView<'p> {
    id: String,
    name: String,
    subject: String,
    facts: Vec<Fact>,
    changes: Option<Vec<ChangeView>>,
    runs: Vec<RunView>,
    checklist: &'p [ChecklistItem],
}

struct ChangeView {
    class: &'static str,
    role: &'static str,
    object: String,
    place: String,
    shifts: Vec<String>,
}

struct RunView {
    title: Option<String>,
    waves: Vec<WaveView>,
    left_out: Vec<Fact>,
}

struct WaveView {
    id: String,
    class: &'static str,
    place: String,
    when: String,
    chips: Vec<Chip>,
    /// What the picture does not name; empty when it names all.
    rest: String,
    steps: Vec<StepView>,
    /// What is only counted; empty when there is nothing.
    folded: String,
}

struct Chip {
    class: &'static str,
    role: &'static str,
    object: String,
}

struct StepView {
    number: usize,
    class: &'static str,
    role_class: &'static str,
    role: &'static str,
    object: String,
    facts: Vec<Fact>,
    findings: Vec<FindingView>,
}

struct FindingView {
    class: &'static str,
    rule: &'static str,
    what: Vec<Piece>,
    mend: Vec<Piece>,
}

/// Plans as a page.
///
/// # Errors
///
/// Never: text is written to memory. The template engine cannot know that.
pub fn html(report: &PlanReport) -> anyhow::Result<String> {
    let diffs = report.diffs.as_deref().unwrap_or_default();
    let mut releases: Vec<ReleaseView<'_>> = Vec::new();
    for (number, plan) in report.plans.iter().enumerate() {
        releases.push(release(number, plan, diffs.get(number)));
    }
    for diff in diffs.iter().skip(report.plans.len()) {
        releases.push(gone(releases.len(), diff));
    }
    let tally = report.tally;
    let mut tiles = Vec::new();
    for (class, count, one, many) in [
        ("error", tally.errors, "not readable", "not readable"),
        ("refused", tally.denials, "finding that refuses", "findings that refuse"),
        ("warning", tally.warnings, "warning", "warnings"),
        ("note", tally.notes, "note", "notes"),
    ] {
        if count > 0 {
            tiles.push(Tile { class, count, name: if count == 1 { one } else { many } });
        }
    }
    if tiles.is_empty() {
        tiles.push(Tile { class: "good", count: 0, name: "findings" });
    }
    let headline = match report.plans.as_slice() {
        [] => "There is nothing to roll out".to_owned(),
        [one] => format!("Rollout of {}", one_line(words::name(one.name.as_deref()))),
        many => plural(many.len(), "rollout", "rollouts"),
    };
    let errors = report.errors.iter().map(|error| one_line(&error.to_string())).collect();
    Ok(PlanPage { page: Page::new(""), headline, tiles, errors, releases }.render()?)
}

fn fact(name: &str, value: &str) -> Fact {
    Fact { name: name.to_owned(), value: one_line(value) }
}

fn release<'p>(number: usize, plan: &'p Plan, diff: Option<&PlanDiff>) -> ReleaseView<'p> {
    let id = format!("r{number}");
    let mut facts = vec![fact("Risk", &words::risk(&plan.risk))];
    facts.extend(words::retries(plan).map(|retries| fact("Retries", &retries)));
    facts.extend(plan.notes.iter().map(|note| fact("Note", &words::note(note))));
    let spread = words::is_spread(plan);
    let runs = plan.runs.iter().enumerate().map(|(place, run)| {
        let title = (plan.runs.len() > 1).then(|| words::rollouts(run));
        let id = format!("{id}-{place}");
        run_view(&id, title, run, plan.engine, spread)
    });
    ReleaseView {
        name: one_line(words::name(plan.name.as_deref())),
        subject: one_line(&words::subject(plan)),
        facts,
        changes: diff.map(changes),
        runs: runs.collect(),
        checklist: &plan.checklist,
        id,
    }
}

/// A release that a change takes away.
fn gone(number: usize, diff: &PlanDiff) -> ReleaseView<'static> {
    ReleaseView {
        id: format!("r{number}"),
        name: one_line(words::name(diff.name.as_deref())),
        subject: "gone".to_owned(),
        facts: Vec::new(),
        changes: Some(changes(diff)),
        runs: Vec::new(),
        checklist: &[],
    }
}

fn changes(diff: &PlanDiff) -> Vec<ChangeView> {
    let view = |change: &Difference| ChangeView {
        class: match change.kind {
            DifferenceKind::Added => "added",
            DifferenceKind::Removed => "removed",
            DifferenceKind::Changed => "changed",
        },
        role: change.role.as_str(),
        object: one_line(&change.object.to_string()),
        place: one_line(&change.place),
        shifts: change.shifts.iter().map(|shift| one_line(&words::shift(shift))).collect(),
    };
    diff.changes.iter().map(view).collect()
}

fn run_view(
    id: &str,
    title: Option<String>,
    run: &PlannedRun,
    engine: Engine,
    spread: bool,
) -> RunView {
    let left_out = run.left_out.iter().map(|own| {
        fact(&one_line(&words::object(&own.object, spread)), words::left_out(own, engine))
    });
    RunView {
        title,
        waves: run.waves.iter().map(|wave| wave_view(id, wave, run, engine, spread)).collect(),
        left_out: left_out.collect(),
    }
}

fn wave_view(id: &str, wave: &Wave, run: &PlannedRun, engine: Engine, spread: bool) -> WaveView {
    let shown = || wave.steps.iter().filter(|step| step.stands_out());
    let chips: Vec<Chip> = shown()
        .take(MOST_CHIPS)
        .map(|step| Chip {
            class: class(step),
            role: step.role.as_str(),
            object: one_line(&words::object(&step.object, spread)),
        })
        .collect();
    let rest = match wave.steps.len().saturating_sub(chips.len()) {
        0 => String::new(),
        more => plural(more, "more object", "more objects"),
    };
    WaveView {
        id: format!("{id}-{}", wave.number),
        class: if wave.stage == Stage::OnFailure { "on-failure" } else { "" },
        place: wave.place(),
        when: words::when(wave, run),
        chips,
        rest,
        steps: shown().map(|step| step_view(step, engine, spread)).collect(),
        folded: one_line(&words::folded(wave.steps.iter().filter(|step| !step.stands_out()))),
    }
}

fn step_view(step: &PlannedStep, engine: Engine, spread: bool) -> StepView {
    let mut facts: Vec<Fact> = Vec::new();
    let does = words::does(step);
    if !does.is_empty() {
        facts.push(fact("Does", &does));
    }
    facts.extend(words::basis(step).map(|basis| fact("Risk", &basis)));
    let approval = step.approval.as_ref().map(words::approval);
    facts.extend(approval.map(|approval| fact("Approval", &approval)));
    let backup = step.backup.as_ref().map(words::backup);
    facts.extend(backup.map(|backup| fact("Backup", &backup)));
    let limits = step.limits.as_ref().map(|limits| words::limits(limits, engine));
    let limits = limits.or_else(|| words::no_limits(step).map(str::to_owned));
    facts.extend(limits.map(|limits| fact("Bounds", &limits)));
    facts.extend(words::awaited(step).map(|awaited| fact("Waiting", awaited)));
    if step.moved {
        facts.push(fact("Moved", words::MOVED));
    }
    StepView {
        number: step.number,
        class: class(step),
        role_class: role_class(step.role),
        role: step.role.as_str(),
        object: one_line(&words::object(&step.object, spread)),
        facts,
        findings: step.findings.iter().map(finding).collect(),
    }
}

fn finding(found: &Noted) -> FindingView {
    FindingView {
        class: match words::severity(found.effect) {
            "error" => "refused",
            other => other,
        },
        rule: found.rule,
        what: prose(&found.what),
        mend: prose(&found.mend),
    }
}

fn class(step: &PlannedStep) -> &'static str {
    if step.findings.iter().any(|found| found.effect == "deny") {
        "wrong"
    } else {
        role_class(step.role)
    }
}

fn role_class(role: Role) -> &'static str {
    match role {
        Role::DataStore => "data-store",
        role => role.as_str(),
    }
}
