//! The clusters and their causes as JSON, as reports/fleet.schema.json describes. Nothing in it depends on how long anything took
//! or on which cluster ended first.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use crate::check::{Outcome, Severity};
use crate::cluster::ClusterSummary;
use crate::fleet::row::Verdict;
use crate::fleet::{Joint, Row};

/// The version of `reports/fleet.schema.json`. It changes when a field is removed or changes its meaning.
const SCHEMA_VERSION: u8 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u8,
    seaworthy: &'a str,
    exit_code: u8,
    counts: BTreeMap<&'a str, usize>,
    causes: Vec<OneCause<'a>>,
    clusters: Vec<OneCluster<'a>>,
    checks: BTreeMap<&'a str, OneCheck<'a>>,
}

#[derive(Serialize)]
struct OneCause<'a> {
    check: &'a str,
    outcome: Outcome,
    severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'a str>,
    seen: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    impact: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'a str>,
    same_words: bool,
    same_fix: bool,
    clusters: Vec<Affected<'a>>,
}

#[derive(Serialize)]
struct Affected<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    about: &'a str,
}

#[derive(Serialize)]
struct OneCluster<'a> {
    name: &'a str,
    origin: &'a str,
    verdict: &'a str,
    exit_code: u8,
    cluster: &'a ClusterSummary,
    #[serde(skip_serializing_if = "str::is_empty")]
    profile: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<Severity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<&'a str>,
    counts: BTreeMap<Outcome, usize>,
    checks: BTreeMap<&'a str, Outcome>,
    #[serde(skip_serializing_if = "is_none")]
    further_causes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    recording: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<&'a Path>,
}

#[derive(Serialize)]
struct OneCheck<'a> {
    name: &'a str,
    suite: &'a str,
    title: &'a str,
    documentation: &'a str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(number: &usize) -> bool {
    *number == 0
}

fn cluster(row: &Row) -> OneCluster<'_> {
    OneCluster {
        name: &row.member.label,
        origin: &row.member.origin,
        verdict: row.verdict().name(),
        exit_code: row.exit_code as u8,
        cluster: &row.cluster,
        profile: &row.profile,
        gate: row.gate,
        at: row.at,
        failed: row.failed.as_deref(),
        counts: Outcome::ALL.into_iter().map(|outcome| (outcome, row.number(outcome))).collect(),
        checks: row.checks.iter().map(|line| (line.id.as_str(), line.outcome)).collect(),
        further_causes: row.further,
        recording: row.member.recording.as_deref(),
        events: row.member.events.as_deref(),
    }
}

/// Writes the document.
pub(crate) fn write(joint: &Joint, to: &mut dyn Write) -> io::Result<()> {
    let causes = joint.causes().into_iter().map(|(key, cause)| OneCause {
        check: &key.check,
        outcome: cause.outcome,
        severity: key.severity,
        expected: cause.words.expected.as_deref(),
        seen: &cause.words.seen,
        impact: cause.words.impact.as_deref(),
        fix: cause.words.fix.as_deref(),
        same_words: cause.same_words,
        same_fix: cause.same_fix,
        clusters: joint.labelled(cause).map(|(name, about)| Affected { name, about }).collect(),
    });
    let checks = joint.checks().map(|(id, check)| {
        let of = OneCheck {
            name: &check.name,
            suite: &check.suite,
            title: &check.title,
            documentation: &check.documentation,
        };
        (id.as_str(), of)
    });
    let document = Document {
        schema_version: SCHEMA_VERSION,
        seaworthy: env!("CARGO_PKG_VERSION"),
        exit_code: joint.exit_code() as u8,
        counts: Verdict::ALL.into_iter().map(|verdict| (verdict.name(), joint.with(verdict))).collect(),
        causes: causes.collect(),
        clusters: joint.rows().map(cluster).collect(),
        checks: checks.collect(),
    };
    serde_json::to_writer_pretty(&mut *to, &document)?;
    to.write_all(b"\n")
}
