//! Why a finding does not count.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// Why a finding does not count: someone has accepted it, or it is known from an earlier run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Waived {
    /// Why.
    pub reason: String,
    /// Who answers for that; none where it is only known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The last day on which it does not count, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Date>,
}

impl std::fmt::Display for Waived {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { reason, owner, expires } = self;
        match expires {
            Some(expires) => write!(f, "waived until {expires}: {reason}")?,
            None => f.write_str(reason)?,
        }
        match owner {
            Some(owner) => write!(f, " ({owner})"),
            None => Ok(()),
        }
    }
}
