//! The whole document.

use std::io::{self, Write};

use super::case;
use super::xml::{Case, Suite};
use crate::report::Gathered;

/// Writes the document.
pub fn write(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    let mut report = junit_report::ReportBuilder::new();
    for suite in suites(run) {
        report.add_testsuite(suite.build());
    }
    report.build().write_xml(&mut *to).map_err(io::Error::other)?;
    to.write_all(b"\n")
}

/// The suites, in the order of the plan.
fn suites(run: &Gathered) -> Vec<Suite> {
    let started = run.started.as_ref();
    let judged = run.checks().into_iter().map(|timed| (timed.check.suite.as_str(), case::judged(timed, run)));
    let unjudged = run.unjudged().into_iter().map(|planned| (planned.suite.as_str(), case::unjudged(planned)));
    let mut suites: Vec<(&str, Vec<Case>)> = Vec::new();
    for (name, case) in judged.chain(unjudged) {
        match suites.iter_mut().find(|(suite, _)| *suite == name) {
            Some((_, cases)) => cases.push(case),
            None => suites.push((name, vec![case])),
        }
    }
    suites
        .into_iter()
        .map(|(name, cases)| Suite {
            name: name.into(),
            package: "seaworthy".into(),
            host: started.map(|started| started.cluster.name.clone()).unwrap_or_default(),
            at: started.map(|started| started.at).unwrap_or_default(),
            cases,
        })
        .collect()
}
