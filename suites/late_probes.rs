//! Probes that started too late to be seen by others.

use crate::fact::facts::probe_reports::{ProbeReport, ProbeReports};

/// How long nodes have to learn of a probe that serves, in milliseconds: its endpoint and their rules follow later.
const LEARNING_MS: u64 = 5000;

/// Whether a probe began to serve when the one on this node had nearly ended, so that the two need not have met: its
/// image was pulled first, or its node is slow.
pub(super) fn came_too_late(reports: &ProbeReports, pod: &str, node: &str) -> bool {
    let times = |report: &ProbeReport| report.times;
    let served = reports.0.values().find(|report| report.pod == pod).and_then(times);
    let asked = reports.0.get(node).and_then(times);
    served.zip(asked).is_some_and(|(served, asked)| served.served_ms + LEARNING_MS > asked.answered_ms)
}
