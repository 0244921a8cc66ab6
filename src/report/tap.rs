//! The Test Anything Protocol, version 14: a check is a test point, with its findings as YAML.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::{Gathered, plain, shortened};
use crate::check::{Judged, Outcome};

/// Writes the test points, in the order of the plan.
pub(super) fn write(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    to.write_all(text(run)?.as_bytes())
}

fn text(run: &Gathered) -> io::Result<String> {
    let mut text = String::from("TAP version 14\n");
    let (checks, unjudged) = (run.checks(), run.unjudged());
    _ = writeln!(text, "1..{}", checks.len() + unjudged.len());
    for (i, timed) in checks.iter().enumerate() {
        let check = &timed.check;
        let (ok, directive) = match check.outcome {
            Outcome::Fail | Outcome::Error => ("not ok", String::new()),
            Outcome::Skip | Outcome::Waived => ("ok", format!(" # SKIP {}", escaped(&plain::line(check)))),
            Outcome::Blocked => ("ok", format!(" # SKIP blocked by {}", blocked_by(check))),
            Outcome::Warn | Outcome::Pass => ("ok", String::new()),
        };
        let name = escaped(&format!("{} {}", check.id, check.name));
        _ = writeln!(text, "{ok} {} - {name}{directive}", i + 1);
        if let Some(diagnostics) = diagnostics(check) {
            // JSON is YAML, and its strings have no line breaks.
            _ = writeln!(text, "  ---");
            for (key, value) in &diagnostics {
                _ = writeln!(text, "  {key}: {}", serde_json::to_string(value)?);
            }
            _ = writeln!(text, "  ...");
        }
    }
    for (i, planned) in unjudged.iter().enumerate() {
        let name = escaped(&format!("{} {}", planned.id, planned.name));
        _ = writeln!(text, "not ok {} - {name}", checks.len() + i + 1);
    }
    if run.finished.is_none() {
        text.push_str("Bail out! The run was cut off before its end.\n");
    }
    Ok(text)
}

fn blocked_by(check: &Judged) -> String {
    let ids: std::collections::BTreeSet<&str> = check.causes().map(|cause| cause.check.as_str()).collect();
    ids.into_iter().collect::<Vec<_>>().join(" ")
}

/// What there is to know about a check that is not a plain pass.
fn diagnostics(check: &Judged) -> Option<Vec<(&'static str, Value)>> {
    if check.findings.is_empty() && check.unseen.is_empty() {
        return None;
    }
    let findings: Vec<Value> = check
        .findings
        .iter()
        .map(|finding| {
            json!({
                "subjects": shortened::subjects(&finding.subjects, true),
                "severity": finding.severity,
                "expected": finding.expected,
                "seen": finding.seen,
                "impact": finding.impact,
                "fix": finding.fix,
                "cause": finding.cause,
                "waived": finding.waived,
            })
        })
        .collect();
    let unseen: Vec<&str> = check.unseen.iter().map(|unseen| unseen.why.as_str()).collect();
    Some(vec![
        ("message", check.title.clone().into()),
        ("severity", json!(check.severity)),
        ("outcome", json!(check.outcome)),
        ("findings", findings.into()),
        ("could_not_be_checked", json!(unseen)),
    ])
}

/// A description in one line, in which nothing begins a directive.
fn escaped(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.replace('\\', "\\\\").replace('#', "\\#")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing;

    #[test]
    fn every_check_is_a_point_and_findings_are_yaml() {
        let text = text(&testing::gathered(&testing::events())).unwrap();
        let points = text.lines().filter(|line| line.starts_with("ok ") || line.starts_with("not ok ")).count();
        assert!(text.starts_with(&format!("TAP version 14\n1..{points}\n")), "{text}");
        assert_eq!(points, testing::checks().len());
        assert!(text.contains("not ok 3 - PK-02 apiserver-names\n  ---\n  message: "), "{text}");
        assert!(text.contains(" # SKIP the profile audit does not allow create access\n"));
        let block = text.split("  ---\n").nth(1).unwrap().split("  ...").next().unwrap();
        assert!(serde_saphyr::from_str::<Value>(block).unwrap().get("findings").is_some());
    }

    #[test]
    fn a_run_that_was_cut_off_bails_out() {
        let events = testing::events();
        let cut: Vec<_> = events.iter().take(6).cloned().collect();
        let text = text(&testing::gathered(&cut)).unwrap();
        assert!(text.ends_with("Bail out! The run was cut off before its end.\n"));
        assert_eq!(escaped("a # SKIP \\ \n b"), "a \\# SKIP \\\\ b");
    }
}
