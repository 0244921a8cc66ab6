//! The deadline of an observation.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::connection::Ending;

/// A point in time, and the time that was allowed until then, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    allowed: Duration,
}

impl Deadline {
    pub(super) fn after(allowed: Duration) -> Self {
        Self { at: Instant::now() + allowed, allowed }
    }

    /// The result of `work`; nothing if it takes too long.
    pub(super) async fn limit<F: Future>(self, work: F) -> Option<F::Output> {
        timeout_at(self.at, work).await.ok()
    }

    /// The earlier of this deadline and one after `wait`.
    pub(super) fn at_most(self, wait: Duration) -> Self {
        let sooner = Self::after(wait);
        if sooner.at < self.at { sooner } else { self }
    }

    /// The error for a missed deadline.
    pub(super) fn missed(self) -> Ending {
        Ending::TimedOut(self.allowed)
    }
}
