//! How long a certificate lasts, in words and against a limit.

use jiff::{SignedDuration, Timestamp};

use crate::certificate::Description;
use crate::fact::facts::host_reports::CertificateOnDisk;

/// When a certificate is valid.
#[derive(Clone, Copy)]
pub(crate) struct Validity {
    from: Timestamp,
    until: Timestamp,
}

impl From<&Description> for Validity {
    fn from(certificate: &Description) -> Self {
        Self { from: certificate.not_before, until: certificate.not_after }
    }
}

impl From<&CertificateOnDisk> for Validity {
    fn from(certificate: &CertificateOnDisk) -> Self {
        Self { from: certificate.from, until: certificate.until }
    }
}

/// The least that should be left of a certificate's life: this many days, or `1/share` of the whole life where that is
/// less. A machine renews certificates that last a few days, and does so later than a person would.
pub(crate) fn least(certificate: impl Into<Validity>, days: i64, share: i32) -> SignedDuration {
    let Validity { from, until } = certificate.into();
    SignedDuration::from_hours(24 * days).min(until.duration_since(from) / share)
}

/// What is left at `at`; negative once it has expired.
pub(crate) fn left(certificate: impl Into<Validity>, at: Timestamp) -> SignedDuration {
    certificate.into().until.duration_since(at)
}

/// Whether it becomes valid only after `at`.
pub(crate) fn is_early(certificate: impl Into<Validity>, at: Timestamp) -> bool {
    certificate.into().from > at
}

/// What is left, as `expires in 3 days, at 2026-11-26T14:00:00Z`.
pub(crate) fn remainder(certificate: impl Into<Validity>, at: Timestamp) -> String {
    let certificate = certificate.into();
    if is_early(certificate, at) {
        return format!("is not valid before {}", certificate.from);
    }
    let left = left(certificate, at);
    let length = length(left.abs());
    if left.is_negative() {
        format!("expired {length} ago, at {}", certificate.until)
    } else {
        format!("expires in {length}, at {}", certificate.until)
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
