//! When to use colours.

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
};

use anstream::{AutoStream, ColorChoice};
use supports_hyperlinks::supports_hyperlinks;

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless `NO_COLOR` or `CLICOLOR_FORCE` say otherwise
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether what is written to standard output is coloured.
    pub(super) fn is_on(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            // As https://no-color.org and https://bixense.com/clicolors have it.
            Self::Auto => AutoStream::choice(&io::stdout()) != ColorChoice::Never,
        }
    }

    /// The folder that the names of files start at, where a terminal can open them at a click.
    pub(super) fn links(self) -> Option<PathBuf> {
        let opens = self.is_on() && io::stdout().is_terminal() && supports_hyperlinks();
        if opens { std::env::current_dir().ok() } else { None }
    }
}
