//! A check that found something wrong.

use super::page::{INDENT, Page};
use super::style::{self, FAINT, PLAIN, STRONG};
use crate::check::{Finding, Judged, Outcome, Subject};
use crate::report::folded::Folded;
use crate::report::{plain, shortened};

/// How many findings of one check are shown unless all are wanted.
const ENOUGH: usize = 8;

/// Writes a check with its findings.
pub fn write(page: &mut Page, check: &Judged, all: bool) {
    // The error of a check that could not see everything is shown elsewhere: its findings are below the gate.
    let outcome = if check.outcome == Outcome::Error { Outcome::Warn } else { check.outcome };
    // What follows from another check is listed there, and what is accepted does not count.
    let own: Vec<&Finding> =
        check.findings.iter().filter(|finding| finding.cause.is_none() && finding.waived.is_none()).collect();
    let worst = own.first().map_or(check.severity, |worst| worst.severity);
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
    let shown = if all { own.len() } else { own.len().min(ENOUGH) };
    for (i, finding) in own[..shown].iter().enumerate() {
        let next = own[..shown].get(i + 1);
        let Finding { subjects, expected, seen, evidence, impact, fix, severity, .. } = finding;
        let mut about = shortened::subjects(subjects, all);
        if *severity != worst {
            about = format!("{about} ({severity})");
        }
        // A finding about the cluster need not say so.
        if *subjects != [Subject::cluster()] || *severity != worst {
            page.paragraph(INDENT, STRONG, &about);
        }
        page.labelled("expected", expected);
        page.labelled("seen", seen);
        if !evidence.is_empty() {
            page.labelled("evidence", &shortened::evidence(evidence, all));
        }
        // What several findings share is written once, below the last of them.
        let same_fix = next.is_some_and(|next| next.fix == *fix);
        if let Some(impact) = impact
            && !(same_fix && next.is_some_and(|next| next.impact.as_ref() == Some(impact)))
        {
            page.labelled("impact", impact);
        }
        if !same_fix {
            page.labelled("fix", fix);
            if next.is_some() {
                page.blank();
            }
        }
    }
    if shown < own.len() {
        page.paragraph(INDENT, PLAIN, &format!("and {} more findings (-v lists them)", own.len() - shown));
    }
    if outcome == Outcome::Fail {
        let mut reasons: Folded<'_, Vec<&Subject>> = Folded::default();
        for unseen in check.unseen.iter().filter(|unseen| unseen.cause.is_none()) {
            reasons.entry(unseen).extend(&unseen.subjects);
        }
        for (why, subjects) in reasons.iter() {
            let subjects = shortened::subjects(subjects.iter().copied(), all);
            // Most reasons begin with what was asked.
            let subjects =
                if subjects.is_empty() || why.starts_with(&subjects) { String::new() } else { format!("{subjects}: ") };
            page.labelled("unseen", &format!("{subjects}{why}"));
        }
    }
    if all {
        for note in &check.notes {
            page.paragraph(INDENT, FAINT, &plain::note(note, all));
        }
    }
    page.paragraph(INDENT, FAINT, &format!("seaworthy explain {}", check.id));
}
