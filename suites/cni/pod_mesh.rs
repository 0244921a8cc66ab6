//! # Every pod reaches every other pod by TCP and UDP, without address translation
//!
//! ## Why
//! Kubernetes promises that pods reach each other on all nodes without address translation. A one-way firewall, a
//! missing route or a masquerade rule inside the cluster breaks applications in ways that look like their own faults.
//!
//! ## Fix
//! Check the routes and the packet filters of the nodes that the finding names (`ip route`, `nft list ruleset`,
//! `iptables-save`), the network plugin's pod on them, and the security groups and firewalls between them.
//!
//! ## Source
//! <https://kubernetes.io/docs/concepts/cluster-administration/networking/>; kubernetes/kubernetes
//! `test/e2e/network/networking.go`. A probe on each node sends requests to those on others (all of them up to 16
//! nodes, ten beyond); a reply names the run, the pod that answers, and the address that the request came from. Forty
//! datagrams to each peer, and 160 more if one of them is lost, distinguish loss from chance.

use std::net::IpAddr;

use super::helpers::paths::{Paths, failed};
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::PeerAnswer;
use crate::seen::Unobserved;

crate::check!(
    "CN-04",
    "pod-mesh",
    Critical,
    judge,
    builds_on: ["CN-01", "CN-02", "CN-03", "KL-01", "KL-12"],
    blocked_by: ["KL-16"]
);

/// From this share on, loss is not chance, in percent.
const LOSS_PERCENT: u32 = 2;

fn judge(reports: &ProbeReports, nodes: &Nodes) -> Verdict {
    if reports.0.len() < 2 {
        return Verdict::not_applicable("the cluster has one Linux node, so pods have no other node to reach");
    }
    let mut verdict = Verdict::new();
    let (mut reached, mut lossy) = (Paths::default(), Paths::default());
    for (from, report) in &reports.0 {
        let Some(answers) = verdict.seen(|| Subject::node(from), &report.answers) else { continue };
        for (pod, answer) in &answers.peers {
            let Some(to) = reports.node_of(pod) else { continue };
            if answer.address.is_err() {
                judge_unknown(&mut verdict, reports, to);
            } else if let Err(why) = answer.seen() {
                verdict.unseen(Subject::node(from), &why);
            } else {
                let path = (from.as_str(), to);
                reached.take(&mut verdict, path, failed("TCP", &answer.tcp));
                reached.take(&mut verdict, path, failed("UDP", &answer.udp));
                if let Some(loss) = answer.loss {
                    let much = loss.lost > 1 && loss.lost * 100 >= loss.sent * LOSS_PERCENT;
                    let how = || format!("lost {} of {} datagrams", loss.lost, loss.sent);
                    lossy.take(&mut verdict, path, much.then(how));
                }
                judge_address(&mut verdict, path, report.asked_from(answer), answer);
            }
        }
    }
    reached.find(&mut verdict, nodes, |place, broken| {
        let (from, to) = broken.example();
        Finding::new("pods on all nodes reach each other by TCP and UDP", format!("requests fail {place}"))
            .impact("applications on these nodes cannot talk to each other")
            .fix(format!(
                "start with one path: on {from} and {to}, compare ip route, nft list ruleset and iptables-save with \
                 a node that works, and read the log of the network plugin's pod (kubectl get pods -A -o wide \
                 --field-selector spec.nodeName={to}); then check the firewalls and security groups between the two"
            ))
    });
    lossy.find(&mut verdict, nodes, |place, broken| {
        let (from, to) = broken.example();
        Finding::new(
            format!("fewer than {LOSS_PERCENT} % of datagrams between nodes are lost"),
            format!("{LOSS_PERCENT} % or more of datagrams or their replies are lost {}", place.ends),
        )
        .impact("connections are slow and stall at times, and some DNS lookups take seconds")
        .fix(format!(
            "start with one path: on {from} and {to}, look for errors and drops on the interfaces (ip -s link) and \
             in the queues (tc -s qdisc), then at the switch ports and cables"
        ))
        .severity(Severity::Major)
    });
    verdict
}

/// A peer whose name and address stayed unknown is not checked, nor is one that reports nothing.
fn judge_unknown(verdict: &mut Verdict, reports: &ProbeReports, node: &str) {
    if reports.0.get(node).is_some_and(|report| report.answers.is_ok()) {
        let why = Unobserved::unreachable("the probe there", "neither its name nor its address became known");
        verdict.unseen(Subject::node(node), &why);
    }
}

/// Peers see a pod by its own address.
fn judge_address(verdict: &mut Verdict, (from, to): (&str, &str), own: Option<IpAddr>, answer: &PeerAnswer) {
    let Some(own) = own else { return };
    for seen in [&answer.tcp, &answer.udp].into_iter().flatten() {
        verdict.expect(Subject::node(from), *seen == own, || {
            Finding::new(
                "requests arrive at pods on other nodes from the pod's own address",
                "requests of pods there arrive from another address",
            )
            .evidence([format!("requests of {own} on {from} arrive on {to} from {seen}")])
            .impact("network policies, logs and allow-lists that use pod addresses see the wrong source address")
            .fix(
                "on these nodes, find the masquerade rule (iptables -t nat -S POSTROUTING; nft list ruleset) and \
                 exempt the pod network from it",
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::seen_of;
    use crate::fact::facts::probe_reports::answers::{Answers, Fault, Loss};
    use crate::fact::facts::probe_reports::{ProbeReport, testing};

    fn address(node: usize) -> IpAddr {
        [10, 244, u8::try_from(node).unwrap(), 9].into()
    }

    /// A healthy mesh of this many nodes, `n0` and so on.
    fn healthy(count: usize) -> ProbeReports {
        let seen = |node: usize| {
            let peers = (0..count).filter(|peer| *peer != node).map(|peer| {
                let seen = PeerAnswer {
                    address: Ok(address(peer)),
                    by_address: false,
                    tcp: Ok(address(node)),
                    udp: Ok(address(node)),
                    large: None,
                    loss: None,
                };
                (format!("p{peer}"), seen)
            });
            let answers = Answers { peers: peers.collect(), ..Answers::default() };
            let report = testing::report(&format!("p{node}"), Ok(answers));
            (format!("n{node}"), ProbeReport { address: Some(address(node)), ..report })
        };
        ProbeReports((0..count).map(seen).collect())
    }

    fn path(reports: &mut ProbeReports, from: usize, to: usize) -> &mut PeerAnswer {
        let report = reports.0.get_mut(&format!("n{from}")).unwrap();
        report.answers.as_mut().unwrap().peers.get_mut(&format!("p{to}")).unwrap()
    }

    fn seen(reports: &ProbeReports) -> Vec<String> {
        seen_of(&judge(reports, &Nodes::default()))
    }

    #[test]
    fn a_whole_mesh_passes_on_every_path_by_both_protocols() {
        let verdict = judge(&healthy(3), &Nodes::default());
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical).len()), (24, 0));
    }

    #[test]
    fn one_node_has_no_other_to_reach() {
        assert!(judge(&healthy(1), &Nodes::default()).reason().is_some());
    }

    #[test]
    fn a_node_that_receives_nothing_is_one_finding() {
        let mut reports = healthy(4);
        for from in 0..3 {
            let path = path(&mut reports, from, 3);
            (path.tcp, path.udp) = (Err(Fault::TimedOut), Err(Fault::TimedOut));
        }
        let verdict = judge(&reports, &Nodes::default());
        assert_eq!(
            seen_of(&verdict),
            ["Node n3: requests fail from pods on other nodes to pods there, while the way back works"]
        );
        let finding = verdict.findings(Severity::Critical).remove(0);
        assert_eq!(finding.evidence.len(), 6);
        assert!(finding.fix.starts_with("start with one path: on n0 and n3,"), "{}", finding.fix);
    }

    #[test]
    fn a_single_path_is_found_with_its_direction_and_protocol() {
        let mut reports = healthy(3);
        path(&mut reports, 1, 2).udp = Err(Fault::TimedOut);
        let findings = judge(&reports, &Nodes::default()).findings(Severity::Critical);
        assert_eq!(
            findings[0].seen,
            "requests fail from pods there to pods on some other nodes, while the way back works"
        );
        assert_eq!((findings.len(), &findings[0].evidence[..]), (1, &["n1 to n2 by UDP: no answer".to_owned()][..]));
    }

    #[test]
    fn much_loss_is_a_finding_and_one_lost_datagram_is_not() {
        let mut reports = healthy(3);
        path(&mut reports, 1, 2).loss = Some(Loss { sent: 200, lost: 1 });
        assert!(seen(&reports).is_empty());
        for (from, to) in [(0, 2), (1, 2), (2, 0), (2, 1)] {
            path(&mut reports, from, to).loss = Some(Loss { sent: 200, lost: 11 });
        }
        path(&mut reports, 0, 1).loss = Some(Loss { sent: 40, lost: 0 });
        path(&mut reports, 1, 0).loss = Some(Loss { sent: 40, lost: 0 });
        assert_eq!(
            seen(&reports),
            ["Node n2: 2 % or more of datagrams or their replies are lost between pods there and pods on other nodes"]
        );
    }

    #[test]
    fn a_pod_that_is_seen_by_another_address_is_a_finding() {
        let mut reports = healthy(3);
        for to in [0, 2] {
            path(&mut reports, 1, to).tcp = Ok([10, 77, 0, 12].into());
        }
        let findings = judge(&reports, &Nodes::default()).findings(Severity::Critical);
        assert_eq!(
            findings[0].evidence,
            [0, 2].map(|to| format!("requests of 10.244.1.9 on n1 arrive on n{to} from 10.77.0.12"))
        );
        assert_eq!(seen(&reports), ["Node n1: requests of pods there arrive from another address"]);
    }

    #[test]
    fn a_node_without_answers_is_not_checked() {
        let mut reports = healthy(3);
        reports.0.get_mut("n2").unwrap().answers =
            Err(Unobserved::unreachable("the kubelet", "it did not start the probe"));
        let verdict = judge(&reports, &Nodes::default());
        assert_eq!(verdict.gaps().len(), 1);
    }
}
