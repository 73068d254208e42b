//! Sqitch: one script a change and direction, in the order of a plan.

use std::collections::{HashMap, HashSet};

use super::{Change, Direction, File, Opaque, place, sections::Holes};

/// What a project would run.
pub(super) fn read<'f>(direction: Direction, files: &[File<'f>]) -> Vec<Change<'f>> {
    let project = Project::of(files);
    let order = project.order();
    let mut changes = Vec::new();
    if direction == Direction::Down {
        for step in order.iter().rev() {
            changes.extend(project.script("revert", step).and_then(whole));
        }
    }
    if direction == Direction::Up {
        for step in &order {
            match project.script("deploy", step) {
                Some(file) => changes.extend(whole(file)),
                None => changes.push(Project::missing(step)),
            }
            // `--verify` runs these too, after every change.
            changes.extend(project.script("verify", step).and_then(whole));
        }
        changes.extend(project.left_over(&order));
    }
    changes
}

fn whole<'f>(file: &File<'f>) -> Option<Change<'f>> {
    Change::whole(file, Holes::None)
}

/// The files of a project by what they are for.
#[derive(Debug, Default)]
struct Project<'f> {
    plans: Vec<File<'f>>,
    /// By folder and name without its ending, such as `deploy/orders/add`.
    scripts: HashMap<String, File<'f>>,
    /// Names of all scripts of `deploy`, sorted.
    deployed: Vec<&'f str>,
    programs: Vec<File<'f>>,
}

/// A change of a plan: its name, and the line that it stands on.
#[derive(Clone, Copy, Debug)]
struct Step<'f> {
    plan: &'f str,
    name: &'f str,
    line: usize,
    /// The name of the script, where a later change of the same name has taken the plain one.
    tagged: Option<&'f str>,
}

impl<'f> Project<'f> {
    fn of(files: &[File<'f>]) -> Self {
        let mut project = Self::default();
        for file in files {
            let (_, name, ending) = place::parts(file.path);
            if name == "sqitch.plan" {
                project.plans.push(*file);
            } else if place::is_sql(&ending) {
                project.add(*file);
            } else if place::is_program(&ending) {
                project.programs.push(*file);
            }
        }
        project
    }

    /// Takes the last folder of the three names as the one that counts: `top/deploy/orders/add`.
    fn add(&mut self, file: File<'f>) {
        let stem = file.path.rsplit_once('.').map_or(file.path, |(stem, _)| stem);
        let mut rest = stem;
        loop {
            let (folder, inside) = rest.split_once('/').unwrap_or((rest, ""));
            if matches!(folder, "deploy" | "revert" | "verify") && !inside.is_empty() {
                self.scripts.insert(format!("{folder}/{inside}"), file);
                if folder == "deploy" {
                    self.deployed.push(inside);
                }
                return;
            }
            if inside.is_empty() {
                return;
            }
            rest = inside;
        }
    }

    /// The changes in the order of the plan; without one, of their names.
    fn order(&self) -> Vec<Step<'f>> {
        if self.plans.is_empty() {
            let step = |name: &&'f str| Step { plan: "", name, line: 1, tagged: None };
            return self.deployed.iter().map(step).collect();
        }
        self.plans.iter().flat_map(steps).collect()
    }

    fn script(&self, folder: &str, step: &Step<'f>) -> Option<&File<'f>> {
        // `add@v1.sql` is what a change was before it was reworked.
        let tagged =
            step.tagged.and_then(|tag| self.named(folder, &format!("{}@{tag}", step.name)));
        tagged.or_else(|| self.named(folder, step.name))
    }

    fn named(&self, folder: &str, name: &str) -> Option<&File<'f>> {
        self.scripts.get(&format!("{folder}/{name}"))
    }

    fn missing(step: &Step<'f>) -> Change<'f> {
        Change::opaque(step.plan, step.line, Opaque::Missing)
    }

    /// Programs among the scripts, and older scripts of a reworked change under a tag that is not
    /// the nearest one.
    fn left_over(&self, order: &[Step<'f>]) -> Vec<Change<'f>> {
        let planned: HashSet<&str> = order.iter().map(|step| step.name).collect();
        let used: HashSet<String> = order
            .iter()
            .filter_map(|step| Some(format!("{}@{}", step.name, step.tagged?)))
            .collect();
        let reworked = self.deployed.iter().filter(|name| {
            let change = name.split_once('@').map(|(change, _)| change);
            change.is_some_and(|change| planned.contains(change)) && !used.contains(**name)
        });
        reworked
            .filter_map(|name| self.named("deploy", name))
            .filter_map(whole)
            .chain(self.programs.iter().map(|file| Change::opaque(file.path, 1, Opaque::Program)))
            .collect()
    }
}

/// Reads a plan: `name [requires] 2024-01-31T12:00:00Z Planner <mail> # note`.
fn steps<'f>(plan: &File<'f>) -> Vec<Step<'f>> {
    let mut steps: Vec<Step<'f>> = Vec::new();
    let mut untagged = 0_usize;
    for (line, text) in (1_usize..).zip(plan.text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with(['#', '%']) {
            continue;
        }
        if let Some(rest) = text.strip_prefix('@') {
            let tag = rest.split_whitespace().next().unwrap_or_default();
            for step in steps.iter_mut().skip(untagged) {
                step.tagged = Some(tag);
            }
            untagged = steps.len();
            continue;
        }
        let name = text.trim_start_matches(['+', '-']).split([' ', '\t', '[']).next();
        let name = name.unwrap_or_default();
        if !name.is_empty() {
            steps.push(Step { plan: plan.path, name, line, tagged: None });
        }
    }
    // The last change of a name has the plain script, whatever tag follows it.
    let mut seen = HashSet::new();
    for step in steps.iter_mut().rev() {
        if seen.insert(step.name) {
            step.tagged = None;
        }
    }
    steps
}
