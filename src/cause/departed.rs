//! What was wrong with nodes and DNS servers that were deleted during the run.

use super::Places;
use crate::check::{Judged, Note, Outcome, Severity, Subject};
use crate::fact::Facts;
use crate::fact::facts::departures::Departures;

/// The nodes and DNS servers that were deleted during the run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Departed(Departures);

impl Departed {
    /// What these facts show.
    pub(crate) fn of(facts: &Facts) -> Self {
        Self(facts.seen::<Departures>().cloned().unwrap_or_default())
    }

    /// Makes notes of what was wrong with them, or was not seen of them: neither matters any more.
    pub(crate) fn excuse(&self, judged: &mut [Judged], places: &Places, gate: Severity) {
        if self.0 == Departures::default() {
            return;
        }
        for check in judged {
            let mut notes = Vec::new();
            check.findings.retain_mut(|finding| {
                let gone = self.take(&mut finding.subjects, places);
                let is_over = !gone.is_empty() && finding.subjects.is_empty();
                finding.narrow();
                // What was seen to be wrong does not count as seen to be right.
                check.observations = check.observations.saturating_sub(gone.len());
                notes.extend(self.note(gone, &finding.seen));
                !is_over
            });
            check.unseen.retain_mut(|unseen| {
                let gone = self.take(&mut unseen.subjects, places);
                let is_over = !gone.is_empty() && unseen.subjects.is_empty();
                notes.extend(self.note(gone, &unseen.why));
                !is_over
            });
            if notes.is_empty() {
                continue;
            }
            check.notes.append(&mut notes);
            if matches!(check.outcome, Outcome::Fail | Outcome::Error | Outcome::Warn) {
                check.outcome = left(check, gate);
                if check.outcome == Outcome::Skip {
                    check.reason = Some("all that it looked at was deleted during the run".into());
                }
            }
        }
    }

    /// Takes what was deleted away from these.
    fn take(&self, subjects: &mut Vec<Subject>, places: &Places) -> Vec<Subject> {
        let (gone, left) = std::mem::take(subjects).into_iter().partition(|subject| self.has(subject, places));
        *subjects = left;
        gone
    }

    fn has(&self, subject: &Subject, places: &Places) -> bool {
        let nodes = places.of_subject(subject);
        let is_on_one = !nodes.is_empty() && nodes.iter().all(|node| self.0.nodes.contains(*node));
        is_on_one || subject.name.parse().is_ok_and(|address| self.0.dns_servers.contains(&address))
    }

    fn note(&self, subjects: Vec<Subject>, seen: &str) -> Option<Note> {
        let is_node = |subject: &Subject| self.0.nodes.contains(&subject.name);
        let what = if subjects.iter().all(is_node) { "it" } else { "it, or the node that it was on," };
        let text = format!("{what} was deleted during the run: {seen}");
        (!subjects.is_empty()).then_some(Note { subjects, text })
    }
}

/// The outcome of what is left.
fn left(check: &Judged, gate: Severity) -> Outcome {
    if check.findings.iter().any(|finding| finding.severity >= gate) {
        Outcome::Fail
    } else if !check.unseen.is_empty() {
        Outcome::Error
    } else if !check.findings.is_empty() {
        Outcome::Warn
    } else if check.observations > 0 {
        Outcome::Pass
    } else {
        Outcome::Skip
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Check, Finding, Verdict};
    use crate::fact::facts::nodes::Node;
    use crate::seen::Unobserved;
    use crate::suites;

    fn check() -> &'static Check {
        suites::check("KL-01").expect("there is such a check")
    }

    /// What becomes of this verdict when n3 and the DNS server 10.244.2.2 are deleted during the run.
    fn excused(verdict: Verdict) -> Judged {
        let departed =
            Departed(Departures { nodes: ["n3".into()].into(), dns_servers: ["10.244.2.2".parse().unwrap()].into() });
        let nodes = ["n1", "n2", "n3"].map(|name| (name.to_owned(), Node::default()));
        let mut judged = [Judged::new(check(), Ok(verdict), Severity::Major)];
        departed.excuse(&mut judged, &Places::of_nodes(&nodes.into()), Severity::Major);
        let [judged] = judged;
        judged
    }

    fn found(subjects: &[Subject]) -> Verdict {
        let mut verdict = Verdict::new();
        verdict.confirm();
        let finding = Finding::new("it answers", "no answer").impact("its clients wait").fix("start it");
        verdict.find_together(subjects.iter().cloned(), subjects.len().max(1), finding);
        verdict
    }

    #[test]
    fn a_node_that_was_deleted_is_a_note() {
        let judged = excused(found(&[Subject::node("n3")]));
        assert_eq!((judged.outcome, judged.findings.len()), (Outcome::Pass, 0));
        assert_eq!(judged.notes[0].text, "it was deleted during the run: no answer");
        let mut verdict = Verdict::new();
        verdict.unseen(Subject::node("n3"), &Unobserved::unreachable("n3", "no answer"));
        let judged = excused(verdict);
        assert_eq!((judged.outcome, judged.unseen.len(), judged.notes.len()), (Outcome::Skip, 0, 1));
    }

    #[test]
    fn a_check_that_saw_only_what_was_deleted_does_not_pass() {
        let mut verdict = Verdict::new();
        verdict.find(Subject::node("n3"), Finding::new("it answers", "no answer").impact("none").fix("none"));
        let judged = excused(verdict);
        assert_eq!((judged.outcome, judged.observations), (Outcome::Skip, 0));
        assert!(judged.reason.is_some());
    }

    #[test]
    fn a_dns_server_that_was_deleted_is_a_note() {
        let judged = excused(found(&[Subject::address("10.244.2.2")]));
        assert_eq!((judged.outcome, judged.notes.len()), (Outcome::Pass, 1));
    }

    #[test]
    fn what_is_left_counts() {
        let judged = excused(found(&[Subject::node("n2"), Subject::node("n3")]));
        assert_eq!((judged.outcome, judged.notes.len()), (Outcome::Fail, 1));
        assert_eq!(judged.findings[0].subjects, [Subject::node("n2")]);
        let judged = excused(found(&[]));
        assert_eq!((judged.outcome, judged.notes.len()), (Outcome::Fail, 0), "a finding about the whole cluster");
    }
}
