//! Durations as they are reported and recorded.

use std::time::Duration;

/// Milliseconds as seconds with tenths, `2` or `2.5`: rounded up, so that what took longer than a limit never reads as it.
pub(crate) fn seconds(milliseconds: u64) -> String {
    let tenths = milliseconds.div_ceil(100);
    match (tenths / 10, tenths % 10) {
        (whole, 0) => whole.to_string(),
        (whole, tenth) => format!("{whole}.{tenth}"),
    }
}

/// A duration in milliseconds; one that is too long to be counted is the longest that can be.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up_to_tenths() {
        assert_eq!([0, 40, 950, 2_000, 2_549].map(seconds), ["0", "0.1", "1", "2", "2.6"]);
        assert_eq!(seconds(u64::MAX), (u64::MAX / 1000).to_string() + ".7");
    }
}
