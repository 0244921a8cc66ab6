//! Everything to know about a check, in plain text, for formats that take one text.

use std::fmt::Write;

use super::shortened;
use crate::check::{Cause, Finding, Judged, Note};

/// Everything about a check that is not a plain pass.
pub fn text(check: &Judged) -> String {
    let mut text = format!("{}\n", check.title);
    for finding in &check.findings {
        _ = write!(text, "\n{}", described(finding));
    }
    for unseen in &check.unseen {
        let subjects = match unseen.subjects.as_slice() {
            [] => String::new(),
            some => format!("{}: ", shortened::subjects(some, true)),
        };
        _ = write!(text, "\ncould not be checked: {subjects}{}\n", unseen.why);
    }
    _ = write!(text, "\nseaworthy explain {}\n", check.id);
    text
}

/// What is wrong, in one line.
pub fn line(check: &Judged) -> String {
    let counting = check.findings.iter().find(|finding| finding.waived.is_none());
    let Some(worst) = counting.or(check.findings.first()) else {
        let why = check.unseen.first().map(|unseen| unseen.why.as_str()).or(check.reason.as_deref());
        return why.unwrap_or(&check.title).to_owned();
    };
    let subjects = shortened::subjects(&worst.subjects, false);
    let mut line = format!("{subjects}: expected {}, seen {}", worst.expected, worst.seen);
    if let Some(waived) = &worst.waived {
        line = format!("{waived}; {line}");
    }
    match check.findings.len() {
        0 | 1 => line,
        more => format!("{line} (and {} more)", more - 1),
    }
}

/// A note with what it is about.
pub fn note(note: &Note, all: bool) -> String {
    match note.subjects.as_slice() {
        [] => note.text.clone(),
        some => format!("{}: {}", shortened::subjects(some, all), note.text),
    }
}

/// The results of a check that follow from another one, each in one line.
pub fn consequences(check: &Judged, root: &str) -> Vec<String> {
    let follows = |cause: &Option<Cause>| cause.as_ref().is_some_and(|cause| cause.check == root);
    let findings = check.findings.iter().filter(|finding| follows(&finding.cause));
    let findings =
        findings.map(|finding| format!("{}: {}", shortened::subjects(&finding.subjects, false), finding.seen));
    let unseen = check.unseen.iter().filter(|unseen| follows(&unseen.cause)).map(|unseen| unseen.why.clone());
    findings.chain(unseen).collect()
}

fn described(finding: &Finding) -> String {
    let mut text = format!("{} ({})\n", shortened::subjects(&finding.subjects, true), finding.severity);
    let evidence = shortened::items(&finding.evidence, "\n          ", true);
    let lines = [
        ("expected", finding.expected.as_str()),
        ("seen", finding.seen.as_str()),
        ("evidence", evidence.as_str()),
        ("impact", finding.impact.as_deref().unwrap_or_default()),
        ("fix", finding.fix.as_str()),
    ];
    for (label, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
        _ = writeln!(text, "{label:<10}{value}");
    }
    if let Some(cause) = &finding.cause {
        _ = writeln!(text, "{:<10}{}", "cause", cause.check);
    }
    if let Some(waived) = &finding.waived {
        _ = writeln!(text, "{:<10}{waived}", "accepted");
    }
    text
}
