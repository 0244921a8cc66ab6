//! One thing that is not as expected, as a reader needs it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Cause, Origin, Severity, Subject, Waived};
use crate::manager::Manager;

/// One thing that is not as expected, with everything that it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about: all of it, sorted; at least one.
    pub subjects: Vec<Subject>,
    /// What was expected.
    pub expected: String,
    /// What was seen instead, in one sentence.
    pub seen: String,
    /// What `seen` counts or sums up, item by item: all of it, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// For each item of evidence that is not about all subjects, those that it is about. A finding that is split by cause is
    /// split with its evidence.
    #[serde(skip)]
    pub evidence_of: BTreeMap<String, BTreeSet<Subject>>,
    /// The consequence in operations terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impact: Option<String>,
    /// How to fix this very finding.
    pub fix: String,
    /// How much it matters.
    pub severity: Severity,
    /// The checks, by id, whose findings it shows from another side, wherever these are. Only causes are found with it.
    #[serde(skip)]
    pub same_as: &'static [&'static str],
    /// What it comes from, if not from whatever is wrong at the same place. Only causes are found with it.
    #[serde(skip)]
    pub comes_from: Option<Origin>,
    /// The only checks, by id, whose results may follow from it; none where that is not limited. Only causes are found with it.
    #[serde(skip)]
    pub explains: Option<&'static [&'static str]>,
    /// What it follows from; none of a root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Why it does not count, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<Waived>,
}

impl Finding {
    /// States what was expected and what was seen instead. The fix completes it.
    #[expect(clippy::new_ret_no_self, reason = "a finding gets its subjects from the verdict that it is given to")]
    pub fn new(expected: impl Into<String>, seen: impl Into<String>) -> Draft<Unfixed> {
        Draft {
            expected: expected.into(),
            seen: seen.into(),
            evidence: Vec::new(),
            impact: None,
            severity: None,
            same_as: &[],
            comes_from: None,
            explains: None,
            fix: Unfixed,
        }
    }

    /// Leaves only the evidence that is about its subjects, once some of these were taken away from it.
    pub(crate) fn narrow(&mut self) {
        let Self { subjects, evidence, evidence_of, .. } = self;
        let has = |subject: &Subject| subjects.binary_search(subject).is_ok();
        evidence.retain(|item| evidence_of.get(item).is_none_or(|about| about.iter().any(has)));
    }
}

/// The fix that a draft still lacks.
#[derive(Clone, Copy, Debug)]
pub struct Unfixed;

/// A finding before a verdict gives it its subjects.
#[derive(Clone, Debug)]
pub struct Draft<Fix> {
    pub(super) expected: String,
    pub(super) seen: String,
    /// Each with the subject that it is about; none of all of them.
    pub(super) evidence: Vec<(String, Option<Subject>)>,
    pub(super) impact: Option<String>,
    /// Only where it differs from the check's.
    pub(super) severity: Option<Severity>,
    pub(super) same_as: &'static [&'static str],
    pub(super) comes_from: Option<Origin>,
    pub(super) explains: Option<&'static [&'static str]>,
    pub(super) fix: Fix,
}

/// A draft with its fix: a verdict takes nothing less.
pub type Difference = Draft<String>;

impl Draft<Unfixed> {
    /// States how to fix it. Commands run as they are written, with names filled in.
    pub fn fix(self, how: impl Into<String>) -> Difference {
        let Self { expected, seen, evidence, impact, severity, same_as, comes_from, explains, fix: Unfixed } = self;
        Draft { expected, seen, evidence, impact, severity, same_as, comes_from, explains, fix: how.into() }
    }
}

impl Difference {
    /// States where to make the change, if something manages the object that the fix changes: it would undo an edit in
    /// place.
    pub fn managed_by(self, manager: Option<&Manager>) -> Self {
        match manager {
            Some(manager) => Self { fix: manager.add_to(&self.fix), ..self },
            None => self,
        }
    }
}

impl<Fix> Draft<Fix> {
    /// States the consequence in operations terms.
    pub fn impact(self, consequence: impl Into<String>) -> Self {
        Self { impact: Some(consequence.into()), ..self }
    }

    /// Lists what `seen` counts or sums up. Reports shorten the list; a judge never does. What is listed of several subjects
    /// together is about all of them.
    pub fn evidence<T: ToString>(mut self, items: impl IntoIterator<Item = T>) -> Self {
        self.evidence.extend(items.into_iter().map(|item| (item.to_string(), None)));
        self
    }

    /// Lists what `seen` counts or sums up, each item with the one subject that it is about.
    pub fn evidence_of<T: ToString>(mut self, items: impl IntoIterator<Item = (Subject, T)>) -> Self {
        self.evidence.extend(items.into_iter().map(|(subject, item)| (item.to_string(), Some(subject))));
        self
    }

    /// Gives it another severity than its check's.
    pub fn severity(self, severity: Severity) -> Self {
        Self { severity: Some(severity), ..self }
    }

    /// Names the checks whose findings this one shows from another side: it follows from one of theirs, wherever that is.
    /// For what is about the same place, the check's `builds_on` is enough.
    pub fn same_as(self, checks: &'static [&'static str]) -> Self {
        Self { same_as: checks, ..self }
    }

    /// Names the object that it comes from: it follows only from a finding about that very object, or one that comes from
    /// it too.
    pub fn comes_from(self, object: impl Into<Subject>) -> Self {
        Self { comes_from: Some(Origin::Object(object.into())), ..self }
    }

    /// Lets it follow, for each of its subjects, only from a finding about that very subject, or one that comes from it.
    pub fn comes_from_its_subjects(self) -> Self {
        Self { comes_from: Some(Origin::Subjects), ..self }
    }

    /// Names the only checks whose results may follow from it, although others build on this check as well.
    pub fn explains_only(self, checks: &'static [&'static str]) -> Self {
        Self { explains: Some(checks), ..self }
    }

    /// Worth knowing, but not a fault: below the default gate.
    pub fn info(self) -> Self {
        self.severity(Severity::Info)
    }
}
