//! For a comment on a pull request: a diagram, a table, a checklist.
//!
//! Names and messages come from manifests, and whoever writes those may not write the comment: see
//! [`escaped`].

use std::fmt::Write as _;

use super::{PlanReport, mermaid, words};
use crate::{
    plan::{
        Engine,
        report::{
            ChecklistItem, Difference, DifferenceKind, Noted, Plan, PlanDiff, PlannedRun,
            PlannedStep, Role, Wave,
        },
    },
    render::{
        markdown::{LONGEST, code, escaped},
        text::plural,
    },
};

/// By this line a CI finds its comment again, to write it anew instead of adding one.
const MARKER: &str = "<!-- tidegate-plan -->";
/// What is kept free for the words about what was cut, in bytes.
const RESERVE: usize = 512;

/// Plans as Markdown. Never longer than a comment may be; what had to be left out is counted.
pub fn markdown(report: &PlanReport) -> String {
    let mut comment = Comment { text: format!("{MARKER}\n"), end: LONGEST.saturating_sub(RESERVE) };
    let mut cut: usize = 0;
    for error in &report.errors {
        let line = format!("- **not readable**, and in no plan: {}\n", escaped(&error.to_string()));
        cut = cut.saturating_add(usize::from(!comment.add(&line)));
    }
    if !report.errors.is_empty() {
        comment.text.push('\n');
    }
    // First those of the plans, then those of what is gone.
    let all = report.diffs.as_deref().unwrap_or_default();
    let gone = all.get(report.plans.len()..).unwrap_or_default();
    let mut rest = report.plans.len().saturating_add(gone.len());
    let mut diffs = all.iter();
    for plan in &report.plans {
        let diff = diffs.next();
        cut = cut.saturating_add(comment.share(rest, |comment| comment.plan(plan, diff)));
        rest = rest.saturating_sub(1);
    }
    for diff in gone {
        let name = escaped(words::name(diff.name.as_deref()));
        let title = format!("### Rollout of {name}: gone\n\n");
        cut =
            cut.saturating_add(comment.share(rest, |comment| {
                if comment.add(&title) { comment.changes(diff) } else { 1 }
            }));
        rest = rest.saturating_sub(1);
    }
    if report.plans.is_empty() && report.errors.is_empty() {
        comment.text.push_str("### Rollout: there is nothing to roll out\n");
    }
    if cut > 0 {
        let many = plural(cut, "line does", "lines do");
        let _ = writeln!(
            comment.text,
            "**{many} not fit into this comment**: the whole plan is what `tidegate plan` prints."
        );
    }
    comment.text
}

struct Comment {
    text: String,
    /// Where it has to end, in bytes.
    end: usize,
}

impl Comment {
    /// Adds a block if it fits.
    fn add(&mut self, block: &str) -> bool {
        let fits = self.text.len().saturating_add(block.len()) <= self.end;
        if fits {
            self.text.push_str(block);
        }
        fits
    }

    /// Writes within a fair part of what is left for `rest` of them.
    fn share(&mut self, rest: usize, write: impl FnOnce(&mut Self) -> usize) -> usize {
        let end = self.end;
        let left = end.saturating_sub(self.text.len());
        self.end = self.text.len().saturating_add(left.checked_div(rest).unwrap_or(left));
        let cut = write(self);
        self.end = end;
        cut
    }

    /// Writes a plan; how many lines did not fit.
    fn plan(&mut self, plan: &Plan, diff: Option<&PlanDiff>) -> usize {
        let head = head(plan);
        let list = checklist(&plan.checklist);
        if !self.add(&head) {
            return 1;
        }
        // The checklist is what the reviewer works with: everything else has to leave it room.
        self.end = self.end.saturating_sub(list.len());
        let mut cut = diff.map_or(0, |diff| self.changes(diff));
        let spread = words::is_spread(plan);
        for run in &plan.runs {
            let several = plan.runs.len() > 1;
            cut = cut.saturating_add(self.run(run, plan.engine, several, spread));
        }
        for note in &plan.notes {
            let line = format!("- {}\n", escaped(&words::note(note)));
            cut = cut.saturating_add(usize::from(!self.add(&line)));
        }
        if !plan.notes.is_empty() {
            let _line = self.add("\n");
        }
        cut = cut.saturating_add(self.findings(plan));
        self.end = self.end.saturating_add(list.len());
        if !self.add(&list) {
            cut = cut.saturating_add(plan.checklist.len());
        }
        cut
    }

    fn run(&mut self, run: &PlannedRun, engine: Engine, several: bool, spread: bool) -> usize {
        if several {
            let _title = self.add(&format!("#### {}\n\n", words::rollouts(run)));
        }
        let _drawn = self.add(&format!("```mermaid\n{}```\n\n", mermaid::flowchart(run)));
        let head = "| | When | What | Does | Approval | Backup | Bounds |\n|---:|---|---|---|---|---|---|\n";
        let mut cut: usize = 0;
        if !self.add(head) {
            return run.steps().count();
        }
        for wave in &run.waves {
            for row in rows(wave, engine, spread) {
                cut = cut.saturating_add(usize::from(!self.add(&row)));
            }
        }
        for own in &run.left_out {
            let row = format!(
                "| | never applied | <code>{}</code> | {} | | | |\n",
                code(&words::object(&own.object, spread)),
                escaped(words::left_out(own, engine)),
            );
            cut = cut.saturating_add(usize::from(!self.add(&row)));
        }
        let _line = self.add("\n");
        cut
    }

    /// What would refuse or warn.
    fn findings(&mut self, plan: &Plan) -> usize {
        let left_out = plan.runs.iter().flat_map(|run| &run.left_out);
        let left_out = left_out.map(|own| (&own.object, &own.findings));
        let steps = plan.steps().map(|step| (&step.object, &step.findings));
        let mut lines: Vec<String> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for (object, findings) in steps.chain(left_out) {
            // One of two phases, or of two runs, is one object.
            if seen.insert(object) {
                let own = findings.iter().filter(|found| words::severity(found.effect) != "note");
                lines.extend(own.map(|found| finding(&object.to_string(), found)));
            }
        }
        if lines.is_empty() {
            return 0;
        }
        let title = plural(lines.len(), "finding", "findings");
        let (open, close) =
            (format!("<details><summary>{title}</summary>\n\n"), "\n</details>\n\n");
        self.end = self.end.saturating_sub(close.len());
        if !self.add(&open) {
            self.end = self.end.saturating_add(close.len());
            return lines.len();
        }
        let mut cut: usize = 0;
        for line in &lines {
            cut = cut.saturating_add(usize::from(!self.add(line)));
        }
        self.end = self.end.saturating_add(close.len());
        self.text.push_str(close);
        cut
    }

    fn changes(&mut self, diff: &PlanDiff) -> usize {
        let mut title = "#### Changes".to_owned();
        if let Some(risk) = words::risk_change(diff) {
            let _ = write!(title, ", {}", escaped(&risk));
        }
        title.push_str("\n\n");
        let shown: Vec<&Difference> =
            diff.changes.iter().filter(|change| change.role != Role::Other).collect();
        if diff.changes.is_empty() {
            title.push_str("None.\n\n");
            return usize::from(!self.add(&title));
        }
        if !shown.is_empty() {
            title.push_str("| | Object | When | What changes |\n|---|---|---|---|\n");
        }
        if !self.add(&title) {
            return shown.len().max(1);
        }
        let mut cut: usize = 0;
        for change in &shown {
            cut = cut.saturating_add(usize::from(!self.add(&difference(change))));
        }
        let others = diff.changes.len().saturating_sub(shown.len());
        if others > 0 {
            let objects = plural(others, "other object changes", "other objects change");
            let _fits = self.add(&format!("\n{objects}.\n"));
        }
        let _fits = self.add("\n");
        cut
    }
}

fn head(plan: &Plan) -> String {
    let name = escaped(words::name(plan.name.as_deref()));
    let mut text = format!("### Rollout of {name}: {}\n\n", escaped(&words::subject(plan)));
    let _ = writeln!(text, "**Risk**: {}", escaped(&words::risk(&plan.risk)));
    if let Some(retries) = words::retries(plan) {
        let _ = writeln!(text, "<br>**Retries of a sync**: {}", escaped(&retries));
    }
    text.push('\n');
    text
}

/// A row for every step that stands out, and one for the others of the wave.
fn rows(wave: &Wave, engine: Engine, spread: bool) -> impl Iterator<Item = String> {
    let place = escaped(&wave.place());
    let folded = words::folded(wave.steps.iter().filter(|step| !step.stands_out()));
    let others =
        (!folded.is_empty()).then(|| format!("| | {place} | {} | | | | |\n", escaped(&folded)));
    let shown = wave.steps.iter().filter(|step| step.stands_out());
    shown.map(move |step| row(step, &place, engine, spread)).chain(others)
}

fn row(step: &PlannedStep, place: &str, engine: Engine, spread: bool) -> String {
    let mut does = words::does(step);
    for more in words::basis(step).into_iter().chain(words::awaited(step).map(str::to_owned)) {
        let gap = if does.is_empty() { "" } else { "; " };
        let _ = write!(does, "{gap}{more}");
    }
    let limits = match &step.limits {
        Some(limits) => words::limits(limits, engine),
        None => words::no_limits(step).unwrap_or_default().to_owned(),
    };
    let mut object = format!(
        "{} <code>{}</code>",
        step.role.as_str(),
        code(&words::object(&step.object, spread))
    );
    for found in step.findings.iter().filter(|found| words::severity(found.effect) != "note") {
        let _ = write!(
            object,
            "<br>**{}** <code>{}</code>",
            words::severity(found.effect),
            code(found.rule)
        );
    }
    format!(
        "| {} | {place} | {object} | {} | {} | {} | {} |\n",
        step.number,
        escaped(&does),
        escaped(&step.approval.as_ref().map(words::approval).unwrap_or_default()),
        escaped(&step.backup.as_ref().map(words::backup).unwrap_or_default()),
        escaped(&limits),
    )
}

fn finding(object: &str, found: &Noted) -> String {
    format!(
        "- **{}** <code>{}</code>: <code>{}</code> {}. Fix: {}\n",
        words::severity(found.effect),
        code(found.rule),
        code(object),
        escaped(&found.what),
        escaped(&found.mend),
    )
}

fn difference(change: &Difference) -> String {
    let word = match change.kind {
        DifferenceKind::Added => "added",
        DifferenceKind::Removed => "removed",
        DifferenceKind::Changed => "changed",
    };
    let shifts: Vec<String> =
        change.shifts.iter().map(|shift| escaped(&words::shift(shift))).collect();
    format!(
        "| **{word}** | {} <code>{}</code> | {} | {} |\n",
        change.role.as_str(),
        code(&change.object.to_string()),
        escaped(&change.place),
        shifts.join("<br>")
    )
}

fn checklist(items: &[ChecklistItem]) -> String {
    let mut text = "#### Checklist\n\n".to_owned();
    for item in items {
        let mark = if item.ticked { "x" } else { " " };
        let _ = writeln!(text, "- [{mark}] {}<br>{}", item.text, escaped(&item.because));
    }
    text.push('\n');
    text
}
