//! The Common Test Report Format (<https://ctrf.io>): a check is a test.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{Gathered, documentation, plain};
use crate::check::{Judged, Outcome};

/// The version of its specification.
const VERSION: &str = "0.0.0";

/// Writes the report.
pub(super) fn write(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, &report(run))?;
    to.write_all(b"\n")
}

fn report(run: &Gathered) -> Value {
    let judged = run.checks().into_iter().map(|timed| test(&timed.check, timed.took_ms));
    let unjudged = run.unjudged().into_iter().map(|planned| {
        json!({
            "name": format!("{} {}", planned.id, planned.name),
            "status": "other",
            "duration": 0,
            "suite": planned.suite,
            "message": "the run was cut off before this check was judged",
        })
    });
    let tests: Vec<Value> = judged.chain(unjudged).collect();
    let number = |status: &str| tests.iter().filter(|test| test["status"] == status).count();
    let started = run.started.as_ref();
    let start = started.map_or(0, |started| started.at.as_millisecond());
    let elapsed = run.finished.as_ref().map_or(0, |finished| i64::try_from(finished.elapsed_ms).unwrap_or(i64::MAX));
    json!({
        "reportFormat": "CTRF",
        "specVersion": VERSION,
        "results": {
            "tool": { "name": "seaworthy", "version": started.map(|started| &started.seaworthy) },
            "summary": {
                "tests": tests.len(),
                "passed": number("passed"),
                "failed": number("failed"),
                "pending": 0,
                "skipped": number("skipped"),
                "other": number("other"),
                "start": start,
                "stop": start.saturating_add(elapsed),
            },
            "environment": {
                "testEnvironment": started.map(|started| &started.cluster.name),
                "extra": started.map(|started| json!({
                    "server": started.cluster.server,
                    "version": started.cluster.version,
                    "profile": started.profile,
                })),
            },
            "tests": tests,
        },
    })
}

fn test(check: &Judged, took_ms: u64) -> Value {
    let status = match check.outcome {
        Outcome::Pass | Outcome::Warn => "passed",
        Outcome::Fail => "failed",
        Outcome::Skip | Outcome::Blocked | Outcome::Waived => "skipped",
        Outcome::Error => "other",
    };
    let mut test = json!({
        "name": format!("{} {}", check.id, check.name),
        "status": status,
        "duration": took_ms,
        "suite": check.suite,
        "rawStatus": check.outcome,
        "tags": [check.severity.name()],
        "extra": { "documentation": documentation::link(check) },
    });
    if check.outcome != Outcome::Pass {
        test["message"] = plain::line(check).into();
    }
    if !check.findings.is_empty() || !check.unseen.is_empty() {
        test["trace"] = plain::text(check).into();
    }
    test
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing;

    #[test]
    fn the_summary_counts_the_tests() {
        let report = report(&testing::gathered(&testing::events()));
        let summary = &report["results"]["summary"];
        let sum: u64 =
            ["passed", "failed", "pending", "skipped", "other"].iter().map(|key| summary[key].as_u64().unwrap()).sum();
        assert_eq!(summary["tests"], sum);
        assert_eq!((&summary["failed"], &summary["other"]), (&json!(1), &json!(4)));
        assert_eq!(summary["stop"].as_i64().unwrap() - summary["start"].as_i64().unwrap(), 3449);
    }
}
