//! A check that found something wrong.

use std::fmt::Write;

use super::page::{INDENT, Page};
use super::style::{self, FAINT, PLAIN, STRONG};
use crate::check::{Finding, Judged, Outcome, Subject};
use crate::report::markdown;

/// How many findings of one check, and how many subjects of one finding, are shown unless all are wanted.
const ENOUGH: usize = 8;

/// Findings that differ only in what they are about.
struct Group<'a> {
    finding: &'a Finding,
    subjects: Vec<&'a Subject>,
}

impl<'a> Group<'a> {
    fn of(findings: &'a [Finding]) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for finding in findings {
            let alike = |other: &Finding| Finding { subject: finding.subject.clone(), ..other.clone() } == *finding;
            match groups.iter_mut().find(|group| alike(group.finding)) {
                Some(group) => group.subjects.push(&finding.subject),
                None => groups.push(Self { finding, subjects: vec![&finding.subject] }),
            }
        }
        groups
    }
}

/// Writes a check with its findings.
pub fn write(page: &mut Page, check: &Judged, all: bool) {
    // A check that could not look everywhere has its error told elsewhere: its findings are below the gate.
    let outcome = if check.outcome == Outcome::Error { Outcome::Warn } else { check.outcome };
    let worst = check.findings.first().map_or(check.severity, |worst| worst.severity);
    page.words(
        &[
            (style::outcome(outcome), &style::word(outcome)),
            (STRONG, &check.id),
            (PLAIN, &check.name),
            (style::outcome(outcome), worst.name()),
        ],
        INDENT,
    );
    page.paragraph(INDENT, PLAIN, &check.title);
    let groups = Group::of(&check.findings);
    let shown = if all { groups.len() } else { groups.len().min(ENOUGH) };
    let fix = check.fix.as_deref().map(markdown::first_step).unwrap_or_default();
    let mend = |group: &Group| group.finding.mend.clone().unwrap_or_else(|| fix.clone());
    for (i, group) in groups[..shown].iter().enumerate() {
        let next = groups[..shown].get(i + 1);
        let Finding { expected, seen, so, severity, .. } = group.finding;
        let mut about = subjects(&group.subjects, all);
        if *severity != worst {
            about = format!("{about} ({severity})");
        }
        // That a finding is about the cluster goes without saying.
        if group.subjects != [&Subject::cluster()] || *severity != worst {
            page.paragraph(INDENT, STRONG, &about);
        }
        page.labelled("expected", expected);
        page.labelled("seen", seen);
        // What several findings share is said once, below the last of them.
        let how = mend(group);
        let mended_alike = next.is_some_and(|next| mend(next) == how);
        if let Some(so) = so
            && !(mended_alike && next.is_some_and(|next| next.finding.so.as_ref() == Some(so)))
        {
            page.labelled("so", so);
        }
        if !mended_alike {
            page.labelled("mend", &how);
            if next.is_some() {
                page.blank();
            }
        }
    }
    if shown < groups.len() {
        page.paragraph(INDENT, PLAIN, &format!("and {} more findings; --verbose shows all", groups.len() - shown));
    }
    if outcome == Outcome::Fail {
        for unseen in &check.unseen {
            // Most causes begin with what was asked.
            let subject = unseen.subject.as_ref().map(ToString::to_string);
            let subject = subject.filter(|subject| !unseen.why.starts_with(subject.as_str()));
            let subject = subject.map(|subject| format!("{subject}: ")).unwrap_or_default();
            page.labelled("unseen", &format!("{subject}{}", unseen.why));
        }
    }
    if all {
        for note in &check.notes {
            page.paragraph(INDENT, FAINT, note);
        }
    }
    page.paragraph(INDENT, FAINT, &format!("seaworthy explain {}", check.id));
    page.blank();
}

/// Several subjects as one phrase: `Node n1, n2 and 3 more`.
pub fn subjects(subjects: &[&Subject], all: bool) -> String {
    let shown = if all || subjects.len() <= ENOUGH + 1 { subjects.len() } else { ENOUGH };
    let mut phrase = String::new();
    for (i, subject) in subjects[..shown].iter().enumerate() {
        let before = i.checked_sub(1).map(|before| subjects[before]);
        let same_kind = before.is_some_and(|b| b.kind == subject.kind && b.namespace == subject.namespace);
        if i > 0 {
            phrase.push_str(", ");
        }
        if same_kind { phrase.push_str(&subject.name) } else { phrase.push_str(&subject.to_string()) }
    }
    if shown < subjects.len() {
        _ = write!(phrase, " and {} more", subjects.len() - shown);
    }
    phrase
}
