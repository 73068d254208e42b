//! How far a long run is.

use std::{
    env,
    sync::Once,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A run that is done before nobody waits for.
const PATIENCE: Duration = Duration::from_millis(500);

/// A line on standard error, where that is a terminal that somebody looks at.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    started: Instant,
    shown: Once,
}

impl Progress {
    /// For this many steps. Nothing is shown before it has taken a while.
    pub(super) fn new(steps: usize) -> Self {
        let bar = ProgressBar::hidden();
        bar.set_length(u64::try_from(steps).unwrap_or(u64::MAX));
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent}% in {elapsed}") {
            bar.set_style(style);
        }
        Self { bar, started: Instant::now(), shown: Once::new() }
    }

    /// One step is done.
    pub(super) fn step(&self) {
        self.bar.inc(1);
        if self.started.elapsed() >= PATIENCE {
            self.shown.call_once(|| {
                // CI systems may offer a terminal, and keep every line that is written to it.
                if env::var_os("CI").is_none() {
                    // Shows nothing where standard error is no terminal.
                    self.bar.set_draw_target(ProgressDrawTarget::stderr());
                }
            });
        }
    }

    /// Everything is done: the line goes away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_run_shows_nothing_and_a_done_one_goes_away() {
        let progress = Progress::new(2);
        progress.step();
        assert!(progress.bar.is_hidden() && !progress.shown.is_completed());
        progress.end();
        assert!(progress.bar.is_finished());
        let started = Instant::now().checked_sub(PATIENCE).unwrap();
        let long = Progress { started, ..Progress::new(2) };
        long.step();
        assert!(long.shown.is_completed(), "what takes long is shown where there is a terminal");
        assert_eq!((long.bar.position(), long.bar.length()), (1, Some(2)));
    }
}
