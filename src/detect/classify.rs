//! From a program and its arguments to what they do.

use std::borrow::Cow;

use compact_str::{CompactString, format_compact};
use smallvec::{SmallVec, smallvec};

use super::{
    Confidence, Operation,
    catalogue::Tool,
    changes::{self, Surroundings},
    commands::{Reader, Step},
    names::{self, Meaning},
    script::{HOLE, Shell, Stdin},
    unwrap::basename,
    verb::{Arguments, is_plain},
};

/// The id of what no entry of the catalogue stands for.
pub const UNKNOWN_TOOL: &str = "unknown";

/// Programs that are over soon and touch no schema. What is not listed may serve for ever.
const HARMLESS: &[&str] = &[
    ".",
    "apk",
    "apt",
    "apt-get",
    "awk",
    "aws",
    "az",
    "base64",
    "basename",
    "break",
    "brew",
    "bzip2",
    "cd",
    "chgrp",
    "chmod",
    "chown",
    "clear",
    "command",
    "continue",
    "cp",
    "curl",
    "cut",
    "date",
    "debug",
    "df",
    "diff",
    "dig",
    "dirname",
    "dnf",
    "docker",
    "dockerize",
    "du",
    "egrep",
    "env",
    "envsubst",
    "error",
    "expr",
    "fgrep",
    "find",
    "gcloud",
    "getent",
    "getopts",
    "git",
    "grep",
    "gsutil",
    "gunzip",
    "gzip",
    "hadolint",
    "hash",
    "head",
    "helm",
    "hostname",
    "id",
    "info",
    "initdb",
    "install",
    "jobs",
    "jq",
    "k8s-wait-for",
    "kill",
    "killall",
    "kube-wait",
    "kubectl",
    "kubernetes-entrypoint",
    "let",
    "ln",
    "log",
    "ls",
    "mc",
    "md5sum",
    "mkdir",
    "mktemp",
    "mount",
    "mv",
    "mysql_tzinfo_to_sql",
    "mysql_upgrade",
    "nc",
    "ncat",
    "netcat",
    "nslookup",
    "oc",
    "openssl",
    "pg_controldata",
    "pg_ctl",
    "pg_upgrade",
    "pgrep",
    "ping",
    "pip",
    "pip3",
    "pkill",
    "popd",
    "printenv",
    "ps",
    "pushd",
    "pwd",
    "rclone",
    "readlink",
    "realpath",
    "rm",
    "rmdir",
    "rsync",
    "s3cmd",
    "sed",
    "seq",
    "sha256sum",
    "sleep",
    "sort",
    "source",
    "split",
    "ssh",
    "stat",
    "sync",
    "tail",
    "tar",
    "telnet",
    "timeout",
    "touch",
    "tput",
    "tr",
    "trap",
    "type",
    "ulimit",
    "umask",
    "uname",
    "uniq",
    "unzip",
    "usleep",
    "wait",
    "wait-for",
    "wait-for-it",
    "wait-for-it.sh",
    "wait-for.sh",
    "wait4x",
    "warn",
    "wc",
    "wget",
    "which",
    "whoami",
    "xz",
    "yes",
    "yq",
    "yum",
    "zcat",
    "zip",
    "zstd",
];

/// Verbs of general programs that prepare and end.
const HARMLESS_VERBS: &[&str] = &[
    "collectstatic",
    "compilemessages",
    "createsuperuser",
    "assets:precompile",
    "assets:install",
    "cache:clear",
    "cache:warmup",
    "config:cache",
    "route:cache",
    "view:cache",
    "storage:link",
    "optimize",
    "optimize:clear",
    "config:clear",
    "key:generate",
    "tmp:clear",
    "install",
    "ci",
    "build",
    "version",
    "sync-perm",
    "tool",
];

/// Programs whose verbs may be programs of their own.
const PLUGIN_HOSTS: [&str; 2] = ["kubectl", "oc"];

/// Endings that a program's name may have.
const EXTENSIONS: [&str; 17] = [
    ".sh", ".bash", ".py", ".js", ".mjs", ".cjs", ".ts", ".rb", ".php", ".pl", ".jar", ".dll",
    ".exe", ".phar", ".cmd", ".bat", ".ps1",
];

impl<'c> Reader<'c> {
    /// Says what a program does; what it prints is not known.
    pub(super) fn classify(
        &mut self,
        name: &str,
        args: &[CompactString],
        environment: &[(CompactString, CompactString)],
        shell: &Shell,
        stdin: &Stdin,
    ) -> Stdin {
        let mut words = name.split_ascii_whitespace();
        let program = words.next().unwrap_or_default();
        let mut args = Cow::Borrowed(args);
        let before: Vec<CompactString> = words.map(CompactString::from).collect();
        if !before.is_empty() {
            args.to_mut().splice(0..0, before);
        }
        // `VERSION=0 rake db:migrate` is `rake db:migrate VERSION=0`.
        for (name, value) in environment.iter().filter(|(name, _)| name == "VERSION") {
            args.to_mut().push(format_compact!("{name}={value}"));
        }
        let before = self.steps.len();
        let mut is_known = false;
        let mut printed = None;
        // `kubectl schemahero` runs `kubectl-schemahero`.
        let plugin = args
            .first()
            .filter(|_| PLUGIN_HOSTS.contains(&basename(program)))
            .map(|verb| format!("{}-{verb}", basename(program)))
            .filter(|name| self.catalogue.knows(name));
        if plugin.is_some() {
            args.to_mut().remove(0);
        }
        let names = plugin.map_or_else(|| candidates(program), |name| smallvec![Cow::Owned(name)]);
        for candidate in names {
            let catalogue = self.catalogue;
            for tool in catalogue.by_executable(&candidate) {
                is_known = true;
                if tool.client.is_some() {
                    self.client(tool, &candidate, &args, shell, stdin);
                } else {
                    let from = self.steps.len();
                    let is_dry = is_dry_by_variable(tool, environment, shell);
                    printed = printed.max(self.tool(tool, &candidate, &args, is_dry, false));
                    self.folders(tool, from, &args, environment, shell);
                }
                if tool.is_users && self.steps.len() > before {
                    break;
                }
            }
            if self.steps.len() > before {
                break;
            }
        }
        self.drop_needless_hints(before);
        self.volume_snapshot(program, &args, stdin);
        if self.steps.len() == before && !self.entrypoint(program, &args, shell, stdin) {
            self.home_made(program, &args, is_known);
        }
        printed.map_or(Stdin::Unknown, Stdin::Migration)
    }

    /// `kubectl apply` of a `VolumeSnapshot` saves the data of a volume.
    fn volume_snapshot(&mut self, program: &str, args: &[CompactString], stdin: &Stdin) {
        let creates = args.iter().any(|arg| matches!(arg.as_str(), "create" | "apply"));
        if !PLUGIN_HOSTS.contains(&basename(program)) || !creates {
            return;
        }
        let is_kind = |text: &str| {
            text.lines().any(|line| {
                let kind = line.trim_start().strip_prefix("kind:").map(str::trim);
                kind.is_some_and(|kind| kind.starts_with("VolumeSnapshot") || kind == "Backup")
            })
        };
        let is_named = |arg: &CompactString| arg.to_ascii_lowercase().contains("volumesnapshot");
        let confidence = match stdin {
            Stdin::Text(text) if is_kind(text) => Confidence::Command,
            _ if args.iter().any(is_named) => Confidence::Name,
            _ => return,
        };
        self.found("backup", Operation::Backup, confidence, format!("{} apply", basename(program)));
    }

    /// Adds what folders of migrations show to what was found of a tool.
    fn folders(
        &mut self,
        tool: &'c Tool,
        from: usize,
        args: &[CompactString],
        environment: &[(CompactString, CompactString)],
        shell: &Shell,
    ) {
        let Some(plan) = &tool.migrations else { return };
        let folder = shell.folder.as_deref();
        let (files, variables) = (self.files, shell.variables());
        let around = Surroundings { args, environment, variables, folder, files };
        for step in self.steps.iter_mut().skip(from) {
            if let Step::Found(found) = step {
                changes::refine(plan, &around, &mut self.folders, found);
            }
        }
    }

    /// Several entries may speak of one program: hints count only where none knows better.
    fn drop_needless_hints(&mut self, from: usize) {
        let is_hint = |step: &Step<'_>| matches!(step, Step::Found(found) if found.confidence == Confidence::Name);
        let mut new = self.steps.split_off(from);
        if new.iter().any(|step| !is_hint(step)) {
            new.retain(|step| !is_hint(step));
        }
        self.steps.append(&mut new);
    }

    /// Matches the verbs of one tool; `by_variable` it only prints, and with `doubtful` everything
    /// that changes is unknown. The answer is what the statements would do that it only prints.
    fn tool(
        &mut self,
        tool: &'c Tool,
        program: &str,
        args: &[CompactString],
        by_variable: bool,
        doubtful: bool,
    ) -> Option<Operation> {
        let arguments = Arguments::new(args, tool);
        if arguments.asks_for_version() {
            self.steps.push(Step::Harmless);
            return None;
        }
        let asks_for_help = arguments.asks_for_help();
        let mut is_dry =
            by_variable || asks_for_help || tool.dry_run.iter().any(|flag| arguments.is_on(flag));
        let settle = |operation: Operation, is_dry: bool| match operation {
            Operation::Backup => operation,
            _ if is_dry => Operation::ReadOnly,
            _ if doubtful && operation.is_migration() => Operation::Unknown,
            _ => operation,
        };
        let matches = arguments.verbs(tool);
        if matches.is_empty() {
            if let Some(bare) = tool.bare {
                self.found(&tool.id, settle(bare, is_dry), tool.ceiling, program.to_owned());
                return Some(bare).filter(|bare| is_dry && !asks_for_help && bare.is_migration());
            } else if arguments.verb_is_hidden(tool) {
                let confidence = if tool.general { Confidence::Name } else { tool.ceiling };
                let operation = settle(Operation::Unknown, is_dry);
                self.found(&tool.id, operation, confidence, program.to_owned());
            }
            return None;
        }
        let mut printed = None;
        for found in matches {
            let operation = found.verb.operation;
            let confidence = if found.verb.is_hint { Confidence::Name } else { tool.ceiling };
            let shown = found.words(&arguments, tool);
            let words = std::iter::once(program.to_owned()).chain(shown).collect::<Vec<_>>();
            self.found(&tool.id, settle(operation, is_dry), confidence, words.join(" "));
            if !asks_for_help {
                let prints = Some(operation).filter(|o| is_dry && o.is_migration());
                printed = printed.max(found.verb.prints.or(prints));
            }
            // Of several verbs on one line the flag is for the first.
            is_dry = asks_for_help || by_variable || (is_dry && !tool.anywhere);
        }
        printed
    }

    /// A tool and a verb side by side in a text that could not be read as a script.
    pub(super) fn possible(&mut self, program: &str, args: &[CompactString]) {
        let catalogue = self.catalogue;
        for tool in catalogue.by_executable(program) {
            if tool.client.is_some() {
                self.possible_client(tool, program, args);
            } else {
                self.tool(tool, program, args, false, true);
            }
        }
    }

    /// `docker-entrypoint.sh rails db:migrate`: by convention an entrypoint runs its arguments.
    fn entrypoint(
        &mut self,
        program: &str,
        args: &[CompactString],
        shell: &Shell,
        stdin: &Stdin,
    ) -> bool {
        let is_entrypoint = basename(program).contains("entrypoint")
            || program.contains("entrypoints/")
            || matches!(basename(program), "my_init" | "/init");
        let before = self.steps.len();
        if !is_entrypoint || args.is_empty() || basename(program) == "kubernetes-entrypoint" {
            return false;
        }
        self.nested(|reader| reader.program(args, &[], shell, stdin));
        let told = self.steps.iter().skip(before).any(|step| matches!(step, Step::Found(_)));
        if !told {
            self.steps.truncate(before);
        }
        told
    }

    /// A program that is in no catalogue: its name and its verb may still tell.
    fn home_made(&mut self, program: &str, args: &[CompactString], is_known: bool) {
        let name = basename(program);
        let is_harmless = HARMLESS.binary_search(&name).is_ok()
            || args.iter().take(2).any(|arg| HARMLESS_VERBS.contains(&arg.as_str()));
        if matches!(name, "." | "source") {
            let file = args.first().map(|file| stem(basename(file))).unwrap_or_default();
            return self.named(file, Step::Harmless);
        }
        if is_harmless {
            return self.steps.push(Step::Harmless);
        }
        if is_known {
            return self.steps.push(Step::Other);
        }
        if let Some((operation, confidence, words)) = names::verb(args) {
            let shown = if is_plain(name) { name } else { "program" };
            return self.found(UNKNOWN_TOOL, operation, confidence, format!("{shown} {words}"));
        }
        self.named(stem(name), Step::Other);
    }

    /// Judges something by its name alone.
    fn named(&mut self, name: &str, otherwise: Step<'c>) {
        let shown = if is_plain(name) { name.to_owned() } else { "program".to_owned() };
        let operation = match names::meaning(name) {
            Meaning::Migration => Operation::Unknown,
            Meaning::Destruction => Operation::Destructive,
            Meaning::Backup => {
                return self.found("backup", Operation::Backup, Confidence::Command, shown);
            }
            Meaning::Waiting => return self.steps.push(Step::Harmless),
            Meaning::Nothing => return self.steps.push(otherwise),
        };
        self.found(UNKNOWN_TOOL, operation, Confidence::Name, shown);
    }

    /// A script by its file's name.
    pub(super) fn script_name(&mut self, path: &str) {
        self.named(stem(basename(path)), Step::Other);
    }

    /// A task of a project, such as `npm run db:migrate`.
    pub(super) fn task(&mut self, name: &str) {
        self.named(name, Step::Other);
    }
}

/// True when a variable turns every verb of a tool into printing.
fn is_dry_by_variable(
    tool: &Tool,
    environment: &[(CompactString, CompactString)],
    shell: &Shell,
) -> bool {
    tool.dry_run_env.iter().any(|name| {
        let own = environment.iter().rev().find(|(own, _)| own == name);
        let value = own.map(|(_, value)| value.clone()).or_else(|| shell.get(name));
        value.is_some_and(|value| !value.is_empty() && !value.contains(HOLE))
    })
}

/// Names under which a program may be in the catalogue; nearly always one.
type Candidates<'a> = SmallVec<[Cow<'a, str>; 2]>;

/// The names under which a program may be in the catalogue, best first.
fn candidates(program: &str) -> Candidates<'_> {
    let mut names = Candidates::new();
    let base = basename(program);
    if base.len() < program.len() {
        if let Some((_, inside)) = program.rsplit_once("node_modules/") {
            let inside = inside.strip_prefix(".bin/").unwrap_or(inside);
            names.extend(inside.split('/').next().map(Cow::Borrowed));
        }
        // `admin/cli/upgrade.php` says more than `upgrade.php`.
        let mut segments = program.rsplit(['/', '\\']).skip(1);
        if let Some(folder) = segments.next().filter(|folder| !folder.is_empty()) {
            names.push(Cow::Owned(format!("{folder}/{base}")));
        }
    }
    names.push(Cow::Borrowed(base));
    let stem = stem(base);
    if stem != base {
        names.push(Cow::Borrowed(stem));
    } else if base.chars().any(|c| c.is_ascii_uppercase()) {
        names.push(Cow::Owned(base.to_ascii_lowercase()));
    } else if !program.contains('/')
        && let Some((package, _)) = base.split_once('.')
    {
        // `python -m mlflow.server`
        names.push(Cow::Borrowed(package));
    }
    names
}

/// A file's name without what says which language it is in.
fn stem(name: &str) -> &str {
    EXTENSIONS.iter().find_map(|extension| name.strip_suffix(extension)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_programs_can_be_searched() {
        assert!(HARMLESS.is_sorted());
    }
}
