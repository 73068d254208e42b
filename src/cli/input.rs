//! Files, folders and standard input.

use std::{
    ffi::OsStr,
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::parallel;
use crate::{
    render::{self, InputError},
    source::{self, Position},
};

/// What stands for standard input on the command line.
const STDIN: &str = "-";

/// A text and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// The file as the user named it, or as it was found in a folder that the user named.
    pub(super) name: String,
    /// Where it can be written again; none for standard input.
    pub(super) path: Option<PathBuf>,
    /// The text.
    pub(super) text: String,
}

/// True for what stands for standard input on the command line.
pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == STDIN
}

/// Reads every file that `paths` name or hold, in order: the paths as given, a folder's files
/// sorted by name. What cannot be read is an error beside the rest.
pub(super) fn read(paths: &[PathBuf]) -> Vec<Result<Source, InputError>> {
    let mut files = Vec::new();
    for path in paths {
        if is_stdin(path) {
            files.push(Ok(path.clone()));
        } else if path.is_dir() {
            let before = files.len();
            walk(path, &mut files);
            if files.len() == before {
                files.push(Err(whole(path, "there is no *.yaml, *.yml or *.json file in it")));
            }
        } else {
            files.push(Ok(path.clone()));
        }
    }
    parallel::map(&files, |file| match file {
        Ok(path) => read_one(path),
        Err(error) => Err(error.clone()),
    })
}

/// Every manifest below a folder. Hidden entries are left out, and so are symbolic links to
/// folders: those that Kubernetes mounts are hidden, and others can be loops.
fn walk(folder: &Path, files: &mut Vec<Result<PathBuf, InputError>>) {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return files.push(Err(whole(folder, &reason(&error)))),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, files);
        } else if is_manifest(&path) && !path.is_dir() {
            files.push(Ok(path));
        }
    }
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

fn read_one(path: &Path) -> Result<Source, InputError> {
    let bytes = if is_stdin(path) {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_count| bytes)
    } else {
        fs::read(path)
    };
    let bytes = bytes.map_err(|error| whole(path, &reason(&error)))?;
    let text = match source::decode(&bytes) {
        Ok(text) => text.into_owned(),
        Err(error) => {
            let source::SourceError { position, message } = error;
            return Err(InputError { file: name(path), position: Some(position), message });
        }
    };
    let file = (!is_stdin(path)).then(|| path.to_owned());
    Ok(Source { name: name(path), path: file, text })
}

/// An error about a whole file or folder.
fn whole(path: &Path, message: &str) -> InputError {
    InputError { file: name(path), position: None::<Position>, message: message.to_owned() }
}

fn name(path: &Path) -> String {
    if is_stdin(path) { render::STDIN.to_owned() } else { path.display().to_string() }
}

/// The reason without the number that the operating system gives it.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "it may not be read: permission denied".to_owned(),
        _ => error.to_string(),
    }
}
