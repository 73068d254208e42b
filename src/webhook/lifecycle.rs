//! Where the server is in its life. It only ever moves forward.

use tokio::sync::watch;

/// One stage of the server's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    Serving,
    /// Asked to stop: not ready any more, still serving, every answer closes its connection.
    Draining,
    /// Accepting nothing new; what is in flight is finished.
    Stopping,
    /// The webhook is done; health and metrics go last.
    Stopped,
}

/// The present stage, shared by every task.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self { phase: watch::Sender::new(Phase::Serving) }
    }
}

impl Lifecycle {
    /// The present stage.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Moves on to `phase`; never back.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let later = phase > *current;
            if later {
                *current = phase;
            }
            later
        });
    }

    /// Waits until `phase` is reached.
    pub async fn reached(&self, phase: Phase) {
        // The sender is `self`, so that waiting cannot fail.
        drop(self.phase.subscribe().wait_for(|current| *current >= phase).await);
    }
}
