//! The one table of exit codes.

use crate::check::Outcome;

/// What the process ends with. CI systems rely on these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Nothing at or above the gate, and everything that was asked for could be looked at.
    Seaworthy = 0,
    /// At least one finding at or above the gate.
    Findings = 1,
    /// The command line, a profile or a file that was given is wrong.
    Usage = 2,
    /// The cluster cannot be reached, or a check could not look.
    Undecided = 3,
    /// No check is selected.
    NothingSelected = 4,
    /// Stopped by a signal.
    Interrupted = 130,
}

impl ExitCode {
    /// What a run with these outcomes ends with: a finding outweighs what could not be looked at.
    pub fn of(outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        let worst = outcomes.into_iter().min();
        match worst {
            Some(Outcome::Fail) => Self::Findings,
            Some(Outcome::Error) => Self::Undecided,
            Some(Outcome::Warn | Outcome::Skip | Outcome::Pass) => Self::Seaworthy,
            None => Self::NothingSelected,
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
  0    nothing at or above the gate, and every selected check could look
  1    findings at or above the gate
  2    wrong usage: command line, profile or file
  3    undecided: the cluster cannot be reached, or a check could not look
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
        assert_eq!(ExitCode::of([]), ExitCode::NothingSelected);
    }
}
