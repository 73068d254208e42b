//! What a shell does itself.

use compact_str::CompactString;

use super::{
    arithmetic,
    commands::{Reader, Step},
    filters, patterns,
    script::{Outcome, Shell, Stdin},
    script_files::is_stdin,
};

impl Reader<'_> {
    /// What a shell does without starting a program, but for what tells nothing but its outcome.
    pub(super) fn built_in(
        &mut self,
        name: &str,
        args: &[CompactString],
        shell: &mut Shell,
        stdin: &Stdin,
    ) -> Option<(Outcome, Stdin)> {
        let done = (Outcome::UNKNOWN, Stdin::None);
        match name {
            "cd" | "pushd" => {
                let folder = args.iter().find(|arg| !arg.starts_with('-'));
                shell.go(folder.and_then(|folder| shell.resolve(folder)));
            }
            "." | "source" => return self.source(args, shell, stdin),
            "eval" => return Some(self.nested(|reader| reader.eval(args, shell, stdin))),
            "read" => {
                // Lines after the first may have been read before.
                let line = match stdin {
                    Stdin::Text(text) => Some(text.trim_end_matches('\n')),
                    Stdin::None | Stdin::Unknown | Stdin::Migration(_) => None,
                };
                patterns::read(args, line.filter(|line| !line.contains('\n')), shell);
            }
            "mapfile" | "readarray" => read_lines(args, shell, stdin),
            "printf" => {
                let [option, name, rest @ ..] = args else { return None };
                if option != "-v" {
                    return None;
                }
                let text = filters::printed("printf", rest);
                shell.set(name, Some(text.into()));
            }
            "alias" => {
                for (name, text) in args.iter().filter_map(|arg| arg.split_once('=')) {
                    shell.alias(name, text);
                }
            }
            "unalias" => args.iter().for_each(|name| shell.unalias(name)),
            "trap" => {
                let mut words = args.iter().filter(|arg| *arg != "--");
                if let Some(action) = words.next().filter(|action| !action.starts_with('-'))
                    && words.next().is_some()
                {
                    shell.traps.push(action.to_string());
                }
            }
            "let" => {
                let mut value = None;
                for arg in args {
                    value = arithmetic::value(arg, shell);
                }
                self.steps.push(Step::Harmless);
                return Some((Outcome::of(value.map(|value| value != 0)), Stdin::None));
            }
            "export" | "local" | "declare" | "typeset" | "readonly" | "unset" | "set" | "shift" => {
                self.settings_set(args);
                patterns::variables(name, args, shell);
                self.steps.push(Step::Harmless);
                let success = (name != "shift").then_some(true);
                return Some((Outcome::of(success), Stdin::None));
            }
            _ => return None,
        }
        self.steps.push(Step::Harmless);
        Some(done)
    }

    /// `. file`; `None` when the file is not known.
    fn source(
        &mut self,
        args: &[CompactString],
        shell: &mut Shell,
        stdin: &Stdin,
    ) -> Option<(Outcome, Stdin)> {
        let (path, args) = args.split_first()?;
        let text = match (is_stdin(path), stdin) {
            (true, Stdin::Text(text)) => text.clone(),
            (true, _) => {
                self.steps.push(Step::Hidden);
                return Some((Outcome::UNKNOWN, Stdin::Unknown));
            }
            (false, _) => self.content(shell, path)?,
        };
        let file = self.origin(shell, path);
        let outer = (!args.is_empty()).then(|| shell.positional.replace(args.into()));
        shell.calls = shell.calls.saturating_add(1);
        let (outcome, printed) =
            self.in_file(file, |reader| reader.script(&text, shell, &Stdin::Unknown));
        shell.calls = shell.calls.saturating_sub(1);
        if let Some(outer) = outer {
            shell.positional = outer;
        }
        Some((outcome.returned(), printed))
    }

    fn eval(
        &mut self,
        args: &[CompactString],
        shell: &mut Shell,
        stdin: &Stdin,
    ) -> (Outcome, Stdin) {
        let args = if args.first().is_some_and(|arg| arg == "--") {
            args.get(1..).unwrap_or_default()
        } else {
            args
        };
        self.script(&args.join(" "), shell, stdin)
    }
}

/// `mapfile NAME`
fn read_lines(args: &[CompactString], shell: &mut Shell, stdin: &Stdin) {
    let name = args.last().filter(|arg| !arg.starts_with('-'));
    let lines = match stdin {
        Stdin::Text(text) => Some(text.trim_end_matches('\n').replace('\n', "\u{1F}").into()),
        Stdin::None | Stdin::Unknown | Stdin::Migration(_) => None,
    };
    shell.set(name.map_or("MAPFILE", CompactString::as_str), lines);
}
