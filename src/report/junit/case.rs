//! One check as one test case.

use std::fmt::Write;

use super::xml::{Case, Result};
use crate::check::{Finding, Judged, Outcome};
use crate::event::{Planned, RunStarted};
use crate::report::gathered::Timed;
use crate::report::markdown;

/// The test case of a judged check.
pub fn judged(timed: &Timed, started: Option<&RunStarted>) -> Case {
    let Timed { at_ms, check } = timed;
    let result = match check.outcome {
        Outcome::Pass | Outcome::Warn => Result::Success,
        Outcome::Skip => Result::Skipped { message: check.reason.clone().unwrap_or_default() },
        Outcome::Fail => Result::Failure {
            kind: check.findings.first().map_or(check.severity, |worst| worst.severity).to_string(),
            message: message(check),
            text: text(check),
        },
        Outcome::Error => Result::Error {
            message: check.unseen.first().map(|unseen| unseen.why.clone()).unwrap_or_default(),
            text: text(check),
        },
    };
    let mut output = properties(check, started);
    if check.outcome == Outcome::Warn {
        output.push('\n');
        output.push_str(&text(check));
    }
    Case { class: class(&check.suite), name: format!("{} {}", check.id, check.name), time_ms: *at_ms, result, output }
}

/// The test case of a check that the run did not come to judge.
pub fn unjudged(planned: &Planned) -> Case {
    let message = "the run was cut off before this check was judged";
    Case {
        class: class(&planned.suite),
        name: format!("{} {}", planned.id, planned.name),
        time_ms: 0,
        result: Result::Error { message: message.into(), text: message.into() },
        output: String::new(),
    }
}

fn class(suite: &str) -> String {
    format!("seaworthy.{suite}")
}

fn message(check: &Judged) -> String {
    let Some(worst) = check.findings.first() else { return check.title.clone() };
    let message = format!("{}: expected {}, seen {}", worst.subject, worst.expected, worst.seen);
    match check.findings.len() {
        0 | 1 => message,
        more => format!("{message} (and {} more)", more - 1),
    }
}

/// Lines that CI systems which know the convention show as properties of the test case.
fn properties(check: &Judged, started: Option<&RunStarted>) -> String {
    let mut lines = String::new();
    let mut property = |key: &str, value: &str| {
        // A value is one line, and ends before the brackets.
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ").replace("]]", "] ]");
        _ = writeln!(lines, "[[PROPERTY|{key}={value}]]");
    };
    property("severity", check.severity.name());
    property("outcome", check.outcome.name());
    property("observations", &check.observations.to_string());
    property("documentation", &format!("seaworthy explain {}", check.id));
    if let Some(started) = started {
        property("cluster", &started.cluster.name);
        property("cluster-version", &started.cluster.version);
        property("profile", &started.profile);
    }
    lines
}

/// All that is to be said about a check, in plain text.
fn text(check: &Judged) -> String {
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
