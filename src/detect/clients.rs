//! Clients that are given statements: in an option, on standard input or in a file.

use super::{
    Confidence, Operation,
    catalogue::{Client, Dialect, Tool},
    commands::{Reader, Step},
    script::{HOLE, Stdin},
    sql,
};

/// What the arguments of a client give it.
#[derive(Debug, Default)]
struct Given {
    /// Statements, with the option that they stand in.
    inline: Vec<(String, String)>,
    /// The option that names a file.
    file: Option<String>,
    /// Words that belong to no option.
    words: Vec<String>,
    /// It only prints its version or a list.
    only_prints: bool,
}

impl<'c> Reader<'c> {
    /// Says what a client does.
    pub(super) fn client(&mut self, tool: &'c Tool, program: &str, args: &[String], stdin: &Stdin) {
        let Some(client) = &tool.client else { return };
        let mut given = given(tool, client, args);
        if let Some(subcommand) = &client.subcommand {
            let wanted: Vec<&str> = subcommand.split_whitespace().collect();
            let is = |(wanted, word): (&&str, &String)| wanted.split('|').any(|one| one == word);
            if given.words.len() < wanted.len() || !wanted.iter().zip(&given.words).all(is) {
                return;
            }
            given.words.drain(..wanted.len());
        }
        if !tool.verbs.is_empty() {
            return self.schema_changer(tool, client, program, args, &given);
        }
        let mut shown = program.to_owned();
        let mut effects = Vec::new();
        for (option, text) in &given.inline {
            shown = format!("{program} {option}");
            effects.push(effect(client.dialect, text));
        }
        if let Some(at) = client.positional
            && let Some(text) = given.words.get(at)
        {
            let words: Vec<&str> = given.words.iter().skip(at).map(String::as_str).collect();
            effects.push(match client.dialect {
                Dialect::Redis => sql::classify_redis(&words),
                Dialect::Sql | Dialect::Mongo => effect(client.dialect, text),
            });
        }
        if client.dialect == Dialect::Mongo
            && given
                .words
                .iter()
                .any(|word| word.rsplit_once('.').is_some_and(|(_, ending)| ending == "js"))
        {
            effects.push(Some(Operation::Unknown));
        }
        if let Some(option) = given.file {
            shown = format!("{program} {option}");
            effects.push(Some(Operation::Unknown));
        }
        if effects.is_empty() && client.stdin && !given.only_prints {
            match stdin {
                Stdin::None => {}
                Stdin::Text(text) => effects.push(effect(client.dialect, text)),
                Stdin::Unknown => effects.push(Some(Operation::Unknown)),
                Stdin::Migration(operation) => effects.push(Some(*operation)),
            }
        }
        match effects.into_iter().flatten().max() {
            Some(operation) => self.found(&tool.id, operation, tool.ceiling, shown),
            None => self.steps.push(Step::Harmless),
        }
    }

    /// Tools that change a table online: the flag says whether, the text says what.
    fn schema_changer(
        &mut self,
        tool: &'c Tool,
        client: &Client,
        program: &str,
        args: &[String],
        given: &Given,
    ) {
        let arguments = super::verb::Arguments::new(args, tool);
        let found = arguments.verbs(tool).into_iter().next();
        let Some(found) = found else {
            return self.found(&tool.id, Operation::ReadOnly, tool.ceiling, program.to_owned());
        };
        let mut operation = found.verb.operation;
        for (_, text) in &given.inline {
            let upper = text.trim_start().to_uppercase();
            let is_whole = ["ALTER TABLE", "CREATE ", "DROP TABLE", "DROP INDEX", "TRUNCATE"]
                .iter()
                .any(|start| upper.starts_with(start));
            let is_clause = client.alter && !is_whole;
            let statement = if is_clause { format!("ALTER TABLE t {text}") } else { text.clone() };
            operation = operation.max(sql::classify(&statement).unwrap_or(Operation::Apply));
        }
        let words = format!("{program} {}", found.words.join(" "));
        self.found(&tool.id, operation, tool.ceiling, words);
    }

    /// A client in a text that could not be read as a script: anything but a plain query counts.
    pub(super) fn possible_client(&mut self, tool: &'c Tool, program: &str, args: &[String]) {
        let text = args.join(" ");
        let changes = ["DROP ", "TRUNCATE", "DELETE ", "ALTER ", "CREATE ", "UPDATE ", "INSERT "];
        let upper = text.to_uppercase();
        if changes.iter().any(|word| upper.contains(word)) {
            let confidence = tool.ceiling.min(Confidence::Command);
            self.found(&tool.id, Operation::Unknown, confidence, program.to_owned());
        }
    }
}

fn effect(dialect: Dialect, text: &str) -> Option<Operation> {
    if text.chars().all(|c| c == HOLE || c.is_whitespace()) && text.contains(HOLE) {
        return Some(Operation::Unknown);
    }
    match dialect {
        Dialect::Sql => sql::classify(text),
        Dialect::Mongo => sql::classify_mongo(text),
        Dialect::Redis => sql::classify_redis(&text.split_ascii_whitespace().collect::<Vec<_>>()),
    }
}

/// Tells the arguments of a client apart.
fn given(tool: &Tool, client: &Client, args: &[String]) -> Given {
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
            _ if tool.options.contains(word) => (word.clone(), words.next().cloned()),
            _ => match cluster(tool, word) {
                Some((option, "")) => (option, words.next().cloned()),
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
            given.file = Some(option);
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
