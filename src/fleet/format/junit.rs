//! JUnit XML: a cluster is a test suite, a check is a test case.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::check::Outcome;
use crate::fleet::row::Line;
use crate::fleet::{Joint, Row};
use crate::report::junit::xml::{Case, Status, Suite};

/// Writes the document.
pub(crate) fn write(joint: &Joint, to: &mut dyn Write) -> io::Result<()> {
    let all_causes = joint.causes();
    let mut report = junit_report::ReportBuilder::new();
    for (place, row) in joint.places() {
        let mut cases: Vec<Case> = Vec::with_capacity(row.checks.len().max(1));
        if row.checks.is_empty() {
            let why = row.failed.clone().unwrap_or_default();
            cases.push(Case {
                class: row.member.label.clone(),
                name: "run".into(),
                time_ms: 0,
                status: Status::Error { message: why.clone(), text: why },
                output: String::new(),
            });
        }
        for line in &row.checks {
            let details = || {
                let of = all_causes
                    .iter()
                    .filter(|(key, cause)| key.check == line.id && cause.clusters.contains_key(&place));
                let mut text = String::new();
                for (_, cause) in of {
                    let about = &cause.clusters[&place];
                    _ = writeln!(
                        text,
                        "{}in {} of {} clusters",
                        separated(about),
                        cause.clusters.len(),
                        joint.number()
                    );
                    let words = &cause.words;
                    let labels = [("expected", &words.expected), ("impact", &words.impact), ("fix", &words.fix)];
                    _ = writeln!(text, "seen      {}", words.seen);
                    for (label, words) in labels.into_iter().filter_map(|(label, words)| Some((label, words.as_ref()?)))
                    {
                        _ = writeln!(text, "{label:<10}{words}");
                    }
                }
                text
            };
            cases.push(case(joint, row, line, details));
        }
        let suite = Suite {
            name: row.member.label.clone(),
            package: "seaworthy".into(),
            host: row.cluster.name.clone(),
            at: row.at.unwrap_or_default(),
            cases,
        };
        report.add_testsuite(suite.build());
    }
    report.build().write_xml(&mut *to).map_err(io::Error::other)?;
    to.write_all(b"\n")
}

fn separated(about: &str) -> String {
    if about.is_empty() { String::new() } else { format!("{about}: ") }
}

fn case(joint: &Joint, row: &Row, line: &Line, details: impl Fn() -> String) -> Case {
    let described = joint.check(&line.id);
    let (name, suite) = described.map_or(("", ""), |check| (check.name.as_str(), check.suite.as_str()));
    let text = || {
        let (title, page) = described.map_or(("", ""), |check| (check.title.as_str(), check.documentation.as_str()));
        format!("{title}\n\n{}\n{page}\n", details())
    };
    let message = line.words.clone();
    let status = match line.outcome {
        Outcome::Pass | Outcome::Warn => Status::Success,
        Outcome::Skip | Outcome::Waived => Status::Skipped { message },
        Outcome::Blocked => Status::Skipped { message: format!("blocked by another check: {message}") },
        Outcome::Fail => {
            let kind = row.worst.map_or("", crate::check::Severity::name).to_owned();
            Status::Failure { kind, message, text: text() }
        }
        Outcome::Error => Status::Error { message, text: text() },
    };
    Case {
        // The same check of two clusters must not count as one.
        class: format!("{}.{suite}", row.member.label),
        name: format!("{} {name}", line.id),
        time_ms: 0,
        status,
        output: if line.outcome == Outcome::Warn { text() } else { String::new() },
    }
}
