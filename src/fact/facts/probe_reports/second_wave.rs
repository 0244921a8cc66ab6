//! What probes are asked again once all of them serve: what failed because a name did not resolve, and what they could not
//! see of a probe that started late.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::{ProbeReport, ProbeReports};
use crate::milliseconds::milliseconds;
use crate::probe::answer::{Backends, DnsAnswer, Purpose, ServiceAnswer};
use crate::probe::batch::Batch;
use crate::probe::question::{DnsQuestion, Peer, RecordQuestion, ServiceQuestion};
use crate::probe::{Answers, Questions};

/// How long one answer may take: the first wave has taken its time.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a late probe may take to become known to all nodes.
const SETTLE: Duration = Duration::from_secs(8);
/// By when a probe answers.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// What the probe on a node is asked again, after these questions; none where there is no need.
pub(super) fn questions(node: &str, first: &Questions, reports: &ProbeReports) -> Option<Questions> {
    let report = reports.0.get(node)?;
    let answers = report.answers.as_ref().ok()?;
    let peers = nameless(&first.peers, answers, reports);
    let service = unmet(node, first.service.as_ref(), answers, reports);
    let dns = unlisted(first.dns.as_ref(), answers, reports);
    if peers.is_empty() && service.is_none() && dns.is_none() {
        return None;
    }
    let batch = Batch {
        node_addresses: first.batch.node_addresses.clone(),
        settle_ms: milliseconds(SETTLE),
        ..Batch::of(first.batch.run.clone(), ANSWER, DEADLINE)
    };
    Some(Questions { dns, peers, service, ..Questions::none(batch) })
}

/// The peers whose names failed, by their addresses: a broken DNS must not hide a working network.
fn nameless(peers: &[Peer], answers: &Answers, reports: &ProbeReports) -> Vec<Peer> {
    let address = |pod: &str| reports.0.values().find(|report| report.pod == pod)?.address;
    peers
        .iter()
        .filter(|peer| answers.peers.get(&peer.pod).is_some_and(|answer| answer.address.is_err()))
        .filter_map(|peer| Some(Peer { address: Some(address(&peer.pod)?), ..peer.clone() }))
        .collect()
}

/// The Services, where a late probe is missing among their backends. One that was not late is not asked for again: a node
/// that learned of it this slowly has a fault.
fn unmet(
    node: &str,
    asked: Option<&ServiceQuestion>,
    answers: &Answers,
    reports: &ProbeReports,
) -> Option<ServiceQuestion> {
    let (asked, answer) = (asked.filter(|asked| asked.backends > 0)?, answers.service.as_ref()?);
    let late = late(node, reports);
    let is_missing = |pod: &&str| ways(answer).any(|way| !way.answered.contains_key(*pod));
    late.iter().any(is_missing).then(|| ServiceQuestion { other_nodes: Vec::new(), ..asked.clone() })
}

/// The probes that began to serve when the one on this node had nearly ended.
fn late<'a>(node: &str, reports: &'a ProbeReports) -> BTreeSet<&'a str> {
    let answered = reports.0.values().filter(|report| report.answers.is_ok()).map(|report| report.pod.as_str());
    answered.filter(|pod| reports.came_too_late(pod, node)).collect()
}

fn ways(answer: &ServiceAnswer) -> impl Iterator<Item = &Backends> {
    [&answer.tcp, &answer.udp].into_iter().chain(&answer.node_port)
}

/// The common name of the probes, at the servers whose answer lacks one. A server that has it a few seconds later follows
/// the specification.
fn unlisted(asked: Option<&DnsQuestion>, answers: &Answers, reports: &ProbeReports) -> Option<DnsQuestion> {
    let asked = asked?;
    let record = asked.records.iter().find(|question| question.record.purpose == Purpose::Probes)?;
    let probes: BTreeSet<IpAddr> = reports.0.values().filter_map(|report: &ProbeReport| report.address).collect();
    let lacks_one = |answer: &DnsAnswer| {
        let got = answer.record(Purpose::Probes).and_then(|answer| answer.got.as_ref().ok());
        got.is_some_and(|got| !probes.is_subset(&got.addresses().collect()))
    };
    let servers: Vec<_> =
        answers.dns.iter().filter(|(_, answer)| lacks_one(answer)).map(|(server, _)| *server).collect();
    let records = vec![RecordQuestion { awaited: Some(probes.len()), ..record.clone() }];
    (!servers.is_empty()).then(|| DnsQuestion { servers, udp: 1, tcp: 0, records, ..asked.clone() })
}

/// Adds what the probe on a node answered the second time, from this address, by this time since the first wave began.
pub(super) fn add(reports: &mut ProbeReports, node: &str, address: Option<IpAddr>, again: Answers, at_ms: u64) {
    let late: BTreeSet<String> = late(node, reports).into_iter().map(str::to_owned).collect();
    let Some(report) = reports.0.get_mut(node) else { return };
    let Ok(answers) = &mut report.answers else { return };
    if !again.peers.is_empty() {
        answers.peers.extend(again.peers);
        report.address_again = address;
    }
    if let (Some(first), Some(again)) = (&mut answers.service, &again.service) {
        meet(&mut first.tcp, &again.tcp, &late);
        meet(&mut first.udp, &again.udp, &late);
        if let (Some(first), Some(again)) = (&mut first.node_port, &again.node_port) {
            meet(first, again, &late);
        }
        if let Some(times) = &mut report.times {
            times.answered_ms = at_ms;
        }
    }
    for (server, again) in &again.dns {
        let Some(again) = again.record(Purpose::Probes).filter(|again| again.got.is_ok()) else { continue };
        let records = answers.dns.get_mut(server).into_iter().flat_map(|answer| &mut answer.records);
        for first in records.filter(|first| first.asked == again.asked) {
            first.got.clone_from(&again.got);
        }
    }
}

/// Adds the late backends, and no others: what did not answer in time the first time did not answer.
fn meet(first: &mut Backends, again: &Backends, late: &BTreeSet<String>) {
    if first.answered.is_empty() {
        return;
    }
    for (pod, times) in again.answered.iter().filter(|(pod, _)| late.contains(*pod)) {
        *first.answered.entry(pod.clone()).or_default() += times;
        first.asked += times;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::probe_reports::testing::reports;
    use crate::probe::answer::{Kind, Lookups, PeerAnswer, Record, RecordAnswer, Records};
    use crate::probe::collect::Times;
    use crate::probe::fault::Fault;

    const SERVER: ([u8; 4], u16) = ([10, 96, 0, 10], 53);

    fn met(pods: &[&str]) -> Backends {
        let answered = pods.iter().map(|pod| ((*pod).to_owned(), 3)).collect();
        Backends { asked: 9, answered, fault: None, first_ms: Some(80) }
    }

    fn service(pods: &[&str]) -> ServiceAnswer {
        ServiceAnswer {
            tcp: met(pods),
            udp: met(pods),
            affinity: met(&pods[..1]),
            node_port: Some(met(pods)),
            other_family: None,
            other_nodes: [].into(),
        }
    }

    fn listed(addresses: &[&str]) -> DnsAnswer {
        let data = addresses.iter().map(|address| format!("a {address}")).collect();
        let got = Ok(Records { code: "NOERROR".into(), data, truncated: false });
        DnsAnswer {
            udp: Lookups::default(),
            tcp: Lookups::default(),
            records: vec![RecordAnswer { asked: name(), got }],
        }
    }

    fn name() -> Record {
        Record { purpose: Purpose::Probes, kind: Kind::A, name: "s.ns.svc.cluster.local.".into() }
    }

    fn asked() -> Questions {
        let peer = |pod: &str| Peer { pod: pod.into(), host: format!("{pod}.x."), address: None };
        let ip = IpAddr::from([10, 96, 7, 1]);
        Questions {
            peers: vec![peer("p2")],
            service: Some(ServiceQuestion {
                cluster_ip: ip,
                node_port: None,
                old: None,
                affinity_ip: ip,
                other_family_ip: None,
                backends: 2,
                other_nodes: vec![[10, 77, 0, 12].into()],
            }),
            dns: Some(DnsQuestion {
                servers: vec![SERVER.into()],
                name: "kubernetes.default.svc.cluster.local.".into(),
                ipv6: false,
                udp: 20,
                tcp: 5,
                records: vec![RecordQuestion { record: name(), awaited: Some(2) }],
            }),
            resolver: true,
            ..Questions::none(Batch::of("x7f4k".parse().unwrap(), Duration::from_secs(4), Duration::from_secs(18)))
        }
    }

    /// What the probe on n1 saw of both; that on n2 served at this time, and n1 had ended after 9.8 s.
    fn seen(backends: &[&str], addresses: &[&str], served_ms: u64) -> ProbeReports {
        let found = PeerAnswer {
            address: Ok([10, 244, 2, 9].into()),
            by_address: false,
            tcp: Ok([10, 244, 1, 9].into()),
            udp: Ok([10, 244, 1, 9].into()),
            large: None,
            loss: None,
        };
        let answers = Answers {
            service: Some(service(backends)),
            dns: [(SERVER.into(), listed(addresses))].into(),
            peers: [("p2".to_owned(), found)].into(),
            ..Answers::default()
        };
        let mut reports = reports([("n1", answers), ("n2", Answers::default())]);
        let at = |served_ms, answered_ms| Some(Times { served_ms, answered_ms });
        for (node, address, times) in [("n1", 1, at(900, 9_800)), ("n2", 2, at(served_ms, served_ms + 4000))] {
            let report = reports.0.get_mut(node).unwrap();
            (report.address, report.times) = (Some([10, 244, address, 9].into()), times);
        }
        reports
    }

    const BOTH: [&str; 2] = ["10.244.1.9", "10.244.2.9"];

    #[test]
    fn where_all_was_found_nothing_is_asked_again() {
        assert!(questions("n1", &asked(), &seen(&["p1", "p2"], &BOTH, 15_000)).is_none());
        assert!(questions("n2", &asked(), &seen(&["p1", "p2"], &BOTH, 900)).is_none());
    }

    #[test]
    fn a_late_backend_is_asked_for_again_and_met_and_one_that_was_not_late_is_not() {
        assert!(questions("n1", &asked(), &seen(&["p1"], &BOTH, 900)).is_none(), "it had its time");
        let mut reports = seen(&["p1"], &BOTH, 15_000);
        let again = questions("n1", &asked(), &reports).unwrap();
        assert_eq!((again.service.unwrap().other_nodes.len(), again.dns, again.resolver), (0, None, false));
        assert!(reports.came_too_late("p2", "n1"));
        let answers = Answers { service: Some(service(&["p1", "p2", "p3"])), ..Answers::default() };
        add(&mut reports, "n1", None, answers, 24_000);
        let answers = reports.0["n1"].answers.as_ref().unwrap();
        let service = answers.service.as_ref().unwrap();
        for way in ways(service) {
            assert_eq!(way.answered, [("p1".to_owned(), 3), ("p2".to_owned(), 3)].into());
        }
        assert!(!reports.came_too_late("p2", "n1"), "what is missing now was looked for");
    }

    #[test]
    fn a_service_that_never_answered_stays_so() {
        let mut reports = seen(&["p1"], &BOTH, 15_000);
        let silent = Backends { asked: 40, fault: Some(Fault::TimedOut), ..Backends::default() };
        let first = reports.0.get_mut("n1").unwrap().answers.as_mut().unwrap();
        first.service.as_mut().unwrap().udp = silent.clone();
        let answers = Answers { service: Some(service(&["p1", "p2"])), ..Answers::default() };
        add(&mut reports, "n1", None, answers, 24_000);
        assert_eq!(reports.0["n1"].answers.as_ref().unwrap().service.as_ref().unwrap().udp, silent);
    }

    #[test]
    fn a_server_that_lacks_an_address_is_asked_again_and_its_last_answer_counts() {
        let mut reports = seen(&["p1", "p2"], &BOTH[..1], 900);
        let again = questions("n1", &asked(), &reports).unwrap();
        let dns = again.dns.unwrap();
        assert_eq!((dns.servers, dns.udp, dns.tcp, dns.records.len()), (vec![SERVER.into()], 1, 0, 1));
        let record = |reports: &ProbeReports| {
            let answers = reports.0["n1"].answers.as_ref().unwrap();
            answers.dns[&SERVER.into()].record(Purpose::Probes).unwrap().got.as_ref().unwrap().data.len()
        };
        let mut lost = listed(&[]);
        lost.records[0].got = Err(Fault::TimedOut);
        for (answer, then) in [(lost, 1), (listed(&BOTH), 2)] {
            let answers = Answers { dns: [(SERVER.into(), answer)].into(), ..Answers::default() };
            add(&mut reports, "n1", None, answers, 24_000);
            assert_eq!(record(&reports), then);
        }
    }

    #[test]
    fn a_peer_without_a_name_is_asked_by_its_address() {
        let mut reports = seen(&["p1", "p2"], &BOTH, 900);
        let peers = &mut reports.0.get_mut("n1").unwrap().answers.as_mut().unwrap().peers;
        peers.get_mut("p2").unwrap().address = Err(Fault::Unresolved("NXDOMAIN".into()));
        let again = questions("n1", &asked(), &reports).unwrap();
        assert_eq!(again.peers[0].address, Some([10, 244, 2, 9].into()));
        assert!(again.service.is_none() && again.dns.is_none());
    }
}
