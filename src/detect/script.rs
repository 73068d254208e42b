//! Walks through a script as a shell would, and collects what it runs.
//!
//! Nothing is run, so what a program prints, whether it succeeds and what most variables hold is
//! not known. Where that matters both ways are taken; where it does not, as in `[ yes = no ]`,
//! only the one that is left.

use std::rc::Rc;

use compact_str::CompactString;

pub(super) use super::state::{DUMP, HOLE, Shell, Stdin};
use super::{
    arithmetic,
    commands::Reader,
    patterns::{self, fits, is_readable},
    shell::{
        self, AndOr, ArmEnd, Assignment, Case, Command, Input, Join, Kind, List, Output, Part,
        Pipeline, Redirected, Word,
    },
};

/// What follows a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flow {
    /// The next command.
    Next,
    /// The next round of the loop.
    Continue,
    /// What follows the loop.
    Break,
    /// What follows the function or the file.
    Return,
    /// Nothing: the shell ends.
    Exit,
}

/// What is known after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Whether it succeeded.
    pub(super) success: Option<bool>,
    pub(super) flow: Flow,
}

impl Outcome {
    pub(super) const UNKNOWN: Self = Self { success: None, flow: Flow::Next };
    pub(super) const SUCCESS: Self = Self { success: Some(true), flow: Flow::Next };

    pub(super) const fn of(success: Option<bool>) -> Self {
        Self { success, flow: Flow::Next }
    }

    pub(super) const fn then(flow: Flow) -> Self {
        Self { success: None, flow }
    }

    pub(super) fn ends(self) -> bool {
        self.flow != Flow::Next
    }

    /// The same for whoever called a function or read a file: `return` ends no more than that.
    pub(super) fn returned(self) -> Self {
        if self.flow == Flow::Exit { self } else { Self { flow: Flow::Next, ..self } }
    }
}

/// An outcome with what was printed.
pub(super) type Done = (Outcome, Stdin);

impl Reader<'_> {
    /// Reads and walks through a script.
    pub(super) fn script(&mut self, text: &str, shell: &mut Shell, stdin: &Stdin) -> Done {
        // A loop may run one long text over and over.
        if !self.spend(text.len().div_euclid(64)) {
            self.plain_words(text);
            return (Outcome::UNKNOWN, Stdin::Unknown);
        }
        let parsed = shell::parse(text, self.depth);
        let traps = std::mem::take(&mut shell.traps);
        let (outcome, mut printed) = self.nested(|reader| reader.list(&parsed.list, shell, stdin));
        for action in std::mem::replace(&mut shell.traps, traps) {
            printed.add(self.trapped(&action, shell));
        }
        if parsed.error.is_some() || self.exhausted {
            self.plain_words(text);
        }
        (outcome, printed)
    }

    pub(super) fn list(&mut self, list: &List, shell: &mut Shell, stdin: &Stdin) -> Done {
        let mut outcome = Outcome::SUCCESS;
        let mut all = Stdin::None;
        for and_or in list {
            let (next, printed) = if and_or.background {
                let (_, printed) =
                    self.subshell(shell, |reader, inner| reader.and_or(and_or, inner, stdin));
                (Outcome::UNKNOWN, printed)
            } else {
                self.and_or(and_or, shell, stdin)
            };
            all.add(printed);
            outcome = next;
            if outcome.ends() {
                break;
            }
        }
        (outcome, all)
    }

    fn and_or(&mut self, and_or: &AndOr, shell: &mut Shell, stdin: &Stdin) -> Done {
        let (mut outcome, mut all) = self.pipeline(&and_or.first, shell, stdin);
        for (join, pipeline) in &and_or.rest {
            if outcome.ends() {
                break;
            }
            let wanted = *join == Join::And;
            let printed = match outcome.success {
                Some(success) if success != wanted => continue,
                Some(_) => {
                    let (next, printed) = self.pipeline(pipeline, shell, stdin);
                    outcome = next;
                    printed
                }
                None => {
                    let branch = |reader: &mut Self, shell: &mut Shell| {
                        reader.pipeline(pipeline, shell, stdin)
                    };
                    outcome = Outcome::UNKNOWN;
                    self.maybe(shell, branch).1
                }
            };
            all.add(printed);
        }
        (outcome, all)
    }

    /// Walks a branch that may not be taken: what it sets is unknown afterwards.
    pub(super) fn maybe<R>(
        &mut self,
        shell: &mut Shell,
        branch: impl FnOnce(&mut Self, &mut Shell) -> R,
    ) -> R {
        self.spend(shell.size().saturating_add(self.disk.size()));
        let (before, disk) = (shell.clone(), self.disk.before());
        shell.branches = shell.branches.saturating_add(1);
        let result = branch(self, shell);
        shell.branches = before.branches;
        shell.forget_since(&before);
        self.disk.forget_since(&disk);
        result
    }

    /// Walks what runs in a shell of its own: what it sets does not come back, but files do.
    fn subshell(
        &mut self,
        shell: &Shell,
        inner: impl FnOnce(&mut Self, &mut Shell) -> Done,
    ) -> Done {
        self.spend(shell.size());
        let mut own = shell.clone();
        let traps = std::mem::take(&mut own.traps);
        let (outcome, mut printed) = inner(self, &mut own);
        for action in std::mem::replace(&mut own.traps, traps) {
            printed.add(self.trapped(&action, &mut own));
        }
        (Outcome::of(outcome.success.filter(|_| !outcome.ends())), printed)
    }

    /// Walks what `trap` left for the end; what it prints.
    fn trapped(&mut self, action: &str, shell: &mut Shell) -> Stdin {
        let before = self.steps.len();
        let (_, printed) = self.nested(|reader| reader.script(action, shell, &Stdin::None));
        self.keep_found(before);
        printed
    }

    fn pipeline(&mut self, pipeline: &Pipeline, shell: &mut Shell, stdin: &Stdin) -> Done {
        let Pipeline { negated, first, rest } = pipeline;
        if rest.is_empty() {
            let (mut outcome, printed) = self.command(first, shell, stdin);
            if *negated {
                outcome.success = outcome.success.map(|success| !success);
            }
            return (outcome, printed);
        }
        let mut input = stdin.clone();
        let outer = self.input;
        for command in std::iter::once(first).chain(rest) {
            let (_, printed) =
                self.subshell(shell, |reader, inner| reader.command(command, inner, &input));
            input = printed;
            self.input = None;
        }
        self.input = outer;
        (Outcome::UNKNOWN, input)
    }

    /// Walks one command; also what it prints, as far as that is known.
    fn command(&mut self, command: &Command, shell: &mut Shell, stdin: &Stdin) -> Done {
        if !self.spend(1) {
            return (Outcome::then(Flow::Exit), Stdin::Unknown);
        }
        let Some(redirected) = &command.redirected else {
            return self.nested(|reader| reader.kind(&command.kind, shell, stdin));
        };
        let Redirected { input, outputs } = redirected.as_ref();
        let outer = self.input;
        let own;
        let stdin = match input {
            Input::Inherited => stdin,
            Input::File(word) => {
                let path = self.text(word, shell);
                self.input = self.origin(shell, &path);
                own = match path.as_str() {
                    "/dev/null" => Stdin::None,
                    "/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0" => stdin.clone(),
                    path => self.content(shell, path).map_or(Stdin::Unknown, Stdin::Text),
                };
                &own
            }
            Input::Text(word) => {
                self.input = None;
                own = Stdin::Text(self.text(word, shell).into());
                &own
            }
        };
        let before = self.steps.len();
        let (mut outcome, mut printed) =
            self.nested(|reader| reader.kind(&command.kind, shell, stdin));
        if let Kind::Simple { words, assignments } = &command.kind
            && words.is_empty()
            && assignments.is_empty()
        {
            // `$(<file)`
            printed = stdin.clone();
        }
        self.input = outer;
        if outcome.success == Some(true) {
            // A file that cannot be opened fails whatever the command would have done.
            outcome.success = None;
        }
        if !outputs.is_empty() && printed == Stdin::Unknown && self.saves_from(before) {
            printed = Stdin::Text(DUMP.to_string());
        }
        (outcome, self.redirect(outputs, printed, shell))
    }

    /// Writes what was printed where it goes; what is left for the pipe.
    fn redirect(&mut self, outputs: &[Output], printed: Stdin, shell: &mut Shell) -> Stdin {
        let mut redirected = false;
        for Output { target, appends, standard } in outputs {
            let path = self.text(target, shell);
            if !*standard || path == "/dev/stdout" {
                continue;
            }
            redirected = true;
            if let Some(script) = self.disk.read_by(&path) {
                self.subshell(shell, |reader, inner| reader.script(&script, inner, &printed));
            } else if let Some(path) = shell.resolve(&path) {
                // What is there is copied.
                self.spend(self.disk.length(&path).div_euclid(64));
                self.disk.write(path, &printed, *appends);
            }
        }
        if redirected { Stdin::None } else { printed }
    }

    fn kind(&mut self, kind: &Kind, shell: &mut Shell, stdin: &Stdin) -> Done {
        match kind {
            Kind::Simple { assignments, words } => self.simple(assignments, words, shell, stdin),
            Kind::Group(list) => self.list(list, shell, stdin),
            Kind::Subshell(list) => {
                self.subshell(shell, |reader, inner| reader.list(list, inner, stdin))
            }
            Kind::If { arms, otherwise } => self.conditional(arms, otherwise, shell, stdin),
            Kind::Loop { condition, body, until } => {
                self.repeated(condition, body, *until, shell, stdin)
            }
            Kind::For(each) => self.for_each(each, shell, stdin),
            Kind::Case(case) => self.case(case, shell, stdin),
            Kind::Function { name, body } => {
                shell.define(name, body);
                (Outcome::SUCCESS, Stdin::None)
            }
            Kind::Arithmetic(inside) => {
                let text = self.text(inside, shell);
                let value = arithmetic::value(&text, shell);
                (Outcome::of(value.map(|value| value != 0)), Stdin::None)
            }
            Kind::Test(words) => {
                let words: Vec<_> = words.iter().map(|word| self.text(word, shell)).collect();
                (Outcome::of(patterns::test(&words)), Stdin::None)
            }
        }
    }

    fn conditional(
        &mut self,
        arms: &[(List, List)],
        otherwise: &List,
        shell: &mut Shell,
        stdin: &Stdin,
    ) -> Done {
        // What follows is left out only if every branch that may be taken ends the same way.
        let mut flow = Flow::Exit;
        let mut all = Stdin::None;
        for (condition, body) in arms {
            let (tested, printed) = self.list(condition, shell, stdin);
            all.add(printed);
            if tested.ends() {
                return (Outcome::then(flow.min(tested.flow)), all);
            }
            match tested.success {
                Some(true) if flow == Flow::Exit => {
                    let (outcome, printed) = self.list(body, shell, stdin);
                    all.add(printed);
                    return (outcome, all);
                }
                Some(false) => {}
                known => {
                    let branch =
                        |reader: &mut Self, shell: &mut Shell| reader.list(body, shell, stdin);
                    let (outcome, printed) = self.maybe(shell, branch);
                    all.add(printed);
                    flow = flow.min(outcome.flow);
                    if known.is_some() {
                        return (Outcome::then(flow), all);
                    }
                }
            }
        }
        if otherwise.is_empty() {
            return (Outcome::UNKNOWN, all);
        }
        let branch = |reader: &mut Self, shell: &mut Shell| reader.list(otherwise, shell, stdin);
        let (outcome, printed) = self.maybe(shell, branch);
        all.add(printed);
        (Outcome::then(flow.min(outcome.flow)), all)
    }

    fn case(&mut self, case: &Case, shell: &mut Shell, stdin: &Stdin) -> Done {
        let Case { subject, arms } = case;
        let subject = self.text(subject, shell);
        let mut all = Stdin::None;
        let mut outcome = Outcome::UNKNOWN;
        // Whether the body of the arm before goes on here.
        let mut falls = Some(false);
        // An arm before may have been the one.
        let mut is_open = false;
        for arm in arms {
            let mut hit = falls;
            if falls != Some(true) {
                for pattern in &arm.patterns {
                    let pattern = self.pattern(pattern, shell);
                    let fit = self.is_fit(&pattern, &subject);
                    hit = if fit == Some(true) {
                        fit
                    } else {
                        hit.and_then(|hit| fit.map(|fit| hit || fit))
                    };
                }
            }
            let walk = |reader: &mut Self, shell: &mut Shell| reader.list(&arm.body, shell, stdin);
            match hit {
                Some(false) => continue,
                Some(true) if !is_open => {
                    let (next, printed) = walk(self, shell);
                    all.add(printed);
                    outcome = next;
                    if arm.end == ArmEnd::Leave || outcome.ends() {
                        return (outcome, all);
                    }
                }
                hit => {
                    is_open = true;
                    all.add(self.maybe(shell, walk).1);
                    outcome = Outcome::UNKNOWN;
                    if hit == Some(true) && arm.end == ArmEnd::Leave {
                        return (outcome, all);
                    }
                }
            }
            falls = if arm.end == ArmEnd::FallThrough { hit } else { Some(false) };
        }
        (outcome, all)
    }

    fn is_fit(&mut self, pattern: &str, subject: &str) -> Option<bool> {
        if pattern == "*" {
            return Some(true);
        }
        if !is_readable(pattern) || subject.contains(HOLE) {
            return None;
        }
        let work = pattern.len().saturating_mul(subject.len()).div_euclid(1024);
        self.spend(work).then(|| fits(pattern, subject))
    }

    fn simple(
        &mut self,
        assignments: &[Assignment],
        words: &[Word],
        shell: &mut Shell,
        stdin: &Stdin,
    ) -> Done {
        if words.is_empty() {
            let runs = assignments.iter().any(|assignment| assignment.word.runs());
            for assignment in assignments {
                self.assign(assignment, shell);
            }
            return (if runs { Outcome::UNKNOWN } else { Outcome::SUCCESS }, Stdin::None);
        }
        let mut environment = Vec::new();
        for Assignment { name, word, .. } in assignments {
            environment.push((name.clone(), self.text(word, shell)));
        }
        let mut argv = Vec::with_capacity(words.len());
        for word in words {
            self.fields(word, shell, &mut argv);
        }
        let Some(name) = argv.first() else { return (Outcome::UNKNOWN, Stdin::None) };
        if let Some(text) = shell.aliased(name)
            && words.first().is_some_and(|word| word.bare().is_some())
        {
            let text = format!("{text} \"$@\"");
            return self.aliased(&text, &argv, shell, stdin);
        }
        if let Some(bodies) = shell.function(name) {
            return self.call(&bodies, &argv, &environment, shell, stdin);
        }
        self.argv(&argv, &environment, shell, stdin)
    }

    fn aliased(
        &mut self,
        text: &str,
        argv: &[CompactString],
        shell: &mut Shell,
        stdin: &Stdin,
    ) -> Done {
        if !self.spend(shell.size()) {
            self.plain_words(text);
            return (Outcome::UNKNOWN, Stdin::Unknown);
        }
        let mut inner = shell.clone();
        inner.positional = argv.get(1..).map(Rc::from);
        // An alias does not stand for itself.
        inner.unalias(argv.first().map(CompactString::as_str).unwrap_or_default());
        self.nested(|reader| reader.script(text, &mut inner, stdin))
    }

    /// Calls a function.
    fn call(
        &mut self,
        bodies: &[Rc<List>],
        argv: &[CompactString],
        environment: &[(CompactString, CompactString)],
        shell: &mut Shell,
        stdin: &Stdin,
    ) -> Done {
        let outer = shell.positional.take();
        shell.positional = argv.get(1..).map(Rc::from);
        for (name, value) in environment {
            shell.set(name, Some(value.clone()));
        }
        let loops = std::mem::take(&mut shell.loops);
        let locals = shell.enter();
        let done = if let [body] = bodies {
            self.nested(|reader| reader.list(body, shell, stdin))
        } else {
            let mut all = Stdin::None;
            for body in bodies {
                let branch = |reader: &mut Self, shell: &mut Shell| {
                    reader.nested(|reader| reader.list(body, shell, stdin))
                };
                all.add(self.maybe(shell, branch).1);
            }
            (Outcome::UNKNOWN, all)
        };
        shell.positional = outer;
        shell.loops = loops;
        shell.leave(locals);
        (done.0.returned(), done.1)
    }

    fn assign(&mut self, assignment: &Assignment, shell: &mut Shell) {
        let Assignment { name, index, word, appends } = assignment;
        let is_array = matches!(word.parts.as_slice(), [Part::Array(_)]);
        let value = self.text(word, shell);
        if index.is_some() || *appends {
            // What is there is copied.
            self.spend(shell.length(name).div_euclid(64));
        }
        if let Some(index) = index {
            return shell.set_element(name, index, &value);
        }
        if *appends {
            return shell.append(name, &value, is_array);
        }
        shell.set(name, Some(value));
    }
}
