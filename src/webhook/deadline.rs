//! How long an answer may take.

use std::time::{Duration, Instant};

use crate::settings::go_duration;

/// The API server's own default when a configuration names no timeout.
const DEFAULT: Duration = Duration::from_secs(10);
/// The longest timeout that a webhook can have.
const LONGEST: Duration = Duration::from_secs(30);

/// When a request came and when its answer is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    /// When the end of its head was read.
    pub(super) start: Instant,
    timeout: Duration,
}

impl Deadline {
    /// Reads `timeout` out of the query, as the API server writes it (`?timeout=5s`).
    ///
    /// What cannot be read counts as 10 s. Only 30 s are ever believed.
    pub(super) fn from_query(query: Option<&str>, start: Instant) -> Self {
        let timeout = query
            .unwrap_or_default()
            .split('&')
            .find_map(|pair| pair.strip_prefix("timeout="))
            .and_then(go_duration)
            .filter(|timeout| !timeout.is_zero())
            .map_or(DEFAULT, |timeout| timeout.min(LONGEST));
        Self { start, timeout }
    }

    /// What is left until the answer is due: at four fifths of the timeout, so that it arrives.
    pub(super) fn left(&self) -> Duration {
        let due = share(self.timeout, 4, 5);
        due.saturating_sub(self.start.elapsed())
    }

    /// How long to wait for room before the client is told to come back: a tenth of the timeout,
    /// so that its next attempt has a chance.
    pub(super) fn patience(&self) -> Duration {
        share(self.timeout, 1, 10).min(self.left())
    }
}

/// `part` of `of` parts of a duration.
pub(super) fn share(duration: Duration, part: u32, of: u32) -> Duration {
    duration.saturating_mul(part).checked_div(of).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_is_read_and_bounded() {
        for (query, seconds) in [
            (Some("timeout=5s"), 5),
            (Some("a=b&timeout=1m30s"), 30),
            (Some("timeout=7s&timeout=9s"), 7),
            (Some("timeout="), 10),
            (Some("timeout=0s"), 10),
            (Some("timeout=-3s"), 10),
            (Some("timeout=x"), 10),
            (Some("timeout=1e999s"), 10),
            (None, 10),
        ] {
            let deadline = Deadline::from_query(query, Instant::now());
            assert_eq!(deadline.timeout, Duration::from_secs(seconds), "{query:?}");
            assert!(deadline.left() <= Duration::from_secs(seconds) * 4 / 5);
        }
    }
}
