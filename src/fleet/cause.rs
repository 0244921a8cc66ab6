//! Causes, folded across clusters: the same CA that expires in seven clusters is one.

use std::collections::BTreeMap;

use super::row::cut;
use super::same::without_names;
use crate::check::outcome::Unseen;
use crate::check::subject::listed;
use crate::check::{Finding, Judged, Outcome, Severity, Subject};
use crate::report::shortened;

/// How many causes are kept of one cluster.
pub(super) const MOST: usize = 50;
/// How many characters are kept of each text of a cause.
const TEXT: usize = 600;
/// How many characters are kept of what a cause is about in one cluster.
const ABOUT: usize = 200;

/// What makes results of several clusters the same cause.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The check's id.
    pub check: String,
    /// How much it matters.
    pub severity: Severity,
    /// What was expected, without names and addresses; nothing where something could not be checked.
    pub expected: Option<String>,
    /// What was seen, or why nothing was, without names and addresses.
    pub seen: String,
}

/// A cause, with the clusters that have it.
#[derive(Debug)]
pub(crate) struct Cause {
    /// The worst outcome that it has in a cluster.
    pub outcome: Outcome,
    /// The words of the first of its clusters.
    pub words: Words,
    /// Its clusters, by their places in the fleet, each with what the cause is about there.
    pub clusters: BTreeMap<usize, String>,
    /// Whether all of its clusters have the same words.
    pub same_words: bool,
    /// Whether all of its clusters have the same fix.
    pub same_fix: bool,
}

/// A cause in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// What was expected.
    pub expected: Option<String>,
    /// What was seen, or why nothing was.
    pub seen: String,
    /// The consequence in operations terms.
    pub impact: Option<String>,
    /// How to fix it in the first of its clusters.
    pub fix: Option<String>,
}

/// A result of one cluster.
pub(super) struct Found {
    pub(super) key: Key,
    pub(super) outcome: Outcome,
    words: Words,
    about: String,
}

impl Found {
    /// The results of a check that follow from nothing else. `names` are those of the cluster.
    pub(super) fn all<'a>(check: &'a Judged, gate: Severity, names: &'a [&str]) -> impl Iterator<Item = Self> {
        let findings = check.findings.iter().filter(|finding| finding.cause.is_none());
        let findings = findings.map(move |finding| Self::finding(check, finding, gate, names));
        let unseen = check.unseen.iter().filter(|unseen| unseen.cause.is_none());
        findings.chain(unseen.map(move |unseen| Self::unseen(check, unseen, names)))
    }

    fn finding(check: &Judged, finding: &Finding, gate: Severity, names: &[&str]) -> Self {
        let Finding { subjects, expected, seen, impact, fix, severity, .. } = finding;
        let anonymous = |text: &str| cut(&without_names(text, &with(subjects, names)), TEXT);
        Self {
            key: Key {
                check: check.id.clone(),
                severity: *severity,
                expected: Some(anonymous(expected)),
                seen: anonymous(seen),
            },
            outcome: if *severity >= gate { Outcome::Fail } else { Outcome::Warn },
            words: Words {
                expected: Some(cut(expected, TEXT)),
                seen: cut(seen, TEXT),
                impact: impact.as_ref().map(|impact| cut(impact, TEXT)),
                fix: Some(cut(fix, TEXT)),
            },
            about: about(subjects),
        }
    }

    fn unseen(check: &Judged, Unseen { subjects, why, .. }: &Unseen, names: &[&str]) -> Self {
        let seen = cut(&without_names(why, &with(subjects, names)), TEXT);
        Self {
            key: Key { check: check.id.clone(), severity: check.severity, expected: None, seen },
            outcome: Outcome::Error,
            words: Words { expected: None, seen: cut(why, TEXT), impact: None, fix: None },
            about: about(subjects),
        }
    }
}

/// The names of these subjects and of their cluster.
fn with<'a>(subjects: &'a [Subject], names: &[&'a str]) -> Vec<&'a str> {
    subjects.iter().map(|subject| subject.name.as_str()).chain(names.iter().copied()).collect()
}

/// What a result is about; nothing for the cluster as a whole.
fn about(subjects: &[Subject]) -> String {
    match subjects {
        [one] if *one == Subject::cluster() => String::new(),
        [one] => cut(&listed([one]), ABOUT),
        all => cut(&shortened::subjects(all, false), ABOUT),
    }
}

impl Cause {
    /// A cause of one cluster.
    pub(super) fn new(found: Found, place: usize) -> Self {
        let Found { outcome, words, about, .. } = found;
        Self { outcome, words, clusters: [(place, about)].into(), same_words: true, same_fix: true }
    }

    /// Adds a cluster. Clusters come in any order, and the outcome is the same.
    pub(super) fn add(&mut self, found: Found, place: usize) {
        let Found { outcome, words, about, .. } = found;
        self.outcome = self.outcome.min(outcome);
        self.same_words &= (&self.words.expected, &self.words.seen) == (&words.expected, &words.seen);
        self.same_fix &= self.words.fix == words.fix;
        let first = self.clusters.first_key_value().map(|(first, _)| *first);
        if first.is_none_or(|first| place < first) {
            self.words = words;
        }
        self.clusters.entry(place).and_modify(|more| *more = cut(&format!("{more}, {about}"), ABOUT)).or_insert(about);
    }

    /// What it is about, if that is the same in all clusters.
    pub(crate) fn common_subject(&self) -> Option<&str> {
        let mut all = self.clusters.values();
        let first = all.next()?;
        all.all(|other| other == first).then_some(first.as_str())
    }
}
