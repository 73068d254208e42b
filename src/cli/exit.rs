//! How the program ends.

use std::process::{ExitCode, Termination};

/// The exit code. Scripts rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: it did what it was asked, and found nothing wrong.
    Clean = 0,
    /// 1: it did what it was asked, and found something wrong.
    Findings = 1,
    /// 2: it could not do what it was asked.
    CouldNotRun = 2,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// True when whoever read our output went away, as `| head` does. That is no failure.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
