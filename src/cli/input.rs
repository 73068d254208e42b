//! Files, folders and standard input.

use std::{
    borrow::Cow,
    ffi::OsStr,
    fs::{self, FileType},
    io,
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

/// Something to read.
#[derive(Clone, Debug)]
pub(super) enum Input {
    /// A file, or standard input.
    Path(PathBuf),
    /// What was read before, or why it could not be.
    Read(Box<Result<Source, InputError>>),
}

impl Input {
    fn failed(error: InputError) -> Self {
        Self::Read(Box::new(Err(error)))
    }

    /// The text, or why it cannot be read. What is no file can be read only once.
    pub(super) fn read(&self) -> Cow<'_, Result<Source, InputError>> {
        match self {
            Self::Path(path) => Cow::Owned(read_one(path)),
            Self::Read(read) => Cow::Borrowed(read),
        }
    }

    /// The size in bytes; none of what is no file and was not read.
    pub(super) fn size(&self) -> Option<usize> {
        match self {
            Self::Path(path) if is_stdin(path) => None,
            Self::Path(path) => {
                let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
                usize::try_from(metadata.len()).ok()
            }
            Self::Read(read) => Some(read.as_ref().as_ref().map_or(0, |source| source.text.len())),
        }
    }

    /// The name of the file.
    pub(super) fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Path(path) => name(path).into(),
            Self::Read(read) => match &**read {
                Ok(source) => (&source.name).into(),
                Err(error) => (&error.file).into(),
            },
        }
    }
}

/// Every file that `paths` name or hold, in order: the paths as given, a folder's files sorted by
/// name.
pub(super) fn list(paths: &[PathBuf]) -> Vec<Input> {
    let mut files = Vec::new();
    for path in paths {
        if !is_stdin(path) && path.is_dir() {
            let before = files.len();
            walk(path, &mut files);
            if files.len() == before {
                let none = "there is no *.yaml, *.yml or *.json file in it";
                files.push(Input::failed(whole(path, none)));
            }
        } else {
            files.push(Input::Path(path.clone()));
        }
    }
    files
}

/// Reads every file that `paths` name or hold, in the same order.
pub(super) fn read(paths: &[PathBuf]) -> Vec<Result<Source, InputError>> {
    read_all(list(paths))
}

/// Reads everything. What cannot be read is an error beside the rest.
pub(super) fn read_all(inputs: Vec<Input>) -> Vec<Result<Source, InputError>> {
    let read = parallel::map(&inputs, |input| match input {
        Input::Path(path) => Some(read_one(path)),
        Input::Read(_) => None,
    });
    let all = inputs.into_iter().zip(read);
    all.filter_map(|(input, read)| match input {
        Input::Path(_) => read,
        Input::Read(read) => Some(*read),
    })
    .collect()
}

/// Every manifest below a folder. Hidden entries are left out, and so are symbolic links to
/// folders: those that Kubernetes mounts are hidden, and others can be loops.
fn walk(folder: &Path, files: &mut Vec<Input>) {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return files.push(Input::failed(whole(folder, &reason(&error)))),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let kind = entry.file_type();
        let is_file = kind.as_ref().is_ok_and(FileType::is_file);
        if kind.is_ok_and(|kind| kind.is_dir()) {
            walk(&path, files);
        } else if is_manifest(&path) && (is_file || !path.is_dir()) {
            files.push(Input::Path(path));
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
