//! The one table of exit codes.

use std::collections::BTreeSet;

use crate::check::Outcome;

/// What the process ends with. CI systems rely on these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Nothing at or above the gate, and no check could not look. At least one was judged.
    Seaworthy = 0,
    /// At least one finding at or above the gate.
    Findings = 1,
    /// The command line, a profile or a file that was given is wrong.
    Usage = 2,
    /// The cluster cannot be reached, a check could not look, or every check was skipped.
    Undecided = 3,
    /// No check is selected.
    NothingSelected = 4,
    /// Stopped by a signal.
    Interrupted = 130,
}

impl ExitCode {
    /// What a run with these outcomes ends with: a finding outweighs what could not be looked at. Skips alone say nothing about
    /// the cluster.
    pub fn of(outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        let outcomes: BTreeSet<Outcome> = outcomes.into_iter().collect();
        let any = |outcome| outcomes.contains(&outcome);
        if any(Outcome::Fail) {
            Self::Findings
        } else if any(Outcome::Error) {
            Self::Undecided
        } else if any(Outcome::Warn) || any(Outcome::Pass) {
            Self::Seaworthy
        } else if any(Outcome::Skip) {
            Self::Undecided
        } else {
            Self::NothingSelected
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// The table for `--help`.
pub const HELP: &str = "Exit codes:
  0    nothing at or above the gate; no check that could not look, and not all skipped
  1    findings at or above the gate
  2    wrong usage: command line, profile, kubeconfig or file
  3    undecided: the cluster cannot be reached, a check could not look, or all were
       skipped
  4    no check is selected
  130  interrupted";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_outweighs_what_could_not_be_looked_at() {
        assert_eq!(ExitCode::of([Outcome::Pass, Outcome::Error, Outcome::Fail]), ExitCode::Findings);
        assert_eq!(ExitCode::of([Outcome::Pass, Outcome::Error, Outcome::Warn]), ExitCode::Undecided);
        assert_eq!(ExitCode::of([Outcome::Pass, Outcome::Warn, Outcome::Skip]), ExitCode::Seaworthy);
        assert_eq!(ExitCode::of([Outcome::Skip, Outcome::Skip]), ExitCode::Undecided);
        assert_eq!(ExitCode::of([]), ExitCode::NothingSelected);
    }
}
