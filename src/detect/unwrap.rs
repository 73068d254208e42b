//! Takes off what stands in front of the program that does the work.

use std::{borrow::Cow, collections::HashMap, sync::LazyLock};

use compact_str::CompactString;
use foldhash::fast::FixedState;

use super::{
    interpreter::{interpreter, is_interpreter},
    runners::{is_runner, runner},
};

/// How many wrappers may be stacked.
const MAX_WRAPPERS: usize = 32;

/// What a command line runs in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unwrapped<'a> {
    /// A program, or a script file, by the name it was called by.
    Program { name: &'a str, args: Cow<'a, [CompactString]> },
    /// A text for a shell, and the place of that text in the command line.
    Script { text: Cow<'a, str>, positional: Cow<'a, [CompactString]>, at: usize },
    /// A shell that reads its script from standard input, with `$0` and what follows it.
    ScriptFromInput { positional: Vec<CompactString> },
    /// A task of a project: what it runs is written elsewhere.
    Task { name: &'a str },
    /// `make`, with the file that says what its tasks are, if one is named.
    Recipes { file: Option<&'a str>, name: &'a str },
    /// A text for another interpreter.
    Code { text: &'a str },
    /// Another interpreter that reads its program from standard input.
    CodeFromInput,
    /// Command lines inside another program's arguments.
    Commands(Vec<Vec<CompactString>>),
    /// Texts for a shell inside another program's arguments.
    Scripts(Vec<String>),
    /// A container that is started elsewhere.
    Container { image: String, command: Vec<CompactString>, keeps_entrypoint: bool },
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
        "toybox",
        "fakeroot",
        "eatmydata",
        "firejail",
        "linux32",
        "linux64",
        "rlwrap",
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
    with(&["strace", "ltrace"], &["-e", "-o", "-p", "-s", "-u", "-E"], 0),
    with(&["setarch", "faketime"], &[], 1),
    with(&["numactl", "cpulimit"], &["-l", "-m", "-N", "-C", "-c"], 0),
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
    words: &'a [CompactString],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).map(CompactString::as_str)
    }

    pub(super) fn next(&mut self) -> Option<&'a str> {
        let next = self.peek()?;
        self.at = self.at.saturating_add(1);
        Some(next)
    }

    pub(super) fn rest(&self) -> &'a [CompactString] {
        self.words.get(self.at..).unwrap_or_default()
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

    pub(super) fn program(&mut self) -> Unwrapped<'a> {
        match self.next() {
            Some(name) => self.program_named(name),
            None => Unwrapped::Nothing,
        }
    }

    pub(super) fn task(&mut self) -> Unwrapped<'a> {
        match self.next() {
            Some(name) => Unwrapped::Task { name },
            None => Unwrapped::Nothing,
        }
    }

    /// What is left, for a program of this name.
    pub(super) fn program_named(&self, name: &'a str) -> Unwrapped<'a> {
        Unwrapped::Program { name, args: Cow::Borrowed(self.rest()) }
    }

    pub(super) fn code(&mut self) -> Unwrapped<'a> {
        Unwrapped::Code { text: self.next().unwrap_or_default() }
    }

    pub(super) fn script(&mut self) -> Unwrapped<'a> {
        let at = self.at;
        match self.next() {
            Some(text) => Unwrapped::Script {
                text: Cow::Borrowed(text),
                positional: Cow::Borrowed(self.rest()),
                at,
            },
            None => Unwrapped::Nothing,
        }
    }
}

/// The name of a program without its directory.
pub(super) fn basename(program: &str) -> &str {
    let slash = program.bytes().rposition(|byte| matches!(byte, b'/' | b'\\'));
    slash.and_then(|at| program.get(at.saturating_add(1)..)).unwrap_or(program)
}

/// Takes the wrappers off a command line; variables that they set are added to `environment`.
/// `is_tool` knows which names are programs of interest.
pub(super) fn unwrap<'a>(
    argv: &'a [CompactString],
    environment: &mut Vec<(CompactString, CompactString)>,
    is_tool: &dyn Fn(&str) -> bool,
) -> Unwrapped<'a> {
    let mut cursor = Cursor { words: argv, at: 0 };
    for _ in 0..MAX_WRAPPERS {
        let start = cursor.at;
        let Some(program) = cursor.next() else { return Unwrapped::Nothing };
        // Other blanks than these separate nothing: for a shell they are letters.
        if program.contains([' ', '\t', '\n']) {
            // One element of a list holds a whole command line: a mistake, or meant for a launcher.
            return Unwrapped::Script {
                text: Cow::Borrowed(program),
                positional: Cow::Borrowed(cursor.rest()),
                at: start,
            };
        }
        let name = basename(program);
        if let Some(wrapper) = BY_NAME.get(name) {
            if !wrapper.take_off(&mut cursor) {
                // `docker run`, `kubectl run`: a command may stand there in another way.
                return runner(name, &mut cursor).unwrap_or_else(|| program_at(argv, start));
            }
            continue;
        }
        if matches!(name, "env" | "cross-env" | "cross-env-shell") {
            if cursor.seek_env(environment) {
                return cursor.env_script();
            }
            continue;
        }
        if is_loader(name) {
            cursor.skip_options(&["--library-path", "--preload", "--argv0", "--audit"]);
            continue;
        }
        return interpreter(name, &mut cursor, is_tool)
            .or_else(|| runner(name, &mut cursor))
            .unwrap_or_else(|| program_at(argv, start));
    }
    Unwrapped::Nothing
}

static BY_NAME: LazyLock<HashMap<&'static str, &'static Wrapper, FixedState>> =
    LazyLock::new(|| {
        WRAPPERS
            .iter()
            .flat_map(|wrapper| wrapper.names.iter().map(move |name| (*name, wrapper)))
            .collect()
    });

/// The program that the kernel starts others with: `/lib64/ld-linux-x86-64.so.2 program`.
fn is_loader(name: &str) -> bool {
    name.starts_with("ld-linux") || name.starts_with("ld-musl") || name == "ld.so"
}

/// True for programs that run what they are told to.
pub(super) fn runs_others(name: &str) -> bool {
    BY_NAME.contains_key(name)
        || matches!(name, "env" | "xargs")
        || is_loader(name)
        || is_interpreter(name)
        || is_runner(name)
}

fn program_at(argv: &[CompactString], at: usize) -> Unwrapped<'_> {
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

impl<'a> Cursor<'a> {
    /// Passes over what `env` takes; true when a command line in one word follows (`env -S`).
    fn seek_env(&mut self, environment: &mut Vec<(CompactString, CompactString)>) -> bool {
        while let Some(word) = self.peek() {
            let letters = word.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
            if letters.is_some_and(|letters| letters.contains('S'))
                || word.starts_with("--split-string")
            {
                return true;
            }
            if let Some((name, value)) = word.split_once('=').filter(|_| !word.starts_with('-')) {
                environment.push((name.into(), value.into()));
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

    /// The command line after `-S`, glued to it or not; the words after it are its arguments.
    fn env_script(&mut self) -> Unwrapped<'a> {
        let at = self.at;
        let option = self.next().unwrap_or_default();
        let glued = match option.split_once('=') {
            Some(("--split-string", text)) => text,
            _ => option.split_once('S').map_or("", |(_, text)| text),
        };
        let text = if glued.is_empty() || option == "--split-string" {
            self.next().unwrap_or_default()
        } else {
            glued
        };
        let mut positional = vec!["env".into()];
        positional.extend_from_slice(self.rest());
        let text = format!("{text} \"$@\"");
        Unwrapped::Script { text: Cow::Owned(text), positional: Cow::Owned(positional), at }
    }
}
