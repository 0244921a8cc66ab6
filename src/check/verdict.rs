//! What a judge concludes.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::finding::Difference;
use super::{Finding, Severity, Subject};
use crate::seen::{Seen, Unobserved};

/// Something that a judge needed and did not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecided {
    /// What was not seen.
    pub subject: Subject,
    /// Why.
    pub why: Unobserved,
}

/// What a judge concludes from the facts. A verdict that asserted nothing is an error, not a pass.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    observations: usize,
    findings: Vec<(Subject, Difference)>,
    undecided: Vec<Undecided>,
    notes: Vec<String>,
    not_applicable: Option<String>,
}

impl Verdict {
    /// A verdict that has asserted nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The check does not apply to this cluster, with the evidence.
    pub fn not_applicable(reason: impl Into<String>) -> Self {
        Self { not_applicable: Some(reason.into()), ..Self::default() }
    }

    /// Asserts one thing: counts an observation, and a finding unless it `holds`. Returns whether it does.
    pub fn expect(&mut self, subject: Subject, holds: bool, finding: impl FnOnce() -> Difference) -> bool {
        self.observations += 1;
        if !holds {
            self.findings.push((subject, finding()));
        }
        holds
    }

    /// Counts something seen to be right.
    pub fn confirm(&mut self) {
        self.observations += 1;
    }

    /// Counts something seen to be wrong.
    pub fn find(&mut self, subject: Subject, finding: Difference) {
        self.expect(subject, false, || finding);
    }

    /// Tells a finding whose observations are counted already.
    pub fn tell_counted(&mut self, subject: Subject, finding: Difference) {
        self.findings.push((subject, finding));
    }

    /// Counts something that should have been seen and was not: the verdict cannot be a pass.
    ///
    /// What is absent or not allowed is as undecided here as what failed: a judge that can do without it says so by
    /// not calling this.
    pub fn undecided(&mut self, subject: Subject, why: &Unobserved) {
        self.undecided.push(Undecided { subject, why: why.clone() });
    }

    /// Takes something seen, or counts it as undecided.
    pub fn seen<'a, T>(&mut self, subject: impl FnOnce() -> Subject, seen: &'a Seen<T>) -> Option<&'a T> {
        self.known(subject, seen.as_ref())
    }

    /// Takes a fact that a judge can do without elsewhere, or counts it as undecided here.
    pub fn known<'a, T>(
        &mut self,
        subject: impl FnOnce() -> Subject,
        fact: Result<&'a T, &Unobserved>,
    ) -> Option<&'a T> {
        match fact {
            Ok(value) => Some(value),
            Err(why) => {
                self.undecided(subject(), why);
                None
            }
        }
    }

    /// Goes through many things; those that were not seen count as undecided.
    pub fn each<K, T>(
        &mut self,
        many: &BTreeMap<K, Seen<T>>,
        subject: impl Fn(&K) -> Subject,
        mut judge: impl FnMut(&mut Self, &K, &T),
    ) where
        K: Ord + Display,
    {
        for (key, seen) in many {
            match seen {
                Ok(value) => judge(self, key, value),
                Err(why) => self.undecided(subject(key), why),
            }
        }
    }

    /// Tells the reader something that is neither right nor wrong.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// How many things were asserted.
    pub fn observations(&self) -> usize {
        self.observations
    }

    /// What was needed and not seen.
    pub fn undecideds(&self) -> &[Undecided] {
        &self.undecided
    }

    /// What the reader is told besides.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Why the check does not apply.
    pub fn reason(&self) -> Option<&str> {
        self.not_applicable.as_deref()
    }

    /// What is wrong; `severity` is the check's, for findings that have none of their own.
    pub fn findings(&self, severity: Severity) -> Vec<Finding> {
        let mut findings: Vec<_> = self
            .findings
            .iter()
            .map(|(subject, difference)| Finding {
                subject: subject.clone(),
                expected: difference.expected.clone(),
                seen: difference.seen.clone(),
                so: difference.so.clone(),
                mend: difference.mend.clone(),
                severity: difference.severity.unwrap_or(severity),
            })
            .collect();
        // The worst first; the judge's own order otherwise.
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        findings
    }
}
