//! Clients that are given statements: in an option, on standard input or in a file.

use std::path::Path;

use compact_str::CompactString;

use super::{
    Confidence, Operation, SqlFile,
    catalogue::{Client, Tool},
    commands::{Reader, Step},
    script::{DUMP, Shell, Stdin},
    sql::{self, Dialect, Statement},
};

/// How many bytes of statements cost as much as one command.
const BYTES_A_COMMAND: usize = 64;

/// What the arguments of a client give it.
#[derive(Debug, Default)]
struct Given {
    /// Statements, with the option that they stand in.
    inline: Vec<(String, String)>,
    /// Files, with the option that names them.
    files: Vec<(String, String)>,
    /// Words that belong to no option.
    words: Vec<CompactString>,
    /// It only prints its version or a list.
    only_prints: bool,
}

/// What is seen of the statements that a client runs.
#[derive(Debug, Default)]
struct Seen<'c> {
    /// The program with the option that gives the last of them.
    shown: String,
    /// The arguments give some, so that standard input is not read.
    is_given: bool,
    statements: Vec<Statement>,
    files: Vec<SqlFile<'c>>,
    /// What is told without statements.
    operation: Option<Operation>,
}

/// Scripts that are given as words: `mongosh x.js`, `sqlplus user @x.sql`.
fn scripts(dialect: Dialect, words: &[CompactString]) -> Vec<(String, String)> {
    let script = |word: &CompactString| match dialect {
        Dialect::Mongo => Path::new(word)
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("js"))
            .then(|| word.to_string()),
        Dialect::Oracle => {
            word.strip_prefix('@').map(|path| path.trim_start_matches('@').to_owned())
        }
        _ => None,
    };
    words.iter().filter_map(script).map(|path| ("script".to_owned(), path)).collect()
}

impl<'c> Reader<'c> {
    /// Says what a client does.
    pub(super) fn client(
        &mut self,
        tool: &'c Tool,
        program: &str,
        args: &[CompactString],
        shell: &Shell,
        stdin: &Stdin,
    ) {
        let Some(client) = &tool.client else { return };
        let mut given = given(tool, client, args);
        if let Some(subcommand) = &client.subcommand {
            let wanted: Vec<&str> = subcommand.split_whitespace().collect();
            let is =
                |(wanted, word): (&&str, &CompactString)| wanted.split('|').any(|one| one == word);
            if given.words.len() < wanted.len() || !wanted.iter().zip(&given.words).all(is) {
                return;
            }
            given.words.drain(..wanted.len());
        }
        if !tool.verbs.is_empty() {
            return self.schema_changer(tool, client, program, args, &given);
        }
        let mut seen = Seen { shown: program.to_owned(), ..Seen::default() };
        for (option, text) in &given.inline {
            seen.shown = format!("{program} {option}");
            seen.is_given = true;
            seen.statements.extend(self.statements(text, client.dialect));
        }
        if let Some(at) = client.positional
            && given.words.len() > at
        {
            seen.is_given = true;
            let words: Vec<&str> = given.words.iter().skip(at).map(CompactString::as_str).collect();
            // The shell's words are one command to Redis, and a text each to others.
            let text = if client.dialect == Dialect::Redis {
                words.join(" ")
            } else {
                words.first().copied().unwrap_or_default().to_owned()
            };
            seen.statements.extend(self.statements(&text, client.dialect));
        }
        given.files.extend(scripts(client.dialect, &given.words));
        for (option, path) in &given.files {
            seen.shown = format!("{program} {option}");
            seen.is_given = true;
            self.file_of_statements(path, client.dialect, shell, &mut seen);
        }
        if !seen.is_given && client.stdin && !given.only_prints {
            self.statements_on_input(stdin, client.dialect, &mut seen);
        }
        let Seen { shown, statements, files, operation, .. } = seen;
        let in_files = files.iter().filter_map(|file| sql::operation(&file.statements)).max();
        match operation.max(sql::operation(&statements)).max(in_files) {
            Some(operation) => {
                self.found_with(&tool.id, operation, tool.ceiling, shown, statements, files);
            }
            None => self.steps.push(Step::Harmless),
        }
    }

    /// Reads a file that a client is given.
    fn file_of_statements(
        &mut self,
        path: &str,
        dialect: Dialect,
        shell: &Shell,
        seen: &mut Seen<'c>,
    ) {
        let Some(text) = self.content(shell, path) else {
            seen.operation = Some(Operation::Unknown);
            return;
        };
        let statements = self.statements(&text, dialect);
        match self.origin(shell, path) {
            Some(file) => seen.files.push(SqlFile { file, statements }),
            None => seen.statements.extend(statements),
        }
    }

    /// Reads what a client is given on its standard input.
    fn statements_on_input(&mut self, stdin: &Stdin, dialect: Dialect, seen: &mut Seen<'c>) {
        match stdin {
            Stdin::None => {}
            Stdin::Text(text) => {
                let statements = self.statements(text, dialect);
                match self.input {
                    Some(file) => seen.files.push(SqlFile { file, statements }),
                    None => seen.statements = statements,
                }
            }
            Stdin::Unknown => seen.operation = Some(Operation::Unknown),
            Stdin::Migration(printed) => seen.operation = Some(*printed),
        }
    }

    /// Reads statements and pays for it, so that a long text that is given again and again costs
    /// no more than a long script.
    fn statements(&mut self, text: &str, dialect: Dialect) -> Vec<Statement> {
        if !self.spend(text.len() / BYTES_A_COMMAND) {
            return vec![Statement::unread()];
        }
        // A dump that the same script took puts back what is there already, and then what else
        // stands in the file counts.
        let mut statements = Vec::new();
        if text.contains(DUMP) {
            statements.push(Statement::restore());
        }
        statements.extend(sql::read(&text.replace(DUMP, ""), dialect));
        // Each is kept, so each costs as much as a command.
        self.spend(statements.len());
        statements
    }

    /// Tools that change a table online: the flag says whether, the text says what.
    fn schema_changer(
        &mut self,
        tool: &'c Tool,
        client: &Client,
        program: &str,
        args: &[CompactString],
        given: &Given,
    ) {
        let arguments = super::verb::Arguments::new(args, tool);
        let found = arguments.verbs(tool).into_iter().next();
        let Some(found) = found else {
            return self.found(&tool.id, Operation::ReadOnly, tool.ceiling, program.to_owned());
        };
        let mut statements = Vec::new();
        for (_, text) in &given.inline {
            let upper = text.trim_start().to_uppercase();
            let is_whole = ["ALTER TABLE", "CREATE ", "DROP TABLE", "DROP INDEX", "TRUNCATE"]
                .iter()
                .any(|start| upper.starts_with(start));
            let is_clause = client.alter && !is_whole;
            let text = if is_clause { format!("ALTER TABLE t {text}") } else { text.clone() };
            let read = self.statements(&text, client.dialect);
            statements.extend(read.into_iter().map(Statement::online));
        }
        let operation = sql::operation(&statements).max(Some(found.verb.operation));
        let operation = operation.unwrap_or(found.verb.operation);
        let words = format!("{program} {}", found.words(&arguments, tool).join(" "));
        self.found_with(&tool.id, operation, tool.ceiling, words, statements, Vec::new());
    }

    /// A client in a text that could not be read as a script: anything but a plain query counts.
    pub(super) fn possible_client(
        &mut self,
        tool: &'c Tool,
        program: &str,
        args: &[CompactString],
    ) {
        let text = args.join(" ");
        let changes = ["DROP ", "TRUNCATE", "DELETE ", "ALTER ", "CREATE ", "UPDATE ", "INSERT "];
        let upper = text.to_uppercase();
        if changes.iter().any(|word| upper.contains(word)) {
            let confidence = tool.ceiling.min(Confidence::Command);
            self.found(&tool.id, Operation::Unknown, confidence, program.to_owned());
        }
    }
}

/// Tells the arguments of a client apart.
fn given(tool: &Tool, client: &Client, args: &[CompactString]) -> Given {
    let mut given = Given::default();
    let mut words = args.iter();
    while let Some(word) = words.next() {
        if !word.starts_with('-') || word.len() < 2 {
            given.words.push(word.clone());
            continue;
        }
        if matches!(word.as_str(), "--version" | "-V" | "--help" | "-l" | "--list" | "-?") {
            given.only_prints = true;
            continue;
        }
        let (option, value) = match word.split_once('=') {
            Some((option, value)) if option.starts_with("--") => {
                (option.to_owned(), Some(value.to_owned()))
            }
            _ if tool.takes_value(word) => {
                (word.to_string(), words.next().map(CompactString::to_string))
            }
            _ => match cluster(tool, word) {
                Some((option, "")) => (option, words.next().map(CompactString::to_string)),
                Some((option, glued)) => (option, Some(glued.to_owned())),
                None => continue,
            },
        };
        let Some(value) = value else { continue };
        if client.inline.contains(&option) {
            given.inline.push((option, value));
        } else if client.files.contains(&option)
            && !matches!(value.as_str(), "/dev/null" | "/dev/stdin" | "-")
        {
            given.files.push((option, value));
        }
    }
    given
}

/// `-tAc`: one-letter options run together, of which the last may take a value, glued or not.
fn cluster<'w>(tool: &Tool, word: &'w str) -> Option<(String, &'w str)> {
    if word.starts_with("--") {
        return None;
    }
    let mut letters = word.strip_prefix('-')?.chars();
    while let Some(letter) = letters.next() {
        let option = format!("-{letter}");
        if tool.glued.contains(&option) {
            // A password glued to its option: nothing in it is an option.
            return None;
        }
        if tool.options.contains(&option) {
            return Some((option, letters.as_str()));
        }
    }
    None
}
