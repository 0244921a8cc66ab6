//! Comma-separated values by RFC 4180: one line for each finding and each thing that could not be checked, and one for each
//! other check.

use std::borrow::Cow;
use std::io::{self, Write};

use super::Gathered;
use super::conclusion::CUT_OFF;
use super::documentation;
use super::excerpt::{TEXT, excerpt};
use super::shortened;
use crate::check::outcome::Unseen;
use crate::check::{Finding, Judged, Outcome, Subject};
use crate::event::Planned;

/// How many characters a list may have: spreadsheets hold 32,767 in a cell.
const LIST: usize = 8000;

const HEADER: [&str; 17] = [
    "check",
    "name",
    "suite",
    "title",
    "outcome",
    "severity",
    "kind",
    "subjects",
    "expected",
    "seen",
    "evidence",
    "impact",
    "fix",
    "reason",
    "cause",
    "fingerprint",
    "documentation",
];

/// A line, but for what it shares with the others of its check.
#[derive(Default)]
struct Row {
    severity: String,
    kind: &'static str,
    subjects: String,
    expected: String,
    seen: String,
    evidence: String,
    impact: String,
    fix: String,
    reason: String,
    cause: String,
    fingerprint: String,
}

/// Writes the table.
pub(super) fn write(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    write_row(to, &HEADER.map(ToOwned::to_owned))?;
    for timed in run.checks() {
        let check = &timed.check;
        for row in rows(check) {
            let outcome = check.outcome.name();
            let link = documentation::link(check);
            write_full(to, [&check.id, &check.name, &check.suite, &check.title, outcome], row, &link)?;
        }
    }
    for Planned { id, name, suite } in run.unjudged() {
        let row = Row { kind: "cut off", reason: CUT_OFF.into(), ..Row::default() };
        write_full(to, [id, name, suite, "", "not judged"], row, "")?;
    }
    Ok(())
}

fn rows(check: &Judged) -> Vec<Row> {
    let findings = check.findings.iter().map(|finding| of_finding(check, finding));
    let mut rows: Vec<Row> = findings.chain(check.unseen.iter().map(|unseen| of_unseen(check, unseen))).collect();
    if rows.is_empty() {
        let kind = match check.outcome {
            Outcome::Pass => "passed",
            Outcome::Skip => "skipped",
            // Each has something to list.
            Outcome::Fail | Outcome::Error | Outcome::Blocked | Outcome::Warn | Outcome::Waived => "",
        };
        let reason = check.reason.clone().unwrap_or_default();
        rows.push(Row { severity: check.severity.to_string(), kind, reason, ..Row::default() });
    }
    rows
}

fn of_finding(check: &Judged, finding: &Finding) -> Row {
    Row {
        severity: finding.severity.to_string(),
        kind: "finding",
        subjects: subjects(&finding.subjects),
        expected: finding.expected.clone(),
        seen: finding.seen.clone(),
        evidence: excerpt(&shortened::items(&finding.evidence, "\n", true), LIST),
        impact: finding.impact.clone().unwrap_or_default(),
        fix: finding.fix.clone(),
        reason: finding.waived.as_ref().map(ToString::to_string).unwrap_or_default(),
        cause: finding.cause.as_ref().map(|cause| cause.check.clone()).unwrap_or_default(),
        fingerprint: finding.fingerprint(&check.id),
    }
}

fn of_unseen(check: &Judged, unseen: &Unseen) -> Row {
    Row {
        severity: check.severity.to_string(),
        kind: "not checked",
        subjects: subjects(&unseen.subjects),
        reason: unseen.why.clone(),
        cause: unseen.cause.as_ref().map(|cause| cause.check.clone()).unwrap_or_default(),
        fingerprint: unseen.fingerprint(&check.id),
        ..Row::default()
    }
}

fn subjects(subjects: &[Subject]) -> String {
    let names: Vec<String> = subjects.iter().map(ToString::to_string).collect();
    excerpt(&names.join("\n"), LIST)
}

fn write_full(to: &mut dyn Write, check: [&str; 5], row: Row, link: &str) -> io::Result<()> {
    let Row { severity, kind, subjects, expected, seen, evidence, impact, fix, reason, cause, fingerprint } = row;
    let [id, name, suite, title, outcome] = check.map(|text| excerpt(text, TEXT));
    let [expected, seen, impact, fix, reason, cause] =
        [expected, seen, impact, fix, reason, cause].map(|text| excerpt(&text, TEXT));
    let link = excerpt(link, TEXT);
    let kind = kind.to_owned();
    write_row(
        to,
        &[
            id,
            name,
            suite,
            title,
            outcome,
            severity,
            kind,
            subjects,
            expected,
            seen,
            evidence,
            impact,
            fix,
            reason,
            cause,
            fingerprint,
            link,
        ],
    )
}

fn write_row(to: &mut dyn Write, cells: &[String; HEADER.len()]) -> io::Result<()> {
    let cells: Vec<_> = cells.iter().map(|text| cell(text)).collect();
    write!(to, "{}\r\n", cells.join(","))
}

/// A cell: in quotes where it has to be, and never a formula, which a spreadsheet would compute.
fn cell(text: &str) -> Cow<'_, str> {
    let formula =
        text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']) || text.starts_with(['\t', '\n']);
    let text = if formula { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) };
    if text.contains([',', '"', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ') {
        return Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing;

    fn written(run: &Gathered) -> Vec<Vec<String>> {
        let text = testing::written(write, run);
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        reader.records().map(|row| row.unwrap().iter().map(ToOwned::to_owned).collect()).collect()
    }

    #[test]
    fn each_finding_has_a_line_and_so_has_each_check() {
        let rows = written(&testing::gathered(&testing::events()));
        assert_eq!(rows[0], HEADER);
        let lines = |check: &Judged| (check.findings.len() + check.unseen.len()).max(1);
        assert_eq!(rows.len() - 1, testing::checks().iter().map(lines).sum::<usize>());
        let of = |id: &str| rows.iter().filter(|row| row[0] == id).collect::<Vec<_>>();
        assert_eq!((of("PK-02").len(), &*of("PK-02")[0][6], &*of("PK-02")[2][6]), (3, "finding", "not checked"));
        assert_eq!(of("PK-02")[0][7], "10.77.0.11:6443\n10.77.0.12:6443");
        assert_eq!((&*of("CN-05")[0][6], &*of("CN-05")[0][13]), ("skipped", "no NetworkPolicy exists"));
        assert_eq!(of("DN-05")[0][6], "passed");
    }

    #[test]
    fn a_check_that_was_not_judged_has_a_line() {
        let rows = written(&testing::gathered(&testing::events()[..6]));
        assert_eq!(rows.iter().filter(|row| row[6] == "cut off" && row[13] == CUT_OFF).count(), 8, "{rows:?}");
    }

    #[test]
    fn no_cell_is_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(1)", " =1", "\t=1", "\n=1", "＝1"] {
            assert!(cell(text).trim_start_matches('"').starts_with('\''), "{text:?}: {}", cell(text));
        }
        assert_eq!(cell("a=1"), "a=1");
        assert_eq!(cell("a,\"b\"\nc"), "\"a,\"\"b\"\"\nc\"");
    }
}
