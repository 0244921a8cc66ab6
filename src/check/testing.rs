//! What verdicts of major checks find, in short, for tests.

use super::subject::listed;
use super::{Finding, Severity, Verdict};

/// What was seen.
pub(crate) fn seen(verdict: &Verdict) -> Vec<String> {
    shown(verdict, |finding| finding.seen)
}

/// What was seen, and of what.
pub(crate) fn seen_of(verdict: &Verdict) -> Vec<String> {
    shown(verdict, |finding| format!("{}: {}", listed(&finding.subjects), finding.seen))
}

/// What was seen, of what, and how bad it is.
pub(crate) fn in_full(verdict: &Verdict) -> Vec<String> {
    shown(verdict, |finding| format!("{} {}: {}", finding.severity, listed(&finding.subjects), finding.seen))
}

fn shown(verdict: &Verdict, show: impl Fn(Finding) -> String) -> Vec<String> {
    verdict.findings(Severity::Major).into_iter().map(show).collect()
}

/// What the reader should know, with what it is about.
pub(crate) fn notes(verdict: &Verdict) -> Vec<String> {
    let shown = |note: super::Note| match note.subjects.as_slice() {
        [] => note.text,
        some => format!("{}: {}", listed(some), note.text),
    };
    verdict.notes().into_iter().map(shown).collect()
}
