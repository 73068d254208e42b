//! Shells, language runtimes and package runners: programs that run what they are told to.

use std::borrow::Cow;

use super::unwrap::{Cursor, Unwrapped, basename};

const SHELLS: [&str; 8] = ["sh", "bash", "ash", "dash", "zsh", "ksh", "mksh", "rbash"];

/// True for the names of shells and language runtimes.
pub(super) fn is_interpreter(name: &str) -> bool {
    SHELLS.contains(&name)
        || name.starts_with("python")
        || name.starts_with("pypy")
        || matches!(
            name,
            "su" | "runuser"
                | "flock"
                | "ruby"
                | "jruby"
                | "php"
                | "perl"
                | "node"
                | "nodejs"
                | "java"
                | "dotnet"
                | "npx"
                | "bunx"
                | "npm"
                | "pnpm"
                | "yarn"
                | "mvn"
                | "gradle"
        )
}

/// Programs that run a script, a module or another program; `None` for all others.
pub(super) fn interpreter<'a>(
    name: &'a str,
    cursor: &mut Cursor<'a>,
    is_tool: &dyn Fn(&str) -> bool,
) -> Option<Unwrapped<'a>> {
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
        "perl" => file_or_code(cursor, &["-e", "-E", "-le", "-we", "-ne", "-pe"], &["-I", "-M"]),
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
        "make" | "just" | "task" | "gmake" => make(cursor),
        "tclsh" | "lua" | "luajit" | "Rscript" | "groovy" => file_or_code(cursor, &["-e"], &["-l"]),
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

fn shell<'a>(cursor: &mut Cursor<'a>) -> Unwrapped<'a> {
    let (mut is_text, mut from_input) = (false, false);
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
        from_input |= word.starts_with('-') && flags.contains('s');
        // `-o pipefail`, also inside a cluster such as `-euo pipefail`.
        if flags.contains('o') || flags.contains('O') {
            cursor.next();
        }
    }
    if is_text {
        return cursor.script();
    }
    match cursor.peek() {
        Some(_) if !from_input => cursor.program(),
        _ => {
            let mut positional = vec!["sh".into()];
            positional.extend_from_slice(cursor.rest());
            Unwrapped::ScriptFromInput { positional }
        }
    }
}

/// `make -f file task`
fn make<'a>(cursor: &mut Cursor<'a>) -> Unwrapped<'a> {
    let mut file = None;
    while let Some(word) = cursor.peek().filter(|word| word.starts_with('-')) {
        cursor.next();
        match word {
            "-f" | "--file" | "--makefile" => file = cursor.next(),
            "-C" | "--directory" | "-j" => drop(cursor.next()),
            word => {
                if let Some(name) = word.strip_prefix("-f").or(word.strip_prefix("--file=")) {
                    file = Some(name);
                }
            }
        }
    }
    let name = cursor.next().unwrap_or_default();
    match file {
        Some(_) => Unwrapped::Recipes { file, name },
        None if name.is_empty() => Unwrapped::Nothing,
        None => Unwrapped::Task { name },
    }
}

/// `su - user -c 'text'`, `runuser -u user -- command`.
fn user<'a>(cursor: &mut Cursor<'a>) -> Unwrapped<'a> {
    while let Some(word) = cursor.next() {
        match word {
            "-c" | "--command" | "--session-command" => return cursor.script(),
            "-s" | "--shell" | "-g" | "--group" => {
                cursor.next();
            }
            "-u" | "--user" => {
                cursor.next();
                cursor.skip_options(&[]);
                return cursor.program();
            }
            word => {
                if let Some(text) = word.strip_prefix("--command=").or(word.strip_prefix("-c")) {
                    return Unwrapped::Scripts(vec![text.to_owned()]);
                }
            }
        }
    }
    // A shell for that user, which reads what it is to do.
    Unwrapped::ScriptFromInput { positional: Vec::new() }
}

fn lock<'a>(cursor: &mut Cursor<'a>) -> Unwrapped<'a> {
    cursor.skip_options(&["-w", "--timeout", "-E", "--conflict-exit-code"]);
    cursor.next();
    if matches!(cursor.peek(), Some("-c" | "--command")) {
        cursor.next();
        return cursor.script();
    }
    cursor.program()
}

fn file_or_code<'a>(cursor: &mut Cursor<'a>, code: &[&str], valued: &[&str]) -> Unwrapped<'a> {
    if cursor.seek_option(code, valued) {
        return cursor.code();
    }
    match cursor.peek() {
        Some(_) => cursor.program(),
        None => Unwrapped::CodeFromInput,
    }
}

fn python<'a>(cursor: &mut Cursor<'a>) -> Unwrapped<'a> {
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
            "-" => return Unwrapped::CodeFromInput,
            "-V" | "--version" | "-h" | "--help" => return Unwrapped::Nothing,
            _ if word.starts_with('-') => {
                // `-Ic text`: letters run together.
                let is_code = !word.starts_with("--") && word.ends_with('c');
                cursor.next();
                if is_code {
                    return cursor.code();
                }
            }
            _ => return cursor.program(),
        }
    }
    Unwrapped::CodeFromInput
}

fn node<'a>(name: &str, cursor: &mut Cursor<'a>) -> Unwrapped<'a> {
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
    if cursor.seek_option(&["-e", "--eval", "-p", "--print", "-pe"], &valued) {
        return cursor.code();
    }
    match cursor.peek() {
        Some("-") | None => Unwrapped::CodeFromInput,
        Some(_) => cursor.program(),
    }
}

fn java<'a>(cursor: &mut Cursor<'a>) -> Unwrapped<'a> {
    let valued = ["-cp", "-classpath", "--class-path", "--module-path", "-p", "--add-modules"];
    let is_jar = cursor.seek_option(&["-jar"], &valued);
    match cursor.next() {
        // `liquibase-core-4.1.jar` is the program `liquibase`.
        Some(jar) if is_jar => {
            let name = basename(jar);
            let name = name.split_once(['.', '-']).map_or(name, |(stem, _)| stem);
            let known = if matches!(name, "liquibase" | "flyway") { name } else { jar };
            cursor.program_named(known)
        }
        Some(class) => {
            let known = match class {
                "org.flywaydb.commandline.Main" => "flyway",
                "liquibase.integration.commandline.Main"
                | "liquibase.integration.commandline.LiquibaseCommandLine" => "liquibase",
                class => class,
            };
            cursor.program_named(known)
        }
        None => Unwrapped::Nothing,
    }
}

fn dotnet<'a>(cursor: &mut Cursor<'a>) -> Unwrapped<'a> {
    match cursor.next() {
        Some("ef") => cursor.program_named("dotnet-ef"),
        Some("fm") => cursor.program_named("dotnet-fm"),
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
            cursor.program_named("dotnet-run")
        }
        Some(program) => cursor.program_named(program),
        None => Unwrapped::Nothing,
    }
}

fn cargo<'a>(cursor: &mut Cursor<'a>) -> Unwrapped<'a> {
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
            cursor.program_named(name)
        }
        Some("sqlx") => cursor.program_named("sqlx"),
        _ => Unwrapped::Nothing,
    }
}

fn package_runner<'a>(
    name: &'a str,
    cursor: &mut Cursor<'a>,
    is_tool: &dyn Fn(&str) -> bool,
) -> Unwrapped<'a> {
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
fn package<'a>(cursor: &mut Cursor<'a>, valued: &[&str]) -> Unwrapped<'a> {
    if cursor.seek_option(&["-c", "--call"], valued) {
        return cursor.script();
    }
    match cursor.next() {
        Some(package) => {
            let name = package.rsplit_once('@').map_or(package, |(name, _)| name);
            let name = if name.is_empty() { package } else { name };
            cursor.program_named(name)
        }
        None => Unwrapped::Nothing,
    }
}

/// A script of `package.json`, which is hidden, unless it is called like a tool: then it most
/// often is the tool.
fn package_script<'a>(
    cursor: &mut Cursor<'a>,
    is_tool: &dyn Fn(&str) -> bool,
    valued: &[&str],
) -> Unwrapped<'a> {
    match cursor.peek() {
        Some(script) if is_tool(script) && script != "migrate" => package(cursor, valued),
        _ => cursor.task(),
    }
}

/// `mvn clean flyway:migrate`, `gradle flywayMigrate`: the goals of a plugin are verbs of its tool.
fn build_tool<'a>(cursor: &Cursor<'a>) -> Unwrapped<'a> {
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
                args.push(goal.as_str().into());
            }
        }
    }
    match name {
        Some(name) => Unwrapped::Program { name, args: Cow::Owned(args) },
        None => Unwrapped::Nothing,
    }
}
