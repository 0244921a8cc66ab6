//! One thing that is wrong, as a reader needs it.

use serde::{Deserialize, Serialize};

use super::{Severity, Subject};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about.
    pub subject: Subject,
    /// What was expected.
    pub expected: String,
    /// What was seen instead.
    pub seen: String,
    /// What follows from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub so: Option<String>,
    /// How to mend it here; without one, the check's own Fix applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    /// How much it matters.
    pub severity: Severity,
}

/// A finding in the making: all but its subject, and its severity only where it differs from the check's.
#[derive(Clone, Debug)]
pub struct Difference {
    pub(super) expected: String,
    pub(super) seen: String,
    pub(super) so: Option<String>,
    pub(super) mend: Option<String>,
    pub(super) severity: Option<Severity>,
}

impl Finding {
    /// States what was expected and what was seen instead.
    #[expect(clippy::new_ret_no_self, reason = "a finding gets its subject from the verdict that it is given to")]
    pub fn new(expected: impl Into<String>, seen: impl Into<String>) -> Difference {
        Difference { expected: expected.into(), seen: seen.into(), so: None, mend: None, severity: None }
    }
}

impl Difference {
    /// Whether a reader could not tell the two apart.
    pub(super) fn says_the_same_as(&self, other: &Self) -> bool {
        (&self.expected, &self.seen, &self.so, &self.mend, self.severity)
            == (&other.expected, &other.seen, &other.so, &other.mend, other.severity)
    }

    /// States what follows from it.
    pub fn so(self, consequence: impl Into<String>) -> Self {
        Self { so: Some(consequence.into()), ..self }
    }

    /// States how to mend it in this very case.
    pub fn mend(self, how: impl Into<String>) -> Self {
        Self { mend: Some(how.into()), ..self }
    }

    /// Gives it another severity than its check's.
    pub fn severity(self, severity: Severity) -> Self {
        Self { severity: Some(severity), ..self }
    }

    /// Worth knowing, but not a fault: below the usual gate.
    pub fn info(self) -> Self {
        self.severity(Severity::Info)
    }
}
