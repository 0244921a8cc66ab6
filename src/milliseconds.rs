//! Durations as they are told and recorded.

use std::time::Duration;

/// A duration in milliseconds; one that is too long to be counted is the longest that can be.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
