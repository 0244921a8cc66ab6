//! # Full-size packets and fragments pass between all pods, and from pods to the API server
//!
//! ## Why
//! An overlay whose packets are larger than the underlying network allows passes small packets and drops full ones:
//! handshakes succeed, and then downloads, TLS certificates and database results hang. It is the classic fault of a pod
//! network on top of another tunnel (VPN, cloud overlay, nested clusters).
//!
//! ## Fix
//! Find the largest packet that passes between the nodes with the command that the finding names, subtract what the network
//! plugin's encapsulation adds (VXLAN 50 bytes, IP-in-IP 20, WireGuard 60 by IPv4), and set the plugin's MTU to it (Calico
//! `veth_mtu`, Cilium `mtu`, flannel follows the node's interface). Let ICMP "fragmentation needed" through every firewall
//! between the nodes.
//!
//! ## Source
//! RFC 2923, section 2.1; RFC 8900; <https://docs.tigera.io/calico/latest/networking/configuring/mtu>. Each probe sends its peers
//! 32 KiB by TCP and gets them back, a datagram that fills one packet of its interface, and one of 8000 bytes; and the API
//! server a request whose header takes eight packets. Only where small packets pass is anything judged here.

use std::collections::BTreeMap;

use super::paths::{Broken, Paths};
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::{ApiAnswer, LargeAnswer, PeerAnswer};
use crate::seen::Unobserved;

crate::check!("CN-05", "mtu", Major, judge);

/// What IP and ICMP add to a ping.
const PING_HEADERS: u32 = 28;

fn judge(reports: &ProbeReports, nodes: &Nodes) -> Verdict {
    let mut verdict = Verdict::new();
    let (mut full, mut fragments) = (Paths::default(), Paths::default());
    let mut mtu: BTreeMap<&str, u32> = BTreeMap::new();
    for (from, report) in &reports.0 {
        let Some(answers) = verdict.seen(|| Subject::node(from), &report.answers) else { continue };
        let own = answers.largest_packet();
        if let Err(why) = &own
            && answers.peers.values().any(|answer| answer.large.is_some())
        {
            verdict.unseen(Subject::node(from), why);
        }
        mtu.extend(own.as_ref().map(|own| (from.as_str(), *own)));
        for (pod, answer) in &answers.peers {
            let Some(to) = reports.node_of(pod) else { continue };
            match &answer.large {
                Some(large) => {
                    // Of packets whose size is not known, only a failure says something.
                    if own.is_ok() && large.datagram.is_some() {
                        verdict.confirm();
                    }
                    verdict.confirm();
                    full.take(from, to, full_packets(large));
                    fragments.take(from, to, fragments_only(large));
                }
                None if is_small_through(answer) => untried(&mut verdict, from, &format!("full packets to {to}")),
                None => {}
            }
        }
        if let Some(api) = &answers.api {
            judge_api(&mut verdict, from, api);
        }
    }
    tell_full(&mut verdict, full, nodes, &mtu);
    for broken in fragments.fold(nodes) {
        verdict.tell_counted(
            broken.subject(),
            Finding::new("a datagram of several fragments comes through", format!("for fragments, {}", broken.words()))
                .impact("large answers of DNS, and protocols that send large datagrams, fail between these nodes")
                .severity(Severity::Minor),
        );
    }
    verdict
}

fn is_small_through(answer: &PeerAnswer) -> bool {
    answer.tcp.is_ok() && answer.udp.is_ok()
}

fn untried(verdict: &mut Verdict, node: &str, what: &str) {
    let why = Unobserved::invalid(format!("the probe on {node}"), format!("it did not try {what}"));
    verdict.unseen(Subject::node(node), &why);
}

/// How full packets fail, if they do.
fn full_packets(large: &LargeAnswer) -> Option<String> {
    match (&large.tcp, &large.datagram) {
        (Err(fault), Some(Err(_))) => Some(format!("TCP and UDP: {fault}")),
        (Err(fault), Some(Ok(())) | None) => Some(format!("TCP: {fault}")),
        (Ok(()), Some(Err(fault))) => Some(format!("UDP: {fault}")),
        (Ok(()), Some(Ok(())) | None) => None,
    }
}

fn fragments_only(large: &LargeAnswer) -> Option<String> {
    let fault = large.fragments.as_ref().err().filter(|_| full_packets(large).is_none())?;
    Some(format!("UDP: {fault}"))
}

fn judge_api(verdict: &mut Verdict, node: &str, api: &ApiAnswer) {
    match (&api.version, &api.large) {
        (Ok(_), Some(large)) => {
            verdict.expect(Subject::node(node), large.is_ok(), || {
                let fault = large.as_ref().err().map(ToString::to_string).unwrap_or_default();
                Finding::new("the API answers a request of several full packets at its ClusterIP", fault)
                    .impact("pods can ask the API for something, and cannot send it anything large")
            });
        }
        (Ok(_), None) => untried(verdict, node, "a large request to the API"),
        // What small requests do is judged by SN-04.
        (Err(_), _) => {}
    }
}

fn tell_full(verdict: &mut Verdict, full: Paths, nodes: &Nodes, mtu: &BTreeMap<&str, u32>) {
    for broken in full.fold(nodes) {
        let own = mtu.get(broken.node.as_str()).copied();
        let sizes = own.map_or_else(String::new, |own| format!(" of {own} bytes"));
        let mut finding = Finding::new(
            format!("full packets{sizes} come through where small ones do"),
            format!("for full packets, {}", broken.words()),
        )
        .impact("connections are made and then hang as soon as much is sent");
        if let Some((own, address)) = own.zip(other_address(&broken, nodes)) {
            let payload = own.saturating_sub(PING_HEADERS);
            finding = finding.fix(format!(
                "on {}: `ping -M do -c 3 -s {payload} {address}`, with smaller sizes until it is answered; then lower the MTU of the pod network",
                broken.node
            ));
        }
        verdict.tell_counted(broken.subject(), finding);
    }
}

/// The address of another node, to try by hand.
fn other_address(broken: &Broken, nodes: &Nodes) -> Option<std::net::IpAddr> {
    let others = nodes.linux().filter(|(name, _)| **name != broken.node && broken.shape.names(name));
    others.flat_map(|(_, node)| node.internal_addresses()).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::probe_reports::answers::{Answers, Fault};
    use crate::fact::facts::probe_reports::testing::reports;

    fn address(node: u8) -> std::net::IpAddr {
        [10, 244, node, 9].into()
    }

    fn healthy() -> ProbeReports {
        let seen = |node: u8| {
            let peers = (0..3).filter(|peer| *peer != node).map(|peer| {
                let seen = PeerAnswer {
                    address: Ok(address(peer)),
                    by_address: false,
                    tcp: Ok(address(node)),
                    udp: Ok(address(node)),
                    large: Some(LargeAnswer { tcp: Ok(()), datagram: Some(Ok(())), fragments: Ok(()) }),
                    loss: None,
                };
                (format!("p{peer}"), seen)
            });
            let api = ApiAnswer {
                connected: 1,
                tried: 1,
                fault: None,
                serials: Vec::new(),
                names: BTreeMap::new(),
                version: Ok(200),
                large: Some(Ok(200)),
                latency: None,
                instances: [].into(),
            };
            let answers = Answers {
                peers: peers.collect(),
                mtu: Some(Ok([("eth0".to_owned(), 1500)].into())),
                api: Some(api),
                ..Answers::default()
            };
            (format!("n{node}"), answers)
        };
        reports((0..3).map(seen))
    }

    fn answers(reports: &mut ProbeReports, node: u8) -> &mut Answers {
        reports.0.get_mut(&format!("n{node}")).unwrap().answers.as_mut().unwrap()
    }

    fn judged(reports: &ProbeReports) -> Verdict {
        let node = |i: u8| {
            let addresses = vec![("InternalIP".into(), format!("10.77.0.{i}"))];
            (format!("n{i}"), Node { addresses, operating_system: "linux".into(), ..Node::default() })
        };
        judge(reports, &Nodes((0..3).map(node).collect()))
    }

    fn seen(reports: &ProbeReports) -> Vec<String> {
        judged(reports).findings(Severity::Major).into_iter().map(|finding| finding.seen).collect()
    }

    #[test]
    fn full_packets_everywhere_pass() {
        let verdict = judged(&healthy());
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (15, vec![]));
        assert!(verdict.saw_everything());
    }

    #[test]
    fn a_black_hole_is_told_by_its_path_with_a_command() {
        let mut reports = healthy();
        let large = &mut answers(&mut reports, 1).peers.get_mut("p2").unwrap().large;
        let lost = Err(Fault::TimedOut);
        *large = Some(LargeAnswer { tcp: lost.clone(), datagram: Some(lost.clone()), fragments: lost });
        assert_eq!(
            seen(&reports),
            ["for full packets, n1 does not reach n2, while the way back works (TCP and UDP: no answer)"]
        );
        let mend = judged(&reports).findings(Severity::Major).remove(0).fix;
        assert!(mend.starts_with("on n1: `ping -M do -c 3 -s 1472 10.77.0.2`"), "{mend}");
    }

    #[test]
    fn lost_fragments_alone_are_minor() {
        let mut reports = healthy();
        for peer in ["p0", "p1"] {
            let large = answers(&mut reports, 2).peers.get_mut(peer).unwrap().large.as_mut().unwrap();
            large.fragments = Err(Fault::TimedOut);
        }
        assert_eq!(seen(&reports), ["for fragments, n2 reaches none of n0, n1 (UDP: no answer)"]);
        assert_eq!(judged(&reports).findings(Severity::Major)[0].severity, Severity::Minor);
    }

    #[test]
    fn a_large_request_to_the_api_that_hangs_is_found() {
        let mut reports = healthy();
        answers(&mut reports, 0).api.as_mut().unwrap().large = Some(Err(Fault::TimedOut));
        assert_eq!(seen(&reports), ["no answer"]);
    }

    #[test]
    fn packets_whose_size_is_not_known_are_undecided() {
        for (mtu, datagram) in [(Some(Err(Fault::Other("no".into()))), None), (None, Some(Ok(())))] {
            let mut reports = healthy();
            answers(&mut reports, 1).mtu = mtu;
            answers(&mut reports, 1).peers.values_mut().for_each(|peer| {
                peer.large.as_mut().unwrap().datagram = datagram.clone();
            });
            let verdict = judged(&reports);
            assert_eq!((verdict.observations(), verdict.gaps().len()), (13, 1));
        }
    }

    #[test]
    fn what_was_not_tried_is_undecided_unless_small_packets_fail() {
        let mut reports = healthy();
        answers(&mut reports, 0).peers.get_mut("p1").unwrap().large = None;
        assert_eq!(judged(&reports).gaps().len(), 1);
        answers(&mut reports, 0).peers.get_mut("p1").unwrap().udp = Err(Fault::TimedOut);
        assert!(judged(&reports).saw_everything());
    }
}
