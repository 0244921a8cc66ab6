//! CTRF, the Common Test Report Format: each check is a test.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::conclusion::{CUT_OFF, unfinished};
use super::excerpt::{TEXT, excerpt, line};
use super::gathered::Timed;
use super::{Gathered, documentation, plain};
use crate::check::Outcome;
use crate::event::Planned;

/// The version of the format.
const VERSION: &str = "0.0.0";
/// How many characters of everything about a check are written.
const TRACE: usize = 40_000;
/// Beyond this, programs that read numbers as JavaScript does lose digits.
const LONGEST_MS: u64 = 1 << 53;
const STATUSES: [&str; 5] = ["passed", "failed", "skipped", "pending", "other"];

/// Writes the report.
pub(super) fn write(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    let Some(started) = &run.started else { return Ok(()) };
    let judged = run.checks().into_iter().map(judged);
    let tests: Vec<Value> = judged.chain(run.unjudged().into_iter().map(unjudged)).collect();
    let start = started.at.as_millisecond().max(0);
    let took = run.finished.as_ref().map_or_else(
        || run.checks().iter().map(|timed| timed.took_ms.min(LONGEST_MS)).fold(0, u64::saturating_add),
        |finished| finished.elapsed_ms,
    );
    let mut summary = json!({
        "tests": tests.len(),
        "start": start,
        "stop": start.saturating_add(i64::try_from(took.min(LONGEST_MS)).unwrap_or(i64::MAX)),
    });
    for status in STATUSES {
        summary[status] = tests.iter().filter(|test| test["status"] == status).count().into();
    }
    if let Some(why) = unfinished(run) {
        summary["extra"] = json!({ "seaworthy.unfinished": excerpt(&why, TEXT) });
    }
    let report = json!({
        "reportFormat": "CTRF",
        "specVersion": VERSION,
        "generatedBy": "seaworthy",
        "results": {
            "tool": { "name": "seaworthy", "version": line(&started.seaworthy, TEXT) },
            "summary": summary,
            "tests": tests,
            "environment": {
                "testEnvironment": line(&started.cluster.name, TEXT),
                "extra": {
                    "seaworthy.cluster-version": line(&started.cluster.version, TEXT),
                    "seaworthy.profile": line(&started.profile, TEXT),
                },
            },
        },
    });
    serde_json::to_writer_pretty(&mut *to, &report)?;
    to.write_all(b"\n")
}

fn judged(timed: &Timed) -> Value {
    let Timed { took_ms, check } = timed;
    let status = match check.outcome {
        Outcome::Pass | Outcome::Warn => "passed",
        Outcome::Fail => "failed",
        Outcome::Skip | Outcome::Blocked | Outcome::Waived => "skipped",
        // What could not be checked is neither right nor wrong.
        Outcome::Error => "other",
    };
    let mut test = test(&check.id, &check.name, &check.suite, status);
    test["duration"] = (*took_ms).min(LONGEST_MS).into();
    test["rawStatus"] = check.outcome.name().into();
    test["extra"] = json!({
        "seaworthy.severity": check.severity,
        "seaworthy.documentation": line(&documentation::link(check), TEXT),
    });
    if check.outcome != Outcome::Pass {
        test["message"] = line(&plain::line(check), TEXT).into();
    }
    if !(check.findings.is_empty() && check.unseen.is_empty()) {
        test["trace"] = excerpt(&plain::text(check), TRACE).into();
        let found = check.findings.iter().map(|finding| finding.fingerprint(&check.id));
        test["extra"]["seaworthy.fingerprints"] = found.collect::<Vec<_>>().into();
    }
    test
}

fn unjudged(planned: &Planned) -> Value {
    let mut test = test(&planned.id, &planned.name, &planned.suite, "other");
    test["message"] = CUT_OFF.into();
    test
}

fn test(id: &str, name: &str, suite: &str, status: &str) -> Value {
    let name = line(&format!("{id} {name}"), TEXT);
    json!({
        // A test has a name, whatever the stream holds.
        "name": if name.is_empty() { "a check without a name" } else { &name },
        "suite": ["seaworthy", line(suite, TEXT)],
        "status": status,
        "duration": 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing;

    fn written(run: &Gathered) -> Value {
        serde_json::from_str(&testing::written(write, run)).unwrap()
    }

    #[test]
    fn every_check_is_a_test_and_is_counted() {
        let report = written(&testing::gathered(&testing::events()));
        let summary = &report["results"]["summary"];
        let counts = STATUSES.map(|status| summary[status].as_u64().unwrap());
        assert_eq!(counts, [2, 1, 3, 0, 4]);
        assert_eq!(summary["tests"], 10);
        assert_eq!(summary["stop"].as_i64().unwrap() - summary["start"].as_i64().unwrap(), 3449);
        let failed =
            report["results"]["tests"].as_array().unwrap().iter().find(|test| test["status"] == "failed").unwrap();
        assert_eq!(failed["name"], "PK-02 apiserver-names");
        assert!(failed["message"].as_str().unwrap().contains("expected 10.96.0.1 first address"), "{failed}");
        assert!(failed["trace"].as_str().unwrap().contains("seaworthy explain PK-02"));
    }

    #[test]
    fn a_check_that_was_not_judged_did_not_pass() {
        let report = written(&testing::gathered(&testing::events()[..6]));
        let summary = &report["results"]["summary"];
        assert_eq!(
            summary["extra"]["seaworthy.unfinished"],
            "The run was cut off before its end: 2 of 10 checks were judged."
        );
        assert_eq!((&summary["other"], &summary["tests"]), (&8.into(), &10.into()));
    }
}
