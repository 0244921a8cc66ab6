//! How long a certificate lasts, in words and against a limit.

use jiff::{SignedDuration, Timestamp};

use crate::certificate::Description;

/// The least that should be left of a certificate's life: so many days, or `1/share` of the whole life where that is
/// less. A certificate that was made for few days is renewed by a machine, later than a person would.
pub(crate) fn least(certificate: &Description, days: i64, share: i32) -> SignedDuration {
    let life = certificate.not_after.duration_since(certificate.not_before);
    SignedDuration::from_hours(24 * days).min(life / share)
}

/// What is left at `at`; negative once it has expired.
pub(crate) fn left(certificate: &Description, at: Timestamp) -> SignedDuration {
    certificate.not_after.duration_since(at)
}

/// What is left, as `expires in 3 days, at 2026-11-26T14:00:00Z`.
pub(crate) fn remainder(certificate: &Description, at: Timestamp) -> String {
    let left = left(certificate, at);
    let length = length(left.abs());
    if left.is_negative() {
        format!("expired {length} ago, at {}", certificate.not_after)
    } else {
        format!("expires in {length}, at {}", certificate.not_after)
    }
}

/// A length of time in its largest unit, rounded down.
pub(crate) fn length(duration: SignedDuration) -> String {
    let (number, unit) = match duration.as_hours() {
        0 => (duration.as_mins(), "minute"),
        hours @ 1..48 => (hours, "hour"),
        hours => (hours / 24, "day"),
    };
    if number == 1 { format!("1 {unit}") } else { format!("{number} {unit}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_rounded_down() {
        assert_eq!(length(SignedDuration::from_mins(59)), "59 minutes");
        assert_eq!(length(SignedDuration::from_mins(119)), "1 hour");
        assert_eq!(length(SignedDuration::from_hours(47)), "47 hours");
        assert_eq!(length(SignedDuration::from_hours(24 * 7 + 23)), "7 days");
    }
}
