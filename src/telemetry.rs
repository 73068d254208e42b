//! Log lines.
//!
//! A message is constant text; what varies is in fields. Nothing of an object is ever logged but
//! its identity, and that cut and escaped.

use std::{fmt, io::IsTerminal as _, panic};

use tracing_subscriber::{EnvFilter, filter::LevelFilter, layer::SubscriberExt as _, util};

use crate::settings::LogFormat;

/// The longest part of a name that reaches a log line, in characters. Names of objects are at most
/// 253 long, so only what is no name is ever cut.
const LONGEST: usize = 256;

/// Log lines could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("--log-level `{filter}` is not a filter such as `info` or `tidegate=debug`")]
    Filter {
        /// What was given.
        filter: String,
    },
    /// Something else writes log lines in this process.
    #[error("log lines are set up already")]
    Twice(#[from] util::TryInitError),
}

/// Writes log lines to standard error from now on.
///
/// `format` is JSON when it is not given and standard error is no terminal. A panic is logged with
/// its place and without its text, because the text may quote an object.
///
/// # Errors
///
/// When `filter` cannot be read, or this was called before.
pub fn init(format: Option<LogFormat>, filter: &str) -> Result<(), TelemetryError> {
    let terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Human } else { LogFormat::Json });
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(filter)
        .map_err(|_error| TelemetryError::Filter { filter: filter.to_owned() })?;
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Json => util::SubscriberInitExt::try_init(
            registry.with(layer.json().flatten_event(true).with_current_span(false)),
        )?,
        LogFormat::Human => {
            util::SubscriberInitExt::try_init(registry.with(layer.with_ansi(terminal)))?;
        }
    }
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
    Ok(())
}

/// Text that others chose, fit for a log line: without control characters, and cut.
#[derive(Clone, Copy, Debug)]
pub struct Foreign<'t>(pub &'t str);

impl fmt::Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        if self.0.len() <= LONGEST && self.0.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return f.write_str(self.0);
        }
        for (index, char) in self.0.chars().enumerate() {
            if index == LONGEST {
                return f.write_char('…');
            }
            // Besides control characters: what reorders or hides text on a terminal.
            if char.is_control()
                || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
            {
                write!(f, "{}", char.escape_unicode())?;
            } else {
                f.write_char(char)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_one_short_plain_line() {
        assert_eq!(Foreign("a\nb\u{1b}[31m\u{202e}").to_string(), r"a\u{a}b\u{1b}[31m\u{202e}");
        assert_eq!(Foreign(&"x".repeat(1_000)).to_string().chars().count(), 257);
        assert_eq!(Foreign("app-db-migrate").to_string(), "app-db-migrate");
    }
}
