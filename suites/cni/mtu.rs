//! # Full-size packets and fragments pass between all pods, and from pods to the API server
//!
//! ## Why
//! An overlay whose packets are larger than the underlying network allows passes small packets and drops full ones:
//! handshakes succeed, and then downloads, TLS certificates and database results hang. It is the classic fault of a pod
//! network on top of another tunnel (VPN, cloud overlay, nested clusters).
//!
//! ## Fix
//! Find the largest packet that passes between the nodes with the command in the finding, subtract what the network
//! plugin's encapsulation adds (VXLAN 50 bytes, IP-in-IP 20, WireGuard 60, all over IPv4), and set the plugin's MTU
//! to the result (Calico `veth_mtu`, Cilium `mtu`; flannel follows the node's interface). Let ICMP "fragmentation
//! needed" pass through every firewall between the nodes.
//!
//! ## Source
//! RFC 2923, section 2.1; RFC 8900; <https://docs.tigera.io/calico/latest/networking/configuring/mtu>. Each probe
//! sends its peers 32 KiB by TCP and gets them back, a datagram that fills one packet of its interface, and one of
//! 8000 bytes; and the API server a request whose header takes eight packets. Only paths on which small packets pass
//! are judged here.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::helpers::paths::{Paths, failed};
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::{ApiAnswer, LargeAnswer};
use crate::seen::Unobserved;

crate::check!("CN-05", "mtu", Major, judge, builds_on: ["CN-04"]);

/// What IP and ICMP add to a ping, by family.
const PING_HEADERS: (u32, u32) = (28, 48);

fn judge(reports: &ProbeReports, nodes: &Nodes) -> Verdict {
    let mut verdict = Verdict::new();
    let (mut full, mut fragments) = (Paths::default(), Paths::default());
    let mut sizes: BTreeMap<&str, u32> = BTreeMap::new();
    for (from, report) in &reports.0 {
        let Some(answers) = verdict.seen(|| Subject::node(from), &report.answers) else { continue };
        let size = answers.largest_packet();
        match &size {
            Ok(size) => sizes.extend([(from.as_str(), *size)]),
            Err(why) if answers.peers.values().any(|answer| answer.large.is_some()) => {
                verdict.unseen(Subject::node(from), why);
            }
            Err(_) => {}
        }
        for (pod, answer) in &answers.peers {
            let Some(to) = reports.node_of(pod) else { continue };
            let path = (from.as_str(), to);
            match &answer.large {
                Some(large) => judge_path(&mut verdict, (&mut full, &mut fragments), path, large, size.is_ok()),
                None if answer.tcp.is_ok() && answer.udp.is_ok() => {
                    untried(&mut verdict, from, &format!("full packets to {to}"));
                }
                None => {}
            }
        }
        if let Some(api) = &answers.api {
            judge_api(&mut verdict, (from, size.ok()), api, nodes);
        }
    }
    full.find(&mut verdict, nodes, |place, broken| {
        let (from, to) = broken.example();
        let address = nodes.0.get(to).and_then(|node| node.internal_addresses().next());
        Finding::new("full packets pass where small ones do", format!("full packets do not get through {place}"))
            .impact(
                "connections open and then hang at the first large transfer: downloads, TLS handshakes, query \
                 results",
            )
            .fix(format!("on {from}: {}", lower_mtu(sizes.get(from).copied(), (to, address))))
    });
    fragments.find(&mut verdict, nodes, |place, broken| {
        let (from, to) = broken.example();
        Finding::new(
            "fragmented UDP datagrams get through",
            format!("fragmented datagrams do not get through {place}"),
        )
        .impact("large DNS answers and other large datagrams are lost between these nodes")
        .fix(format!(
            "find what drops fragments, for example from {from} to {to}: nft list ruleset and iptables-save on both, \
             then the firewalls and security groups between them; let fragments pass there"
        ))
        .severity(Severity::Minor)
    });
    verdict
}

fn untried(verdict: &mut Verdict, node: &str, what: &str) {
    verdict.unseen(Subject::node(node), &Unobserved::invalid("the probe there", format!("it did not try {what}")));
}

fn judge_path(
    verdict: &mut Verdict,
    (full, fragments): (&mut Paths, &mut Paths),
    path: (&str, &str),
    large: &LargeAnswer,
    size_is_known: bool,
) {
    full.take(verdict, path, failed("TCP", &large.tcp));
    // A datagram of unknown size proves something only when it is lost.
    let datagram = large.datagram.as_ref().filter(|sent| size_is_known || sent.is_err());
    if let Some(sent) = datagram {
        full.take(verdict, path, failed("UDP", sent));
    }
    if large.tcp.is_ok() && datagram.is_none_or(Result::is_ok) {
        fragments.take(verdict, path, failed("UDP", &large.fragments));
    }
}

fn judge_api(verdict: &mut Verdict, (node, size): (&str, Option<u32>), api: &ApiAnswer, nodes: &Nodes) {
    match (&api.version, &api.large) {
        (Ok(_), Some(Err(fault))) => verdict.find(
            Subject::node(node),
            Finding::new(
                "the API server answers a request of several full packets at its ClusterIP",
                format!("such a request from a pod fails: {fault}"),
            )
            .impact("pods can send small requests to the API server, and large ones hang")
            .fix(format!("on these nodes: {}", lower_mtu(size, a_control_plane_node(nodes)))),
        ),
        (Ok(_), Some(Ok(_))) => verdict.confirm(),
        (Ok(_), None) => untried(verdict, node, "a large request to the API server"),
        // SN-04 judges small requests.
        (Err(_), _) => {}
    }
}

fn a_control_plane_node(nodes: &Nodes) -> (&str, Option<IpAddr>) {
    let mut all = nodes.control_plane().map(|(name, node)| (name.as_str(), node.internal_addresses().next()));
    all.next().unwrap_or(("the API server", None))
}

/// How to find the size that passes, and what to do with it.
fn lower_mtu(size: Option<u32>, (to, address): (&str, Option<IpAddr>)) -> String {
    let headers = if address.is_some_and(|address| address.is_ipv6()) { PING_HEADERS.1 } else { PING_HEADERS.0 };
    let payload = size.map_or_else(|| "SIZE".to_owned(), |size| size.saturating_sub(headers).to_string());
    let address = address.map_or_else(|| "ADDRESS".to_owned(), |address| address.to_string());
    format!(
        "ping -M do -c 3 -s {payload} {address} (with VXLAN 50 more, IP-in-IP 20, WireGuard 60), with smaller sizes \
         until {to} answers; then lower the MTU of the pod network by the difference (`seaworthy explain CN-05`)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{in_full, seen_of};
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::probe_reports::answers::{Answers, Fault, PeerAnswer};
    use crate::fact::facts::probe_reports::testing::reports;

    fn address(node: u8) -> IpAddr {
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
        seen_of(&judged(reports))
    }

    #[test]
    fn full_packets_everywhere_pass() {
        let verdict = judged(&healthy());
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (21, vec![]));
        assert!(verdict.saw_everything());
    }

    #[test]
    fn a_black_hole_is_found_by_its_path_with_a_command() {
        let mut reports = healthy();
        let large = &mut answers(&mut reports, 1).peers.get_mut("p2").unwrap().large;
        let lost = Err(Fault::TimedOut);
        *large = Some(LargeAnswer { tcp: lost.clone(), datagram: Some(lost.clone()), fragments: lost });
        let finding = judged(&reports).findings(Severity::Major).remove(0);
        assert_eq!(
            seen(&reports),
            ["Node n1: full packets do not get through from pods there to pods on some other nodes, while the way \
                 back works"]
        );
        assert_eq!(finding.evidence, ["n1 to n2 by TCP: no answer", "n1 to n2 by UDP: no answer"]);
        assert!(finding.fix.starts_with("on n1: ping -M do -c 3 -s 1472 10.77.0.2 ("), "{}", finding.fix);
    }

    #[test]
    fn lost_fragments_alone_are_minor() {
        let mut reports = healthy();
        for peer in ["p0", "p1"] {
            let large = answers(&mut reports, 2).peers.get_mut(peer).unwrap().large.as_mut().unwrap();
            large.fragments = Err(Fault::TimedOut);
        }
        assert_eq!(
            in_full(&judged(&reports)),
            ["minor Node n2: fragmented datagrams do not get through from pods there to pods on other nodes, \
                 while the way back works"]
        );
    }

    #[test]
    fn a_large_request_to_the_api_server_that_hangs_is_found() {
        let mut reports = healthy();
        answers(&mut reports, 0).api.as_mut().unwrap().large = Some(Err(Fault::TimedOut));
        assert_eq!(seen(&reports), ["Node n0: such a request from a pod fails: no answer"]);
    }

    #[test]
    fn packets_of_unknown_size_are_not_checked() {
        for (mtu, datagram) in [(Some(Err(Fault::Other("no".into()))), None), (None, Some(Ok(())))] {
            let mut reports = healthy();
            answers(&mut reports, 1).mtu = mtu;
            answers(&mut reports, 1).peers.values_mut().for_each(|peer| {
                peer.large.as_mut().unwrap().datagram = datagram.clone();
            });
            let verdict = judged(&reports);
            assert_eq!((verdict.observations(), verdict.gaps().len()), (19, 1));
        }
    }

    #[test]
    fn untried_packets_are_a_gap_unless_small_ones_fail() {
        let mut reports = healthy();
        answers(&mut reports, 0).peers.get_mut("p1").unwrap().large = None;
        assert_eq!(judged(&reports).gaps().len(), 1);
        answers(&mut reports, 0).peers.get_mut("p1").unwrap().udp = Err(Fault::TimedOut);
        assert!(judged(&reports).saw_everything());
    }
}
