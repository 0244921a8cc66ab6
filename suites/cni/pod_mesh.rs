//! # Every pod reaches every other, by TCP and by UDP, and is seen by its own address
//!
//! ## Why
//! Kubernetes promises that pods reach each other on all nodes without address translation. A one-way firewall, a missing
//! route or a masquerade inside the cluster breaks applications in ways that look like their own faults.
//!
//! ## Fix
//! Look at the routes and the packet filter of the node that is named (`ip route`, `nft list ruleset`, `iptables-save`),
//! at the network plugin's pod on it, and at what filters between the nodes (security groups, host firewalls).
//!
//! ## Source
//! <https://kubernetes.io/docs/concepts/cluster-administration/networking/>; kubernetes/kubernetes
//! `test/e2e/network/networking.go`. A probe on each node greets those on others (all of them up to 16 nodes, ten beyond);
//! a reply names the run and the pod that answers, and the address that it sees.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::check::folded::nodes_subject;
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::probe_reports::{ProbeReport, ProbeReports};
use crate::probe::answer::{Fault, Got, PeerAnswer};

crate::check!("CN-04", "pod-mesh", Critical, judge);

fn judge(reports: &ProbeReports) -> Verdict {
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
                Some(to) if answer.address.is_ok() => mesh.take(&mut verdict, (from, report), to, answer),
                Some(to) => drop(unknown.insert(to.to_owned())),
                None => {}
            }
        }
    }
    // A peer that never got an address has its own undecided entry when it did not answer at all.
    for node in unknown.iter().filter(|node| reports.0.get(*node).is_some_and(|report| report.answers.is_ok())) {
        let why = crate::fact::Unobserved::unreachable(
            format!("the probe on {node}"),
            "neither its name nor its address became known",
        );
        verdict.undecided(Subject::node(node), &why);
    }
    mesh.tell(&mut verdict);
    verdict
}

/// The paths between nodes, as far as they were tried.
#[derive(Default)]
struct Mesh {
    tried: BTreeSet<(String, String)>,
    broken: BTreeMap<(String, String), Broken>,
    translated: BTreeMap<String, (IpAddr, IpAddr, BTreeSet<String>)>,
}

/// How a path is broken, by protocol.
#[derive(Clone, PartialEq, Eq)]
struct Broken {
    tcp: Option<Fault>,
    udp: Option<Fault>,
}

impl Broken {
    fn protocols(&self) -> &'static str {
        match (&self.tcp, &self.udp) {
            (Some(_), Some(_)) => "TCP and UDP",
            (Some(_), None) => "TCP",
            _ => "UDP",
        }
    }

    fn fault(&self) -> String {
        self.tcp.iter().chain(&self.udp).next().map(ToString::to_string).unwrap_or_default()
    }
}

impl Mesh {
    fn take(&mut self, verdict: &mut Verdict, (from, report): (&str, &ProbeReport), to: &str, answer: &PeerAnswer) {
        let path = (from.to_owned(), to.to_owned());
        let broken = Broken { tcp: answer.tcp.clone().err(), udp: answer.udp.clone().err() };
        verdict.confirm();
        verdict.confirm();
        self.tried.insert(path.clone());
        if broken.tcp.is_some() || broken.udp.is_some() {
            self.broken.insert(path, broken);
        }
        let Some(own) = report.asked_from(answer) else { return };
        let seen_as = |got: &Got<IpAddr>| got.as_ref().ok().copied().filter(|seen| own != *seen);
        if let Some(seen) = seen_as(&answer.tcp).or_else(|| seen_as(&answer.udp)) {
            self.translated.entry(from.to_owned()).or_insert((own, seen, BTreeSet::new())).2.insert(to.to_owned());
        }
    }

    /// One broken node is one finding that names it; what is left are single paths.
    fn tell(mut self, verdict: &mut Verdict) {
        const SO: &str = "applications on these nodes cannot talk to each other";
        while let Some((node, receives)) = self.whole_node() {
            let side = |path: &(String, String)| if receives { path.1 == node } else { path.0 == node };
            let mine: Vec<_> =
                self.broken.iter().filter(|(path, _)| side(path)).map(|(p, b)| (p.clone(), b.clone())).collect();
            let others: BTreeSet<String> =
                mine.iter().map(|((from, to), _)| if receives { from.clone() } else { to.clone() }).collect();
            let others = nodes_subject(&others).name;
            let (protocols, fault) =
                mine.first().map(|(_, broken)| (broken.protocols(), broken.fault())).unwrap_or_default();
            let seen = if receives {
                format!("{node} receives nothing from {others} ({protocols}: {fault})")
            } else {
                format!("{node} reaches none of {others} ({protocols}: {fault})")
            };
            verdict.tell_counted(Subject::node(&node), Finding::new("pods on all nodes reach each other", seen).so(SO));
            self.broken.retain(|path, _| !side(path));
        }
        let mut single: BTreeMap<(String, &'static str, String), BTreeSet<String>> = BTreeMap::new();
        for ((from, to), broken) in &self.broken {
            single.entry((from.clone(), broken.protocols(), broken.fault())).or_default().insert(to.clone());
        }
        for ((from, protocols, fault), to) in single {
            let to = nodes_subject(&to).name;
            let seen = format!("{from} does not reach {to} ({protocols}: {fault})");
            verdict.tell_counted(Subject::node(from), Finding::new("pods on all nodes reach each other", seen).so(SO));
        }
        for (from, (own, seen, to)) in self.translated {
            let to = nodes_subject(&to).name;
            let finding = Finding::new(format!("pods see it as {own}"), format!("pods on {to} see it as {seen}"))
                .so("network policies, logs and allow-lists that go by pod addresses see another one")
                .mend(format!("find the masquerade rule on {from} (`iptables -t nat -S POSTROUTING`, `nft list ruleset`) and exempt the pod network from it"));
            verdict.tell_counted(Subject::node(from), finding);
        }
    }

    /// A node that receives from nobody (true) or reaches nobody (false), though both were tried with several others.
    fn whole_node(&self) -> Option<(String, bool)> {
        let nodes: BTreeSet<&String> = self.broken.keys().flat_map(|(from, to)| [from, to]).collect();
        let all_broken = |side: &dyn Fn(&(String, String)) -> bool| {
            let tried = self.tried.iter().filter(|path| side(path)).count();
            tried > 1 && tried == self.broken.keys().filter(|path| side(path)).count()
        };
        nodes.into_iter().find_map(|node| {
            let receives = all_broken(&|(_, to)| to == node);
            let reaches = all_broken(&|(from, _)| from == node);
            (receives || reaches).then(|| (node.clone(), receives))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::Unobserved;
    use crate::probe::Answers;

    fn address(node: usize) -> IpAddr {
        [10, 244, u8::try_from(node).unwrap(), 9].into()
    }

    /// A healthy mesh of this many nodes, `n0` and so on.
    fn healthy(count: usize) -> ProbeReports {
        let report = |node: usize| {
            let peers = (0..count).filter(|peer| *peer != node).map(|peer| {
                let seen = PeerAnswer {
                    address: Ok(address(peer)),
                    by_address: false,
                    tcp: Ok(address(node)),
                    udp: Ok(address(node)),
                };
                (format!("p{peer}"), seen)
            });
            let answers = Answers { peers: peers.collect(), ..Answers::default() };
            (
                format!("n{node}"),
                ProbeReport {
                    pod: format!("p{node}"),
                    address: Some(address(node)),
                    address_again: None,
                    answers: Ok(answers),
                },
            )
        };
        ProbeReports((0..count).map(report).collect())
    }

    fn path(reports: &mut ProbeReports, from: usize, to: usize) -> &mut PeerAnswer {
        let report = reports.0.get_mut(&format!("n{from}")).unwrap();
        report.answers.as_mut().unwrap().peers.get_mut(&format!("p{to}")).unwrap()
    }

    fn seen(reports: &ProbeReports) -> Vec<String> {
        judge(reports).findings(Severity::Critical).into_iter().map(|finding| finding.seen).collect()
    }

    #[test]
    fn a_whole_mesh_passes_on_every_path_by_both_protocols() {
        let verdict = judge(&healthy(3));
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical).len()), (12, 0));
    }

    #[test]
    fn one_node_has_nobody_to_reach() {
        assert!(judge(&healthy(1)).reason().is_some());
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
        assert_eq!(seen(&reports), ["n1 does not reach n2 (UDP: no answer)"]);
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
        let verdict = judge(&reports);
        assert_eq!(verdict.undecideds().len(), 1);
    }
}
