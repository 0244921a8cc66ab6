//! What a judge concludes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::finding::Difference;
use super::{Finding, Note, Origin, Severity, Subject};
use crate::seen::{Seen, Unobserved};

/// Something that a judge needed and did not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What was not seen, sorted.
    pub subjects: Vec<Subject>,
    /// Why.
    pub why: Unobserved,
}

/// What a judge concludes from the facts. A verdict that asserted nothing is an error, not a pass.
///
/// Findings that differ only in their subjects are one finding about all of them; so are notes, and things that were not
/// seen for the same reason. No judge needs to collect them.
#[derive(Clone, Debug, Default)]
#[must_use = "what a judge concludes counts only if it is returned"]
pub struct Verdict {
    observations: usize,
    findings: Merged<Statement, Evidence>,
    unseen: Merged<Unobserved>,
    notes: Merged<String>,
    not_applicable: Option<String>,
}

/// What a finding states, whatever it is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Statement {
    expected: String,
    seen: String,
    impact: Option<String>,
    fix: String,
    severity: Option<Severity>,
    same_as: &'static [&'static str],
    comes_from: Option<Origin>,
    explains: Option<&'static [&'static str]>,
}

/// The evidence of a finding, each item with a subject that it is about; none of all subjects.
type Evidence = BTreeSet<(String, Option<Subject>)>;

/// Statements about subjects: each once, in the order in which it was first made.
#[derive(Clone, Debug)]
struct Merged<T, Details = ()> {
    place: BTreeMap<T, usize>,
    about: Vec<(BTreeSet<Subject>, Details)>,
}

impl<T, Details> Default for Merged<T, Details> {
    fn default() -> Self {
        Self { place: BTreeMap::new(), about: Vec::new() }
    }
}

impl<T: Ord, Details: Default> Merged<T, Details> {
    fn add(&mut self, statement: T, subjects: impl IntoIterator<Item = Subject>) -> &mut Details {
        let next = self.about.len();
        let place = *self.place.entry(statement).or_insert(next);
        if place == next {
            self.about.push(Default::default());
        }
        let (about, details) = &mut self.about[place];
        about.extend(subjects);
        details
    }

    fn iter(&self) -> impl Iterator<Item = (&T, Vec<Subject>, &Details)> {
        let mut statements: Vec<_> = self.place.iter().collect();
        statements.sort_unstable_by_key(|(_, place)| **place);
        statements.into_iter().map(|(statement, place)| {
            let (subjects, details) = &self.about[*place];
            (statement, subjects.iter().cloned().collect(), details)
        })
    }

    fn is_empty(&self) -> bool {
        self.about.is_empty()
    }
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

    /// The same for a judge that has begun: what it has already found, or could not see, stands.
    pub fn does_not_apply(self, reason: impl Into<String>) -> Self {
        if self.findings.is_empty() && self.unseen.is_empty() { Self::not_applicable(reason) } else { self }
    }

    /// Asserts one thing: counts an observation, and a finding unless it `holds`. Returns whether it does.
    pub fn expect(&mut self, subject: Subject, holds: bool, finding: impl FnOnce() -> Difference) -> bool {
        if holds {
            self.confirm();
        } else {
            self.find(subject, finding());
        }
        holds
    }

    /// Counts something seen to be right.
    pub fn confirm(&mut self) {
        self.observations += 1;
    }

    /// Counts something seen to be wrong.
    pub fn find(&mut self, subject: Subject, finding: Difference) {
        self.find_together([subject], 1, finding);
    }

    /// Counts several observations that share one cause, with the finding that sums them up. A finding about nothing in
    /// particular is about the cluster as a whole.
    pub fn find_together(
        &mut self,
        subjects: impl IntoIterator<Item = Subject>,
        observations: usize,
        finding: Difference,
    ) {
        self.observations += observations;
        let mut subjects: BTreeSet<Subject> = subjects.into_iter().collect();
        if subjects.is_empty() {
            subjects.insert(Subject::cluster());
        }
        let Difference { expected, seen, evidence, impact, severity, same_as, comes_from, explains, fix } = finding;
        debug_assert!(
            evidence.iter().filter_map(|(_, about)| about.as_ref()).all(|about| subjects.contains(about)),
            "evidence of {seen:?} is about something else"
        );
        // The same may be found of other subjects, with evidence of their own.
        let only = subjects.first().filter(|_| subjects.len() == 1).cloned();
        let evidence = evidence.into_iter().map(|(item, about)| (item, about.or_else(|| only.clone())));
        let evidence: Vec<_> = evidence.collect();
        let statement = Statement { expected, seen, impact, fix, severity, same_as, comes_from, explains };
        self.findings.add(statement, subjects).extend(evidence);
    }

    /// Counts something that should have been seen and was not: the verdict cannot be a pass.
    ///
    /// What is absent or not allowed prevents a pass here just as what failed does: a judge that can do without it does
    /// not call this.
    pub fn unseen(&mut self, subject: Subject, why: &Unobserved) {
        self.unseen.add(why.clone(), [subject]);
    }

    /// Takes something seen, or counts it as unseen.
    pub fn seen<'a, T>(&mut self, subject: impl FnOnce() -> Subject, seen: &'a Seen<T>) -> Option<&'a T> {
        self.known(subject, seen.as_ref())
    }

    /// Takes a fact that a judge can do without elsewhere, or counts it as unseen here.
    pub fn known<'a, T>(
        &mut self,
        subject: impl FnOnce() -> Subject,
        fact: Result<&'a T, &Unobserved>,
    ) -> Option<&'a T> {
        match fact {
            Ok(value) => Some(value),
            Err(why) => {
                self.unseen(subject(), why);
                None
            }
        }
    }

    /// Goes through many things; those that were not seen count as unseen.
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
                Err(why) => self.unseen(subject(key), why),
            }
        }
    }

    /// Adds what the reader should know that is neither right nor wrong.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.add(note.into(), []);
    }

    /// Adds a note about something. The same note about several things is one note.
    pub fn note_about(&mut self, subject: Subject, note: impl Into<String>) {
        self.notes.add(note.into(), [subject]);
    }

    /// How many things were asserted.
    pub fn observations(&self) -> usize {
        self.observations
    }

    /// Whether everything that was needed was seen.
    pub fn saw_everything(&self) -> bool {
        self.unseen.is_empty()
    }

    /// What was needed and not seen.
    pub fn gaps(&self) -> Vec<Gap> {
        self.unseen.iter().map(|(why, subjects, ())| Gap { subjects, why: why.clone() }).collect()
    }

    /// What the reader should know.
    pub fn notes(&self) -> Vec<Note> {
        self.notes.iter().map(|(text, subjects, ())| Note { subjects, text: text.clone() }).collect()
    }

    /// Why the check does not apply.
    pub fn reason(&self) -> Option<&str> {
        self.not_applicable.as_deref()
    }

    /// What is wrong; `severity` is the check's, for findings that have none of their own.
    pub fn findings(&self, severity: Severity) -> Vec<Finding> {
        let finding = |(statement, subjects, evidence): (&Statement, Vec<Subject>, &Evidence)| Finding {
            subjects,
            expected: statement.expected.clone(),
            seen: statement.seen.clone(),
            evidence: evidence.iter().map(|(item, _)| item).collect::<BTreeSet<_>>().into_iter().cloned().collect(),
            evidence_of: only_of(evidence),
            impact: statement.impact.clone(),
            fix: statement.fix.clone(),
            severity: statement.severity.unwrap_or(severity),
            same_as: statement.same_as,
            comes_from: statement.comes_from.clone(),
            explains: statement.explains,
            cause: None,
            waived: None,
        };
        let mut findings: Vec<_> = self.findings.iter().map(finding).collect();
        // The worst first; the judge's own order otherwise.
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        findings
    }
}

/// The items that are about some subjects only.
fn only_of(evidence: &Evidence) -> BTreeMap<String, BTreeSet<Subject>> {
    let mut of: BTreeMap<String, BTreeSet<Subject>> = BTreeMap::new();
    // What is about all subjects sorts before the same about one.
    let mut of_all: Option<&str> = None;
    for (item, about) in evidence {
        match about {
            None => of_all = Some(item.as_str()),
            Some(subject) if of_all != Some(item.as_str()) => {
                _ = of.entry(item.clone()).or_default().insert(subject.clone());
            }
            Some(_) => {}
        }
    }
    of
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::seen_of;

    fn differs(seen: &str) -> Difference {
        Finding::new("a", seen).fix("c")
    }

    #[test]
    fn equal_findings_are_one_with_all_their_subjects() {
        let mut verdict = Verdict::new();
        for node in ["n2", "n1"] {
            verdict.expect(Subject::node(node), false, || differs("b").evidence([format!("{node}: off")]));
        }
        verdict.expect(Subject::node("n3"), false, || differs("c"));
        verdict.expect(Subject::node("n4"), true, || differs("b"));
        assert_eq!(seen_of(&verdict), ["Node n1, n2: b", "Node n3: c"]);
        assert_eq!(verdict.findings(Severity::Minor)[0].evidence, ["n1: off", "n2: off"]);
        assert_eq!(verdict.observations(), 4);
    }

    #[test]
    fn evidence_is_split_with_the_subjects_that_it_is_about() {
        let mut verdict = Verdict::new();
        let [n1, n2, n3] = ["n1", "n2", "n3"].map(Subject::node);
        let both = differs("b").evidence(["no limit is set"]);
        verdict.find_together(
            [n1.clone(), n2.clone()],
            2,
            both.evidence_of([(n1, "n1: 13 requests"), (n2.clone(), "n2: 12 requests")]),
        );
        verdict.find(n3.clone(), differs("b").evidence(["n3: 11 requests", "no limit is set"]));
        let finding = verdict.findings(Severity::Minor).remove(0);
        assert_eq!(finding.evidence, ["n1: 13 requests", "n2: 12 requests", "n3: 11 requests", "no limit is set"]);
        let of = |subjects: Vec<Subject>| {
            let mut part = Finding { subjects, ..finding.clone() };
            part.narrow();
            part.evidence
        };
        assert_eq!(of(vec![n2]), ["n2: 12 requests", "no limit is set"]);
        assert_eq!(of(vec![n3]), ["n3: 11 requests", "no limit is set"]);
    }

    #[test]
    fn a_finding_about_nothing_in_particular_is_about_the_cluster() {
        let mut verdict = Verdict::new();
        verdict.find_together([], 1, differs("b"));
        assert_eq!(seen_of(&verdict), ["the cluster: b"]);
    }

    #[test]
    fn findings_of_other_severity_or_with_another_fix_stay_apart() {
        let mut verdict = Verdict::new();
        verdict.find(Subject::node("n1"), differs("b"));
        verdict.find(Subject::node("n2"), differs("b").info());
        verdict.find(Subject::node("n3"), Finding::new("a", "b").fix("d"));
        assert_eq!(verdict.findings(Severity::Minor).len(), 3);
    }

    #[test]
    fn equal_notes_and_equal_reasons_are_one() {
        let mut verdict = Verdict::new();
        for node in ["n1", "n2"] {
            verdict.note_about(Subject::node(node), "the clock is set by hand");
            verdict.unseen(Subject::node(node), &Unobserved::Interrupted);
        }
        assert_eq!(verdict.notes().iter().map(|note| note.subjects.len()).collect::<Vec<_>>(), [2]);
        assert_eq!(verdict.gaps().iter().map(|gap| gap.subjects.len()).collect::<Vec<_>>(), [2]);
        assert!(!verdict.saw_everything());
    }

    #[test]
    fn a_judge_that_finds_late_that_it_does_not_apply_loses_no_finding() {
        let mut found = Verdict::new();
        found.find(Subject::node("n1"), differs("b"));
        let found = found.does_not_apply("no node");
        assert_eq!((found.reason(), seen_of(&found)), (None, vec!["Node n1: b".to_owned()]));
        let mut passed = Verdict::new();
        passed.confirm();
        assert_eq!(passed.does_not_apply("no node").reason(), Some("no node"));
    }

    #[test]
    fn several_observations_of_one_cause_count_each() {
        let mut verdict = Verdict::new();
        verdict.find_together([Subject::node("n1"), Subject::node("n2")], 6, differs("b"));
        assert_eq!((verdict.observations(), seen_of(&verdict)), (6, vec!["Node n1, n2: b".to_owned()]));
    }
}
