//! The verdict on a run, in a few words.

use super::Gathered;
use crate::check::Outcome;

/// Why a check has no outcome.
pub(super) const CUT_OFF: &str = "the run was cut off before this check was judged";

/// The verdict, with the outcome that it is as bad as.
pub(super) fn conclusion(run: &Gathered) -> (&'static str, Outcome) {
    let Some(finished) = &run.finished else { return ("cut off", Outcome::Error) };
    let number = |outcome| finished.counts.get(&outcome).copied().unwrap_or_default();
    match () {
        () if finished.interrupted => ("interrupted", Outcome::Error),
        () if number(Outcome::Fail) > 0 => ("not seaworthy", Outcome::Fail),
        () if number(Outcome::Error) + number(Outcome::Blocked) > 0 => ("inconclusive", Outcome::Error),
        () if nothing_judged(run) => ("inconclusive", Outcome::Error),
        () => ("seaworthy", Outcome::Pass),
    }
}

/// Whether every check of a run that ended was skipped.
pub(super) fn nothing_judged(run: &Gathered) -> bool {
    run.finished.as_ref().is_some_and(|finished| {
        let number = |outcome| finished.counts.get(outcome).copied().unwrap_or_default();
        Outcome::ALL.iter().all(|outcome| (*outcome == Outcome::Skip) == (number(outcome) > 0))
    })
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
