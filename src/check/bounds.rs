//! How large the result of a check may become, whatever the cluster holds: a user name may have a megabyte, and one ConfigMap
//! tens of thousands of mistakes. What is left out is counted.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::outcome::Unseen;
use super::{Finding, Judged, Subject};

/// How many characters a text may have.
const CHARACTERS: usize = 2000;
/// How many findings a check may have, and how many reasons why something could not be checked.
const LISTED: usize = 200;
/// How many things may be listed as the evidence of a finding.
const EVIDENCE: usize = 1000;

impl Judged {
    /// Cuts what is longer than any reader wants, and states by how much.
    pub(super) fn bounded(mut self) -> Self {
        let further = self.findings.split_off(self.findings.len().min(LISTED));
        self.findings.extend(further_findings(&further));
        let further = self.unseen.split_off(self.unseen.len().min(LISTED));
        self.unseen.extend(further_unseen(&further));
        for finding in &mut self.findings {
            finding.evidence = listed(std::mem::take(&mut finding.evidence));
            let texts = [&mut finding.expected, &mut finding.seen, &mut finding.fix];
            texts.into_iter().chain(&mut finding.impact).chain(&mut finding.evidence).for_each(cut);
            finding.subjects.iter_mut().for_each(|subject| cut(&mut subject.name));
        }
        for unseen in &mut self.unseen {
            [&mut unseen.why].into_iter().chain(&mut unseen.missing).for_each(cut);
            unseen.subjects.iter_mut().for_each(|subject| cut(&mut subject.name));
        }
        for note in &mut self.notes {
            cut(&mut note.text);
            note.subjects.iter_mut().for_each(|subject| cut(&mut subject.name));
        }
        self.reason.iter_mut().for_each(cut);
        self
    }
}

/// One finding in place of those that are not listed: its severity is that of the first, which is the worst.
fn further_findings(further: &[Finding]) -> Option<Finding> {
    let first = further.first()?;
    Some(Finding {
        subjects: all(further.iter().flat_map(|finding| &finding.subjects)),
        seen: format!("{} more findings that are not listed, such as: {}", further.len(), first.seen),
        evidence: Vec::new(),
        fix: format!("{}\nThen run the check again: it lists the next ones.", first.fix),
        ..first.clone()
    })
}

/// One gap in place of those that are not listed.
fn further_unseen(further: &[Unseen]) -> Option<Unseen> {
    let first = further.first()?;
    Some(Unseen {
        subjects: all(further.iter().flat_map(|unseen| &unseen.subjects)),
        why: format!("{} more that could not be checked, such as: {}", further.len(), first.why),
        ..first.clone()
    })
}

fn all<'a>(subjects: impl Iterator<Item = &'a Subject>) -> Vec<Subject> {
    subjects.collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

fn listed(mut items: Vec<String>) -> Vec<String> {
    if items.len() > EVIDENCE {
        let rest = items.len() - EVIDENCE;
        items.truncate(EVIDENCE);
        items.push(format!("and {rest} more"));
    }
    items
}

fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(CHARACTERS) {
        let rest = text[end..].chars().count();
        text.truncate(end);
        _ = write!(text, "… ({rest} more characters)");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::check::{Check, Severity, Verdict};
    use crate::seen::Unobserved;

    static CHECK: Check = Check {
        id: "XX-01",
        name: "sample",
        severity: Severity::Minor,
        suite: "sample",
        file: "",
        head: "",
        builds_on: &[],
        blocked_by: &[],
        needs: Vec::new,
        judge: |_| Ok(Verdict::new()),
    };

    #[test]
    fn long_texts_are_cut_and_the_rest_is_counted() {
        let user = "é".repeat(500_000);
        let mut verdict = Verdict::new();
        let finding = Finding::new("a", user.clone()).impact(user.clone()).evidence([&user]).fix(user.clone());
        verdict.find(Subject::user(&user), finding);
        verdict.note_about(Subject::user(&user), user.clone());
        let long = Unobserved::invalid(user.clone(), "x");
        verdict.unseen(Subject::user(&user), &long);
        let text = serde_json::to_string(&Judged::new(&CHECK, Ok(verdict), Severity::Minor)).unwrap();
        assert!(text.len() < 10 * 2 * CHARACTERS, "{}", text.len());
        assert_eq!(text.matches("… (498000 more characters)").count(), 8);
    }

    #[test]
    fn further_findings_evidence_and_gaps_are_counted_with_everything_that_they_are_about() {
        let mut verdict = Verdict::new();
        for i in 0..1000 {
            let name = i.to_string();
            let found = Finding::new("known keys", format!("unknown key {i}")).fix("remove it");
            let severe = if i == 999 { Severity::Critical } else { Severity::Minor };
            verdict.find(Subject::node(&name), found.severity(severe).evidence(0..i + 501));
            verdict.unseen(Subject::node(&name), &Unobserved::unreachable(name.clone(), "silence"));
        }
        let judged = Judged::new(&CHECK, Ok(verdict), Severity::Minor);
        assert_eq!(judged.findings.len(), LISTED + 1);
        assert_eq!(judged.findings[0].seen, "unknown key 999", "the worst is listed");
        assert_eq!(judged.findings[0].evidence.len(), EVIDENCE + 1);
        assert_eq!(judged.findings[0].evidence[EVIDENCE], "and 500 more");
        let last = &judged.findings[LISTED];
        assert_eq!(last.seen, "800 more findings that are not listed, such as: unknown key 199");
        let mut subjects: BTreeMap<&Subject, usize> = BTreeMap::new();
        judged.findings.iter().flat_map(|it| &it.subjects).for_each(|it| *subjects.entry(it).or_default() += 1);
        assert_eq!(subjects.len(), 1000);
        assert_eq!(judged.unseen.len(), LISTED + 1);
        assert!(judged.unseen[LISTED].why.starts_with("800 more that could not be checked, such as: "));
        assert_eq!(judged.unseen.iter().map(|it| it.subjects.len()).sum::<usize>(), 1000);
    }
}
