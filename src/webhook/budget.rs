//! Memory for bodies, reserved before a byte is read.

use std::{sync::Arc, time::Duration};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::settings::Limits;

/// Bytes that all bodies may hold together.
///
/// Small bodies have a part of their own: whoever announces a few large bodies and sends them
/// slowly delays other large ones, and nobody else.
#[derive(Debug)]
pub(super) struct Budget {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    inline_body: usize,
    reserved: Gauge,
}

/// A body's share; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    _permit: OwnedSemaphorePermit,
    bytes: i64,
    reserved: Gauge,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.reserved.dec_by(self.bytes);
    }
}

impl Budget {
    pub(super) fn new(limits: &Limits, reserved: Gauge) -> Self {
        Self {
            small: Arc::new(Semaphore::new(limits.small_budget())),
            large: Arc::new(Semaphore::new(limits.large_budget())),
            inline_body: limits.inline_body,
            reserved,
        }
    }

    /// Waits up to `patience` for room for `length` bytes.
    pub(super) async fn reserve(&self, length: usize, patience: Duration) -> Option<Share> {
        let pool = if length <= self.inline_body { &self.small } else { &self.large };
        let permits = u32::try_from(length).ok()?;
        let permit = if let Ok(permit) = Arc::clone(pool).try_acquire_many_owned(permits) {
            permit
        } else {
            let room = Arc::clone(pool).acquire_many_owned(permits);
            tokio::time::timeout(patience, room).await.ok()?.ok()?
        };
        let bytes = i64::from(permits);
        self.reserved.inc_by(bytes);
        Some(Share { _permit: permit, bytes, reserved: self.reserved.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn large_bodies_leave_room_for_small_ones() {
        let limits = Limits { body_budget: 4_000, inline_body: 100, ..Limits::default() };
        let gauge = Gauge::default();
        let budget = Budget::new(&limits, gauge.clone());
        let large = budget.reserve(2_500, Duration::ZERO).await.unwrap();
        assert!(budget.reserve(600, Duration::from_millis(1)).await.is_none());
        let small = budget.reserve(100, Duration::ZERO).await.unwrap();
        assert_eq!(gauge.get(), 2_600);
        drop(large);
        assert!(budget.reserve(3_000, Duration::ZERO).await.is_some());
        drop(small);
        assert_eq!(gauge.get(), 0);
    }
}
