//! The one table of exit codes.

use std::collections::BTreeSet;

use crate::check::Outcome;

/// What the process ends with. CI systems rely on these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// No finding at or above the gate, no check errored, and at least one was judged.
    Seaworthy = 0,
    /// At least one finding at or above the gate.
    Findings = 1,
    /// The command line, a profile or a file that was given is wrong.
    Usage = 2,
    /// The cluster is unreachable, a check could not be completed, what was found may follow from a restart, or every check was
    /// skipped.
    Inconclusive = 3,
    /// No check is selected.
    NothingSelected = 4,
    /// The verdict is 0, and could not be sent to a target of `--push`.
    Undelivered = 5,
    /// Stopped by a signal.
    Interrupted = 130,
}

impl ExitCode {
    /// The same, where findings are no failure of what runs the program.
    pub fn without_findings(self) -> Self {
        if self == Self::Findings { Self::Seaworthy } else { self }
    }

    /// The exit code of a run with these outcomes: a finding outweighs what could not be checked. What is blocked by a failing
    /// check changes nothing; without one, it may follow from a restart. Skips alone show nothing about the cluster.
    pub fn of(outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        let outcomes: BTreeSet<Outcome> = outcomes.into_iter().collect();
        let any = |outcome| outcomes.contains(&outcome);
        if any(Outcome::Fail) {
            Self::Findings
        } else if any(Outcome::Error) || any(Outcome::Blocked) {
            Self::Inconclusive
        } else if any(Outcome::Warn) || any(Outcome::Waived) || any(Outcome::Pass) {
            Self::Seaworthy
        } else if any(Outcome::Skip) {
            Self::Inconclusive
        } else {
            Self::NothingSelected
        }
    }

    /// The exit code of a run whose verdict did not arrive everywhere: it says so only where it has nothing worse to say.
    pub fn undelivered(self) -> Self {
        match self {
            Self::Seaworthy => Self::Undelivered,
            other => other,
        }
    }
}

impl ExitCode {
    /// The exit codes, the worst first: a fleet that was stopped is not complete, a finding outweighs what could not be
    /// checked, and a cluster that could not even be asked for a wrong file outweighs one that did not answer.
    const WORST_FIRST: [Self; 7] = [
        Self::Interrupted,
        Self::Findings,
        Self::Usage,
        Self::Inconclusive,
        Self::NothingSelected,
        Self::Undelivered,
        Self::Seaworthy,
    ];

    /// The worst of several runs; of none, that nothing is selected.
    pub fn worst(codes: impl IntoIterator<Item = Self>) -> Self {
        let rank = |code: &Self| Self::WORST_FIRST.iter().position(|other| other == code);
        codes.into_iter().min_by_key(rank).unwrap_or(Self::NothingSelected)
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// The table for `--help`.
pub const HELP: &str = "Exit codes:
  0    no finding at or above the gate, no check errored, and at least one ran
  1    findings at or above the gate, such as a server certificate that clients do
       not accept
  2    wrong usage: command line, profile, kubeconfig or file
  3    inconclusive: the cluster is unreachable, a check could not be completed, what
       was found may follow from a restart, or every check was skipped
  4    no check is selected
  5    as 0, but a target of --push did not get the verdict; every file is written
  130  interrupted

With `run --exit-zero`, 0 takes the place of 1: the run worked, whatever it found.

A run that cannot begin writes every report all the same: one check states the
cause, and the others are blocked by it. It removes an older --record file. A
wrong command line touches no file. Of many clusters, the worst counts: 130, then
1, 2, 3, 4 and 0.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_outweighs_what_could_not_be_looked_at() {
        assert_eq!(ExitCode::of([Outcome::Pass, Outcome::Error, Outcome::Fail]), ExitCode::Findings);
        assert_eq!(ExitCode::of([Outcome::Pass, Outcome::Error, Outcome::Warn]), ExitCode::Inconclusive);
        assert_eq!(ExitCode::of([Outcome::Pass, Outcome::Warn, Outcome::Skip]), ExitCode::Seaworthy);
        assert_eq!(ExitCode::of([Outcome::Skip, Outcome::Skip]), ExitCode::Inconclusive);
        assert_eq!(ExitCode::of([]), ExitCode::NothingSelected);
    }

    #[test]
    fn the_worst_of_many_runs_counts() {
        use ExitCode::{Findings, Inconclusive, Interrupted, NothingSelected, Seaworthy, Usage};
        assert_eq!(ExitCode::worst([Seaworthy, Seaworthy]), Seaworthy);
        assert_eq!(ExitCode::worst([Seaworthy, Inconclusive, Usage, Findings]), Findings);
        assert_eq!(ExitCode::worst([Inconclusive, Usage, Seaworthy]), Usage);
        assert_eq!(ExitCode::worst([NothingSelected, Inconclusive, Seaworthy]), Inconclusive);
        assert_eq!(ExitCode::worst([Findings, Interrupted]), Interrupted);
        assert_eq!(ExitCode::worst([]), NothingSelected);
    }

    #[test]
    fn a_target_that_is_down_hides_no_verdict() {
        assert_eq!(ExitCode::Seaworthy.undelivered(), ExitCode::Undelivered);
        for worse in [ExitCode::Findings, ExitCode::Inconclusive, ExitCode::NothingSelected, ExitCode::Interrupted] {
            assert_eq!(worse.undelivered(), worse);
        }
    }

    #[test]
    fn only_findings_can_be_taken_for_a_success() {
        assert_eq!(ExitCode::Findings.without_findings(), ExitCode::Seaworthy);
        for code in [ExitCode::Usage, ExitCode::Inconclusive, ExitCode::NothingSelected, ExitCode::Interrupted] {
            assert_eq!(code.without_findings(), code);
        }
    }
}
