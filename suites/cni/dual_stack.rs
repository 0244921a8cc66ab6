//! # In a dual-stack cluster, pods and Services have both address families
//!
//! ## Why
//! A cluster that was only partly extended to a second family gives some pods one address and others two, and Services
//! that request both get one. Clients that prefer IPv6 then fail where others work.
//!
//! ## Fix
//! Give the second range to all of them: `--service-cluster-ip-range` of the API servers, `--cluster-cidr` of the
//! controller-manager and of kube-proxy (`clusterCIDR` in ConfigMap kube-system/kube-proxy), and the network plugin's pools;
//! nodes keep the ranges that they have until their Node object is recreated.
//!
//! ## Source
//! <https://kubernetes.io/docs/concepts/services-networking/dual-stack/>; kubernetes/kubernetes `test/e2e/network/dual_stack.go`.
//! The Service default/kubernetes has one address by design.

use std::collections::BTreeSet;

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::cidr::Cidr;
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::pods::{Pod, Pods};
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::Backends;
use crate::fact::facts::service_cidrs::ServiceCidrs;
use crate::object_ref::NamespacedName;

crate::check!("CN-07", "dual-stack", Minor, judge);

fn judge(nodes: &Nodes, pods: &Pods, cidrs: Option<&ServiceCidrs>, reports: &ProbeReports) -> Verdict {
    let of_services: BTreeSet<bool> = cidrs
        .iter()
        .flat_map(|cidrs| cidrs.ranges.values().filter(|range| !range.deleting))
        .flat_map(|range| range.cidrs.iter().map(Cidr::is_ipv4))
        .collect();
    let of_nodes: BTreeSet<bool> = nodes.0.values().flat_map(|node| families(&node.pod_cidrs)).collect();
    if of_services.len() < 2 && of_nodes.len() < 2 {
        return Verdict::not_applicable("Services and pods have addresses of one family");
    }
    let mut verdict = Verdict::new();
    verdict.expect(Subject::cluster(), cidrs.is_none() || of_services.len() == 2, || {
        Finding::new("service ranges of both families, as pods have", one_family(&of_services))
            .impact("no Service has an address of the other family")
    });
    // Plugins with address management of their own leave the ranges of nodes empty: there, only pods tell.
    for (name, node) in nodes.linux().filter(|(_, node)| !node.pod_cidrs.is_empty()) {
        verdict.expect(Subject::node(name), families(&node.pod_cidrs).len() == 2, || {
            Finding::new("a pod range of each family", format!("spec.podCIDRs is {}", node.pod_cidrs.join(", ")))
                .impact("pods there have one address, and clients of the other family cannot reach them")
        });
    }
    judge_pods(&mut verdict, pods, nodes, of_services.len() == 2);
    judge_service(&mut verdict, reports, of_services.len() == 2);
    verdict
}

/// Pods on nodes that have ranges of both families, or none where Services have both: each has two addresses.
fn judge_pods(verdict: &mut Verdict, pods: &Pods, nodes: &Nodes, services_have_both: bool) {
    let has_both = |pod: &Pod| {
        let node = pod.node.as_ref().and_then(|node| nodes.0.get(node));
        node.is_some_and(|node| match families(&node.pod_cidrs).len() {
            0 => services_have_both,
            families => families == 2,
        })
    };
    let running =
        pods.0.iter().filter(|(_, pod)| !pod.host_network && pod.phase == "Running" && !pod.addresses.is_empty());
    let judged: Vec<(&NamespacedName, &Pod)> = running.filter(|(_, pod)| has_both(pod)).collect();
    let single: Vec<_> = judged.iter().filter(|(_, pod)| pod.addresses.len() < 2).map(|(name, _)| *name).collect();
    let Some(first) = single.first() else {
        for _ in &judged {
            verdict.confirm();
        }
        return;
    };
    verdict.find(
        first.of("Pod").into(),
        Finding::new(
            "an address of each family in status.podIPs",
            format!("one; so have {} of {} pods that should have two", single.len(), judged.len()),
        )
        .impact("Services of two families reach these pods by one of them"),
    );
}

fn judge_service(verdict: &mut Verdict, reports: &ProbeReports, both: bool) {
    if !both {
        return;
    }
    for (node, report) in &reports.0 {
        let Some(answers) = verdict.seen(|| Subject::node(node), &report.answers) else { continue };
        let service = match answers.service() {
            Ok(service) => service,
            Err(why) => {
                verdict.unseen(Subject::node(node), &why);
                continue;
            }
        };
        if let Some(Err(why)) = service.other_family.as_ref().map(Backends::seen) {
            verdict.unseen(Subject::node(node), &why);
            continue;
        }
        verdict.expect(Subject::node(node), service.other_family.as_ref().is_some_and(works), || {
            match &service.other_family {
                Some(seen) => {
                    let fault = seen.fault.as_ref().map_or_else(|| "no reason".into(), ToString::to_string);
                    Finding::new(
                        "a Service answers at its ClusterIP of the second family",
                        format!("nothing answers: {fault}"),
                    )
                    .impact("clients of that family do not reach Services")
                    .severity(Severity::Major)
                }
                None => Finding::new("a Service with ipFamilyPolicy PreferDualStack gets two ClusterIPs", "it got one")
                    .impact("no Service has an address of the second family"),
            }
        });
    }
}

fn works(backends: &Backends) -> bool {
    !backends.answered.is_empty()
}

/// The families of ranges: whether each is IPv4.
fn families(cidrs: &[String]) -> BTreeSet<bool> {
    cidrs.iter().filter_map(|cidr| cidr.parse::<Cidr>().ok()).map(|cidr| cidr.is_ipv4()).collect()
}

fn one_family(families: &BTreeSet<bool>) -> &'static str {
    match families.first() {
        Some(true) => "ranges of IPv4 only",
        Some(false) => "ranges of IPv6 only",
        None => "no range",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::probe_reports::answers::{Answers, ServiceAnswer};
    use crate::fact::facts::probe_reports::testing::reports;
    use crate::fact::facts::service_cidrs::ServiceCidr;
    use crate::object_ref::testing::named;

    struct Facts {
        nodes: Nodes,
        pods: Pods,
        cidrs: ServiceCidrs,
        reports: ProbeReports,
    }

    fn dual() -> Facts {
        let node = Node {
            operating_system: "linux".into(),
            pod_cidrs: vec!["10.244.0.0/24".into(), "fd00:10:244::/64".into()],
            ..Node::default()
        };
        let pod = Pod {
            node: Some("n1".into()),
            phase: "Running".into(),
            addresses: vec!["10.244.0.2".into(), "fd00:10:244::2".into()],
            ..Pod::default()
        };
        let range = ServiceCidr {
            cidrs: vec!["10.96.0.0/16".parse().unwrap(), "fd00:10:96::/112".parse().unwrap()],
            ready: true,
            message: String::new(),
            deleting: false,
        };
        let answered = Backends { asked: 1, answered: [("p".to_owned(), 1)].into(), ..Backends::default() };
        let service = ServiceAnswer {
            tcp: answered.clone(),
            udp: answered.clone(),
            affinity: answered.clone(),
            node_port: None,
            other_family: Some(answered),
            other_nodes: [].into(),
        };
        let answers = Answers { service: Some(service), ..Answers::default() };
        Facts {
            nodes: Nodes([("n1".to_owned(), node)].into()),
            pods: Pods([(named("a/b"), pod)].into()),
            cidrs: ServiceCidrs { ranges: [("kubernetes".to_owned(), range)].into(), complaints: Ok(Vec::new()) },
            reports: reports([("n1", answers)]),
        }
    }

    fn judged(facts: &Facts) -> Verdict {
        judge(&facts.nodes, &facts.pods, Some(&facts.cidrs), &facts.reports)
    }

    fn seen(facts: &Facts) -> Vec<String> {
        judged(facts).findings(Severity::Minor).into_iter().map(|finding| finding.seen).collect()
    }

    #[test]
    fn both_families_everywhere_pass() {
        let verdict = judged(&dual());
        assert_eq!((verdict.observations(), verdict.findings(Severity::Minor)), (4, vec![]));
    }

    #[test]
    fn one_family_is_not_judged() {
        let mut single = dual();
        single.nodes.0.get_mut("n1").unwrap().pod_cidrs.pop();
        single.cidrs.ranges.get_mut("kubernetes").unwrap().cidrs.pop();
        assert!(judged(&single).reason().is_some());
    }

    #[test]
    fn halves_are_found() {
        let mut facts = dual();
        facts.nodes.0.get_mut("n1").unwrap().pod_cidrs.pop();
        assert_eq!(seen(&facts), ["spec.podCIDRs is 10.244.0.0/24"]);
        let mut facts = dual();
        facts.cidrs.ranges.get_mut("kubernetes").unwrap().cidrs.pop();
        assert_eq!(seen(&facts), ["ranges of IPv4 only"]);
        let mut facts = dual();
        facts.pods.0.get_mut(&named("a/b")).unwrap().addresses.pop();
        assert_eq!(seen(&facts), ["one; so have 1 of 1 pods that should have two"]);
    }

    #[test]
    fn a_node_whose_probe_tried_no_service_is_undecided() {
        let mut facts = dual();
        facts.reports.0.get_mut("n1").unwrap().answers.as_mut().unwrap().service = None;
        assert_eq!((judged(&facts).gaps().len(), seen(&facts).len()), (1, 0));
    }

    #[test]
    fn a_second_address_that_does_not_answer_is_found() {
        let mut facts = dual();
        let service = |facts: &mut Facts| {
            facts
                .reports
                .0
                .get_mut("n1")
                .unwrap()
                .answers
                .as_mut()
                .unwrap()
                .service
                .as_mut()
                .unwrap()
                .other_family
                .take()
        };
        service(&mut facts);
        assert_eq!(seen(&facts), ["it got one"]);
    }
}
