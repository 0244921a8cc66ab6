//! Comma-separated values (RFC 4180) for spreadsheets: a row for each finding, for each thing that could not be checked, and for
//! each check that has neither.

use std::io::{self, Write};

use super::{Gathered, shortened};
use crate::check::{Cause, Judged};

const COLUMNS: [&str; 13] = [
    "check",
    "name",
    "suite",
    "outcome",
    "severity",
    "subjects",
    "expected",
    "seen",
    "impact",
    "fix",
    "evidence",
    "cause",
    "fingerprint",
];

/// Writes the rows, in the order of the plan.
pub(super) fn write(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    let mut rows = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(to);
    rows.write_record(COLUMNS)?;
    for timed in run.checks() {
        for row in of_check(&timed.check) {
            rows.write_record(row.iter().map(|cell| harmless(cell)))?;
        }
    }
    for planned in run.unjudged() {
        let reason = "the run was cut off before this check was judged";
        let row = [&*planned.id, &*planned.name, &*planned.suite, "error", "", "", "", reason, "", "", "", "", ""];
        rows.write_record(row.map(harmless))?;
    }
    rows.flush()
}

fn of_check(check: &Judged) -> Vec<[String; COLUMNS.len()]> {
    let row = |severity: String, rest: [String; 8]| {
        let [subjects, expected, seen, impact, fix, evidence, cause, fingerprint] = rest;
        let (id, name, suite) = (check.id.clone(), check.name.clone(), check.suite.clone());
        let outcome = check.outcome.to_string();
        [id, name, suite, outcome, severity, subjects, expected, seen, impact, fix, evidence, cause, fingerprint]
    };
    let from = |cause: &Option<Cause>| cause.as_ref().map(|cause| cause.check.clone()).unwrap_or_default();
    let mut rows: Vec<_> = check
        .findings
        .iter()
        .map(|finding| {
            let subjects = shortened::subjects(&finding.subjects, true);
            let (impact, fix) = (finding.impact.clone().unwrap_or_default(), finding.fix.clone());
            let (evidence, cause) = (shortened::evidence(&finding.evidence, true), from(&finding.cause));
            let (expected, seen) = (finding.expected.clone(), finding.seen.clone());
            let print = finding.fingerprint(&check.id);
            row(finding.severity.to_string(), [subjects, expected, seen, impact, fix, evidence, cause, print])
        })
        .collect();
    let nothing = String::new;
    rows.extend(check.unseen.iter().map(|unseen| {
        let (subjects, cause) = (shortened::subjects(&unseen.subjects, true), from(&unseen.cause));
        let seen = format!("could not be checked: {}", unseen.why);
        row(nothing(), [subjects, nothing(), seen, nothing(), nothing(), nothing(), cause, nothing()])
    }));
    if rows.is_empty() {
        let seen = check.reason.clone().unwrap_or_default();
        let rest = [nothing(), nothing(), seen, nothing(), nothing(), nothing(), nothing(), nothing()];
        rows.push(row(nothing(), rest));
    }
    rows
}

/// A cell that no spreadsheet takes for a formula.
fn harmless(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Subject;
    use crate::report::testing;

    fn read(run: &Gathered) -> Vec<Vec<String>> {
        let mut bytes = Vec::new();
        write(run, &mut bytes).unwrap();
        let rows = csv::Reader::from_reader(bytes.as_slice()).into_records().map(|row| row.unwrap());
        rows.map(|row| row.iter().map(ToOwned::to_owned).collect()).collect()
    }

    #[test]
    fn every_finding_and_every_check_has_a_row() {
        let rows = read(&testing::gathered(&testing::events()));
        let checks = testing::checks();
        let wanted = checks.iter().map(|check| (check.findings.len() + check.unseen.len()).max(1)).sum::<usize>();
        assert_eq!(rows.len(), wanted);
        assert!(rows.iter().any(|row| row[0] == "PK-02" && row[4] == "critical" && row[12].len() == 32));
    }

    #[test]
    fn no_cell_is_a_formula_and_quotes_are_kept() {
        let mut run = testing::gathered(&testing::events());
        let finding = testing::finding(Subject::node("=cmd|' /C calc'!A0"), "a \"b\",\r\nc");
        let check =
            Judged { id: "ZZ-01".into(), findings: vec![finding], unseen: Vec::new(), ..run.failing()[0].clone() };
        testing::add(&mut run, check);
        let rows = read(&run);
        let row = rows.iter().find(|row| row[0] == "ZZ-01").unwrap();
        assert_eq!(row[7], "a \"b\",\r\nc");
        assert_eq!(harmless("=1+1"), "'=1+1");
        assert!(rows.iter().flatten().all(|cell| !cell.starts_with(['=', '+', '@'])));
    }
}
