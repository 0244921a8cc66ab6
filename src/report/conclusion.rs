//! What came of a run, in a sentence.

use std::collections::BTreeSet;

use super::Gathered;
use crate::check::{Outcome, Root};
use crate::event::RunFinished;

/// Why a check has no outcome.
pub(super) const CUT_OFF: &str = "the run was cut off before this check was judged";

/// What came of a run.
pub(super) struct Conclusion {
    /// Whether the cluster is seaworthy, in a word or two.
    pub(super) verdict: &'static str,
    /// The outcome that it is shown as.
    pub(super) outcome: Outcome,
    /// How many causes and checks there are.
    pub(super) details: String,
}

impl Conclusion {
    /// What came of this run.
    pub(super) fn of(run: &Gathered) -> Self {
        let Some(finished) = &run.finished else {
            let judged = run.checks().len();
            let details = format!("{judged} of {} checks were judged", run.planned().len());
            return Self { verdict: "cut off", outcome: Outcome::Error, details };
        };
        let number = |outcome| finished.counts.get(&outcome).copied().unwrap_or_default();
        let (verdict, outcome) = match finished {
            RunFinished { interrupted: true, .. } => ("interrupted", Outcome::Error),
            _ if number(Outcome::Fail) > 0 => ("not seaworthy", Outcome::Fail),
            _ if number(Outcome::Error) + number(Outcome::Blocked) > 0 => ("inconclusive", Outcome::Error),
            _ if nothing_judged(run) => ("inconclusive", Outcome::Error),
            _ => ("seaworthy", Outcome::Pass),
        };
        let observations = match (number(Outcome::Pass), finished.observations) {
            (0, _) => String::new(),
            (_, 1) => " (on 1 observation)".into(),
            (_, many) => format!(" (on {} observations)", grouped(many)),
        };
        let counts = Outcome::ALL.into_iter().filter_map(|outcome| match outcome {
            Outcome::Waived if number(outcome) == 0 => None,
            Outcome::Pass => Some(format!("{} pass{observations}", grouped(number(outcome)))),
            outcome => Some(format!("{} {outcome}", grouped(number(outcome)))),
        });
        let counts: Vec<_> = counts.collect();
        let total: usize = finished.counts.values().sum();
        let checks = if total == 1 { "1 check".into() } else { format!("{} checks", grouped(total)) };
        let nothing = if nothing_judged(run) { "nothing was judged; " } else { "" };
        let details =
            format!("{nothing}{}{checks} in {}: {}", causes(run), elapsed(finished.elapsed_ms), counts.join(", "));
        Self { verdict, outcome, details }
    }
}

/// Whether every check of a run that ended was skipped.
pub(super) fn nothing_judged(run: &Gathered) -> bool {
    run.finished.as_ref().is_some_and(|finished| {
        let number = |outcome| finished.counts.get(outcome).copied().unwrap_or_default();
        Outcome::ALL.iter().all(|outcome| (*outcome == Outcome::Skip) == (number(outcome) > 0))
    })
}

/// How many root causes are behind what follows from something; nothing where nothing does.
fn causes(run: &Gathered) -> String {
    let explained: usize = run.roots.iter().map(|root| root.explains).sum();
    if explained == 0 {
        return String::new();
    }
    let own = run.roots.iter().filter_map(|root| run.check(&root.check));
    let own: usize = own.map(|check| check.findings.len() + check.unseen.len() - check.causes().count()).sum();
    let causes = if run.roots.len() == 1 { "1 cause".into() } else { format!("{} causes", run.roots.len()) };
    format!("{causes}{} behind {} results; ", place(&run.roots), grouped(own + explained))
}

/// Where several root causes are, if all are in one place.
fn place(roots: &[Root]) -> String {
    let places: BTreeSet<_> = roots.iter().map(|root| root.place.as_ref()).collect();
    match places.first() {
        Some(Some(place)) if roots.len() > 1 && places.len() == 1 => format!(", all on {place},"),
        _ => String::new(),
    }
}

pub(crate) fn elapsed(ms: u64) -> String {
    match ms {
        0..=99 => format!("{ms} ms"),
        100..=59_999 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

/// A number in groups of three digits.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Why the run did not come to its end, if it did not, in a sentence.
pub(super) fn unfinished(run: &Gathered) -> Option<String> {
    let why = match (&run.finished, run.started.as_ref()?.failed.as_deref()) {
        (_, Some(failed)) => return Some(format!("Nothing could be observed: {failed}.")),
        (Some(finished), None) if finished.interrupted => "interrupted",
        (Some(_), None) => return None,
        (None, None) => "cut off",
    };
    let judged = run.checks().len();
    Some(format!("The run was {why} before its end: {judged} of {} checks were judged.", run.planned().len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Severity, Subject};

    #[test]
    fn several_causes_in_one_place_say_so() {
        let root = |place| Root { check: "KL-01".into(), severity: Severity::Major, explains: 1, place };
        let (n1, n2) = (|| Some(Subject::node("n1")), || Some(Subject::node("n2")));
        assert_eq!(place(&[root(n2()), root(n2())]), ", all on Node n2,");
        assert_eq!(place(&[root(n1()), root(n2())]), "");
        assert_eq!(place(&[root(n1()), root(None)]), "");
        assert_eq!(place(&[root(n1())]), "", "its finding names the node");
    }

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!([0, 999, 1000, 2913, 1_234_567].map(grouped), ["0", "999", "1,000", "2,913", "1,234,567"]);
        assert_eq!([7, 3449, 61_000].map(elapsed), ["7 ms", "3.4 s", "1 min 1 s"]);
    }
}
