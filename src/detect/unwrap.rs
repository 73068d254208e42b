//! Takes off what stands in front of the program that does the work.

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
        "cross-env",
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
    verb(&["symfony"], "console", &[], 0),
    verb(&["asdf", "mise", "rtx"], "exec", &[], 0),
];

const SHELLS: [&str; 8] = ["sh", "bash", "ash", "dash", "zsh", "ksh", "mksh", "rbash"];

/// A place in a command line.
struct Cursor<'a> {
    words: &'a [String],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).map(String::as_str)
    }

    fn next(&mut self) -> Option<&'a str> {
        let next = self.peek()?;
        self.at = self.at.saturating_add(1);
        Some(next)
    }

    fn rest(&self) -> Vec<String> {
        self.words.get(self.at..).unwrap_or_default().to_vec()
    }

    /// Passes over options, those in `valued` together with the word after them.
    fn skip_options(&mut self, valued: &[&str]) {
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
    fn seek_option(&mut self, wanted: &[&str], valued: &[&str]) -> bool {
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

    fn program(&mut self) -> Unwrapped {
        match self.next() {
            Some(name) => Unwrapped::Program { name: name.to_owned(), args: self.rest() },
            None => Unwrapped::Nothing,
        }
    }

    fn task(&mut self) -> Unwrapped {
        match self.next() {
            Some(name) => Unwrapped::Task { name: name.to_owned() },
            None => Unwrapped::Nothing,
        }
    }

    fn code(&mut self) -> Unwrapped {
        Unwrapped::Code { text: self.next().unwrap_or_default().to_owned() }
    }

    fn script(&mut self) -> Unwrapped {
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
        if name == "env" {
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

/// Programs that run a script, a module or another program; `None` for all others.
fn interpreter(
    name: &str,
    cursor: &mut Cursor<'_>,
    is_tool: &dyn Fn(&str) -> bool,
) -> Option<Unwrapped> {
    if SHELLS.contains(&name) {
        return Some(shell(cursor));
    }
    if name.starts_with("python") || name.starts_with("pypy") {
        return Some(python(cursor));
    }
    Some(match name {
        "su" | "runuser" => user(cursor),
        "flock" => lock(cursor),
        "ruby" | "jruby" => file_or_code(cursor, &["-e"], &["-r", "-I", "-C"]),
        "php" | "php8" | "php83" => file_or_code(cursor, &["-r"], &["-d", "-c", "-z"]),
        "perl" => file_or_code(cursor, &["-e", "-E"], &["-I", "-M"]),
        "node" | "nodejs" | "ts-node" | "tsx" | "deno" | "babel-node" | "swc-node" => {
            node(name, cursor)
        }
        "java" => java(cursor),
        "dotnet" => dotnet(cursor),
        "go" if cursor.peek() == Some("run") => {
            cursor.next();
            cursor.skip_options(&["-tags", "-mod", "-ldflags", "-exec"]);
            cursor.program()
        }
        "cargo" => cargo(cursor),
        "npx" | "bunx" | "pnpx" | "uvx" | "npm" | "pnpm" | "yarn" | "bun" => {
            package_runner(name, cursor, is_tool)
        }
        "make" | "just" | "task" | "gmake" => {
            cursor.skip_options(&["-C", "-f", "--directory", "--file", "-j"]);
            cursor.task()
        }
        "composer" => {
            cursor.skip_options(&["-d", "--working-dir"]);
            if matches!(cursor.peek(), Some("run" | "run-script" | "exec")) {
                cursor.next();
            }
            cursor.task()
        }
        "mvn" | "mvnw" | "gradle" | "gradlew" | "sbt" => build_tool(cursor),
        _ => return None,
    })
}

fn shell(cursor: &mut Cursor<'_>) -> Unwrapped {
    let mut is_text = false;
    while let Some(word) = cursor.peek() {
        if word == "--" || word == "-" {
            cursor.next();
            break;
        }
        let Some(flags) = word.strip_prefix(['-', '+']) else { break };
        cursor.next();
        if flags.starts_with('-') {
            if matches!(flags, "-rcfile" | "-init-file") {
                cursor.next();
            }
            continue;
        }
        is_text |= word.starts_with('-') && flags.contains('c');
        // `-o pipefail`, also inside a cluster such as `-euo pipefail`.
        if flags.contains('o') || flags.contains('O') {
            cursor.next();
        }
    }
    if is_text {
        return cursor.script();
    }
    match cursor.peek() {
        Some(_) => cursor.program(),
        None => Unwrapped::ScriptFromInput,
    }
}

/// `su - user -c 'text'`, `runuser -u user -- command`.
fn user(cursor: &mut Cursor<'_>) -> Unwrapped {
    while let Some(word) = cursor.next() {
        match word {
            "-c" | "--command" => return cursor.script(),
            "-s" | "--shell" | "-g" | "--group" => {
                cursor.next();
            }
            "-u" => {
                cursor.next();
                cursor.skip_options(&[]);
                return cursor.program();
            }
            _ => {}
        }
    }
    Unwrapped::Nothing
}

fn lock(cursor: &mut Cursor<'_>) -> Unwrapped {
    cursor.skip_options(&["-w", "--timeout", "-E", "--conflict-exit-code"]);
    cursor.next();
    if matches!(cursor.peek(), Some("-c" | "--command")) {
        cursor.next();
        return cursor.script();
    }
    cursor.program()
}

fn file_or_code(cursor: &mut Cursor<'_>, code: &[&str], valued: &[&str]) -> Unwrapped {
    if cursor.seek_option(code, valued) { cursor.code() } else { cursor.program() }
}

fn python(cursor: &mut Cursor<'_>) -> Unwrapped {
    while let Some(word) = cursor.peek() {
        match word {
            "-m" => {
                cursor.next();
                return cursor.program();
            }
            "-c" => {
                cursor.next();
                return cursor.code();
            }
            "-W" | "-X" => {
                cursor.next();
                cursor.next();
            }
            _ if word.starts_with('-') => {
                cursor.next();
            }
            _ => return cursor.program(),
        }
    }
    Unwrapped::Nothing
}

fn node(name: &str, cursor: &mut Cursor<'_>) -> Unwrapped {
    if name == "deno" && matches!(cursor.peek(), Some("run" | "task")) {
        cursor.next();
    }
    let valued = [
        "-r",
        "--require",
        "--import",
        "--loader",
        "--env-file",
        "-P",
        "--project",
        "-C",
        "--conditions",
    ];
    if cursor.seek_option(&["-e", "--eval", "-p", "--print"], &valued) {
        return cursor.code();
    }
    cursor.program()
}

fn java(cursor: &mut Cursor<'_>) -> Unwrapped {
    let valued = ["-cp", "-classpath", "--class-path", "--module-path", "-p", "--add-modules"];
    let is_jar = cursor.seek_option(&["-jar"], &valued);
    match cursor.next() {
        // `liquibase-core-4.1.jar` is the program `liquibase`.
        Some(jar) if is_jar => {
            let name = basename(jar);
            let name =
                name.split_once(|c: char| c == '.' || c == '-').map_or(name, |(stem, _)| stem);
            let known = if matches!(name, "liquibase" | "flyway") { name } else { jar };
            Unwrapped::Program { name: known.to_owned(), args: cursor.rest() }
        }
        Some(class) => {
            let known = match class {
                "org.flywaydb.commandline.Main" => "flyway",
                "liquibase.integration.commandline.Main"
                | "liquibase.integration.commandline.LiquibaseCommandLine" => "liquibase",
                class => class,
            };
            Unwrapped::Program { name: known.to_owned(), args: cursor.rest() }
        }
        None => Unwrapped::Nothing,
    }
}

fn dotnet(cursor: &mut Cursor<'_>) -> Unwrapped {
    match cursor.next() {
        Some("ef") => Unwrapped::Program { name: "dotnet-ef".into(), args: cursor.rest() },
        Some("fm") => Unwrapped::Program { name: "dotnet-fm".into(), args: cursor.rest() },
        Some("exec") => {
            cursor.skip_options(&["--depsfile", "--runtimeconfig"]);
            cursor.program()
        }
        Some("tool") if cursor.peek() == Some("run") => {
            cursor.next();
            cursor.program()
        }
        Some("run") => {
            cursor.skip_options(&["--project", "-p", "--configuration", "-c", "--launch-profile"]);
            Unwrapped::Program { name: "dotnet-run".into(), args: cursor.rest() }
        }
        Some(program) => Unwrapped::Program { name: program.to_owned(), args: cursor.rest() },
        None => Unwrapped::Nothing,
    }
}

fn cargo(cursor: &mut Cursor<'_>) -> Unwrapped {
    match cursor.next() {
        Some("run" | "r") => {
            let mut name = "cargo-run";
            while let Some(option) = cursor.next() {
                match option {
                    "--" => break,
                    "--bin" | "-p" | "--package" => name = cursor.next().unwrap_or(name),
                    "--manifest-path" => {
                        // `migration/Cargo.toml`: the crate is called after its folder.
                        let path = cursor.next().unwrap_or_default();
                        name = path.rsplit('/').nth(1).unwrap_or(name);
                    }
                    _ => {}
                }
            }
            Unwrapped::Program { name: name.to_owned(), args: cursor.rest() }
        }
        Some("sqlx") => Unwrapped::Program { name: "sqlx".into(), args: cursor.rest() },
        _ => Unwrapped::Nothing,
    }
}

fn package_runner(
    name: &str,
    cursor: &mut Cursor<'_>,
    is_tool: &dyn Fn(&str) -> bool,
) -> Unwrapped {
    let valued = [
        "-p",
        "--package",
        "--prefix",
        "-w",
        "--workspace",
        "--filter",
        "-F",
        "-C",
        "--dir",
        "--cwd",
        "--from",
        "--with",
    ];
    if matches!(name, "npx" | "bunx" | "pnpx" | "uvx") {
        return package(cursor, &valued);
    }
    cursor.skip_options(&valued);
    match cursor.peek() {
        Some("exec" | "dlx" | "x") => {
            cursor.next();
            package(cursor, &valued)
        }
        Some("workspace") => {
            cursor.at = cursor.at.saturating_add(2);
            package_script(cursor, is_tool, &valued)
        }
        Some("run" | "run-script" | "rum") => {
            cursor.next();
            cursor.skip_options(&valued);
            package_script(cursor, is_tool, &valued)
        }
        Some(_) if name != "npm" => package_script(cursor, is_tool, &valued),
        _ => cursor.program_named(name),
    }
}

/// `npx [options] program`, with a version or a scope in the name.
fn package(cursor: &mut Cursor<'_>, valued: &[&str]) -> Unwrapped {
    if cursor.seek_option(&["-c", "--call"], valued) {
        return cursor.script();
    }
    match cursor.next() {
        Some(package) => {
            let name = package.rsplit_once('@').map_or(package, |(name, _)| name);
            let name = if name.is_empty() { package } else { name };
            Unwrapped::Program { name: name.to_owned(), args: cursor.rest() }
        }
        None => Unwrapped::Nothing,
    }
}

/// A script of `package.json`, which is hidden, unless it is called like a tool: then it most
/// often is the tool.
fn package_script(
    cursor: &mut Cursor<'_>,
    is_tool: &dyn Fn(&str) -> bool,
    valued: &[&str],
) -> Unwrapped {
    match cursor.peek() {
        Some(script) if is_tool(script) && script != "migrate" => package(cursor, valued),
        _ => cursor.task(),
    }
}

impl Cursor<'_> {
    fn program_named(&self, name: &str) -> Unwrapped {
        Unwrapped::Program { name: name.to_owned(), args: self.rest() }
    }
}

/// `mvn clean flyway:migrate`, `gradle flywayMigrate`: the goals of a plugin are verbs of its tool.
fn build_tool(cursor: &Cursor<'_>) -> Unwrapped {
    let mut name = None;
    let mut args = Vec::new();
    for word in cursor.rest() {
        if word.starts_with('-') {
            continue;
        }
        let parts: Vec<&str> = word.split(':').collect();
        let (plugin, goal) = match parts.as_slice() {
            [group, artifact, .., goal] if group.contains('.') => (*artifact, (*goal).to_owned()),
            [plugin @ .., goal] if !plugin.is_empty() => {
                (plugin.last().copied().unwrap_or_default(), (*goal).to_owned())
            }
            _ => match word.strip_prefix("flyway") {
                Some(goal) => ("flyway", goal.to_ascii_lowercase()),
                None => continue,
            },
        };
        for (prefix, tool) in
            [("flyway", "flyway"), ("liquibase", "liquibase"), ("migration", "mybatis-migrate")]
        {
            if plugin.starts_with(prefix) {
                name = Some(tool);
                args.push(goal.clone());
            }
        }
    }
    match name {
        Some(name) => Unwrapped::Program { name: name.to_owned(), args },
        None => Unwrapped::Nothing,
    }
}
