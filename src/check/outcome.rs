//! What becomes of a check.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Cause, Check, Finding, Note, Severity, Subject, Verdict};
use crate::seen::{Seen, Unobserved};

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A finding at or above the gate that follows from nothing else.
    Fail,
    /// It could not be checked.
    Error,
    /// What is wrong, or could not be checked, follows from what another check names.
    Blocked,
    /// Findings below the gate only.
    Warn,
    /// Its findings do not count: they are accepted, or known from an earlier run.
    Waived,
    /// It does not apply, or the profile does not allow it.
    Skip,
    /// Everything was checked and is as expected.
    Pass,
}

impl Outcome {
    /// Every outcome, the worst first.
    pub const ALL: [Self; 7] =
        [Self::Fail, Self::Error, Self::Blocked, Self::Warn, Self::Waived, Self::Skip, Self::Pass];

    /// The name that reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Error => "error",
            Self::Blocked => "blocked",
            Self::Warn => "warn",
            Self::Waived => "waived",
            Self::Skip => "skip",
            Self::Pass => "pass",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Something that was needed and not seen, as reports show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unseen {
    /// What was not seen, sorted; empty when it is a whole fact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Subject>,
    /// Why.
    pub why: String,
    /// The permission that our own credential lacks, if that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// What it follows from; none of a root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

impl Unseen {
    fn new(subjects: Vec<Subject>, why: &Unobserved) -> Self {
        let missing = match why {
            Unobserved::Refused { missing, .. } | Unobserved::NotGranted { missing, .. } => Some(missing.clone()),
            _ => None,
        };
        Self { subjects, why: why.to_string(), missing, cause: None }
    }
}

/// A check with its outcome, complete enough for every report. The same facts give the same value, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// The check's id.
    pub id: String,
    /// The check's name.
    pub name: String,
    /// The suite that it belongs to.
    pub suite: String,
    /// What it asserts.
    pub title: String,
    /// How much its findings matter, unless a finding overrides it.
    pub severity: Severity,
    /// What became of it.
    pub outcome: Outcome,
    /// How many things it asserted.
    pub observations: usize,
    /// What is wrong, the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// What was needed and not seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<Unseen>,
    /// Why it was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the reader should also know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

impl Judged {
    /// Applies the rules of honesty to what a judge concluded, or to why it was not called.
    pub fn new(check: &Check, concluded: Seen<Verdict>, gate: Severity) -> Self {
        let documentation = check.documentation();
        let mut judged = Self {
            id: check.id.into(),
            name: check.name.into(),
            suite: check.suite.into(),
            title: documentation.title.clone(),
            severity: check.severity,
            outcome: Outcome::Error,
            observations: 0,
            findings: Vec::new(),
            unseen: Vec::new(),
            reason: None,
            notes: Vec::new(),
        };
        match concluded {
            Err(why) if why.is_skip() => judged.skip(why.to_string()),
            Err(why) => judged.unseen.push(Unseen::new(Vec::new(), &why)),
            Ok(verdict) => judged.conclude(check, &verdict, gate),
        }
        judged.bounded()
    }

    /// What its results follow from: one entry for each that follows from something.
    pub fn causes(&self) -> impl Iterator<Item = &Cause> {
        let findings = self.findings.iter().filter_map(|finding| finding.cause.as_ref());
        findings.chain(self.unseen.iter().filter_map(|unseen| unseen.cause.as_ref()))
    }

    /// What the results are about that follow from nothing else.
    pub fn unexplained(&self) -> impl Iterator<Item = &Subject> {
        let findings = self.findings.iter().filter(|finding| finding.cause.is_none());
        let unseen = self.unseen.iter().filter(|unseen| unseen.cause.is_none());
        findings.flat_map(|finding| &finding.subjects).chain(unseen.flat_map(|unseen| &unseen.subjects))
    }

    fn skip(&mut self, reason: String) {
        self.outcome = Outcome::Skip;
        self.reason = Some(reason);
    }

    fn conclude(&mut self, check: &Check, verdict: &Verdict, gate: Severity) {
        self.observations = verdict.observations();
        self.findings = verdict.findings(check.severity);
        self.notes = verdict.notes();
        let gaps = verdict.gaps();
        self.unseen = gaps.iter().map(|gap| Unseen::new(gap.subjects.clone(), &gap.why)).collect();
        self.outcome = if self.findings.iter().any(|finding| finding.severity >= gate) {
            Outcome::Fail
        } else if !self.unseen.is_empty() {
            // Several things that the profile does not allow are one reason to skip, as long as nothing was asserted.
            if verdict.observations() == 0 && gaps.iter().all(|gap| matches!(gap.why, Unobserved::NotAllowed { .. })) {
                self.reason = self.unseen.first().map(|unseen| unseen.why.clone());
                self.unseen.clear();
                Outcome::Skip
            } else {
                Outcome::Error
            }
        } else if !self.findings.is_empty() {
            Outcome::Warn
        } else if let Some(reason) = verdict.reason() {
            return self.skip(reason.into());
        } else if self.observations == 0 {
            self.unseen.push(Unseen {
                subjects: Vec::new(),
                why: "the check asserted nothing".into(),
                missing: None,
                cause: None,
            });
            Outcome::Error
        } else {
            Outcome::Pass
        };
    }
}
