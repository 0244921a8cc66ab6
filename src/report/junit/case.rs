//! One check as one test case.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::xml::{Case, Status};
use crate::check::{Judged, Outcome};
use crate::event::{Planned, RunStarted};
use crate::report::documentation;
use crate::report::gathered::{Gathered, Timed};
use crate::report::plain::{line, text};

/// The test case of a judged check.
pub fn judged(timed: &Timed, run: &Gathered) -> Case {
    let Timed { took_ms, check } = timed;
    let status = match check.outcome {
        Outcome::Pass | Outcome::Warn => Status::Success,
        Outcome::Skip | Outcome::Waived => Status::Skipped { message: line(check) },
        Outcome::Blocked => Status::Skipped { message: blocked(check, run) },
        Outcome::Fail => Status::Failure {
            kind: check.findings.first().map_or(check.severity, |worst| worst.severity).to_string(),
            message: line(check),
            text: text(check),
        },
        Outcome::Error => Status::Error { message: line(check), text: text(check) },
    };
    let mut output = properties(check, run.started.as_ref());
    if matches!(check.outcome, Outcome::Warn | Outcome::Blocked | Outcome::Waived) {
        output.push('\n');
        output.push_str(&text(check));
    }
    Case { class: class(&check.suite), name: name(&check.id, &check.name), time_ms: *took_ms, status, output }
}

/// By what a check is blocked.
fn blocked(check: &Judged, run: &Gathered) -> String {
    let ids: BTreeSet<&str> = check.causes().map(|cause| cause.check.as_str()).collect();
    let roots = ids.into_iter().map(|id| match run.check(id) {
        Some(root) => format!("{id}: {}", line(root)),
        None => id.to_owned(),
    });
    format!("blocked by {}", roots.collect::<Vec<_>>().join("; "))
}

/// The test case of a check that the run did not come to judge.
pub fn unjudged(planned: &Planned) -> Case {
    let message = "the run was cut off before this check was judged";
    Case {
        class: class(&planned.suite),
        name: name(&planned.id, &planned.name),
        time_ms: 0,
        status: Status::Error { message: message.into(), text: message.into() },
        output: String::new(),
    }
}

fn class(suite: &str) -> String {
    format!("seaworthy.{suite}")
}

fn name(id: &str, name: &str) -> String {
    format!("{id} {name}")
}

/// Lines that CI systems which know the convention show as properties of the test case.
fn properties(check: &Judged, started: Option<&RunStarted>) -> String {
    let mut lines = String::new();
    let mut property = |key: &str, value: &str| {
        // A value is one line, and does not end before its brackets.
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ").replace("]]", "] ]");
        _ = writeln!(lines, "[[PROPERTY|{key}={value}]]");
    };
    property("severity", check.severity.name());
    property("outcome", check.outcome.name());
    property("observations", &check.observations.to_string());
    let causes: BTreeSet<&str> = check.causes().map(|cause| cause.check.as_str()).collect();
    if !causes.is_empty() {
        property("cause", &causes.into_iter().collect::<Vec<_>>().join(" "));
    }
    property("documentation", &documentation::link(check));
    if let Some(started) = started {
        property("cluster", &started.cluster.name);
        property("cluster-version", &started.cluster.version);
        property("profile", &started.profile);
    }
    lines
}
