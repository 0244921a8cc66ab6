//! The verdicts as JSON. Nothing in it depends on how long anything took, so that judging a recording gives the same
//! bytes as the run that made it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;

use super::{Gathered, documentation};
use crate::check::{Judged, Outcome, Root, Severity};
use crate::cluster::ClusterSummary;
use crate::event::Cost;

/// The version of `reports/verdicts.schema.json`. It changes when a field is removed or changes its meaning.
const SCHEMA_VERSION: u8 = 1;

/// The verdicts of a run.
#[derive(Debug, Serialize)]
struct Verdicts<'a> {
    schema_version: u8,
    seaworthy: &'a str,
    cluster: &'a ClusterSummary,
    profile: &'a str,
    gate: Severity,
    at: Timestamp,
    /// The checks that name the root causes of all that is wrong or could not be checked, the first to look at first.
    causes: &'a [Root],
    checks: Vec<Documented<'a>>,
    counts: BTreeMap<Outcome, usize>,
    /// Null when the run was cut off before its end.
    exit_code: Option<u8>,
    /// What the run cost the cluster. A recording holds it as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<&'a Cost>,
    /// Why nothing could be observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<&'a str>,
}

/// A check with where its documentation is.
#[derive(Debug, Serialize)]
struct Documented<'a> {
    #[serde(flatten)]
    check: &'a Judged,
    documentation: String,
}

impl<'a> Verdicts<'a> {
    fn new(run: &'a Gathered) -> Option<Self> {
        let started = run.started.as_ref()?;
        let checks: Vec<_> = run.checks().into_iter().map(|timed| &timed.check).collect();
        let count = |outcome| checks.iter().filter(|check| check.outcome == outcome).count();
        Some(Self {
            schema_version: SCHEMA_VERSION,
            seaworthy: &started.seaworthy,
            cluster: &started.cluster,
            profile: &started.profile,
            gate: started.gate,
            at: started.at,
            counts: Outcome::ALL.into_iter().map(|outcome| (outcome, count(outcome))).collect(),
            causes: &run.roots,
            checks: checks
                .into_iter()
                .map(|check| Documented { check, documentation: documentation::link(check) })
                .collect(),
            exit_code: run.finished.as_ref().map(|finished| finished.exit_code),
            cost: run.finished.as_ref().map(|finished| &finished.cost).filter(|cost| !cost.is_nothing()),
            failed: started.failed.as_deref(),
        })
    }
}

/// Writes the verdicts.
pub(super) fn write(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    let Some(verdicts) = Verdicts::new(run) else { return Ok(()) };
    serde_json::to_writer_pretty(&mut *to, &verdicts)?;
    to.write_all(b"\n")
}
