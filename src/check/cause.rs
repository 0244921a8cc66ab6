//! What a result follows from.

use serde::{Deserialize, Serialize};

use super::{Severity, Subject};

/// The result of another check that this one follows from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cause {
    /// The id of the other check.
    pub check: String,
    /// Which of its findings, counted from 0; none where the other check could not decide either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<usize>,
}

/// What a finding comes from, if not from whatever is wrong at the same place. Only causes are found with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// An object: the finding follows only from one about that very object.
    Object(Subject),
    /// What the finding is about: for each subject it follows only from a finding about that very subject.
    Subjects,
}

/// A check with results that follow from nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The check's id.
    pub check: String,
    /// How severe the worst of these results is.
    pub severity: Severity,
    /// How many results of other checks follow from them.
    pub explains: usize,
    /// The one node, or the zone with all of its nodes, that these results are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Subject>,
}
