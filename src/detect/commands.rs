//! One command line after another: what a shell does itself, and what it hands to programs.

use std::collections::BTreeSet;

use compact_str::CompactString;

use super::{
    Confidence, FileRef, Operation, SqlFile,
    catalogue::Catalogue,
    changes::Budget,
    classify::UNKNOWN_TOOL,
    effort::Grant,
    files::Files,
    filters, names, patterns,
    script::{Flow, HOLE, Outcome, Shell, Stdin},
    sql::Statement,
    state::Disk,
    unwrap::{Unwrapped, basename, runs_others, unwrap},
};

/// How deeply scripts, groups and functions may nest, all together.
const MAX_DEPTH: usize = 40;
/// How many bytes are looked through word by word in one container.
const MAX_SWEPT: usize = 4 * 1024 * 1024;

/// Programs that run others and are themselves run by `npx` and its like.
const RUN_BY_RUNNERS: [&str; 8] =
    ["node", "ts-node", "tsx", "dotenv", "dotenvx", "env-cmd", "cross-env", "babel-node"];

/// The field of a container in which something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Command,
    Args,
    Source,
    PostStart,
    Env(usize),
    /// `envFrom`: a ConfigMap in reach gives the variable.
    EnvFrom(usize),
    /// A script that is mounted over the image's entrypoint.
    Mounts,
    Image,
    Name,
    /// The name of the object itself.
    Owner,
}

/// What one command turned out to be.
#[derive(Debug)]
pub(super) enum Step<'c> {
    /// A tool that we know, or something called like one.
    Found(Found<'c>),
    /// Something that is over at once and touches no database: `echo`, `cp`.
    Harmless,
    /// Any other program.
    Other,
    /// A command that nobody showed: its text is a secret, or is downloaded, or decoded.
    Hidden,
}

/// A tool that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found<'c> {
    pub(super) tool: &'c str,
    pub(super) operation: Operation,
    pub(super) confidence: Confidence,
    pub(super) words: String,
    pub(super) field: Field,
    /// The mounted file that the command stands in.
    pub(super) file: Option<FileRef<'c>>,
    /// The statements that the tool is given.
    pub(super) statements: Vec<Statement>,
    /// The files of statements that it is given.
    pub(super) files: Vec<SqlFile<'c>>,
    /// The text could not be read as a script, and was looked through word by word.
    pub(super) from_words: bool,
}

impl<'c> Found<'c> {
    /// Something that is told without statements or files.
    pub(super) fn of(
        tool: &'c str,
        operation: Operation,
        confidence: Confidence,
        words: &str,
        field: Field,
    ) -> Self {
        Self {
            tool,
            operation,
            confidence,
            words: words.to_owned(),
            field,
            file: None,
            statements: Vec::new(),
            files: Vec::new(),
            from_words: false,
        }
    }
}

/// Reads everything that one container runs.
#[derive(Debug)]
pub(super) struct Reader<'c> {
    pub(super) catalogue: &'c Catalogue,
    /// What is mounted into the container.
    pub(super) files: Files<'c>,
    /// The mounted file that is being read.
    pub(super) file: Option<FileRef<'c>>,
    /// The mounted file that is redirected into the command.
    pub(super) input: Option<FileRef<'c>>,
    /// How much may still be read of folders of migrations.
    pub(super) folders: Budget,
    pub(super) steps: Vec<Step<'c>>,
    /// How much deeper things may nest.
    pub(super) depth: usize,
    /// How many more commands may be looked at.
    work: usize,
    pub(super) swept: usize,
    /// A text is looked through word by word: what is known already is not found again.
    pub(super) is_sweeping: bool,
    seen: BTreeSet<(&'c str, Operation)>,
    /// What the scripts of the container write.
    pub(super) disk: Disk,
    /// The work is used up, so that not everything was looked at.
    pub(super) exhausted: bool,
    /// A limit was met, so that what was found is not all there is.
    pub(super) doubtful: bool,
    pub(super) field: Field,
    /// Where `args` begin in the container's own command line.
    pub(super) args_at: Option<usize>,
}

impl<'c> Reader<'c> {
    pub(super) fn new(
        catalogue: &'c Catalogue,
        files: Files<'c>,
        field: Field,
        Grant { commands: work, folders }: Grant,
    ) -> Self {
        Self {
            catalogue,
            files,
            file: None,
            input: None,
            folders,
            steps: Vec::new(),
            depth: MAX_DEPTH,
            work,
            swept: MAX_SWEPT,
            is_sweeping: false,
            seen: BTreeSet::new(),
            disk: Disk::default(),
            exhausted: false,
            doubtful: false,
            field,
            args_at: None,
        }
    }

    /// What was not used of what the container may have.
    pub(super) fn left(&self) -> Grant {
        Grant { commands: self.work, folders: self.folders }
    }

    /// Goes one level deeper for as long as `inner` runs.
    pub(super) fn nested<R>(&mut self, inner: impl FnOnce(&mut Self) -> R) -> R {
        let depth = self.depth;
        self.depth = depth.saturating_sub(1);
        let result = inner(self);
        self.depth = depth;
        result
    }

    /// How many more commands may be looked at.
    pub(super) fn work_left(&self) -> usize {
        self.work
    }

    /// Pays for work; false when a limit is met.
    pub(super) fn spend(&mut self, work: usize) -> bool {
        self.work = self.work.saturating_sub(work);
        if self.work == 0 || self.depth == 0 {
            self.doubtful = true;
            self.exhausted = true;
            return false;
        }
        true
    }

    /// Of the steps from `from` on, keeps only what was found.
    pub(super) fn keep_found(&mut self, from: usize) {
        let new = self.steps.split_off(from.min(self.steps.len()));
        self.steps.extend(new.into_iter().filter(|step| matches!(step, Step::Found(_))));
    }

    pub(super) fn found(
        &mut self,
        tool: &'c str,
        operation: Operation,
        confidence: Confidence,
        words: String,
    ) {
        self.found_with(tool, operation, confidence, words, Vec::new(), Vec::new());
    }

    /// The same for a tool that is given statements.
    pub(super) fn found_with(
        &mut self,
        tool: &'c str,
        operation: Operation,
        confidence: Confidence,
        words: String,
        statements: Vec<Statement>,
        files: Vec<SqlFile<'c>>,
    ) {
        let migrations = (tool, Operation::Data)..=(tool, Operation::Destructive);
        if self.is_sweeping
            && (self.seen.contains(&(tool, operation))
                || self.seen.range(migrations).next().is_some())
        {
            return;
        }
        self.seen.insert((tool, operation));
        let (field, file) = (self.field, self.file);
        let from_words = self.is_sweeping;
        let found = Found {
            tool,
            operation,
            confidence,
            words,
            field,
            file,
            statements,
            files,
            from_words,
        };
        self.steps.push(Step::Found(found));
    }

    /// Looks at one command line as a shell would run it.
    pub(super) fn argv(
        &mut self,
        line: &[CompactString],
        environment: &[(CompactString, CompactString)],
        shell: &mut Shell,
        stdin: &Stdin,
    ) -> (Outcome, Stdin) {
        let mut line = line;
        // `command eval`, `builtin source`: the same without functions and aliases.
        while let [prefix, rest @ ..] = line
            && matches!(prefix.as_str(), "command" | "builtin")
            && rest.first().is_some_and(|next| !next.starts_with('-'))
        {
            line = rest;
        }
        let Some((name, args)) = line.split_first() else {
            return (Outcome::SUCCESS, Stdin::None);
        };
        if let Some(outcome) = patterns::trivial(name, args, shell) {
            self.steps.push(Step::Harmless);
            return (outcome, Stdin::None);
        }
        let ifs = environment.iter().rev().find(|(own, _)| name == "read" && own == "IFS");
        let ifs = ifs.map(|(_, ifs)| ifs.clone());
        if let Some(done) = shell.with_ifs(ifs, |shell| self.built_in(name, args, shell, stdin)) {
            return done;
        }
        let printed = self.nested(|reader| reader.program(line, environment, shell, stdin));
        let outcome = match name.as_str() {
            "exec" if args.iter().any(|arg| !arg.starts_with('-')) => Outcome::then(Flow::Exit),
            "echo" | "printf" => Outcome::SUCCESS,
            _ => Outcome::UNKNOWN,
        };
        (outcome, printed)
    }

    /// Looks at one command line as the system would run it; what it prints, if that is known.
    pub(super) fn program(
        &mut self,
        argv: &[CompactString],
        environment: &[(CompactString, CompactString)],
        shell: &Shell,
        stdin: &Stdin,
    ) -> Stdin {
        if !self.spend(1) {
            return Stdin::Unknown;
        }
        if argv.first().is_some_and(|name| name.contains(HOLE)) {
            return self.hidden_program(argv, environment, shell, stdin);
        }
        if argv.first().is_some_and(|name| basename(name) == "xargs") {
            return self.xargs(argv, environment, shell, stdin);
        }
        let args_at = self.args_at.take();
        let mut environment = environment.to_vec();
        let catalogue = self.catalogue;
        let prints = argv.first().is_some_and(|name| matches!(name.as_str(), "echo" | "printf"));
        if !prints {
            self.settings(argv, &environment);
        }
        match unwrap(argv, &mut environment, &|name| catalogue.knows(name)) {
            Unwrapped::Program { name, args } if RUN_BY_RUNNERS.contains(&name) => {
                let line = line_of(name, &args);
                return self.nested(|reader| reader.program(&line, &environment, shell, stdin));
            }
            Unwrapped::Program { name, args } => {
                return self.named_program(name, &args, &environment, shell, stdin);
            }
            Unwrapped::Script { text, positional, at } => {
                let field = self.field;
                if args_at.is_some_and(|args_at| at >= args_at) {
                    self.field = Field::Args;
                }
                let mut inner = self.inner_shell(shell, environment, &positional);
                self.startup(argv, &mut inner);
                let (_, printed) = self.nested(|reader| reader.script(&text, &mut inner, stdin));
                self.field = field;
                return printed;
            }
            Unwrapped::ScriptFromInput { positional } => {
                let mut inner = self.inner_shell(shell, environment, &positional);
                self.startup(argv, &mut inner);
                return self.script_on_input(stdin, &mut inner);
            }
            Unwrapped::Task { name } => self.task(name),
            Unwrapped::Recipes { file, name } => self.recipes(file, name, shell, stdin),
            Unwrapped::Code { text } => self.code(text, shell),
            Unwrapped::CodeFromInput => match stdin {
                Stdin::Text(text) => self.code(text, shell),
                Stdin::Unknown | Stdin::Migration(_) => self.steps.push(Step::Hidden),
                Stdin::None => self.steps.push(Step::Harmless),
            },
            Unwrapped::Commands(commands) => {
                for command in commands {
                    self.nested(|reader| reader.program(&command, &[], shell, stdin));
                }
            }
            Unwrapped::Scripts(texts) => self.inner_scripts(&texts, shell),
            Unwrapped::Container { image, command, keeps_entrypoint } => {
                self.container(&image, command, keeps_entrypoint, shell, stdin);
            }
            Unwrapped::Nothing => self.steps.push(Step::Harmless),
        }
        Stdin::Unknown
    }

    /// Runs what a shell reads from its standard input.
    fn script_on_input(&mut self, stdin: &Stdin, shell: &mut Shell) -> Stdin {
        match stdin {
            Stdin::Text(text) => {
                return self.nested(|reader| reader.script(text, shell, &Stdin::Unknown)).1;
            }
            Stdin::Unknown | Stdin::Migration(_) => self.steps.push(Step::Hidden),
            Stdin::None => self.steps.push(Step::Harmless),
        }
        Stdin::Unknown
    }

    /// True when all that was found since is a backup.
    pub(super) fn saves_from(&self, before: usize) -> bool {
        let mut new = self.steps.iter().skip(before).filter_map(|step| match step {
            Step::Found(found) => Some(found.operation),
            Step::Harmless | Step::Other | Step::Hidden => None,
        });
        new.next() == Some(Operation::Backup) && new.all(|next| next == Operation::Backup)
    }

    /// Texts for a shell that another program runs.
    pub(super) fn inner_scripts(&mut self, texts: &[String], shell: &Shell) {
        if texts.is_empty() {
            self.steps.push(Step::Harmless);
        }
        for text in texts {
            let mut inner = self.inner_shell(shell, Vec::new(), &[]);
            self.nested(|reader| reader.script(text, &mut inner, &Stdin::None));
        }
    }

    /// A program by its name, when everything in front of it is taken off.
    fn named_program(
        &mut self,
        name: &str,
        args: &[CompactString],
        environment: &[(CompactString, CompactString)],
        shell: &Shell,
        stdin: &Stdin,
    ) -> Stdin {
        if name.contains(HOLE) && basename(name).contains(HOLE) {
            let whole = line_of(name, args);
            return self.hidden_program(&whole, environment, shell, stdin);
        }
        if let Some(printed) = self.small_program(basename(name), args, shell, stdin) {
            return printed;
        }
        if !self.catalogue.knows(basename(name))
            && let Some(target) = self.disk.program(shell, name)
            && target != name
        {
            let whole = line_of(target, args);
            return self.nested(|reader| reader.program(&whole, environment, shell, stdin));
        }
        match self.script_file(name, args, environment, shell, stdin) {
            Some(printed) => printed,
            None => self.classify(name, args, environment, shell, stdin),
        }
    }

    /// A program whose name, or a part of it, is not known.
    ///
    /// A variable that nobody set is empty, so what is left without it may be the program.
    fn hidden_program(
        &mut self,
        line: &[CompactString],
        environment: &[(CompactString, CompactString)],
        shell: &Shell,
        stdin: &Stdin,
    ) -> Stdin {
        let Some((name, args)) = line.split_first() else { return Stdin::Unknown };
        let known =
            |name: &str| self.catalogue.knows(basename(name)) || runs_others(basename(name));
        let rest = name.replace(HOLE, "");
        let base = basename(name);
        let renamed = |name: &str| line_of(name, args);
        let instead = if !base.contains(HOLE) && !base.is_empty() {
            Some(renamed(base))
        } else if !rest.is_empty() && known(&rest) {
            Some(renamed(&rest))
        } else if rest.is_empty() && args.first().is_some_and(|next| known(next)) {
            Some(args.to_vec())
        } else if rest.is_empty() && args.len() > 1 && args.first().is_some_and(|next| next == "-c")
        {
            // `$SHELL -c text`
            Some(renamed("sh"))
        } else {
            None
        };
        match instead {
            Some(line) if line.first().is_some_and(|name| !name.contains(HOLE)) => {
                self.nested(|reader| reader.program(&line, environment, shell, stdin))
            }
            _ => {
                match names::verb(args) {
                    Some((operation, confidence, words)) => {
                        self.found(UNKNOWN_TOOL, operation, confidence, format!("program {words}"));
                    }
                    None => self.steps.push(Step::Hidden),
                }
                Stdin::Unknown
            }
        }
    }

    /// `xargs`: the command with the words that it reads.
    fn xargs(
        &mut self,
        argv: &[CompactString],
        environment: &[(CompactString, CompactString)],
        shell: &Shell,
        stdin: &Stdin,
    ) -> Stdin {
        let commands = filters::xargs(argv, stdin, |path| self.content(shell, path));
        if commands.is_empty() {
            self.steps.push(Step::Harmless);
        }
        let mut all = Stdin::None;
        for command in commands {
            let run =
                |reader: &mut Self| reader.program(&command, environment, shell, &Stdin::None);
            all.add(self.nested(run));
        }
        all
    }

    /// What `bash` reads before its script: the file that `BASH_ENV` names, after expansion.
    fn startup(&mut self, argv: &[CompactString], shell: &mut Shell) {
        let Some(value) = shell.get("BASH_ENV").filter(|value| !value.is_empty()) else { return };
        if !argv.iter().any(|word| basename(word) == "bash") {
            return;
        }
        shell.unset("BASH_ENV");
        let line = format!(". \"{}\"", value.replace('"', ""));
        let before = self.steps.len();
        self.nested(|reader| reader.script(&line, shell, &Stdin::None));
        self.keep_found(before);
    }

    pub(super) fn inner_shell(
        &mut self,
        shell: &Shell,
        environment: Vec<(CompactString, CompactString)>,
        positional: &[CompactString],
    ) -> Shell {
        self.spend(shell.size());
        // The first word after the script is `$0`.
        let zero = positional.first().map(CompactString::as_str);
        let args = positional.get(1..).unwrap_or_default().to_vec();
        let mut inner = shell.child(zero, args);
        for (name, value) in environment {
            inner.set(&name, Some(value));
        }
        inner
    }
}

/// A program and its arguments as one line.
fn line_of(name: &str, args: &[CompactString]) -> Vec<CompactString> {
    std::iter::once(CompactString::from(name)).chain(args.iter().cloned()).collect()
}
