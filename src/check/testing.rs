//! What verdicts of major checks find, in short, for tests.

use super::{Finding, Severity, Verdict};

/// What was seen.
pub(crate) fn seen(verdict: &Verdict) -> Vec<String> {
    told(verdict, |finding| finding.seen)
}

/// What was seen, and of what.
pub(crate) fn seen_of(verdict: &Verdict) -> Vec<String> {
    told(verdict, |finding| format!("{}: {}", finding.subject, finding.seen))
}

/// What was seen, of what, and how bad it is.
pub(crate) fn in_full(verdict: &Verdict) -> Vec<String> {
    told(verdict, |finding| format!("{} {}: {}", finding.severity, finding.subject, finding.seen))
}

fn told(verdict: &Verdict, told: impl Fn(Finding) -> String) -> Vec<String> {
    verdict.findings(Severity::Major).into_iter().map(told).collect()
}
