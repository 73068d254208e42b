//! For people on a terminal: compact, by phase and wave.

use std::fmt::Write as _;

use super::{PlanReport, words};
use crate::{
    plan::{
        Engine,
        report::{
            ChecklistItem, Difference, DifferenceKind, Noted, Plan, PlanDiff, PlannedRun,
            PlannedStep, Role, Wave,
        },
    },
    render::{
        detected::painted,
        text::{one_line, plural},
    },
};

/// How wide the words for roles are, with a space behind.
const ROLE: usize = 14;
/// What details stand behind.
const INDENT: &str = "                     ";

/// How to write for people.
#[derive(Clone, Copy, Debug, Default)]
pub struct Human {
    /// Use colours.
    pub color: bool,
}

/// Plans for people.
pub fn human(report: &PlanReport, options: Human) -> String {
    let mut writer = Writer { text: String::new(), color: options.color };
    for error in &report.errors {
        let error = one_line(&error.to_string());
        let _ = writeln!(writer.text, "{}: {error}", painted("error", "1;31", options.color));
    }
    if !report.errors.is_empty() {
        writer.text.push_str("what could not be read is in no plan\n\n");
    }
    // First those of the plans, then those of what is gone.
    let mut diffs = report.diffs.iter().flatten();
    for plan in &report.plans {
        writer.plan(plan, diffs.next());
    }
    for diff in diffs {
        writer.heading(words::name(diff.name.as_deref()), "gone");
        writer.diff(diff);
    }
    if report.plans.is_empty() && report.errors.is_empty() {
        writer.text.push_str("there is nothing to roll out\n");
    }
    writer.text
}

struct Writer {
    text: String,
    color: bool,
}

impl Writer {
    fn heading(&mut self, name: &str, about: &str) {
        let name = painted(name, "1", self.color);
        let _ = writeln!(self.text, "{name}: {}", one_line(about));
    }

    fn plan(&mut self, plan: &Plan, diff: Option<&PlanDiff>) {
        self.heading(words::name(plan.name.as_deref()), &words::subject(plan));
        let _ = writeln!(self.text, "risk: {}", one_line(&words::risk(&plan.risk)));
        if let Some(retries) = words::retries(plan) {
            let _ = writeln!(self.text, "retries of a sync: {}", one_line(&retries));
        }
        self.text.push('\n');
        if let Some(diff) = diff {
            self.diff(diff);
        }
        let spread = words::is_spread(plan);
        for run in &plan.runs {
            self.run(run, plan.engine, plan.runs.len() > 1, spread);
        }
        if !plan.notes.is_empty() {
            let _ = writeln!(self.text, "{}", painted("notes", "1", self.color));
            for note in &plan.notes {
                let _ = writeln!(self.text, "  {}", one_line(&words::note(note)));
            }
            self.text.push('\n');
        }
        self.checklist(&plan.checklist);
    }

    fn run(&mut self, run: &PlannedRun, engine: Engine, several: bool, spread: bool) {
        if several {
            let title = painted(&words::rollouts(run), "1", self.color);
            let _ = writeln!(self.text, "{title}\n");
        }
        for wave in &run.waves {
            self.wave(wave, run, engine, spread);
        }
        if !run.left_out.is_empty() {
            let _ = writeln!(self.text, "{}", painted("never applied", "1", self.color));
            for own in &run.left_out {
                let object = words::object(&own.object, spread);
                let why = words::left_out(own, engine);
                let _ = writeln!(self.text, "     {}: {why}", one_line(&object));
                self.findings(&own.findings);
            }
        }
        self.text.push('\n');
    }

    fn wave(&mut self, wave: &Wave, run: &PlannedRun, engine: Engine, spread: bool) {
        let when = words::when(wave, run);
        let comma = if when.is_empty() { "" } else { ", " };
        let _ = writeln!(self.text, "{}{comma}{when}", painted(&wave.place(), "1", self.color));
        for step in wave.steps.iter().filter(|step| step.stands_out()) {
            self.step(step, engine, spread);
        }
        let folded = words::folded(wave.steps.iter().filter(|step| !step.stands_out()));
        if !folded.is_empty() {
            let _ = writeln!(self.text, "     {:ROLE$}  {}", "others", one_line(&folded));
        }
    }

    fn step(&mut self, step: &PlannedStep, engine: Engine, spread: bool) {
        let role = format!("{:ROLE$}", step.role.as_str());
        let shade = match step.role {
            Role::Migration => "33",
            Role::Backup | Role::Verification => "32",
            Role::Unrecognised => "35",
            _ => "0",
        };
        let object = one_line(&words::object(&step.object, spread));
        let does = one_line(&words::does(step));
        let gap = if does.is_empty() { "" } else { "  " };
        let role = painted(&role, shade, self.color);
        let _ = writeln!(self.text, "{:>4} {role}  {object}{gap}{does}", step.number);
        let mut details: Vec<String> = Vec::new();
        details.extend(words::basis(step));
        let approval = step.approval.as_ref().map(words::approval);
        details.extend(approval.map(|approval| format!("approval: {approval}")));
        let backup = step.backup.as_ref().map(words::backup);
        details.extend(backup.map(|backup| format!("backup: {backup}")));
        if !details.is_empty() {
            self.detail(&details.join("; "));
        }
        match &step.limits {
            Some(limits) => self.detail(&words::limits(limits, engine)),
            None => words::no_limits(step).into_iter().for_each(|text| self.detail(text)),
        }
        if let Some(awaited) = words::awaited(step) {
            self.detail(awaited);
        }
        if step.moved {
            self.detail(words::MOVED);
        }
        self.findings(&step.findings);
    }

    fn detail(&mut self, text: &str) {
        let _ = writeln!(self.text, "{INDENT}{}", one_line(text));
    }

    /// What would refuse or warn; what is only noted is counted.
    fn findings(&mut self, findings: &[Noted]) {
        let mut notes: usize = 0;
        for found in findings {
            let severity = words::severity(found.effect);
            let shade = match severity {
                "error" => "31",
                "warning" => "33",
                _ => {
                    notes = notes.saturating_add(1);
                    continue;
                }
            };
            let title = painted(&format!("{severity}[{}]", found.rule), shade, self.color);
            let _ = writeln!(self.text, "{INDENT}{title} {}", one_line(&found.what));
        }
        if notes > 0 {
            self.detail(&words::notes(notes));
        }
    }

    fn checklist(&mut self, items: &[ChecklistItem]) {
        let _ = writeln!(self.text, "{}", painted("checklist", "1", self.color));
        for item in items {
            let (mark, shade) = if item.ticked { ("[x]", "32") } else { ("[ ]", "33") };
            let mark = painted(mark, shade, self.color);
            let _ = writeln!(self.text, "  {mark} {}", item.text);
            let _ = writeln!(self.text, "      {}", one_line(&item.because));
        }
        self.text.push('\n');
    }

    fn diff(&mut self, diff: &PlanDiff) {
        let _ = writeln!(self.text, "{}", painted("changes", "1", self.color));
        if let Some(risk) = words::risk_change(diff) {
            let _ = writeln!(self.text, "  {risk}");
        }
        for change in diff.changes.iter().filter(|change| change.role != Role::Other) {
            self.difference(change);
        }
        let others: Vec<&Difference> =
            diff.changes.iter().filter(|change| change.role == Role::Other).collect();
        let count = |kind| others.iter().filter(|change| change.kind == kind).count();
        for (kind, sign, word) in [
            (DifferenceKind::Added, '+', "added"),
            (DifferenceKind::Changed, '~', "changed"),
            (DifferenceKind::Removed, '-', "removed"),
        ] {
            let many = count(kind);
            if many > 0 {
                let objects = plural(many, "other object", "other objects");
                let _ = writeln!(self.text, "  {sign} {objects} {word}");
            }
        }
        if diff.changes.is_empty() {
            self.text.push_str("  none\n");
        }
        self.text.push('\n');
    }

    fn difference(&mut self, change: &Difference) {
        let (sign, shade) = match change.kind {
            DifferenceKind::Added => ("+", "32"),
            DifferenceKind::Removed => ("-", "31"),
            DifferenceKind::Changed => ("~", "33"),
        };
        let title = format!("{sign} {} {}", change.role.as_str(), change.object);
        let title = painted(&title, shade, self.color);
        let _ = writeln!(self.text, "  {title}  {}", one_line(&change.place));
        for shift in &change.shifts {
            let _ = writeln!(self.text, "      {}", one_line(&words::shift(shift)));
        }
    }
}
