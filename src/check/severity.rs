//! How much a finding matters.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How much a finding matters, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is broken.
    Info,
    /// Drift, or a fault that shows later.
    Minor,
    /// A feature or a security boundary is broken.
    Major,
    /// The cluster is unusable or open.
    Critical,
}

impl Severity {
    /// Every severity, mildest first.
    pub const ALL: [Self; 4] = [Self::Info, Self::Minor, Self::Major, Self::Critical];

    /// The name that flags, profiles and reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Minor => "minor",
            Self::Major => "major",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that is not a severity.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a severity: use info, minor, major or critical")]
pub struct NotASeverity(String);

impl FromStr for Severity {
    type Err = NotASeverity;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|s| s.name() == word).ok_or_else(|| NotASeverity(word.into()))
    }
}
