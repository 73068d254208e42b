//! Takes off what stands in front of the program that does the work.

use super::interpreter::interpreter;

/// How many wrappers may be stacked.
const MAX_WRAPPERS: usize = 32;

/// What a command line runs in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unwrapped {
    /// A program, or a script file, by the name it was called by.
    Program { name: String, args: Vec<String> },
    /// A text for a shell, and the place of that text in the command line.
    Script { text: String, positional: Vec<String>, at: usize },
    /// A shell that reads its script from standard input.
    ScriptFromInput,
    /// A task of a project: what it runs is written elsewhere.
    Task { name: String },
    /// A text for another interpreter.
    Code { text: String },
    /// Nothing but wrappers, which wait or print.
    Nothing,
}

/// A program that runs the command given to it.
struct Wrapper {
    names: &'static [&'static str],
    /// The verb without which it runs nothing.
    verb: Option<&'static str>,
    /// Options that take the next word.
    options: &'static [&'static str],
    /// Words before the command.
    skip: usize,
    /// The command starts after `--` only.
    dashes: bool,
}

const fn plain(names: &'static [&'static str]) -> Wrapper {
    Wrapper { names, verb: None, options: &[], skip: 0, dashes: false }
}

const fn with(
    names: &'static [&'static str],
    options: &'static [&'static str],
    skip: usize,
) -> Wrapper {
    Wrapper { names, verb: None, options, skip, dashes: false }
}

const fn verb(
    names: &'static [&'static str],
    verb: &'static str,
    options: &'static [&'static str],
    skip: usize,
) -> Wrapper {
    Wrapper { names, verb: Some(verb), options, skip, dashes: false }
}

const fn dashes(names: &'static [&'static str]) -> Wrapper {
    Wrapper { names, verb: None, options: &[], skip: 0, dashes: true }
}

static WRAPPERS: &[Wrapper] = &[
    plain(&[
        "builtin",
        "nohup",
        "setsid",
        "catatonit",
        "unbuffer",
        "busybox",
        "ddtrace-run",
        "vault-env",
        "with-contenv",
        "opentelemetry-instrument",
        "coproc",
        "launcher",
        "proot",
        "dotenv",
        "dotenvx",
        "env-cmd",
        "caffeinate",
        "s6-envdir",
    ]),
    with(&["exec"], &["-a"], 0),
    with(&["command"], &[], 0),
    with(&["time"], &["-f", "-o", "--format", "--output"], 0),
    with(&["nice"], &["-n", "--adjustment"], 0),
    with(&["ionice"], &["-c", "-n", "-p"], 0),
    with(&["stdbuf"], &["-i", "-o", "-e"], 0),
    with(&["timeout", "gtimeout"], &["-s", "-k", "--signal", "--kill-after"], 1),
    with(&["taskset", "chrt"], &["-c"], 1),
    with(&["tini", "tini-static", "docker-init"], &["-p", "-e"], 0),
    with(&["dumb-init"], &["-r", "--rewrite"], 0),
    with(&["gosu", "su-exec", "s6-setuidgid", "setuidgid", "chpst"], &["-u"], 1),
    with(&["setpriv"], &["--reuid", "--regid", "--groups", "--inh-caps", "--bounding-set"], 0),
    with(&["sudo", "doas"], &["-u", "-g", "-C", "-h", "-p", "-U"], 0),
    with(&["chroot"], &["--userspec", "--groups"], 1),
    with(&["unshare", "nsenter", "prlimit", "systemd-run"], &["-t", "--target"], 0),
    with(&["retry"], &["-t", "-d", "-n", "--times", "--delay", "--tries", "--sleep"], 0),
    with(&["xargs", "parallel"], &["-I", "-n", "-P", "-d", "-L", "-j", "-a", "-E", "-s"], 0),
    with(
        &["dockerize"],
        &[
            "-wait",
            "-timeout",
            "-template",
            "-stdout",
            "-stderr",
            "-wait-retry-interval",
            "-wait-http-header",
        ],
        0,
    ),
    with(&["envconsul", "consul-template"], &["-config", "-prefix", "-secret", "-exec"], 0),
    with(&["direnv"], &[], 2),
    dashes(&[
        "wait-for-it",
        "wait-for-it.sh",
        "wait-for",
        "wait-for.sh",
        "wait4x",
        "wait-on",
        "await",
        "wtfc",
        "teller",
        "berglas",
        "kubectl",
        "oc",
        "docker",
        "podman",
        "nerdctl",
        "crictl",
    ]),
    verb(&["chamber"], "exec", &["-b"], 0),
    verb(&["aws-vault"], "exec", &["-d", "--duration"], 1),
    verb(
        &["op", "doppler", "infisical", "vault-run", "akeyless", "bws"],
        "run",
        &[
            "--env-file",
            "-p",
            "--project",
            "-c",
            "--config",
            "--env",
            "--path",
            "--token",
            "--projectId",
        ],
        0,
    ),
    verb(&["newrelic-admin"], "run-program", &[], 0),
    verb(&["bundle", "bundler"], "exec", &["--gemfile"], 0),
    verb(
        &["poetry", "pipenv", "pdm", "hatch", "rye", "pixi"],
        "run",
        &["-C", "--directory", "-P", "--project", "-e"],
        0,
    ),
    verb(
        &["uv"],
        "run",
        &[
            "--with",
            "--project",
            "--directory",
            "--python",
            "-p",
            "--env-file",
            "--extra",
            "--group",
            "--package",
        ],
        0,
    ),
    verb(&["conda", "mamba", "micromamba"], "run", &["-n", "--name", "-p", "--prefix", "--cwd"], 0),
    verb(&["pipx"], "run", &["--spec"], 0),
    verb(&["asdf", "mise", "rtx"], "exec", &[], 0),
];

/// A place in a command line.
pub(super) struct Cursor<'a> {
    words: &'a [String],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).map(String::as_str)
    }

    pub(super) fn next(&mut self) -> Option<&'a str> {
        let next = self.peek()?;
        self.at = self.at.saturating_add(1);
        Some(next)
    }

    pub(super) fn rest(&self) -> Vec<String> {
        self.words.get(self.at..).unwrap_or_default().to_vec()
    }

    /// Passes over options, those in `valued` together with the word after them.
    pub(super) fn skip_options(&mut self, valued: &[&str]) {
        while let Some(option) = self.peek().filter(|word| word.starts_with('-') && *word != "-") {
            self.at = self.at.saturating_add(1);
            if option == "--" {
                return;
            }
            if valued.contains(&option) {
                self.at = self.at.saturating_add(1);
            }
        }
    }

    /// Passes over options until one of `wanted`, which is consumed; true if it was there.
    pub(super) fn seek_option(&mut self, wanted: &[&str], valued: &[&str]) -> bool {
        while let Some(option) = self.peek().filter(|word| word.starts_with('-')) {
            self.at = self.at.saturating_add(1);
            if wanted.contains(&option) {
                return true;
            }
            if valued.contains(&option) {
                self.at = self.at.saturating_add(1);
            }
        }
        false
    }

    pub(super) fn program(&mut self) -> Unwrapped {
        match self.next() {
            Some(name) => Unwrapped::Program { name: name.to_owned(), args: self.rest() },
            None => Unwrapped::Nothing,
        }
    }

    pub(super) fn task(&mut self) -> Unwrapped {
        match self.next() {
            Some(name) => Unwrapped::Task { name: name.to_owned() },
            None => Unwrapped::Nothing,
        }
    }

    pub(super) fn code(&mut self) -> Unwrapped {
        Unwrapped::Code { text: self.next().unwrap_or_default().to_owned() }
    }

    pub(super) fn script(&mut self) -> Unwrapped {
        let at = self.at;
        match self.next() {
            Some(text) => Unwrapped::Script { text: text.to_owned(), positional: self.rest(), at },
            None => Unwrapped::Nothing,
        }
    }
}

/// The name of a program without its directory.
pub(super) fn basename(program: &str) -> &str {
    program.rsplit(['/', '\\']).next().unwrap_or(program)
}

/// Takes the wrappers off a command line; variables that they set are added to `environment`.
/// `is_tool` knows which names are programs of interest.
pub(super) fn unwrap(
    argv: &[String],
    environment: &mut Vec<(String, String)>,
    is_tool: &dyn Fn(&str) -> bool,
) -> Unwrapped {
    let mut cursor = Cursor { words: argv, at: 0 };
    for _ in 0..MAX_WRAPPERS {
        let start = cursor.at;
        let Some(program) = cursor.next() else { return Unwrapped::Nothing };
        if program.contains(char::is_whitespace) {
            // One element of a list holds a whole command line: a mistake, or meant for a launcher.
            return Unwrapped::Script {
                text: program.to_owned(),
                positional: cursor.rest(),
                at: start,
            };
        }
        let name = basename(program);
        if let Some(wrapper) = WRAPPERS.iter().find(|wrapper| wrapper.names.contains(&name)) {
            if !wrapper.take_off(&mut cursor) {
                return program_at(argv, start);
            }
            continue;
        }
        if matches!(name, "env" | "cross-env" | "cross-env-shell") {
            if cursor.seek_env(environment) {
                return cursor.script();
            }
            continue;
        }
        return interpreter(name, &mut cursor, is_tool).unwrap_or_else(|| program_at(argv, start));
    }
    Unwrapped::Nothing
}

fn program_at(argv: &[String], at: usize) -> Unwrapped {
    Cursor { words: argv, at }.program()
}

impl Wrapper {
    /// Moves to the command; false when there is none.
    fn take_off(&self, cursor: &mut Cursor<'_>) -> bool {
        if self.dashes {
            let rest = cursor.words.get(cursor.at..).unwrap_or_default();
            let Some(dashes) = rest.iter().position(|word| word == "--") else { return false };
            cursor.at = cursor.at.saturating_add(dashes).saturating_add(1);
            return true;
        }
        if self.names.contains(&"command") && matches!(cursor.peek(), Some("-v" | "-V")) {
            return false;
        }
        cursor.skip_options(self.options);
        if let Some(verb) = self.verb {
            if cursor.next() != Some(verb) {
                return false;
            }
            cursor.skip_options(self.options);
        }
        cursor.at = cursor.at.saturating_add(self.skip);
        // `chamber exec service service -- command`
        let rest = cursor.words.get(cursor.at..).unwrap_or_default();
        let first_dashes = rest.iter().take(4).position(|word| word == "--");
        if let Some(dashes) = first_dashes
            && rest.iter().take(dashes).all(|word| !word.contains('/'))
        {
            cursor.at = cursor.at.saturating_add(dashes).saturating_add(1);
        }
        true
    }
}

impl Cursor<'_> {
    /// Passes over what `env` takes; true when a command line in one word follows (`env -S`).
    fn seek_env(&mut self, environment: &mut Vec<(String, String)>) -> bool {
        while let Some(word) = self.peek() {
            if matches!(word, "-S" | "--split-string") {
                self.at = self.at.saturating_add(1);
                return true;
            }
            if let Some((name, value)) = word.split_once('=').filter(|_| !word.starts_with('-')) {
                environment.push((name.to_owned(), value.to_owned()));
            } else if !word.starts_with('-') {
                return false;
            }
            self.at = self.at.saturating_add(1);
            match word {
                "-u" | "--unset" | "-C" | "--chdir" => self.at = self.at.saturating_add(1),
                "--" => return false,
                _ => {}
            }
        }
        false
    }
}
