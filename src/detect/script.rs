//! Walks through a script as a shell would, and collects what it runs.
//!
//! Nothing is run, so what a command prints, whether it succeeds and what most variables hold is
//! not known. Where that matters both ways are taken; where it does not, as in `[ yes = no ]`,
//! only the one that is left.

use std::{collections::BTreeMap, rc::Rc};

use super::{
    Operation,
    commands::Reader,
    files::absolute,
    shell::{
        self, AndOr, Command, Input, Join, Kind, List, Output, Part, Pipeline, Unreadable, Word,
    },
};

/// Stands in a text for what only a running shell could tell.
pub(super) const HOLE: char = '\u{FFFC}';

/// Stands in a file for a dump that a backup tool wrote there: rows that can be put back.
pub(super) const DUMP: char = '\u{FFFB}';

/// The longest value that is followed; doubling a variable over and over must not fill the memory.
const MAX_VALUE: usize = 64 * 1024;

/// What a command reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stdin {
    /// Nothing that we know of.
    None,
    /// This text.
    Text(String),
    /// Something that is written elsewhere.
    Unknown,
    /// Statements that a tool printed instead of running them.
    Migration(Operation),
}

/// The state of a shell.
#[derive(Clone, Debug, Default)]
pub(super) struct Shell {
    /// `None` is a variable that is set to something unknown.
    pub(super) variables: BTreeMap<String, Option<String>>,
    /// `$1` and so on; `None` when they are not known.
    pub(super) positional: Option<Vec<String>>,
    /// The working directory; `None` when it is the image's or depends on what a branch did.
    pub(super) folder: Option<String>,
    /// Files that were written on the way, by absolute path; `None` when what was is not known.
    pub(super) written: BTreeMap<String, Option<Rc<str>>>,
    functions: BTreeMap<String, Rc<List>>,
}

/// What is known after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Whether it succeeded.
    pub(super) success: Option<bool>,
    /// The shell goes no further.
    pub(super) ended: bool,
}

impl Outcome {
    pub(super) const UNKNOWN: Self = Self { success: None, ended: false };
    pub(super) const SUCCESS: Self = Self { success: Some(true), ended: false };
    pub(super) const ENDED: Self = Self { success: None, ended: true };

    fn known(success: bool) -> Self {
        Self { success: Some(success), ended: false }
    }
}

impl Reader<'_> {
    /// Reads and walks through a script.
    pub(super) fn script(&mut self, text: &str, shell: &mut Shell, stdin: &Stdin) -> Outcome {
        // A loop may run one long text over and over.
        if !self.spend(text.len().div_euclid(64)) {
            return Outcome::UNKNOWN;
        }
        match shell::parse(text, self.depth) {
            Ok(list) => self.nested(|reader| reader.list(&list, shell, stdin)),
            Err(Unreadable::Syntax | Unreadable::Limit) => {
                self.plain_words(text);
                Outcome::UNKNOWN
            }
        }
    }

    fn list(&mut self, list: &List, shell: &mut Shell, stdin: &Stdin) -> Outcome {
        let mut outcome = Outcome::SUCCESS;
        for and_or in list {
            outcome = self.and_or(and_or, shell, stdin);
            if outcome.ended {
                break;
            }
        }
        outcome
    }

    fn and_or(&mut self, and_or: &AndOr, shell: &mut Shell, stdin: &Stdin) -> Outcome {
        let mut outcome = self.pipeline(&and_or.first, shell, stdin);
        for (join, pipeline) in &and_or.rest {
            if outcome.ended {
                break;
            }
            let wanted = *join == Join::And;
            match outcome.success {
                Some(success) if success != wanted => {}
                Some(_) => outcome = self.pipeline(pipeline, shell, stdin),
                None => {
                    self.maybe(shell, |reader, shell| reader.pipeline(pipeline, shell, stdin));
                    outcome = Outcome::UNKNOWN;
                }
            }
        }
        outcome
    }

    /// Walks a branch that may not be taken: what it sets is unknown afterwards.
    fn maybe(
        &mut self,
        shell: &mut Shell,
        branch: impl FnOnce(&mut Self, &mut Shell) -> Outcome,
    ) -> Outcome {
        self.spend(shell.size());
        let (before, folder, written) =
            (shell.variables.clone(), shell.folder.clone(), shell.written.clone());
        let outcome = branch(self, shell);
        for (name, value) in &mut shell.variables {
            if before.get(name) != Some(value) {
                *value = None;
            }
        }
        if shell.folder != folder {
            shell.folder = None;
        }
        for (path, text) in &mut shell.written {
            // A file that is there only if the branch was taken holds that or is not there.
            if written.get(path).is_some_and(|before| before != text) {
                *text = None;
            }
        }
        outcome
    }

    fn pipeline(&mut self, pipeline: &Pipeline, shell: &mut Shell, stdin: &Stdin) -> Outcome {
        let mut outcome = Outcome::UNKNOWN;
        let mut input = stdin.clone();
        let piped = pipeline.commands.len() > 1;
        let outer = self.input;
        for command in &pipeline.commands {
            let (next, output) = self.command(command, shell, &input);
            outcome = next;
            input = output;
            self.input = None;
        }
        self.input = outer;
        if piped {
            // Each part runs in a shell of its own.
            return Outcome::UNKNOWN;
        }
        if pipeline.negated {
            outcome.success = outcome.success.map(|success| !success);
        }
        outcome
    }

    /// Walks one command; also what it prints, as far as that is known.
    fn command(&mut self, command: &Command, shell: &mut Shell, stdin: &Stdin) -> (Outcome, Stdin) {
        if !self.spend(1) {
            return (Outcome::ENDED, Stdin::Unknown);
        }
        let outer = self.input;
        let stdin = match &command.input {
            Input::Inherited => stdin.clone(),
            Input::File(word) => {
                let path = self.text(word, shell);
                self.input = self.origin(shell, &path);
                self.content(shell, &path).map_or(Stdin::Unknown, Stdin::Text)
            }
            Input::Text(word) => {
                self.input = None;
                Stdin::Text(self.text(word, shell))
            }
        };
        let before = self.steps.len();
        let (outcome, output) = self.nested(|reader| reader.kind(&command.kind, shell, &stdin));
        self.input = outer;
        let mut redirected = false;
        for Output { target, appends, standard } in &command.outputs {
            let path = self.text(target, shell);
            if *standard && path != "/dev/stdout" {
                redirected = true;
                let dump = Stdin::Text(DUMP.to_string());
                let is_dump = output == Stdin::Unknown && self.saves_from(before);
                shell.write(&path, if is_dump { &dump } else { &output }, *appends);
            }
        }
        (outcome, if redirected { Stdin::None } else { output })
    }

    fn kind(&mut self, kind: &Kind, shell: &mut Shell, stdin: &Stdin) -> (Outcome, Stdin) {
        let outcome = match kind {
            Kind::Simple { assignments, words } => {
                return self.simple(assignments, words, shell, stdin);
            }
            Kind::Group(list) => self.list(list, shell, stdin),
            Kind::If { arms, otherwise } => self.conditional(arms, otherwise, shell, stdin),
            Kind::Loop { condition, body, until } => {
                let first = self.list(condition, shell, stdin);
                if first.success != Some(*until) {
                    self.maybe(shell, |reader, shell| reader.list(body, shell, stdin));
                }
                Outcome::UNKNOWN
            }
            Kind::For { name, values, body } => {
                self.for_each(name, values, body, shell, stdin);
                Outcome::UNKNOWN
            }
            Kind::Case { subject, arms } => self.case(subject, arms, shell, stdin),
            Kind::Function { name, body } => {
                shell.functions.insert(name.clone(), Rc::clone(body));
                Outcome::SUCCESS
            }
            Kind::Test(words) => {
                let words: Vec<String> = words.iter().map(|word| self.text(word, shell)).collect();
                let success = test(&words);
                Outcome { success, ended: false }
            }
        };
        (outcome, Stdin::Unknown)
    }

    fn conditional(
        &mut self,
        arms: &[(List, List)],
        otherwise: &List,
        shell: &mut Shell,
        stdin: &Stdin,
    ) -> Outcome {
        let mut all_end = true;
        for (condition, body) in arms {
            let tested = self.list(condition, shell, stdin);
            match tested.success {
                Some(true) => {
                    let outcome = self.list(body, shell, stdin);
                    return Outcome { ended: outcome.ended && all_end, ..outcome };
                }
                Some(false) => {}
                None => {
                    let outcome =
                        self.maybe(shell, |reader, shell| reader.list(body, shell, stdin));
                    all_end &= outcome.ended;
                }
            }
        }
        let outcome = self.maybe(shell, |reader, shell| reader.list(otherwise, shell, stdin));
        Outcome { success: None, ended: all_end && outcome.ended }
    }

    fn for_each(
        &mut self,
        name: &str,
        values: &[Word],
        body: &List,
        shell: &mut Shell,
        stdin: &Stdin,
    ) {
        let mut fields = Vec::new();
        for word in values {
            fields.extend(self.fields(word, shell));
        }
        if fields.len() > 64 || fields.is_empty() {
            fields = vec![HOLE.to_string()];
        }
        for field in fields {
            shell.variables.insert(name.to_owned(), Some(field));
            self.maybe(shell, |reader, shell| reader.list(body, shell, stdin));
        }
    }

    fn case(
        &mut self,
        subject: &Word,
        arms: &[(Vec<Word>, List)],
        shell: &mut Shell,
        stdin: &Stdin,
    ) -> Outcome {
        let subject = self.text(subject, shell);
        for (patterns, body) in arms {
            let patterns: Vec<String> =
                patterns.iter().map(|pattern| self.text(pattern, shell)).collect();
            let is_exact = |pattern: &String| {
                !pattern.contains(['*', '?', '[', HOLE]) && !subject.contains(HOLE)
            };
            if patterns.iter().all(is_exact) {
                if patterns.contains(&subject) {
                    return self.list(body, shell, stdin);
                }
                continue;
            }
            self.maybe(shell, |reader, shell| reader.list(body, shell, stdin));
        }
        Outcome::UNKNOWN
    }

    fn simple(
        &mut self,
        assignments: &[(String, Word)],
        words: &[Word],
        shell: &mut Shell,
        stdin: &Stdin,
    ) -> (Outcome, Stdin) {
        let mut environment = Vec::new();
        for (name, word) in assignments {
            let value = self.text(word, shell);
            environment.push((name.clone(), value));
        }
        let mut argv = Vec::new();
        for word in words {
            argv.extend(self.fields(word, shell));
        }
        let Some(name) = argv.first() else {
            for (name, value) in environment {
                shell.set(name, value);
            }
            return (Outcome::SUCCESS, Stdin::None);
        };
        if let Some(body) = shell.functions.get(name).map(Rc::clone) {
            let positional = argv.iter().skip(1).cloned().collect();
            let outer = shell.positional.replace(positional);
            let outcome = self.nested(|reader| reader.list(&body, shell, stdin));
            shell.positional = outer;
            // `return` ends the function, `exit` would end the script: not told apart.
            return (Outcome { ended: false, ..outcome }, Stdin::Unknown);
        }
        self.argv(&argv, &environment, shell, stdin)
    }

    /// Expands a word where no splitting takes place.
    pub(super) fn text(&mut self, word: &Word, shell: &mut Shell) -> String {
        let mut text = String::new();
        for part in &word.parts {
            let (value, _) = self.part(part, shell);
            text.push_str(&value);
        }
        if text.len() > MAX_VALUE { HOLE.to_string() } else { text }
    }

    /// Expands a word to the words it becomes.
    fn fields(&mut self, word: &Word, shell: &mut Shell) -> Vec<String> {
        let mut fields: Vec<String> = Vec::new();
        let mut open = false;
        let mut globs = false;
        for part in &word.parts {
            globs |=
                matches!(part, Part::Text { text, quoted: false } if text.contains(['*', '?']));
            if let Part::Variable { name, quoted: true } = part
                && name == "@"
            {
                // The quotes around `"$@"` are no word of their own.
                if fields.last().is_some_and(String::is_empty) {
                    fields.pop();
                }
                fields.extend(shell.positional.clone().unwrap_or_else(|| vec![HOLE.to_string()]));
                continue;
            }
            let (value, splits) = self.part(part, shell);
            if value.len() > MAX_VALUE {
                return vec![HOLE.to_string()];
            }
            let mut pieces: Vec<&str> =
                if splits { value.split_ascii_whitespace().collect() } else { vec![&value] };
            if open
                && !(splits && value.starts_with(|c: char| c.is_ascii_whitespace()))
                && let (Some(last), Some(first)) = (fields.last_mut(), pieces.first())
            {
                last.push_str(first);
                pieces.remove(0);
            }
            fields.extend(pieces.into_iter().map(str::to_owned));
            let ends_word = splits && value.ends_with(|c: char| c.is_ascii_whitespace());
            open = !fields.is_empty() && !ends_word;
        }
        match fields.as_slice() {
            [pattern] if globs => self.matching(shell, pattern).unwrap_or(fields),
            _ => fields,
        }
    }

    /// The files that a pattern such as `/sql/*.sql` stands for; none where they are not known or
    /// there are none.
    fn matching(&mut self, shell: &Shell, pattern: &str) -> Option<Vec<String>> {
        let (folder, name) = pattern.rsplit_once('/').unwrap_or((".", pattern));
        if folder.contains(['*', '?']) {
            return None;
        }
        let path = absolute(shell.folder.as_deref(), if folder.is_empty() { "/" } else { folder })?;
        let mut names: Vec<String> = Vec::new();
        for (file, _) in self.files.folder(&path).into_iter().flatten() {
            names.extend(file.split('/').next().map(str::to_owned));
        }
        let inside = |file: &String| {
            let rest = file.strip_prefix(path.trim_end_matches('/'))?.strip_prefix('/')?;
            (!rest.contains('/')).then(|| rest.to_owned())
        };
        names.extend(shell.written.keys().filter_map(inside));
        self.spend(names.len());
        names.retain(|file| fits(name, file));
        names.sort();
        names.dedup();
        let path = path.trim_end_matches('/');
        let found: Vec<String> = names.iter().map(|name| format!("{path}/{name}")).collect();
        (!found.is_empty()).then_some(found)
    }

    /// The value of a part, and whether it is split into words.
    fn part(&mut self, part: &Part, shell: &mut Shell) -> (String, bool) {
        let hole = || HOLE.to_string();
        match part {
            Part::Text { text, .. } => (text.clone(), false),
            Part::Unknown { .. } => (hole(), false),
            Part::Variable { name, quoted } => (shell.get(name).unwrap_or_else(hole), !quoted),
            Part::Default { name, word, quoted } => match shell.variables.get(name).cloned() {
                Some(Some(value)) if !value.is_empty() => (value, !quoted),
                Some(None) => (hole(), !quoted),
                Some(Some(_)) | None => {
                    let value = self.nested(|reader| reader.text(word, shell));
                    (value, !quoted)
                }
            },
            Part::Command { script, quoted } => {
                let name = script.trim();
                let is_placeholder = !name.is_empty()
                    && name
                        .chars()
                        .all(|c| c == '_' || c.is_ascii_uppercase() || c.is_ascii_digit());
                if is_placeholder {
                    // `$(NAME)` is how Kubernetes would have written a variable that it lacks.
                    return (hole(), false);
                }
                let output = self.substitution(script, shell);
                (output.unwrap_or_else(hole), !quoted)
            }
        }
    }

    /// Walks what stands in `$(…)`; what it prints, if that is a plain text.
    fn substitution(&mut self, script: &str, shell: &Shell) -> Option<String> {
        self.spend(shell.size());
        let mut inner = shell.clone();
        let Ok(list) = shell::parse(script, self.depth) else {
            self.plain_words(script);
            return None;
        };
        if let [AndOr { first: Pipeline { commands, .. }, rest }] = list.as_slice()
            && let ([command], []) = (commands.as_slice(), rest.as_slice())
        {
            return match self.nested(|reader| reader.command(command, &mut inner, &Stdin::None)) {
                (_, Stdin::Text(text)) => Some(text.trim_end_matches('\n').to_owned()),
                _ => None,
            };
        }
        self.nested(|reader| reader.list(&list, &mut inner, &Stdin::None));
        None
    }
}

impl Shell {
    pub(super) fn new(
        variables: BTreeMap<String, Option<String>>,
        positional: Option<Vec<String>>,
    ) -> Self {
        Self { variables, positional, ..Self::default() }
    }

    /// How much there is to copy.
    pub(super) fn size(&self) -> usize {
        self.variables.len().saturating_add(self.written.len())
    }

    /// Notes what was written to a file.
    pub(super) fn write(&mut self, path: &str, output: &Stdin, appends: bool) {
        let Some(path) = absolute(self.folder.as_deref(), path) else { return };
        if path.starts_with("/dev/") {
            return;
        }
        let text = match output {
            Stdin::None => Some(""),
            Stdin::Text(text) => Some(text.as_str()),
            Stdin::Unknown | Stdin::Migration(_) => None,
        };
        let before = match self.written.get(&path) {
            Some(before) if appends => before.as_deref(),
            _ if appends => None,
            _ => Some(""),
        };
        let whole = match (before, text) {
            (Some(""), Some(text)) => Some(text.to_owned()),
            (Some(before), Some(text)) => Some(format!("{before}\n{text}")),
            _ => None,
        };
        let whole = whole.filter(|whole| whole.len() <= MAX_VALUE);
        self.written.insert(path, whole.map(Rc::from));
    }

    fn get(&self, name: &str) -> Option<String> {
        // `$0` is kept among the variables.
        if let Some(at) = name.parse::<usize>().ok().and_then(|index| index.checked_sub(1)) {
            return self.positional.as_ref().map(|args| args.get(at).cloned().unwrap_or_default());
        }
        match name {
            "@" | "*" => self.positional.as_ref().map(|args| args.join(" ")),
            "#" | "?" | "-" | "$" | "!" => None,
            name => self.variables.get(name).cloned().flatten(),
        }
    }

    /// Sets a variable; a value with holes is one that is not known.
    pub(super) fn set(&mut self, name: String, value: String) {
        self.variables.insert(name, Some(value));
    }
}

/// True when a name fits a pattern of `*`, `?` and plain characters.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut here) = (0_usize, 0_usize);
    // Where to go on when what follows the last star does not fit.
    let mut retry: Option<(usize, usize)> = None;
    while let Some(next) = name.get(here) {
        match pattern.get(at) {
            Some('*') => {
                retry = Some((at, here));
                at = at.saturating_add(1);
                continue;
            }
            Some(wanted) if *wanted == '?' || wanted == next => {
                at = at.saturating_add(1);
                here = here.saturating_add(1);
                continue;
            }
            _ => {}
        }
        let Some((star, from)) = retry else { return false };
        retry = Some((star, from.saturating_add(1)));
        at = star.saturating_add(1);
        here = from.saturating_add(1);
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

/// Evaluates `[ … ]` and `[[ … ]]`, as far as it can be told.
pub(super) fn test(words: &[String]) -> Option<bool> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words.iter().any(|word| word.contains(HOLE)) {
        return None;
    }
    match words.as_slice() {
        ["!", rest @ ..] => {
            let rest: Vec<String> = rest.iter().map(|word| (*word).to_owned()).collect();
            (rest.len() <= 3).then(|| test(&rest)).flatten().map(|success| !success)
        }
        [left, "=" | "==", right] if !right.contains(['*', '?', '[']) => Some(left == right),
        [left, "!=", right] if !right.contains(['*', '?', '[']) => Some(left != right),
        ["-n", text] => Some(!text.is_empty()),
        ["-z", text] => Some(text.is_empty()),
        _ => None,
    }
}

/// The outcome of the commands that do nothing but succeed or fail.
pub(super) fn trivial(name: &str, args: &[String]) -> Option<Outcome> {
    match name {
        ":" | "true" => Some(Outcome::SUCCESS),
        "false" => Some(Outcome::known(false)),
        "[" => {
            let words = args.split_last().map(|(_, words)| words).unwrap_or_default();
            Some(Outcome { success: test(words), ended: false })
        }
        "test" => Some(Outcome { success: test(args), ended: false }),
        "exit" | "return" => Some(Outcome::ENDED),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_patterns_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.sql", "a.sql", true),
            ("*.sql", "a.sqlx", false),
            ("V?__*.sql", "V1__a.sql", true),
            ("V?__*.sql", "V12__a.sql", false),
            ("*a*b", "xaxbxb", true),
            ("*a*b", "xaxbx", false),
            ("*", "", true),
            ("a", "a", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_of_stars_costs_no_more_than_its_product() {
        let name = "a".repeat(2_000);
        assert!(!fits(&format!("{}b", "*a".repeat(500)), &name));
    }
}
