//! # Every pod reaches every other pod by TCP and UDP, without address translation
//!
//! ## Why
//! Kubernetes promises that pods reach each other on all nodes without address translation. A one-way firewall, a
//! missing route or a masquerade rule inside the cluster breaks applications in ways that look like their own faults.
//!
//! ## Fix
//! Look at the routes and the packet filter of the node that is named (`ip route`, `nft list ruleset`, `iptables-save`),
//! at the network plugin's pod on it, and at what filters between the nodes (security groups, host firewalls).
//!
//! ## Source
//! <https://kubernetes.io/docs/concepts/cluster-administration/networking/>; kubernetes/kubernetes
//! `test/e2e/network/networking.go`. A probe on each node greets those on others (all of them up to 16 nodes, ten beyond);
//! a reply names the run and the pod that answers, and the address that it sees. Forty datagrams to each peer, and 160 more
//! where one of them is lost, tell loss from chance.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::paths::{Broken, Paths, Shape};
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::probe_reports::answers::{Got, PeerAnswer};
use crate::fact::facts::probe_reports::{ProbeReport, ProbeReports};

crate::check!("CN-04", "pod-mesh", Critical, judge);

/// How much loss is no chance: so many of so many.
const LOSS: (u32, u32) = (1, 50);

fn judge(reports: &ProbeReports, nodes: &Nodes) -> Verdict {
    if reports.0.len() < 2 {
        return Verdict::not_applicable("there is one Linux node: no pod on another node to reach");
    }
    let mut verdict = Verdict::new();
    let mut mesh = Mesh::default();
    let mut unknown = BTreeSet::new();
    for (from, report) in &reports.0 {
        let Some(answers) = verdict.seen(|| Subject::node(from), &report.answers) else { continue };
        for (pod, answer) in &answers.peers {
            match reports.node_of(pod) {
                Some(to) if answer.address.is_ok() => match answer.seen() {
                    Ok(answer) => mesh.take(&mut verdict, (from, report), to, answer),
                    Err(why) => verdict.unseen(Subject::node(from), &why),
                },
                Some(to) => drop(unknown.insert(to.to_owned())),
                None => {}
            }
        }
    }
    // A peer that never got an address has its own undecided entry when it did not answer at all.
    for node in unknown.iter().filter(|node| reports.0.get(*node).is_some_and(|report| report.answers.is_ok())) {
        let why = crate::seen::Unobserved::unreachable(
            format!("the probe on {node}"),
            "neither its name nor its address became known",
        );
        verdict.unseen(Subject::node(node), &why);
    }
    mesh.tell(&mut verdict, nodes);
    verdict
}

/// The paths between nodes, as far as they were tried, and who is seen by another address.
#[derive(Default)]
struct Mesh {
    paths: Paths,
    lossy: Paths,
    translated: BTreeMap<String, (IpAddr, IpAddr, BTreeSet<String>)>,
}

/// How a path is broken, by protocol.
fn broken(answer: &PeerAnswer) -> Option<String> {
    let (protocols, fault) = match (&answer.tcp, &answer.udp) {
        (Err(fault), Err(_)) => ("TCP and UDP", fault),
        (Err(fault), Ok(_)) => ("TCP", fault),
        (Ok(_), Err(fault)) => ("UDP", fault),
        (Ok(_), Ok(_)) => return None,
    };
    Some(format!("{protocols}: {fault}"))
}

impl Mesh {
    fn take(&mut self, verdict: &mut Verdict, (from, report): (&str, &ProbeReport), to: &str, answer: &PeerAnswer) {
        verdict.confirm();
        verdict.confirm();
        self.paths.take(from, to, broken(answer));
        if let Some(loss) = answer.loss {
            verdict.confirm();
            let much = loss.lost > 1 && loss.lost * LOSS.1 >= loss.sent * LOSS.0;
            self.lossy.take(from, to, much.then(|| format!("{} of {} datagrams", loss.lost, loss.sent)));
        }
        let Some(own) = report.asked_from(answer) else { return };
        let seen_as = |got: &Got<IpAddr>| got.as_ref().ok().copied().filter(|seen| own != *seen);
        if let Some(seen) = seen_as(&answer.tcp).or_else(|| seen_as(&answer.udp)) {
            self.translated.entry(from.to_owned()).or_insert((own, seen, BTreeSet::new())).2.insert(to.to_owned());
        }
    }

    /// One broken node is one finding that names it; what is left are single paths.
    fn tell(self, verdict: &mut Verdict, nodes: &Nodes) {
        for broken in self.paths.fold(nodes) {
            verdict.tell_counted(
                broken.subject(),
                Finding::new("pods on all nodes reach each other", broken.words())
                    .impact("applications on these nodes cannot talk to each other"),
            );
        }
        for lossy in self.lossy.fold(nodes) {
            let Broken { node, shape, how } = &lossy;
            let seen = match shape {
                Shape::All(others) => format!("between {node} and {others} datagrams are lost ({how})"),
                Shape::AllTo(others) => format!("datagrams from {others} to {node} and back are lost ({how})"),
                Shape::AllFrom(others) | Shape::OneWay(others) | Shape::Some(others) => {
                    format!("datagrams from {node} to {others} and back are lost ({how})")
                }
                Shape::Zones { from, to, .. } => format!("datagrams between zones {from} and {to} are lost ({how})"),
            };
            verdict.tell_counted(
                lossy.subject(),
                Finding::new("fewer than one datagram in fifty between nodes is lost", seen)
                    .impact("connections are slow and stall at times; lookups of names take seconds at times")
                    .fix(format!("on {node}, look for errors and drops on its interfaces (`ip -s link`), in its queues (`tc -s qdisc`) and at the switch port"))
                    .severity(Severity::Major),
            );
        }
        for (from, (own, seen, to)) in self.translated {
            let to = Subject::nodes(&to).name;
            let finding = Finding::new(format!("pods see it as {own}"), format!("pods on {to} see it as {seen}"))
                .impact("network policies, logs and allow-lists that go by pod addresses see another one")
                .fix(format!("find the masquerade rule on {from} (`iptables -t nat -S POSTROUTING`, `nft list ruleset`) and exempt the pod network from it"));
            verdict.tell_counted(Subject::node(from), finding);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::probe_reports::answers::{Answers, Fault, Loss};
    use crate::fact::facts::probe_reports::testing;
    use crate::seen::Unobserved;

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
        judge(reports, &Nodes::default()).findings(Severity::Critical).into_iter().map(|finding| finding.seen).collect()
    }

    #[test]
    fn a_whole_mesh_passes_on_every_path_by_both_protocols() {
        let verdict = judge(&healthy(3), &Nodes::default());
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical).len()), (12, 0));
    }

    #[test]
    fn one_node_has_nobody_to_reach() {
        assert!(judge(&healthy(1), &Nodes::default()).reason().is_some());
    }

    #[test]
    fn a_node_that_receives_nothing_is_one_finding() {
        let mut reports = healthy(4);
        for from in 0..3 {
            let path = path(&mut reports, from, 3);
            (path.tcp, path.udp) = (Err(Fault::TimedOut), Err(Fault::TimedOut));
        }
        assert_eq!(seen(&reports), ["n3 receives nothing from n0, n1, n2 (TCP and UDP: no answer)"]);
    }

    #[test]
    fn a_single_path_is_told_with_its_direction_and_protocol() {
        let mut reports = healthy(3);
        path(&mut reports, 1, 2).udp = Err(Fault::TimedOut);
        assert_eq!(seen(&reports), ["n1 does not reach n2, while the way back works (UDP: no answer)"]);
    }

    #[test]
    fn much_loss_is_a_finding_and_one_datagram_is_none() {
        let mut reports = healthy(3);
        path(&mut reports, 1, 2).loss = Some(Loss { sent: 200, lost: 1 });
        assert!(seen(&reports).is_empty());
        for (from, to) in [(0, 2), (1, 2), (2, 0), (2, 1)] {
            path(&mut reports, from, to).loss = Some(Loss { sent: 200, lost: 11 });
        }
        path(&mut reports, 0, 1).loss = Some(Loss { sent: 40, lost: 0 });
        path(&mut reports, 1, 0).loss = Some(Loss { sent: 40, lost: 0 });
        assert_eq!(seen(&reports), ["between n2 and n0, n1 datagrams are lost (11 of 200 datagrams)"]);
    }

    #[test]
    fn a_pod_that_is_seen_by_another_address_is_a_finding() {
        let mut reports = healthy(3);
        for to in [0, 2] {
            path(&mut reports, 1, to).tcp = Ok([10, 77, 0, 12].into());
        }
        assert_eq!(seen(&reports), ["pods on n0, n2 see it as 10.77.0.12"]);
    }

    #[test]
    fn a_node_without_answers_is_undecided_not_fine() {
        let mut reports = healthy(3);
        reports.0.get_mut("n2").unwrap().answers =
            Err(Unobserved::unreachable("the kubelet", "it did not start the probe"));
        let verdict = judge(&reports, &Nodes::default());
        assert_eq!(verdict.gaps().len(), 1);
    }
}
