//! Whether probes reach a node at all: only then does a port that stays silent show that it is closed.

use std::net::IpAddr;

use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::{Answers, Fault, is_open};
use crate::seen::Unobserved;

/// Whether a probe has reached this address of a node: a port accepts its connection, or refuses it.
pub(super) fn reaches(answers: &Answers, ip: IpAddr) -> bool {
    let met = answers.reached.address(ip).any(|met| is_open(met) || *met == Err(Fault::Refused));
    let api = answers.api.iter().flat_map(|api| &api.instances);
    met || api.filter(|(at, _)| at.ip() == ip).any(|(_, got)| matches!(got, Ok(()) | Err(Fault::Refused)))
}

/// The path on which nothing comes back: the pods on these nodes, to this address.
pub(super) fn silent(reports: &ProbeReports, node: &str, ip: IpAddr) -> Unobserved {
    let tried = |answers: &Answers| answers.reached.address(ip).next().is_some();
    let from: Vec<&str> = reports
        .0
        .iter()
        .filter(|(_, report)| report.answers.as_ref().is_ok_and(tried))
        .map(|(from, _)| from.as_str())
        .collect();
    let cause = match &from[..] {
        [] => "no probe has tried it".to_owned(),
        from => format!("the pods on {} get no answer at any port that was tried", from.join(", ")),
    };
    Unobserved::unreachable(format!("{node} at {ip}"), cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::probe_reports::answers::{Endpoint, Got, Met, Reached};
    use crate::fact::facts::probe_reports::testing::reports;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 11));

    fn met(met: Got<Met>) -> Answers {
        Answers { reached: Reached::from_iter([(Endpoint::tcp((IP, 10255)), met)]), ..Answers::default() }
    }

    #[test]
    fn a_refusal_shows_that_packets_arrive_and_silence_does_not() {
        assert!(reaches(&met(Ok(Met::Open)), IP) && reaches(&met(Err(Fault::Refused)), IP));
        for fault in [Fault::TimedOut, Fault::NoRoute, Fault::Unanswered] {
            assert!(!reaches(&met(Err(fault)), IP));
        }
        assert!(!reaches(&met(Ok(Met::Open)), [10, 77, 0, 12].into()), "another address");
    }

    #[test]
    fn the_path_names_the_nodes_of_the_pods_that_tried() {
        let silence = || met(Err(Fault::TimedOut));
        let reports = reports([("n2", silence()), ("n3", silence()), ("n4", Answers::default())]);
        let why = silent(&reports, "n1", IP).to_string();
        assert_eq!(
            why,
            "n1 at 10.77.0.11 cannot be reached: the pods on n2, n3 get no answer at any port that was tried"
        );
        assert!(silent(&ProbeReports([].into()), "n1", IP).to_string().contains("no probe has tried it"));
    }
}
