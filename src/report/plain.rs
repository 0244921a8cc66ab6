//! All that is to be said about a check, in plain text, for formats that take one text.

use std::fmt::Write;

use super::markdown;
use crate::check::{Finding, Judged};

/// Everything about a check that is not a plain pass.
pub fn text(check: &Judged) -> String {
    let mut text = format!("{}\n", check.title);
    for finding in &check.findings {
        _ = write!(text, "\n{}", described(finding));
    }
    for unseen in &check.unseen {
        let subject = unseen.subject.as_ref().map(|subject| format!("{subject}: ")).unwrap_or_default();
        _ = write!(text, "\ncould not look: {subject}{}\n", unseen.why);
    }
    let unmended = check.findings.iter().any(|finding| finding.mend.is_none());
    if let (Some(fix), true) = (&check.fix, unmended) {
        _ = write!(text, "\nmend      {}\n", markdown::first_step(fix));
    }
    _ = write!(text, "\nseaworthy explain {}\n", check.id);
    text
}

/// What is wrong, in one line.
pub fn line(check: &Judged) -> String {
    let Some(worst) = check.findings.first() else {
        let why = check.unseen.first().map(|unseen| unseen.why.as_str()).or(check.reason.as_deref());
        return why.unwrap_or(&check.title).to_owned();
    };
    let line = format!("{}: expected {}, seen {}", worst.subject, worst.expected, worst.seen);
    match check.findings.len() {
        0 | 1 => line,
        more => format!("{line} (and {} more)", more - 1),
    }
}

fn described(finding: &Finding) -> String {
    let mut text = format!("{} ({})\n", finding.subject, finding.severity);
    let lines = [
        ("expected", Some(&finding.expected)),
        ("seen", Some(&finding.seen)),
        ("so", finding.so.as_ref()),
        ("mend", finding.mend.as_ref()),
    ];
    for (label, value) in lines {
        if let Some(value) = value {
            _ = writeln!(text, "{label:<10}{value}");
        }
    }
    text
}
