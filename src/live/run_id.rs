//! What distinguishes the objects of one run from those of another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not the id of a run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the id of a run: five letters and digits, as in the name of its namespace seaworthy-ID")]
pub struct NotARunId(String);

/// The id of a run: five letters and digits that are legal in every Kubernetes name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(String);

/// As in names that Kubernetes generates: no vowels, so no words.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// How many letters an id has.
const LENGTH: usize = 5;

impl FromStr for RunId {
    type Err = NotARunId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ours = text.len() == LENGTH && text.bytes().all(|byte| ALPHABET.contains(&byte));
        if ours { Ok(Self(text.to_owned())) } else { Err(NotARunId(text.chars().take(60).collect())) }
    }
}

impl RunId {
    /// A new id, unlike any other of the day.
    pub fn random() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut bytes = [0; LENGTH];
        aws_lc_rs::rand::fill(&mut bytes)?;
        Ok(Self(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()))
    }

    /// The name of what the run creates, and of its namespace; what it creates for a special purpose appends to it.
    pub fn name(&self) -> String {
        format!("seaworthy-{self}")
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
