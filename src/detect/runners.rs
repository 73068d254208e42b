//! Programs that are about something else and run commands all the same: `find -exec`, `watch`, an
//! editor, a container runtime.

use compact_str::CompactString;

use super::unwrap::{Cursor, Unwrapped};

const RUNNERS: [&str; 29] = [
    "at",
    "awk",
    "batch",
    "capsh",
    "cmd",
    "cmd.exe",
    "docker",
    "ex",
    "expect",
    "find",
    "gawk",
    "git",
    "kubectl",
    "mawk",
    "nerdctl",
    "nvim",
    "oc",
    "parallel",
    "podman",
    "powershell",
    "pwsh",
    "screen",
    "script",
    "sed",
    "socat",
    "ssh",
    "tmux",
    "vi",
    "vim",
];

/// True for programs that may hold a command in their arguments.
pub(super) fn is_runner(name: &str) -> bool {
    RUNNERS.contains(&name) || name == "watch"
}

/// What such a program runs; none when it runs nothing.
pub(super) fn runner<'a>(name: &str, cursor: &mut Cursor<'a>) -> Option<Unwrapped<'a>> {
    match name {
        "find" => found(cursor.rest()),
        "watch" => {
            cursor.skip_options(&["-n", "--interval"]);
            Some(Unwrapped::Scripts(joined(cursor)))
        }
        "script" => after_option(cursor, &["-c", "--command", "-qc", "-qec", "-ec"]),
        "capsh" => shell_after(cursor, "--"),
        "parallel" => Some(parallel(cursor)),
        "ssh" => {
            let valued = ["-p", "-i", "-l", "-o", "-F", "-J", "-L", "-R", "-D", "-E", "-b", "-c"];
            cursor.skip_options(&valued);
            cursor.next()?;
            Some(Unwrapped::Scripts(joined(cursor)))
        }
        "docker" | "podman" | "nerdctl" => container(cursor),
        "kubectl" | "oc" => pod(cursor),
        "git" => Some(Unwrapped::Scripts(git_aliases(cursor.rest()))).filter(holds_text),
        "vi" | "vim" | "nvim" | "ex" => {
            Some(Unwrapped::Scripts(editor(cursor.rest()))).filter(holds_text)
        }
        "awk" | "gawk" | "mawk" => {
            cursor.skip_options(&["-F", "-v", "-f"]);
            let program = cursor.next()?;
            (program.contains("system(") || program.contains('|') && program.contains('"'))
                .then_some(Unwrapped::Code { text: program })
        }
        "sed" => Some(Unwrapped::Scripts(stream_editor(cursor.rest()))).filter(holds_text),
        "expect" => match after_option(cursor, &["-c"]) {
            Some(Unwrapped::Scripts(texts)) => {
                Some(Unwrapped::Scripts(texts.iter().flat_map(|text| spawned(text)).collect()))
            }
            _ => None,
        },
        "socat" => {
            let rest = cursor.rest();
            let texts = rest.iter().filter_map(|arg| {
                let lower = arg.to_ascii_lowercase();
                let is_command = lower.starts_with("exec:") || lower.starts_with("system:");
                is_command
                    .then(|| arg.split_once(':').map(|(_, text)| text.replace(['"', '\''], "")))
                    .flatten()
            });
            Some(Unwrapped::Scripts(texts.collect())).filter(holds_text)
        }
        "at" | "batch" => Some(Unwrapped::ScriptFromInput { positional: Vec::new() }),
        "tmux" | "screen" => Some(Unwrapped::Scripts(vec![cursor.rest().last()?.to_string()])),
        "cmd" | "cmd.exe" => windows(cursor),
        "powershell" | "pwsh" => {
            let rest = cursor.rest();
            let is_option = |arg: &&CompactString| {
                let arg = arg.to_ascii_lowercase();
                arg == "-c" || arg == "-command"
            };
            let at = rest.iter().position(|arg| is_option(&arg))?;
            Some(Unwrapped::Scripts(vec![rest.get(at.saturating_add(1)..)?.join(" ")]))
        }
        _ => None,
    }
}

fn holds_text(unwrapped: &Unwrapped<'_>) -> bool {
    !matches!(unwrapped, Unwrapped::Scripts(texts) if texts.is_empty())
}

/// What is left as one text, as programs do that hand it to a shell.
fn joined(cursor: &Cursor<'_>) -> Vec<String> {
    let text = cursor.rest().join(" ");
    if text.is_empty() { Vec::new() } else { vec![text] }
}

/// The text after one of some options, glued to it or not.
fn after_option<'a>(cursor: &Cursor<'a>, options: &[&str]) -> Option<Unwrapped<'a>> {
    let rest = cursor.rest();
    let at = rest.iter().position(|arg| options.contains(&arg.as_str()));
    let text = if let Some(at) = at {
        rest.get(at.saturating_add(1))?.to_string()
    } else {
        rest.iter().find_map(|arg| Some(arg.strip_prefix("--command=")?.to_owned()))?
    };
    Some(Unwrapped::Scripts(vec![text]))
}

/// `capsh -- -c text`
fn shell_after<'a>(cursor: &Cursor<'a>, dashes: &str) -> Option<Unwrapped<'a>> {
    let rest = cursor.rest();
    let at = rest.iter().position(|arg| arg == dashes)?;
    let words = rest.get(at.saturating_add(1)..)?;
    Some(Unwrapped::Commands(vec![
        std::iter::once("sh".into()).chain(words.iter().cloned()).collect(),
    ]))
}

/// `find … -exec command \;`
fn found(args: &[CompactString]) -> Option<Unwrapped<'static>> {
    let mut commands = Vec::new();
    let mut words = args.iter();
    while let Some(word) = words.next() {
        if matches!(word.as_str(), "-exec" | "-execdir" | "-ok" | "-okdir") {
            let command = words.by_ref().take_while(|word| !matches!(word.as_str(), ";" | "+"));
            commands.push(command.cloned().collect());
        }
    }
    (!commands.is_empty()).then_some(Unwrapped::Commands(commands))
}

/// `parallel command ::: words`, `parallel ::: commands`
fn parallel<'a>(cursor: &mut Cursor<'a>) -> Unwrapped<'a> {
    cursor.skip_options(&["-j", "--jobs", "-I", "-n", "-N", "-a", "-d", "-S", "--colsep"]);
    let rest = cursor.rest();
    let mut groups = rest.split(|word| word == ":::");
    let command = groups.next().unwrap_or_default();
    let words: Vec<&CompactString> = groups.flatten().take(64).collect();
    if command.is_empty() {
        return Unwrapped::Scripts(words.into_iter().map(CompactString::to_string).collect());
    }
    let whole = command.join(" ");
    if words.is_empty() {
        // Its words come from standard input, as those of `xargs` do.
        let argv = std::iter::once(CompactString::from("xargs")).chain(command.iter().cloned());
        return Unwrapped::Commands(vec![argv.collect()]);
    }
    let filled = |word: &&CompactString| {
        if whole.contains("{}") { whole.replace("{}", word) } else { format!("{whole} {word}") }
    };
    Unwrapped::Scripts(words.iter().map(filled).collect())
}

/// Options of container runtimes that take the next word.
const CONTAINER_OPTIONS: &[&str] = &[
    "-e",
    "--env",
    "--env-file",
    "-v",
    "--volume",
    "--mount",
    "-p",
    "--publish",
    "--name",
    "--network",
    "--net",
    "-w",
    "--workdir",
    "-u",
    "--user",
    "--entrypoint",
    "-l",
    "--label",
    "--add-host",
    "--platform",
    "-m",
    "--memory",
    "--cpus",
    "-h",
    "--hostname",
    "-f",
    "--file",
    "--profile",
    "--project-name",
    "--pull",
    "--link",
    "--volumes-from",
    "--secret",
];

/// `docker run image command`, `docker exec container command`.
fn container<'a>(cursor: &mut Cursor<'a>) -> Option<Unwrapped<'a>> {
    cursor.skip_options(CONTAINER_OPTIONS);
    let mut verb = cursor.next()?;
    let is_compose = verb == "compose";
    if matches!(verb, "compose" | "container") {
        cursor.skip_options(CONTAINER_OPTIONS);
        verb = cursor.next()?;
    }
    match verb {
        "run" | "create" => {
            let entrypoint = entrypoint(cursor.rest());
            cursor.skip_options(CONTAINER_OPTIONS);
            let image = cursor.next()?.to_owned();
            let keeps_entrypoint = entrypoint.is_none() && !is_compose;
            let command = entrypoint.into_iter().chain(cursor.rest().iter().cloned()).collect();
            Some(Unwrapped::Container { image, command, keeps_entrypoint })
        }
        "exec" => {
            cursor.skip_options(CONTAINER_OPTIONS);
            cursor.next()?;
            Some(Unwrapped::Commands(vec![cursor.rest().to_vec()]))
        }
        _ => None,
    }
}

/// The value of `--entrypoint`, in the same word or in the next.
fn entrypoint(args: &[CompactString]) -> Option<CompactString> {
    let mut words = args.iter();
    let option = words.by_ref().find(|word| word.starts_with("--entrypoint"))?;
    match option.split_once('=') {
        Some((_, value)) => Some(value.into()),
        None => words.next().cloned(),
    }
}

/// `kubectl run name --image=image -- args`, `kubectl create job name --image=image -- command`.
/// With `--` alone the command behind it was found already.
fn pod<'a>(cursor: &mut Cursor<'a>) -> Option<Unwrapped<'a>> {
    let rest = cursor.rest();
    if rest.iter().any(|arg| arg == "exec") {
        // `kubectl exec pod command`, without dashes, as it was allowed for long.
        let at = rest.iter().position(|arg| arg == "exec")?;
        let words: Vec<CompactString> = rest.iter().skip(at.saturating_add(1)).cloned().collect();
        let mut inner = words.iter();
        inner.by_ref().find(|arg| !arg.starts_with('-'))?;
        return Some(Unwrapped::Commands(vec![inner.cloned().collect()]));
    }
    let is_run = rest.iter().any(|arg| arg == "run")
        || (rest.iter().any(|arg| arg == "create") && rest.iter().any(|arg| arg == "job"));
    let image = rest.iter().find_map(|arg| Some(arg.strip_prefix("--image=")?.to_owned()))?;
    is_run.then_some(Unwrapped::Container { image, command: Vec::new(), keeps_entrypoint: true })
}

/// The aliases of `git -c alias.name='!text'`.
fn git_aliases(args: &[CompactString]) -> Vec<String> {
    let alias = |arg: &CompactString| {
        let (name, text) = arg.split_once('=')?;
        let runs = name.starts_with("alias.")
            || matches!(name, "core.pager" | "core.editor" | "core.sshCommand");
        runs.then(|| text.trim_start_matches('!').to_owned())
    };
    args.iter().filter_map(alias).collect()
}

/// The commands of an editor that run something: `-c '!text'`, `+:!text`.
fn editor(args: &[CompactString]) -> Vec<String> {
    let command = |arg: &CompactString| {
        let arg = arg.trim_start_matches(['+', ':', ' ', 'r', '%']);
        Some(arg.strip_prefix('!')?.to_owned())
    };
    args.iter().filter_map(command).collect()
}

/// The commands of `sed` that run something: `1e text`.
fn stream_editor(args: &[CompactString]) -> Vec<String> {
    let command = |arg: &CompactString| {
        let place = |c: char| c.is_ascii_digit() || matches!(c, '$' | ',' | ' ');
        Some(arg.trim_start_matches(place).strip_prefix("e ")?.to_owned())
    };
    args.iter().filter(|arg| !arg.starts_with('-')).filter_map(command).collect()
}

/// What a script of `expect` starts.
pub(super) fn spawned(text: &str) -> Vec<String> {
    let spawn = |line: &str| {
        let line = line.trim();
        Some(line.strip_prefix("spawn ").or_else(|| line.strip_prefix("exec "))?.to_owned())
    };
    text.split(['\n', ';']).filter_map(spawn).collect()
}

/// `cmd /c text`
fn windows<'a>(cursor: &Cursor<'a>) -> Option<Unwrapped<'a>> {
    let rest = cursor.rest();
    let at = rest.iter().position(|arg| arg.eq_ignore_ascii_case("/c"))?;
    Some(Unwrapped::Scripts(vec![rest.get(at.saturating_add(1)..)?.join(" ")]))
}
