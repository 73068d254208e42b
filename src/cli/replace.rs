//! Files that are replaced as a whole or not at all.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Context as _, bail};

use super::input;
use crate::source;

/// Writes `new` in the place of a file that was read as `old`, in its encoding and with its
/// permissions. Of a symbolic link the file that it leads to is replaced.
///
/// # Errors
///
/// The file is no longer what was read, or may not be written; then it is as it was.
pub(super) fn replace(path: &Path, old: &str, new: &str) -> anyhow::Result<()> {
    let real = fs::canonicalize(path).map_err(|error| anyhow::anyhow!(input::reason(&error)))?;
    let bytes = fs::read(&real)?;
    match source::decode(&bytes) {
        Ok(now) if now == old => {}
        // The same file can be named twice.
        Ok(now) if now == new => return Ok(()),
        _ => bail!("it was changed by somebody else meanwhile"),
    }
    let permissions = fs::metadata(&real)?.permissions();
    if permissions.readonly() {
        bail!("it is read-only");
    }
    let folder = real.parent().context("it is in no folder")?;
    let mut file = tempfile::Builder::new().prefix(".tidegate-").tempfile_in(folder)?;
    file.write_all(&source::encode_like(&bytes, new))?;
    file.as_file().set_permissions(permissions)?;
    file.as_file().sync_all()?;
    file.persist(&real)?;
    Ok(())
}
