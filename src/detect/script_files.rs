//! Files that scripts and programs read, and script files that run.

use compact_str::CompactString;

use super::{
    FileRef,
    commands::{Reader, Step},
    files::Lookup,
    script::{Shell, Stdin},
    state::OnDisk,
    unwrap::basename,
};

impl<'c> Reader<'c> {
    /// True when no file can be shown, wherever it is.
    fn sees_no_file(&self) -> bool {
        self.files.is_empty() && self.disk.size() == 0
    }

    /// What a file holds, if the script wrote it or a ConfigMap in reach shows it.
    pub(super) fn content(&self, shell: &Shell, path: &str) -> Option<String> {
        if self.sees_no_file() {
            return None;
        }
        let path = shell.resolve(path)?;
        match self.disk.text(&path) {
            OnDisk::Text(text) => return Some(text.to_owned()),
            OnDisk::Unknown => return None,
            OnDisk::Nothing => {}
        }
        match self.files.file(&path) {
            Lookup::Text(file) => Some(file.text.to_owned()),
            Lookup::Opaque | Lookup::Absent => None,
        }
    }

    /// Where a file that [`Self::content`] gave comes from; none where the script wrote it.
    pub(super) fn origin(&self, shell: &Shell, path: &str) -> Option<FileRef<'c>> {
        let path = shell.resolve(path)?;
        match self.files.file(&path) {
            Lookup::Text(file) if self.disk.text(&path) == OnDisk::Nothing => {
                Some(FileRef::of(&file))
            }
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

    /// Runs a script file whose text is known, or is known to be hidden; none when this is neither.
    pub(super) fn script_file(
        &mut self,
        path: &str,
        args: &[CompactString],
        environment: &[(CompactString, CompactString)],
        shell: &Shell,
        stdin: &Stdin,
    ) -> Option<Stdin> {
        // Names without a folder are looked up in `PATH`, but for scripts that a shell is given.
        if is_stdin(path) {
            match stdin {
                Stdin::Text(text) => {
                    let mut inner = self.inner_shell(shell, environment.to_vec(), &[]);
                    self.nested(|reader| reader.script(text, &mut inner, &Stdin::None));
                }
                _ => self.steps.push(Step::Hidden),
            }
            return Some(Stdin::Unknown);
        }
        if self.sees_no_file() {
            return None;
        }
        let whole = shell.resolve(path);
        match whole.as_deref().map_or(OnDisk::Nothing, |path| self.disk.text(path)) {
            OnDisk::Unknown => {
                self.steps.push(Step::Hidden);
                return None;
            }
            OnDisk::Nothing if !path.contains(['/', '.']) => return None,
            OnDisk::Nothing | OnDisk::Text(_) => {}
        }
        let text = self.content(shell, path)?;
        let file = self.origin(shell, path);
        let before = self.steps.len();
        let mut printed = Stdin::Unknown;
        if is_shell_script(path, &text) {
            let positional: Vec<CompactString> = std::iter::once(path)
                .chain(args.iter().map(CompactString::as_str))
                .map(CompactString::from)
                .collect();
            let mut inner = self.inner_shell(shell, environment.to_vec(), &positional);
            printed = self.in_file(file, |reader| reader.script(&text, &mut inner, stdin)).1;
        } else {
            self.in_file(file, |reader| reader.code(&text, shell));
        }
        let steps = self.steps.get(before..).unwrap_or_default();
        let told = steps.iter().any(|step| matches!(step, Step::Found(_)));
        // Programs in it that nobody knows leave what the name of the script suggests.
        if !told && steps.iter().any(|step| matches!(step, Step::Other | Step::Hidden)) {
            self.script_name(path);
        }
        Some(printed)
    }
}

/// The names of what a program reads.
pub(super) fn is_stdin(path: &str) -> bool {
    matches!(path, "/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0" | "-")
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
