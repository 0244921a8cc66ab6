//! Why something was not seen. These few reasons alone decide what becomes of the checks that needed it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Access, Obstacle};
use crate::milliseconds::milliseconds;

/// What was seen, or why it was not.
pub(crate) type Seen<T> = Result<T, Unobserved>;

/// Why a fact, or one entry of a fact about many things, was not observed.
///
/// `Absent`, `NotAllowed` and `NotGranted` make a check a skip: it does not apply here, or may not look. Everything else
/// makes it an error: it could not be checked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Unobserved {
    /// The thing does not exist in this cluster.
    #[error("{evidence}")]
    Absent {
        /// What showed that it does not exist.
        evidence: String,
    },
    /// The profile does not allow the access that observing would take.
    #[error("the profile {profile} does not allow {access} access")]
    NotAllowed {
        /// The access that is not allowed.
        access: Access,
        /// The profile's name.
        profile: String,
    },
    /// Our own credential was refused.
    #[error("not permitted: {missing} ({message})")]
    Refused {
        /// The RBAC rule that is missing, in words.
        missing: String,
        /// The server's answer.
        message: String,
    },
    /// Our own credential lacks a permission that a run can do without.
    #[error("needs a permission that is not granted: {missing} ({message})")]
    NotGranted {
        /// The RBAC rule that is missing, in words.
        missing: String,
        /// The server's answer.
        message: String,
    },
    /// Nothing answered, or the connection broke.
    #[error("{target} cannot be reached: {cause}")]
    Unreachable {
        /// What was asked.
        target: String,
        /// How the connection failed.
        cause: String,
    },
    /// No answer within the deadline.
    #[error("{target} did not answer within {} s", Duration::from_millis(*.after_ms).as_secs_f64())]
    TimedOut {
        /// What was asked.
        target: String,
        /// The deadline, in milliseconds.
        after_ms: u64,
    },
    /// The time of the run was over first.
    #[error("the run was over after {} s, as --timeout sets it, before this was observed", Duration::from_millis(*.after_ms).as_secs_f64())]
    OutOfTime {
        /// How long the run may take, in milliseconds.
        after_ms: u64,
    },
    /// The run could not begin, or not in full.
    #[error("{cause}")]
    Barred {
        /// What is in the way.
        obstacle: Obstacle,
        /// Why, in one line.
        cause: String,
    },
    /// An answer came that could not be used.
    #[error("{target}: {cause}")]
    Invalid {
        /// What was asked.
        target: String,
        /// Why the answer could not be used.
        cause: String,
    },
    /// The run was stopped first.
    #[error("the run was stopped before this was observed")]
    Interrupted,
    /// The recording that is judged does not hold this fact.
    #[error("the recording does not hold the fact {fact}")]
    NotRecorded {
        /// The fact's name.
        fact: String,
    },
}

impl Unobserved {
    /// The thing does not exist, as `evidence` shows.
    pub fn absent(evidence: impl Into<String>) -> Self {
        Self::Absent { evidence: evidence.into() }
    }

    /// `target` gave an answer that could not be used.
    pub fn invalid(target: impl Into<String>, cause: impl ToString) -> Self {
        Self::Invalid { target: target.into(), cause: cause.to_string() }
    }

    /// `target` could not be reached.
    pub fn unreachable(target: impl Into<String>, cause: impl ToString) -> Self {
        Self::Unreachable { target: target.into(), cause: cause.to_string() }
    }

    /// `target` gave no answer within `deadline`.
    pub fn timed_out(target: impl Into<String>, deadline: Duration) -> Self {
        Self::TimedOut { target: target.into(), after_ms: milliseconds(deadline) }
    }

    /// The same for a permission that a run can do without: what was refused is not looked at.
    pub fn optional(self) -> Self {
        match self {
            Self::Refused { missing, message } => Self::NotGranted { missing, message },
            other => other,
        }
    }

    /// Whether nothing answered at all, rather than something strange.
    pub fn is_out_of_reach(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TimedOut { .. })
    }

    /// Whether a check that needed this does not apply or may not look, rather than having failed to look.
    pub fn is_skip(&self) -> bool {
        matches!(self, Self::Absent { .. } | Self::NotAllowed { .. } | Self::NotGranted { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absence_and_the_profile_are_reasons_to_skip() {
        assert!(Unobserved::absent("no cluster-info").is_skip());
        assert!(Unobserved::NotAllowed { access: Access::Create, profile: "audit".into() }.is_skip());
        let refused = Unobserved::Refused { missing: "list pods".into(), message: "forbidden".into() };
        assert!(!refused.is_skip());
        assert!(refused.optional().is_skip(), "a permission that a run can do without");
        assert!(!Unobserved::unreachable("n1", "refused").is_skip());
        assert!(!Unobserved::Interrupted.is_skip());
        assert!(!Unobserved::OutOfTime { after_ms: 1 }.is_skip());
        assert!(!Unobserved::Barred { obstacle: Obstacle::Cluster, cause: String::new() }.is_skip());
        assert!(!Unobserved::NotRecorded { fact: "pods".into() }.is_skip());
    }

    #[test]
    fn a_deadline_reads_in_seconds() {
        let slow = Unobserved::TimedOut { target: "GET /version".into(), after_ms: 2500 };
        assert_eq!(slow.to_string(), "GET /version did not answer within 2.5 s");
    }
}
