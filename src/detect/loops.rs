//! Loops of scripts.

use compact_str::ToCompactString;

use super::{
    arithmetic,
    commands::{Reader, Step},
    patterns,
    script::{Done, Flow, HOLE, Outcome, Shell, Stdin},
    shell::{AndOr, Assignment, For, Input, Kind, List, Pipeline, Word},
};

/// How often the body of a loop is walked with known values.
const MAX_ROUNDS: usize = 64;

/// How many pairs of commands are compared to find those that a loop runs again.
const MAX_COMPARED: usize = 4096;

impl Reader<'_> {
    pub(super) fn repeated(
        &mut self,
        condition: &List,
        body: &List,
        until: bool,
        shell: &mut Shell,
        stdin: &Stdin,
    ) -> Done {
        if let (Some(reads), Stdin::Text(text)) = (reads(condition), stdin) {
            shell.loops = shell.loops.saturating_add(1);
            let done = self.each_line(reads, text, body, shell);
            shell.loops = shell.loops.saturating_sub(1);
            return done;
        }
        let (first, mut all) = self.list(condition, shell, stdin);
        if first.ends() {
            return (first, all);
        }
        if first.success != Some(until) {
            let branch = |reader: &mut Self, shell: &mut Shell| {
                shell.loops = shell.loops.saturating_add(1);
                let done = reader.list(body, shell, stdin);
                shell.loops = shell.loops.saturating_sub(1);
                done
            };
            let (before, from) = (shell.clone(), self.steps.len());
            all.add(self.maybe(shell, branch).1);
            if !shell.is_set_as(&before) {
                // What the body sets is another thing the next time.
                let second = self.steps.len();
                all.add(self.maybe(shell, branch).1);
                self.found_again(from, second);
            }
        }
        (Outcome::UNKNOWN, all)
    }

    /// What a round from `round` on finds again counts there, and no longer in those from `from` on.
    fn found_again(&mut self, from: usize, round: usize) {
        let earlier = round.saturating_sub(from);
        let later = self.steps.len().saturating_sub(round);
        let is_found = |step: &Step<'_>| matches!(step, Step::Found(_));
        // The steps before the loop are not walked over: many loops would take quadratic time.
        let [from, round] = [from, round].map(|at| at.min(self.steps.len()));
        if earlier.saturating_mul(later) > MAX_COMPARED
            || !self.steps.get(round..).is_some_and(|new| new.iter().any(is_found))
        {
            return;
        }
        let new = self.steps.split_off(round);
        let old = self.steps.split_off(from);
        let is_new = |step: &Step<'_>| {
            let is_same = |other: &Step<'_>| match (step, other) {
                (Step::Found(step), Step::Found(other)) => step == other,
                _ => false,
            };
            !new.iter().any(is_same)
        };
        self.steps.extend(old.into_iter().filter(is_new));
        self.steps.extend(new);
    }

    /// `while read name; do …; done` where the lines are known.
    fn each_line(
        &mut self,
        (assignments, words): (&[Assignment], &[Word]),
        text: &str,
        body: &List,
        shell: &mut Shell,
    ) -> Done {
        let ifs = assignments.iter().rev().find(|assignment| assignment.name == "IFS");
        let ifs = ifs.map(|assignment| self.text(&assignment.word, shell));
        let mut args = Vec::new();
        for word in words {
            self.fields(word, shell, &mut args);
        }
        let mut all = Stdin::None;
        let mut lines = text.lines();
        for line in lines.by_ref().take(MAX_ROUNDS) {
            shell.with_ifs(ifs.clone(), |shell| patterns::read(&args, Some(line), shell));
            let (outcome, printed) =
                self.maybe(shell, |reader, shell| reader.list(body, shell, &Stdin::Unknown));
            all.add(printed);
            if outcome.ends() && outcome.flow != Flow::Continue {
                return (Outcome::UNKNOWN, all);
            }
        }
        if lines.next().is_some() {
            patterns::read(&args, None, shell);
            let branch =
                |reader: &mut Self, shell: &mut Shell| reader.list(body, shell, &Stdin::Unknown);
            all.add(self.maybe(shell, branch).1);
        }
        (Outcome::UNKNOWN, all)
    }

    pub(super) fn for_each(&mut self, each: &For, shell: &mut Shell, stdin: &Stdin) -> Done {
        let For { name, values, body } = each;
        let mut fields = Vec::new();
        if name.is_empty() {
            // `for ((…))` runs an unknown number of times with unknown values.
            for word in values {
                let text = self.text(word, shell);
                arithmetic::forget(&text, shell);
            }
        } else {
            for word in values {
                self.fields(word, shell, &mut fields);
            }
        }
        let known = !name.is_empty()
            && fields.len() <= MAX_ROUNDS
            && !fields.iter().any(|field| field.contains(HOLE));
        if !known {
            fields.truncate(MAX_ROUNDS);
            fields.push(HOLE.to_compact_string());
        }
        let mut all = Stdin::None;
        shell.loops = shell.loops.saturating_add(1);
        let from = self.steps.len();
        let outcome = 'values: {
            for field in fields {
                if !name.is_empty() {
                    shell.set(name, Some(field));
                }
                let walk = |reader: &mut Self, shell: &mut Shell| reader.list(body, shell, stdin);
                let round = self.steps.len();
                let (outcome, printed) =
                    if known { walk(self, shell) } else { self.maybe(shell, walk) };
                all.add(printed);
                self.found_again(from, round);
                if known && outcome.ends() && outcome.flow != Flow::Continue {
                    let flow = if outcome.flow == Flow::Break { Flow::Next } else { outcome.flow };
                    break 'values Outcome::then(flow);
                }
            }
            Outcome::UNKNOWN
        };
        shell.loops = shell.loops.saturating_sub(1);
        (outcome, all)
    }
}

/// The words after `read`, and what is set before it, when that is all that a condition does.
fn reads(condition: &List) -> Option<(&[Assignment], &[Word])> {
    let [AndOr { first: Pipeline { first: command, rest: more, .. }, rest, .. }] =
        condition.as_slice()
    else {
        return None;
    };
    if !(more.is_empty() && rest.is_empty()) {
        return None;
    }
    let Kind::Simple { words, assignments } = &command.kind else { return None };
    let (first, rest) = words.split_first()?;
    let reads = first.bare() == Some("read")
        && command.redirected.as_ref().is_none_or(|own| own.input == Input::Inherited);
    reads.then_some((assignments.as_slice(), rest))
}
