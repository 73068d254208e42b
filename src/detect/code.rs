//! Programs in other languages than a shell's: looked through for calls that migrate and for
//! commands that they start.

use compact_str::CompactString;

use super::{
    Confidence, Operation,
    classify::UNKNOWN_TOOL,
    commands::{Reader, Step},
    filters::decoded,
    image::Image,
    runners::spawned,
    script::{Shell, Stdin},
    script_files::is_stdin,
    shell::MAX_SCRIPT,
};

/// Calls that start a program, and the words in which other languages say `system`.
const STARTERS: [&str; 14] = [
    "os.system(",
    "os.popen(",
    "subprocess.",
    "execSync(",
    "execFileSync(",
    "spawnSync(",
    "spawn(",
    "system(",
    "popen(",
    "passthru(",
    "shell_exec(",
    "exec(",
    "exec ",
    "system ",
];

/// How many calls of one text are followed.
const MAX_CALLS: usize = 64;

impl Reader<'_> {
    /// A text for an interpreter other than a shell.
    pub(super) fn code(&mut self, text: &str, shell: &Shell) {
        if !self.spend(text.len().div_euclid(64)) {
            return self.plain_words(text);
        }
        if let Some(operation) = operation(text) {
            return self.found(
                UNKNOWN_TOOL,
                operation,
                Confidence::Command,
                "inline code".to_owned(),
            );
        }
        let before = self.steps.len();
        self.started(text, shell);
        self.decoded_in(text, shell);
        let told = self.steps.iter().skip(before).any(|step| matches!(step, Step::Found(_)));
        if !told && STARTERS.iter().any(|call| text.contains(call)) {
            self.commands_in_code(text);
        }
        self.keep_found(before);
        self.steps.push(Step::Other);
    }

    /// The commands that are plain text in calls: `os.system("flyway clean")`,
    /// `subprocess.run(["flyway", "clean"])`.
    fn started(&mut self, text: &str, shell: &Shell) {
        if text.contains("spawn ") {
            self.inner_scripts(&spawned(text), shell);
        }
        let mut calls: Vec<(usize, usize)> = Vec::new();
        for call in STARTERS {
            let places = text.match_indices(call).take(MAX_CALLS);
            calls.extend(places.map(|(at, _)| (at, at.saturating_add(call.len()))));
        }
        calls.sort_unstable();
        let mut passed = 0_usize;
        for (start, end) in calls.into_iter().take(MAX_CALLS) {
            if start < passed {
                // `system(` in `os.system(`
                continue;
            }
            passed = end;
            let rest = text.get(end..).unwrap_or_default();
            let (texts, is_list) = arguments(rest);
            match texts.as_slice() {
                [] => {}
                [script] if !is_list => self.inner_scripts(std::slice::from_ref(script), shell),
                // `execFileSync("flyway", ["clean"])`, `system("flyway", "clean")`
                argv => {
                    let argv: Vec<_> = argv.iter().map(CompactString::from).collect();
                    self.nested(|reader| reader.program(&argv, &[], shell, &Stdin::None));
                }
            }
        }
    }

    /// Texts in base64 that the program decodes: what they hold is code or commands.
    fn decoded_in(&mut self, text: &str, shell: &Shell) {
        let decodes = ["b64decode", "base64", "atob(", "unpack"];
        if !decodes.iter().any(|call| text.contains(call)) {
            return;
        }
        let parts: Vec<&str> = text.split(['\'', '"', '`']).take(256).collect();
        for part in parts.iter().filter(|part| part.len() >= 12) {
            let Some(inner) = decoded(part) else { continue };
            self.nested(|reader| {
                if reader.spend(1) {
                    reader.code(&inner, shell);
                    reader.commands_in_code(&inner);
                }
            });
        }
    }

    /// Code that starts programs: a tool and its verb among the texts in it.
    fn commands_in_code(&mut self, text: &str) {
        let plain = text.replace([',', '[', ']', '(', ')', '\'', '"'], " ");
        let doubtful = self.doubtful;
        self.plain_words(&plain);
        self.doubtful = doubtful;
    }

    /// What `make` runs: every recipe, whichever task is asked for.
    pub(super) fn recipes(&mut self, file: Option<&str>, name: &str, shell: &Shell, stdin: &Stdin) {
        let text = match (file, stdin) {
            (Some(file), Stdin::Text(text)) if is_stdin(file) => Some(text.clone()),
            (Some(file), _) if !is_stdin(file) => self.content(shell, file),
            _ => None,
        };
        let Some(text) = text else { return self.task(name) };
        let commands: Vec<String> = text
            .lines()
            .filter_map(|line| {
                let recipe =
                    line.strip_prefix('\t').or_else(|| line.split_once(';').map(|l| l.1))?;
                Some(recipe.trim_start_matches(['@', '-', '+', ' ']).replace("$$", "$"))
            })
            .collect();
        self.inner_scripts(&commands, shell);
    }

    /// A container that is started elsewhere, by its image and its command.
    pub(super) fn container(
        &mut self,
        image: &str,
        command: Vec<CompactString>,
        keeps_entrypoint: bool,
        shell: &Shell,
        stdin: &Stdin,
    ) {
        let catalogue = self.catalogue;
        let image = Image::parse(image);
        let tool = catalogue.by_image(&image).filter(|_| keeps_entrypoint);
        let mut argv = command;
        if let Some(tool) = tool {
            if let (true, Some(operation)) = (argv.is_empty(), tool.image_default) {
                let words = image.basename().to_owned();
                return self.found(&tool.id, operation, tool.ceiling, words);
            }
            argv.splice(0..0, tool.entrypoint(&image).map(CompactString::from));
        }
        if argv.is_empty() {
            return self.steps.push(Step::Other);
        }
        self.nested(|reader| reader.program(&argv, &[], shell, stdin));
    }
}

/// What calls of well-known libraries do.
fn operation(text: &str) -> Option<Operation> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with(['#', '/', '*']))
        .flat_map(str::chars)
        .filter(|c| !c.is_whitespace())
        .take(MAX_SCRIPT)
        .collect();
    let has = |calls: &[&str]| calls.iter().any(|call| code.contains(call));
    if has(&[
        ".dropDatabase(",
        ".drop_all(",
        ".dropSchema(",
        "dropSchema:true",
        "DROPTABLE",
        "DROPSCHEMA",
    ]) {
        Some(Operation::Destructive)
    } else if has(&[".undoLastMigration(", "command.downgrade("]) {
        Some(Operation::Rollback)
    } else if has(&[
        ".runMigrations(",
        "migrationsRun:true",
        "command.upgrade(",
        "call_command('migrate'",
        "call_command(\"migrate\"",
        ".create_all(",
        "migrate.latest(",
        ".synchronize(",
        ".migrate.up(",
        "umzug.up(",
    ]) {
        Some(Operation::Apply)
    } else {
        None
    }
}

/// The texts among the arguments of a call, up to the bracket that closes it, and whether they stand
/// in a list. None where something else stands between them, such as a variable.
fn arguments(rest: &str) -> (Vec<String>, bool) {
    let mut texts = Vec::new();
    let mut is_list = false;
    let mut chars = rest.chars().take(64 * 1024);
    while let Some(next) = chars.next() {
        match next {
            '\'' | '"' | '`' => {
                let mut text = String::new();
                while let Some(inner) = chars.next() {
                    match inner {
                        '\\' => text.extend(chars.next()),
                        inner if inner == next => break,
                        inner => text.push(inner),
                    }
                }
                texts.push(text);
            }
            '[' => is_list = true,
            '(' | ',' | ' ' | '\n' => {}
            // `subprocess.run(`, and options after the command.
            c if texts.is_empty() && (c.is_ascii_alphanumeric() || matches!(c, '_' | '.')) => {}
            _ => break,
        }
    }
    let is_list = is_list || texts.len() > 1;
    (texts, is_list)
}
