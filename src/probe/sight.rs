//! What a path looks like that is tried again and again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use crate::milliseconds::milliseconds;

/// How many tries in a row must end alike to be more than chance.
const STEADY: u32 = 2;

/// What the last tries of a path looked like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// How the last try failed; none when it got through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// How many tries in a row ended like this, since the runner began to watch.
    pub alike: u32,
    /// How many milliseconds after the runner began to watch the first of them was reported.
    pub after_ms: u64,
}

impl Sight {
    /// What it is with one more try, this long after the runner began to watch.
    pub fn with(before: Option<Self>, fault: Option<Fault>, after: Duration) -> Self {
        match before {
            Some(sight) if sight.is_open() == fault.is_none() => Self { fault, alike: sight.alike + 1, ..sight },
            _ => Self { fault, alike: 1, after_ms: milliseconds(after) },
        }
    }

    /// Whether the last try got through.
    pub fn is_open(&self) -> bool {
        self.fault.is_none()
    }

    /// Whether that is more than chance.
    pub fn is_steady(&self) -> bool {
        self.alike >= STEADY
    }
}
