//! Comma-separated values (RFC 4180) for spreadsheets: a row for each finding, for each thing that could not be checked, and for
//! each check that has neither.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::{Gathered, shortened};
use crate::check::{Cause, Judged, Outcome, Severity};

/// A row. Its fields are the columns.
#[derive(Default, Serialize)]
struct Row {
    check: String,
    name: String,
    suite: String,
    outcome: Option<Outcome>,
    severity: Option<Severity>,
    subjects: Cell,
    expected: Cell,
    seen: Cell,
    impact: Cell,
    fix: Cell,
    evidence: Cell,
    cause: String,
    fingerprint: String,
    waived: Cell,
}

/// A text that no spreadsheet takes for a formula.
#[derive(Default)]
struct Cell(String);

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&harmless(&self.0))
    }
}

/// Writes the rows, in the order of the plan.
pub(super) fn write(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    let mut rows = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(to);
    for timed in run.checks() {
        for row in of_check(&timed.check) {
            rows.serialize(row)?;
        }
    }
    for planned in run.unjudged() {
        rows.serialize(Row {
            check: planned.id.clone(),
            name: planned.name.clone(),
            suite: planned.suite.clone(),
            outcome: Some(Outcome::Error),
            seen: Cell("the run was cut off before this check was judged".into()),
            ..Row::default()
        })?;
    }
    rows.flush()
}

fn of_check(check: &Judged) -> Vec<Row> {
    let row = || Row {
        check: check.id.clone(),
        name: check.name.clone(),
        suite: check.suite.clone(),
        outcome: Some(check.outcome),
        ..Row::default()
    };
    let from = |cause: &Option<Cause>| cause.as_ref().map(|cause| cause.check.clone()).unwrap_or_default();
    let findings = check.findings.iter().map(|finding| Row {
        severity: Some(finding.severity),
        subjects: Cell(shortened::subjects(&finding.subjects, true)),
        expected: Cell(finding.expected.clone()),
        seen: Cell(finding.seen.clone()),
        impact: Cell(finding.impact.clone().unwrap_or_default()),
        fix: Cell(finding.fix.clone()),
        evidence: Cell(shortened::evidence(&finding.evidence, true)),
        cause: from(&finding.cause),
        fingerprint: finding.fingerprint(&check.id),
        waived: Cell(finding.waived.as_ref().map(ToString::to_string).unwrap_or_default()),
        ..row()
    });
    let unseen = check.unseen.iter().map(|unseen| Row {
        subjects: Cell(shortened::subjects(&unseen.subjects, true)),
        seen: Cell(format!("could not be checked: {}", unseen.why)),
        cause: from(&unseen.cause),
        ..row()
    });
    let mut rows: Vec<_> = findings.chain(unseen).collect();
    if rows.is_empty() {
        rows.push(Row { seen: Cell(check.reason.clone().unwrap_or_default()), ..row() });
    }
    rows
}

/// A text, after an apostrophe if it begins as a formula does.
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
