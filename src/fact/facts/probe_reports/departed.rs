//! DNS pods that were deleted while probes asked them, as a rollout or a drain does: what they did not answer is not a fault.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::ProbeReports;

/// Those of these DNS pods of which a probe did not get every answer.
pub(super) fn doubtful(reports: &ProbeReports, pods: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
    let answers = reports.0.values().flat_map(|report| &report.answers).flat_map(|answers| &answers.dns);
    let failed = answers.filter(|(_, answer)| answer.udp.fault.is_some() || answer.tcp.fault.is_some());
    failed.map(|(server, _)| server.ip()).filter(|server| pods.contains(server)).collect()
}

/// Leaves out the answers of these servers, and keeps that they were deleted.
pub(super) fn leave_out(reports: &mut ProbeReports, departed: &BTreeSet<IpAddr>) {
    for report in reports.0.values_mut() {
        let Ok(answers) = &mut report.answers else { continue };
        let asked: BTreeSet<IpAddr> = answers.dns.keys().map(std::net::SocketAddr::ip).collect();
        report.departed = asked.intersection(departed).copied().collect();
        answers.dns.retain(|server, _| !departed.contains(&server.ip()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::probe_reports::testing::reports;
    use crate::probe::Answers;
    use crate::probe::answer::{DnsAnswer, Lookups};
    use crate::probe::fault::Fault;

    #[test]
    fn only_what_came_of_deleted_pods_is_left_out() {
        let answer = |fault: Option<Fault>| DnsAnswer {
            udp: Lookups { asked: 20, fault, ..Lookups::default() },
            tcp: Lookups::default(),
            records: Vec::new(),
        };
        let [service, well, broken, deleted]: [IpAddr; 4] =
            [[10, 96, 0, 10], [10, 244, 1, 2], [10, 244, 2, 2], [10, 244, 3, 2]].map(Into::into);
        let faults = [
            (service, Some(Fault::TimedOut)),
            (well, None),
            (broken, Some(Fault::TimedOut)),
            (deleted, Some(Fault::NoRoute)),
        ];
        let dns = faults.map(|(server, fault)| ((server, 53).into(), answer(fault)));
        let mut reports = reports([("n1", Answers { dns: dns.into(), ..Answers::default() })]);
        let doubtful = doubtful(&reports, &[well, broken, deleted].into());
        assert_eq!(doubtful, [broken, deleted].into());
        leave_out(&mut reports, &[deleted].into());
        let report = &reports.0["n1"];
        let left: Vec<IpAddr> = report.answers.as_ref().unwrap().dns.keys().map(std::net::SocketAddr::ip).collect();
        assert_eq!((left, report.departed.clone()), (vec![service, well, broken], [deleted].into()));
        assert!(serde_json::to_string(report).unwrap().contains("departed"));
    }
}
