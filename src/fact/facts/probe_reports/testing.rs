//! Reports of probes, for tests.

use super::{ProbeReport, ProbeReports};
use crate::probe::Answers;
use crate::seen::Seen;

/// What the probes on these nodes answered; that on `n1` is the pod `p1`.
pub(crate) fn reports<N: Into<String>>(answers: impl IntoIterator<Item = (N, Answers)>) -> ProbeReports {
    let reports = answers.into_iter().map(|(node, answers)| {
        let node = node.into();
        let pod = format!("p{}", node.trim_start_matches('n'));
        (node, report(&pod, Ok(answers)))
    });
    ProbeReports(reports.collect())
}

/// What this pod answered, or why there is nothing; nothing else is known of it.
pub(crate) fn report(pod: &str, answers: Seen<Answers>) -> ProbeReport {
    ProbeReport {
        pod: pod.into(),
        address: None,
        address_again: None,
        times: None,
        departed: [].into(),
        created_ms: None,
        events: None,
        answers,
    }
}
