//! `tidegate fix`

use std::{
    fs,
    io::{self, Write as _},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use anyhow::{anyhow, bail};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    exit::Exit,
    input::{self, Source},
    judge,
    manifests::{Manifest, Seen},
    output, policies,
    set::{Part, Places, Set, SetArgs},
};
use crate::{
    decision::{self, Mended, Step},
    model::Change,
    policy::PolicySet,
    render::{self, InputError},
    source::{
        self,
        edit::{self, EditError, TextEdit, Wanted},
        path,
    },
};

const EXAMPLES: &str = "\
Examples:
  # What would change
  tidegate fix deploy/

  # Change it
  tidegate fix deploy/ --write

  # With your own policy, for the namespace that it goes to; the diff applied by git
  tidegate fix deploy/ --policy policies/ --namespace shop \\
    --namespace-labels environment=production | git apply

Exit code: without --write 0 nothing would change, 1 something would; with --write 0 it is written;
2 something could not be read, changed or written, although everything else was.";

/// Write into manifests what admission would fill in, and mend what needs no person.
///
/// Filled in is what the webhook fills in on hook Jobs. Mended is what rules find and what has one
/// clear answer; what has several is left to you. Comments, order, indentation and quotes stay as
/// they are: only lines with a change change.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    set: SetArgs,

    /// File, or folder of files, with exceptions that are kept elsewhere than among the manifests.
    /// Repeatable
    #[arg(long, value_name = "PATH")]
    exceptions: Vec<PathBuf>,

    /// Print a unified diff, and change nothing: the default
    #[arg(long, conflicts_with = "write")]
    diff: bool,

    /// Change the files, each as a whole or not at all
    #[arg(long)]
    write: bool,

    /// Do not say what was done; errors are said
    #[arg(long, short)]
    quiet: bool,
}

/// Prints or makes the changes; what was done and what could not be goes to standard error.
///
/// # Errors
///
/// A policy is wrong, standard input is to be written, or an output cannot be written. What cannot
/// be read or changed is told, and is in the exit code.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    if args.write && !args.set.are_files() {
        bail!(
            "only files can be changed: what is piped or rendered is changed where it comes from"
        );
    }
    let paths: Vec<PathBuf> = args.set.policy.iter().chain(&args.exceptions).cloned().collect();
    let policies = policies::load_all(&paths, Some(args.set.default_namespace()))?;
    let sources = args.set.sources();
    let set = Set::read(&args.set, &sources);
    let (policies, mut errors) =
        judge::with_exceptions(&policies, set.around(), args.set.default_namespace());
    let fixer = Fixer { policies: &policies, set: &set, now: Timestamp::now() };
    let mut files: Vec<Fix> = Vec::new();
    for fixed in set.map(|part, seen| fixer.part(part, seen)) {
        match fixed {
            Ok(part) => match files.last_mut() {
                Some(last) if last.source == part.source => last.add(part),
                _ => files.push(part),
            },
            Err(error) => errors.push(error),
        }
    }
    errors.extend(set.nothing());
    let mut changed: usize = 0;
    for fix in files {
        let source = sources.get(fix.source).and_then(|source| source.as_ref().ok());
        let Some(source) = source else { continue };
        if args.fix(source, fix, &mut errors)? {
            changed = changed.saturating_add(1);
        }
    }
    args.finish(changed, set.files, &errors)
}

impl Args {
    /// Prints or makes the changes of one file. True when there are any.
    fn fix(
        &self,
        source: &Source,
        mut fix: Fix,
        errors: &mut Vec<InputError>,
    ) -> anyhow::Result<bool> {
        let is_broken = fix.is_broken;
        errors.append(&mut fix.errors);
        if is_broken {
            // Where something cannot be read, nobody can tell what else is meant by the file.
            let message = "the file is left as it is, because it cannot be read".to_owned();
            errors.push(InputError { file: source.name.clone(), position: None, message });
            return Ok(false);
        }
        if fix.edits.is_empty() {
            return Ok(false);
        }
        if self.write {
            let new = edit::apply(&source.text, &fix.edits);
            let path = source.path.as_deref().unwrap_or_else(|| source.name.as_ref());
            if let Err(error) = write(path, &source.text, &new) {
                let message = format!("it is not written: {error:#}");
                errors.push(InputError { file: source.name.clone(), position: None, message });
                return Ok(false);
            }
        } else {
            let diff = render::diff(&source.name, &source.text, &fix.edits);
            io::stdout().lock().write_all(diff.as_bytes())?;
        }
        if !self.quiet {
            let mut stderr = io::stderr().lock();
            for note in &fix.notes {
                writeln!(stderr, "{note}")?;
            }
        }
        Ok(true)
    }

    fn finish(&self, changed: usize, files: usize, errors: &[InputError]) -> anyhow::Result<Exit> {
        io::stdout().lock().flush()?;
        let mut stderr = io::stderr().lock();
        for error in errors {
            writeln!(stderr, "error: {error}")?;
        }
        if !self.quiet {
            let would = if self.write { "changed" } else { "would change" };
            writeln!(stderr, "{changed} of {files} files {would}")?;
        }
        Ok(match (errors.is_empty(), changed) {
            (false, _) => Exit::CouldNotRun,
            (true, changed) if changed > 0 && !self.write => Exit::Findings,
            (true, _) => Exit::Clean,
        })
    }
}

/// Writes `new` in the place of a file that was read as `old`, in its encoding.
///
/// # Errors
///
/// The file is no longer what was read, or may not be written; then it is as it was.
fn write(path: &Path, old: &str, new: &str) -> anyhow::Result<()> {
    let bytes = fs::read(path).map_err(|error| anyhow!(input::reason(&error)))?;
    match source::decode(&bytes) {
        Ok(now) if now == old => {}
        // The same file can be named twice.
        Ok(now) if now == new => return Ok(()),
        _ => bail!("it was changed by somebody else meanwhile"),
    }
    if fs::metadata(path)?.permissions().readonly() {
        bail!("it is read-only");
    }
    output::write_whole(path, source::encode_like(&bytes, new))
}

/// What is to be done with a file, or a part of one.
struct Fix {
    /// The place of the file among the sources.
    source: usize,
    edits: Vec<TextEdit>,
    /// What the edits do, by line.
    notes: Vec<String>,
    errors: Vec<InputError>,
    /// True when a part of it cannot be read.
    is_broken: bool,
}

impl Fix {
    fn add(&mut self, part: Self) {
        let Self { source: _, edits, notes, errors, is_broken } = part;
        self.edits.extend(edits);
        self.notes.extend(notes);
        self.errors.extend(errors);
        self.is_broken |= is_broken;
    }
}

struct Fixer<'f> {
    policies: &'f PolicySet,
    set: &'f Set<'f>,
    now: Timestamp,
}

impl Fixer<'_> {
    fn part(&self, part: &Part<'_>, seen: &[Seen]) -> Fix {
        let mut fix = Fix {
            source: part.number,
            edits: Vec::new(),
            notes: Vec::new(),
            errors: Vec::new(),
            is_broken: false,
        };
        let places = Places::new(part);
        let mut mended: Vec<(&Manifest, Mended)> = Vec::new();
        for seen in seen {
            match seen {
                Seen::Manifest(manifest) => match self.manifest(&places, manifest) {
                    Ok(one) if one.steps.is_empty() => {}
                    Ok(one) => mended.push((manifest, one)),
                    Err(error) => fix.errors.push(error),
                },
                Seen::Broken(error) => {
                    fix.errors.push(part.error(error.position, &error.message));
                    fix.is_broken = true;
                }
                Seen::Exception(_) | Seen::Own | Seen::Foreign => {}
            }
        }
        if mended.is_empty() || fix.is_broken {
            return fix;
        }
        for (manifest, one) in &mut mended {
            leave_out_what_the_list_says(&places, manifest, &mut one.value);
        }
        let wanted: Vec<Wanted<'_>> = mended
            .iter()
            .map(|(manifest, one)| Wanted {
                document: manifest.document,
                prefix: &manifest.prefix,
                value: &one.value,
            })
            .collect();
        for ((manifest, one), edits) in mended.iter().zip(edit::rewrite(&part.chunk, &wanted)) {
            fix.object(part, manifest, &one.steps, edits);
        }
        fix
    }

    fn manifest(&self, places: &Places<'_>, manifest: &Manifest) -> Result<Mended, InputError> {
        let part = places.part;
        let namespace = self.set.namespace(manifest);
        let facts = self.set.facts(part, manifest);
        let change = Change::create(namespace, &manifest.name, &manifest.json);
        let written = |path: &str| written(places, manifest, path);
        // A fault of ours in one object must not lose the others.
        let mended = catch_unwind(AssertUnwindSafe(|| {
            decision::mend(self.policies, &change, &facts, self.now, &written)
        }));
        mended.ok().flatten().ok_or_else(|| {
            part.error(manifest.position, "tidegate failed on this object: a fault of tidegate's")
        })
    }
}

impl Fix {
    fn object(
        &mut self,
        part: &Part<'_>,
        manifest: &Manifest,
        steps: &[Step],
        edits: Result<Vec<TextEdit>, EditError>,
    ) {
        let at = manifest.position;
        let subject = format!("{}/{}", manifest.kind, manifest.name);
        match edits {
            Ok(edits) => {
                self.edits.extend(edits);
                for step in steps {
                    let what = match step {
                        Step::Quoted { at } => format!("{at}: in quotes"),
                        Step::FilledIn { what } => format!("filled in {what}"),
                        Step::Repaired { rule, mend } => format!("{rule}: {mend}"),
                    };
                    let line = format!("{}:{}: {subject}: {what}", part.file.name, at.line);
                    self.notes.push(line.replace(char::is_control, " "));
                }
            }
            Err(error) => {
                let error = format!("{subject} is left as it is: {error}");
                self.errors.push(part.error(at, &error.replace(char::is_control, " ")));
            }
        }
    }
}

/// How a scalar without quotes is written in its file.
fn written(places: &Places<'_>, manifest: &Manifest, path: &str) -> Option<String> {
    let document = places.document(manifest)?;
    let path = manifest.path(path);
    let span = document.holds(&path).then(|| document.locate(&path))?;
    let text = places.part.file.text.get(span.start.offset..span.end.offset)?;
    let plain = |char: char| char.is_ascii_alphanumeric() || "+-._".contains(char);
    (!text.is_empty() && text.chars().all(plain)).then(|| text.to_owned())
}

/// Items of a typed list have the apiVersion and kind that its own imply.
fn leave_out_what_the_list_says(places: &Places<'_>, manifest: &Manifest, value: &mut Value) {
    if manifest.prefix.is_empty() {
        return;
    }
    let Some(document) = places.document(manifest) else { return };
    let Some(written) = path::get(document.value(), &manifest.prefix) else { return };
    for key in ["apiVersion", "kind"] {
        if let Some(object) = value.as_object_mut().filter(|_| written.get(key).is_none()) {
            object.remove(key);
        }
    }
}
