//! One command line after another: what a shell does itself, and what it hands to programs.

use super::{
    Confidence, FileRef, Operation, SqlFile,
    catalogue::Catalogue,
    changes::Budget,
    files::{Files, Lookup, absolute},
    script::{HOLE, Outcome, Shell, Stdin, trivial},
    sql::Statement,
    unwrap::{Unwrapped, basename, unwrap},
};

/// How deeply scripts, groups and functions may nest, all together.
const MAX_DEPTH: usize = 40;
/// How many commands are looked at in one container.
const MAX_WORK: usize = 50_000;

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
}

/// A tool that was found.
#[derive(Clone, Debug)]
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
    work: usize,
    /// A limit was met, so that what was found is not all there is.
    pub(super) doubtful: bool,
    pub(super) field: Field,
    /// Where `args` begin in the container's own command line.
    pub(super) args_at: Option<usize>,
}

impl<'c> Reader<'c> {
    pub(super) fn new(catalogue: &'c Catalogue, files: Files<'c>, field: Field) -> Self {
        Self {
            catalogue,
            files,
            file: None,
            input: None,
            folders: Budget::new(),
            steps: Vec::new(),
            depth: MAX_DEPTH,
            work: MAX_WORK,
            doubtful: false,
            field,
            args_at: None,
        }
    }

    /// Goes one level deeper for as long as `inner` runs.
    pub(super) fn nested<R>(&mut self, inner: impl FnOnce(&mut Self) -> R) -> R {
        let depth = self.depth;
        self.depth = depth.saturating_sub(1);
        let result = inner(self);
        self.depth = depth;
        result
    }

    /// Pays for work; false when a limit is met.
    pub(super) fn spend(&mut self, work: usize) -> bool {
        self.work = self.work.saturating_sub(work);
        if self.work == 0 || self.depth == 0 {
            self.doubtful = true;
            return false;
        }
        true
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
        let (field, file) = (self.field, self.file);
        let found = Found { tool, operation, confidence, words, field, file, statements, files };
        self.steps.push(Step::Found(found));
    }

    /// Looks at one command line as a shell would run it.
    pub(super) fn argv(
        &mut self,
        line: &[String],
        environment: &[(String, String)],
        shell: &mut Shell,
        stdin: &Stdin,
    ) -> (Outcome, Stdin) {
        let Some((name, args)) = line.split_first() else {
            return (Outcome::SUCCESS, Stdin::None);
        };
        if let Some(outcome) = trivial(name, args) {
            self.steps.push(Step::Harmless);
            return (outcome, Stdin::None);
        }
        match name.as_str() {
            "echo" | "printf" => {
                self.steps.push(Step::Harmless);
                return (Outcome::SUCCESS, Stdin::Text(printed(name, args)));
            }
            "cat" | "tee" => {
                self.steps.push(Step::Harmless);
                return (Outcome::UNKNOWN, self.passed_on(name, args, shell, stdin));
            }
            "cd" | "pushd" => {
                self.steps.push(Step::Harmless);
                let folder = args.iter().find(|arg| !arg.starts_with('-'));
                shell.folder = folder.and_then(|folder| absolute(shell.folder.as_deref(), folder));
                return (Outcome::UNKNOWN, Stdin::None);
            }
            "." | "source" => {
                if let Some((path, args)) = args.split_first()
                    && let Some(text) = self.content(shell, path)
                {
                    let file = self.origin(shell, path);
                    let outer = (!args.is_empty()).then(|| shell.positional.replace(args.to_vec()));
                    let outcome = self.in_file(file, |reader| reader.script(&text, shell, stdin));
                    if let Some(outer) = outer {
                        shell.positional = outer;
                    }
                    return (Outcome { ended: false, ..outcome }, Stdin::Unknown);
                }
            }
            "export" | "local" | "declare" | "typeset" | "readonly" | "unset" | "set" | "shift"
            | "read" => {
                self.steps.push(Step::Harmless);
                self.settings_set(args);
                variables(name, args, shell);
                return (Outcome::SUCCESS, Stdin::None);
            }
            "eval" => return (self.nested(|r| r.eval(args, shell, stdin)), Stdin::Unknown),
            "trap" => {
                self.steps.push(Step::Harmless);
                if let Some(action) = args.first().filter(|text| text.contains(' ')) {
                    let mut inner = shell.clone();
                    self.nested(|reader| reader.script(action, &mut inner, &Stdin::None));
                }
                return (Outcome::SUCCESS, Stdin::None);
            }
            _ => {}
        }
        let output = self.nested(|reader| reader.program(line, environment, shell, stdin));
        let ended = name == "exec" && args.iter().any(|arg| !arg.starts_with('-'));
        (if ended { Outcome::ENDED } else { Outcome::UNKNOWN }, output)
    }

    fn eval(&mut self, args: &[String], shell: &mut Shell, stdin: &Stdin) -> Outcome {
        let text = args.join(" ");
        if text.starts_with(HOLE) {
            self.steps.push(Step::Other);
            return Outcome::UNKNOWN;
        }
        self.script(&text, shell, stdin)
    }

    /// Looks at one command line as the system would run it.
    pub(super) fn program(
        &mut self,
        argv: &[String],
        environment: &[(String, String)],
        shell: &Shell,
        stdin: &Stdin,
    ) -> Stdin {
        if !self.spend(1) {
            return Stdin::Unknown;
        }
        let args_at = self.args_at.take();
        let with_input = xargs(argv, stdin);
        let argv = with_input.as_deref().unwrap_or(argv);
        let mut environment = environment.to_vec();
        let catalogue = self.catalogue;
        self.settings(argv, &environment);
        match unwrap(argv, &mut environment, &|name| catalogue.knows(name)) {
            Unwrapped::Program { name, args } if RUN_BY_RUNNERS.contains(&name.as_str()) => {
                let line: Vec<String> = std::iter::once(name).chain(args).collect();
                return self.nested(|reader| reader.program(&line, &environment, shell, stdin));
            }
            Unwrapped::Program { name, args } => {
                if self.script_file(&name, &args, &environment, shell, stdin) {
                    return Stdin::Unknown;
                }
                return self.classify(&name, &args, &environment, shell, stdin);
            }
            Unwrapped::Script { text, positional, at } => {
                let field = self.field;
                if args_at.is_some_and(|args_at| at >= args_at) {
                    self.field = Field::Args;
                }
                let mut inner = self.inner_shell(shell, environment, positional);
                self.nested(|reader| reader.script(&text, &mut inner, stdin));
                self.field = field;
            }
            Unwrapped::ScriptFromInput => match stdin {
                Stdin::Text(text) => {
                    let mut inner = self.inner_shell(shell, environment, Vec::new());
                    self.nested(|reader| reader.script(text, &mut inner, &Stdin::None));
                }
                Stdin::Unknown | Stdin::Migration(_) => self.steps.push(Step::Other),
                Stdin::None => self.steps.push(Step::Harmless),
            },
            Unwrapped::Task { name } => self.task(&name),
            Unwrapped::Code { text } => self.code(&text),
            Unwrapped::Nothing => self.steps.push(Step::Harmless),
        }
        Stdin::Unknown
    }

    fn inner_shell(
        &mut self,
        shell: &Shell,
        environment: Vec<(String, String)>,
        positional: Vec<String>,
    ) -> Shell {
        self.spend(shell.size());
        // The first word after the script is `$0`.
        let mut positional = positional.into_iter();
        let program = positional.next();
        let mut inner = Shell::new(shell.variables.clone(), Some(positional.collect()));
        if let Some(program) = program {
            inner.set("0".to_owned(), program);
        }
        inner.folder.clone_from(&shell.folder);
        inner.written.clone_from(&shell.written);
        for (name, value) in environment {
            inner.set(name, value);
        }
        inner
    }

    /// What `cat` and `tee` pass on.
    fn passed_on(&self, name: &str, args: &[String], shell: &mut Shell, stdin: &Stdin) -> Stdin {
        let mut paths = args.iter().filter(|arg| !arg.starts_with('-') || *arg == "-").peekable();
        if name == "tee" {
            let appends = args.iter().any(|arg| arg == "-a" || arg == "--append");
            for path in paths {
                shell.write(path, stdin, appends);
            }
            return stdin.clone();
        }
        if paths.peek().is_none() {
            return stdin.clone();
        }
        let mut whole = String::new();
        for path in paths {
            let text = match (path.as_str(), stdin) {
                ("-", Stdin::Text(text)) => Some(text.clone()),
                ("-", _) => None,
                (path, _) => self.content(shell, path),
            };
            let Some(text) = text else { return Stdin::Unknown };
            whole.push_str(&text);
            if whole.len() > super::shell::MAX_SCRIPT {
                return Stdin::Unknown;
            }
        }
        Stdin::Text(whole)
    }

    /// What a file holds, if the script wrote it or a ConfigMap in reach shows it.
    pub(super) fn content(&self, shell: &Shell, path: &str) -> Option<String> {
        let path = absolute(shell.folder.as_deref(), path)?;
        if let Some(written) = shell.written.get(&path) {
            return written.as_deref().map(str::to_owned);
        }
        match self.files.file(&path) {
            Lookup::Text(file) => Some(file.text.to_owned()),
            Lookup::Opaque | Lookup::Absent => None,
        }
    }

    /// Where a file that [`Self::content`] gave comes from; none where the script wrote it.
    pub(super) fn origin(&self, shell: &Shell, path: &str) -> Option<FileRef<'c>> {
        let path = absolute(shell.folder.as_deref(), path)?;
        match self.files.file(&path) {
            Lookup::Text(file) if !shell.written.contains_key(&path) => Some(FileRef::of(&file)),
            _ => None,
        }
    }

    /// Reads something that stands in a file, so that what is found in it is said to.
    pub(super) fn in_file<R>(
        &mut self,
        file: Option<FileRef<'c>>,
        inner: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let outer = self.file;
        self.file = file.or(outer);
        let result = self.nested(inner);
        self.file = outer;
        result
    }

    /// Runs a script file whose text is known; false when this is none.
    fn script_file(
        &mut self,
        path: &str,
        args: &[String],
        environment: &[(String, String)],
        shell: &Shell,
        stdin: &Stdin,
    ) -> bool {
        // Names without a folder are looked up in `PATH`, but for scripts that a shell is given.
        if !path.contains(['/', '.']) {
            return false;
        }
        let Some(text) = self.content(shell, path) else { return false };
        let file = self.origin(shell, path);
        let before = self.steps.len();
        if is_shell_script(path, &text) {
            let positional = std::iter::once(path).chain(args.iter().map(String::as_str));
            let positional = positional.map(str::to_owned).collect();
            let mut inner = self.inner_shell(shell, environment.to_vec(), positional);
            self.in_file(file, |reader| reader.script(&text, &mut inner, stdin));
        } else {
            self.in_file(file, |reader| reader.code(&text));
        }
        let steps = self.steps.get(before..).unwrap_or_default();
        let told = steps.iter().any(|step| matches!(step, Step::Found(_)));
        // Programs in it that nobody knows leave what the name of the script suggests.
        if !told && steps.iter().any(|step| matches!(step, Step::Other)) {
            self.script_name(path);
        }
        true
    }

    /// True when all that was found since is a backup.
    pub(super) fn saves_from(&self, before: usize) -> bool {
        let mut new = self.steps.iter().skip(before).filter_map(|step| match step {
            Step::Found(found) => Some(found.operation),
            Step::Harmless | Step::Other => None,
        });
        new.next() == Some(Operation::Backup) && new.all(|next| next == Operation::Backup)
    }

    /// Looks for a tool and its verb side by side in a script that could not be read.
    pub(super) fn plain_words(&mut self, text: &str) {
        self.doubtful = true;
        self.steps.push(Step::Other);
        let end = text
            .char_indices()
            .map(|(at, _)| at)
            .find(|at| *at >= super::shell::MAX_SCRIPT)
            .unwrap_or(text.len());
        let text = text.get(..end).unwrap_or_default();
        for line in text.split(['\n', ';', '|', '&', '(', ')', '{', '}', '`']) {
            if !self.spend(1) {
                return;
            }
            if line.trim_start().starts_with(['#']) || line.trim_start().starts_with("echo ") {
                continue;
            }
            let words: Vec<String> = line
                .split([' ', '\t', '\r', '\'', '"'])
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect();
            for (at, word) in words.iter().enumerate() {
                if !self.catalogue.knows(basename(word)) {
                    continue;
                }
                if !self.spend(16) {
                    return;
                }
                let rest = words.get(at.saturating_add(1)..).unwrap_or_default();
                let args: Vec<String> = rest.iter().take(16).cloned().collect();
                self.possible(basename(word), &args);
            }
        }
    }
}

/// Whether a file is for a shell: by its first line, else by its name.
fn is_shell_script(path: &str, text: &str) -> bool {
    if let Some(line) = text.trim_start().strip_prefix("#!") {
        let line = line.lines().next().unwrap_or_default();
        let program = line
            .split_whitespace()
            .map(basename)
            .find(|word| !word.starts_with('-') && !word.contains('=') && *word != "env");
        return program.is_none_or(|program| program.ends_with("sh"));
    }
    let name = basename(path);
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    !matches!(ending, "py" | "js" | "mjs" | "cjs" | "ts" | "rb" | "php" | "pl" | "sql" | "jar")
}

/// The command line of `xargs` with the words that it reads.
fn xargs(argv: &[String], stdin: &Stdin) -> Option<Vec<String>> {
    let read = match stdin {
        _ if basename(argv.first()?) != "xargs" => return None,
        Stdin::None => return None,
        Stdin::Text(text) => text.split_ascii_whitespace().take(64).map(str::to_owned).collect(),
        Stdin::Unknown | Stdin::Migration(_) => vec![HOLE.to_string()],
    };
    Some(argv.iter().cloned().chain(read).collect())
}

/// What `echo` and `printf` print.
fn printed(name: &str, args: &[String]) -> String {
    let mut args = args;
    let mut escapes = name == "printf";
    while let Some((first, rest)) = args.split_first() {
        match first.as_str() {
            "-n" | "--" => {}
            "-e" | "-ne" | "-en" => escapes = true,
            _ => break,
        }
        args = rest;
    }
    let mut text = match args.split_first() {
        // `printf '%s\n' text`
        Some((format, values)) if name == "printf" && format.contains('%') => {
            let around: String =
                if format.len() > 8 { format.replace('%', " ") } else { String::new() };
            format!("{around} {}", values.join("\n"))
        }
        _ => args.join(" "),
    };
    if escapes {
        text = text.replace("\\n", "\n").replace("\\t", "\t");
    }
    text
}

/// The commands of a shell that change its variables.
fn variables(name: &str, args: &[String], shell: &mut Shell) {
    match name {
        "unset" => {
            for arg in args {
                shell.variables.remove(arg);
            }
        }
        "shift" => {
            let by = args.first().and_then(|n| n.parse().ok()).unwrap_or(1);
            if let Some(positional) = &mut shell.positional {
                positional.drain(..positional.len().min(by));
            }
        }
        "set" => {
            if let Some(dashes) = args.iter().position(|arg| arg == "--") {
                shell.positional =
                    Some(args.iter().skip(dashes.saturating_add(1)).cloned().collect());
            }
        }
        "read" => {
            for arg in args.iter().filter(|arg| !arg.starts_with('-')) {
                shell.variables.insert(arg.clone(), None);
            }
        }
        _ => {
            for arg in args {
                if let Some((name, value)) = arg.split_once('=')
                    && !name.starts_with('-')
                {
                    shell.set(name.to_owned(), value.to_owned());
                }
            }
        }
    }
}
