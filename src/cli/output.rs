//! Where results are written to, in which format.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use tempfile::NamedTempFile;

use crate::source::did_you_mean;

/// What stands for standard output on the command line.
const STDOUT: &str = "-";

/// How to write the result, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct OutputArgs<F: ValueEnum + Send + Sync + 'static> {
    /// How to write the result to standard output [default: human]
    #[arg(long, value_enum)]
    format: Option<F>,

    /// Write the result to a file as well, whole or not at all; - is standard output. Repeatable
    #[arg(long, value_name = "FORMAT=FILE")]
    output: Vec<Output<F>>,
}

/// One format and the file that it is written to.
#[derive(Clone, Debug)]
struct Output<F> {
    format: F,
    file: PathBuf,
}

impl<F: ValueEnum> FromStr for Output<F> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (format, file) = text.split_once('=').ok_or("expected FORMAT=FILE")?;
        let format = F::from_str(format, false).map_err(|_unknown| {
            let values = F::value_variants().iter().filter_map(F::to_possible_value);
            let known: Vec<String> = values.map(|value| value.get_name().to_owned()).collect();
            let nearest = did_you_mean(format, known.iter().map(String::as_str));
            format!("`{format}` is none of {}{nearest}", known.join(", "))
        })?;
        if file.is_empty() {
            return Err("there is no file after `=`".to_owned());
        }
        Ok(Self { format, file: PathBuf::from(file) })
    }
}

/// Where everything goes: one format to standard output, others to files.
#[derive(Clone, Debug)]
pub(super) struct Outputs<F> {
    /// What standard output gets.
    pub(super) stdout: F,
    files: Vec<(F, PathBuf)>,
}

impl<F: ValueEnum + Copy + PartialEq + Send + Sync + 'static> OutputArgs<F> {
    /// What goes where; `default` goes to standard output when nothing else is asked for.
    ///
    /// # Errors
    ///
    /// Two formats are to go to one place.
    pub(super) fn resolve(&self, default: F) -> anyhow::Result<Outputs<F>> {
        let mut stdout = self.format;
        let mut files: Vec<(F, PathBuf)> = Vec::new();
        for Output { format, file } in &self.output {
            if file.as_os_str() == STDOUT {
                if stdout.is_some_and(|other| other != *format) {
                    bail!("standard output takes one format: give the others a file");
                }
                stdout = Some(*format);
            } else if files.iter().any(|(_, other)| other == file) {
                bail!("--output names {} twice", file.display());
            } else {
                files.push((*format, file.clone()));
            }
        }
        Ok(Outputs { stdout: stdout.unwrap_or(default), files })
    }
}

impl<F: Copy + PartialEq> Outputs<F> {
    /// True when something is to be written in the format.
    pub(super) fn has(&self, format: F) -> bool {
        self.stdout == format || self.files.iter().any(|(other, _)| *other == format)
    }

    /// Every place, with the format that it gets and whether it is standard output, which may be a
    /// terminal. Standard output is the last.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub(super) fn open(&self) -> anyhow::Result<Vec<(F, bool, Target)>> {
        let mut targets = Vec::new();
        for (format, file) in &self.files {
            targets.push((*format, false, Target::file(file)?));
        }
        targets.push((self.stdout, true, Target { name: None, to: To::Stdout(io::stdout()) }));
        Ok(targets)
    }

    /// Writes the files and then standard output. `text` makes the text of a format; it is told
    /// whether it is for standard output, which may be a terminal.
    ///
    /// # Errors
    ///
    /// A text cannot be made, or something cannot be written.
    pub(super) fn write(
        &self,
        text: impl Fn(F, bool) -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        for (format, to_stdout, mut target) in self.open()? {
            target.write(text(format, to_stdout)?.as_bytes())?;
            target.finish()?;
        }
        Ok(())
    }
}

/// A place that is written piece by piece.
#[derive(Debug)]
pub(super) struct Target {
    /// Of a file.
    name: Option<PathBuf>,
    to: To,
}

#[derive(Debug)]
enum To {
    Stdout(io::Stdout),
    /// What is no regular file, such as a pipe, is written as it is.
    Plain(File),
    /// A file is written beside the one that it replaces at the end, so that nobody ever reads half
    /// of it.
    Beside {
        beside: NamedTempFile,
        file: PathBuf,
        permissions: Option<fs::Permissions>,
    },
}

impl Target {
    fn file(file: &Path) -> anyhow::Result<Self> {
        let to = match fs::metadata(file) {
            Ok(metadata) if !metadata.is_file() => {
                File::options().write(true).open(file).map(To::Plain)
            }
            // What a symbolic link leads to is replaced, and not the link.
            Ok(metadata) => {
                fs::canonicalize(file).and_then(|it| To::beside(it, Some(metadata.permissions())))
            }
            Err(_) => To::beside(file.to_owned(), None),
        };
        let name = Some(file.to_owned());
        Ok(Self { name, to: to.with_context(|| cannot_write(file))? })
    }

    /// Adds to what is written there.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(super) fn write(&mut self, text: &[u8]) -> anyhow::Result<()> {
        let written = match &mut self.to {
            To::Stdout(stdout) => stdout.write_all(text),
            To::Plain(file) => file.write_all(text),
            To::Beside { beside, .. } => beside.write_all(text),
        };
        told(written, self.name.as_deref())
    }

    /// Everything was written.
    ///
    /// # Errors
    ///
    /// It cannot be written, and nothing stands where it was to.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let done = match self.to {
            To::Stdout(mut stdout) => stdout.flush(),
            To::Plain(_) => Ok(()),
            To::Beside { beside, file, permissions } => {
                let kept = permissions.map_or(Ok(()), |own| beside.as_file().set_permissions(own));
                kept.and_then(|()| beside.persist(file).map(drop).map_err(|error| error.error))
            }
        };
        told(done, self.name.as_deref())
    }
}

impl To {
    fn beside(file: PathBuf, permissions: Option<fs::Permissions>) -> io::Result<Self> {
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".tidegate-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // less the umask
        Ok(Self::Beside { beside: builder.tempfile_in(folder)?, file, permissions })
    }
}

/// Why standard output cannot be written is left as it is: that nobody reads is no fault.
fn told(done: io::Result<()>, file: Option<&Path>) -> anyhow::Result<()> {
    match file {
        Some(file) => done.with_context(|| cannot_write(file)),
        None => Ok(done?),
    }
}

fn cannot_write(file: &Path) -> String {
    format!("cannot write {}", file.display())
}

/// Writes a file so that nobody ever reads half of it: beside it first, then renamed. What is no
/// regular file, such as a pipe, is written as it is.
///
/// # Errors
///
/// It cannot be written.
pub(super) fn write_whole(file: &Path, text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut target = Target::file(file)?;
    target.write(text.as_ref())?;
    target.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
    enum Shape {
        Round,
        Square,
    }

    fn resolved(format: Option<Shape>, outputs: &[&str]) -> Result<Outputs<Shape>, String> {
        let output = outputs.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        OutputArgs { format, output }.resolve(Shape::Round).map_err(|error| error.to_string())
    }

    #[test]
    fn one_format_goes_to_standard_output() {
        for (format, outputs, want) in [
            (None, &[][..], Shape::Round),
            (Some(Shape::Square), &[], Shape::Square),
            (None, &["square=-"], Shape::Square),
            (Some(Shape::Square), &["square=-", "round=a"], Shape::Square),
            (None, &["square=a", "round=b"], Shape::Round),
        ] {
            assert_eq!(resolved(format, outputs).unwrap().stdout, want, "{outputs:?}");
        }
        assert!(resolved(Some(Shape::Round), &["square=-"]).unwrap_err().contains("one format"));
        assert!(resolved(None, &["square=a", "round=a"]).unwrap_err().contains("a twice"));
    }

    #[test]
    fn a_wrong_format_names_the_nearest() {
        let error = resolved(None, &["sqare=a"]).unwrap_err();
        assert_eq!(error, "`sqare` is none of round, square (did you mean `square`?)");
        assert_eq!(resolved(None, &["square"]).unwrap_err(), "expected FORMAT=FILE");
        assert_eq!(resolved(None, &["square="]).unwrap_err(), "there is no file after `=`");
    }

    #[test]
    fn a_file_is_replaced_whole_and_a_link_leads_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.txt");
        write_whole(&file, "old").unwrap();
        #[cfg(unix)]
        {
            let link = folder.path().join("link.txt");
            std::os::unix::fs::symlink(&file, &link).unwrap();
            write_whole(&link, "new").unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        }
        #[cfg(not(unix))]
        write_whole(&file, "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        let left = fs::read_dir(folder.path()).unwrap();
        assert!(left.flatten().all(|it| !it.file_name().to_string_lossy().starts_with('.')));
        let nowhere = folder.path().join("no/such/folder");
        let error = write_whole(&nowhere, "").unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write {}", nowhere.display()));
        let reason = error.downcast_ref::<io::Error>().map(io::Error::kind);
        assert_eq!(reason, Some(io::ErrorKind::NotFound));
    }

    #[cfg(unix)]
    #[test]
    fn permissions_stay_and_are_else_those_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |file: &Path| fs::metadata(file).unwrap().permissions().mode() & 0o777;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("a"), folder.path().join("b"));
        write_whole(&ours, "").unwrap();
        fs::write(&plain, "").unwrap();
        assert_eq!(mode(&ours), mode(&plain));
        fs::set_permissions(&ours, fs::Permissions::from_mode(0o640)).unwrap();
        write_whole(&ours, "new").unwrap();
        assert_eq!(mode(&ours), 0o640);
    }
}
