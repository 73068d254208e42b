//! `tidegate digest`

use std::io::{self, Write as _};

use super::{
    approval,
    exit::Exit,
    policies,
    set::{Set, SetArgs},
};
use crate::policy;

const EXAMPLES: &str = "\
Examples:
  # What an approval of each migration has to name
  tidegate digest deploy/drop-legacy-total.yaml

  # And what the ConfigMaps hold that it reads
  helm template shop ./chart | tidegate digest - --namespace shop --content

Exit code: 0 everything was read; 2 something could not be read, or, with --content, a ConfigMap is
not among the manifests.";

/// Print the digest that an approval of each migration covers.
///
/// One line for every object that migrates: the digest and `Kind/name`. The digest of the file is
/// the digest of the object in the cluster.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    set: SetArgs,

    /// Add the digest of what the ConfigMaps hold that the object reads
    #[arg(long)]
    content: bool,
}

/// Writes the digests to standard output.
///
/// # Errors
///
/// A policy is wrong, or an output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let policies = policies::load(&args.set.policy)?;
    let sources = args.set.sources();
    let set = Set::read(&args.set, &sources);
    let (lines, errors) = approval::each(&policies, &set, |migrating| {
        let name = migrating.name();
        let line = format!("{} {name}", policy::digest(migrating.object));
        if !args.content {
            return Ok(line);
        }
        match policy::content(migrating.object, migrating.facts.config_maps) {
            Ok(content) => Ok(format!("{line} content={content}")),
            Err(why) => Err((line, migrating.part.error(migrating.manifest.position, &why))),
        }
    });
    let mut stdout = io::stdout().lock();
    let mut stderr = io::stderr().lock();
    let mut clean = errors.is_empty();
    for line in lines {
        match line {
            Ok(line) => writeln!(stdout, "{line}")?,
            Err((line, error)) => {
                writeln!(stdout, "{line}")?;
                writeln!(stderr, "error: {error}")?;
                clean = false;
            }
        }
    }
    stdout.flush()?;
    for error in &errors {
        writeln!(stderr, "error: {error}")?;
    }
    Ok(if clean { Exit::Clean } else { Exit::CouldNotRun })
}
