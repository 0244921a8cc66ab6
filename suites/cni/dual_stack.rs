//! # In a dual-stack cluster, pods and Services have both address families
//!
//! ## Why
//! A cluster that was only partly extended to a second family gives some pods one address and others two, and Services
//! that request both get one. Clients that prefer IPv6 then fail where others work.
//!
//! ## Fix
//! Give every component a range of the second family: `--service-cluster-ip-range` of the API servers,
//! `--cluster-cidr` of the controller-manager and of kube-proxy (`clusterCIDR` in ConfigMap kube-system/kube-proxy),
//! and the network plugin's pools. Nodes keep their ranges until their Node objects are recreated.
//!
//! ## Source
//! <https://kubernetes.io/docs/concepts/services-networking/dual-stack/>; kubernetes/kubernetes
//! `test/e2e/network/dual_stack.go`. The Service default/kubernetes has one address by design.

use std::collections::BTreeSet;

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::cidr::Cidr;
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::pods::{Pod, Pods};
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::Backends;
use crate::fact::facts::service_cidrs::ServiceCidrs;

crate::check!("CN-07", "dual-stack", Minor, judge, blocked_by: ["KL-16"]);

const ADD_A_SERVICE_RANGE: &str = "on every control-plane node, add a range of the other family to --service-cluster-ip-range in \
     /etc/kubernetes/manifests/kube-apiserver.yaml and kube-controller-manager.yaml";

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
            .fix(ADD_A_SERVICE_RANGE)
    });
    // Network plugins with their own address management leave the ranges of nodes empty: only pods show the families
    // then.
    for (name, node) in nodes.linux().filter(|(_, node)| !node.pod_cidrs.is_empty()) {
        verdict.expect(Subject::node(name), families(&node.pod_cidrs).len() == 2, || {
            Finding::new("a pod range of each family in spec.podCIDRs", "ranges of one family")
                .evidence([format!("{name}: {}", node.pod_cidrs.join(" and "))])
                .impact("pods there have one address, so clients of the other family cannot reach them")
                .fix(
                    "if pods are to have both families: on every control-plane node, set --cluster-cidr in \
                     /etc/kubernetes/manifests/kube-controller-manager.yaml to a range of each; then recreate the \
                     Node objects of these nodes, as `seaworthy explain CN-03` shows",
                )
        });
    }
    judge_pods(&mut verdict, pods, nodes, of_services.len() == 2);
    if of_services.len() == 2 {
        judge_service(&mut verdict, reports);
    }
    verdict
}

/// Pods on nodes that have ranges of both families, or none where Services have both: each has two addresses.
fn judge_pods(verdict: &mut Verdict, pods: &Pods, nodes: &Nodes, services_have_both: bool) {
    let has_both = |pod: &Pod| {
        let node = pod.node.as_deref().and_then(|node| nodes.0.get(node));
        node.is_some_and(|node| match families(&node.pod_cidrs).len() {
            0 => services_have_both,
            families => families == 2,
        })
    };
    let is_running = |pod: &Pod| !pod.host_network && pod.phase == "Running" && !pod.addresses.is_empty();
    for (name, pod) in pods.0.iter().filter(|(_, pod)| is_running(pod) && has_both(pod)) {
        verdict.expect(name.of("Pod").into(), pod.addresses.len() > 1, || {
            Finding::new("an address of each family in status.podIPs", "one address")
                .impact("dual-stack Services reach these pods over one family only")
                .fix(
                    "if these pods are older than the second range, restart their workloads (kubectl rollout \
                     restart); if new pods get one address too, add a range of the second family to the network \
                     plugin's pools",
                )
        });
    }
}

fn judge_service(verdict: &mut Verdict, reports: &ProbeReports) {
    for (node, report) in &reports.0 {
        let subject = || Subject::node(node);
        let Some(answers) = verdict.seen(subject, &report.answers) else { continue };
        let other_family = answers.service().map(|service| service.other_family.as_ref());
        match other_family.and_then(|backends| backends.map(Backends::seen).transpose()) {
            Err(why) => verdict.unseen(subject(), &why),
            Ok(None) => verdict.find(
                subject(),
                Finding::new("a Service with ipFamilyPolicy PreferDualStack gets two ClusterIPs", "it got one")
                    .impact("no Service has an address of the second family")
                    .fix(ADD_A_SERVICE_RANGE),
            ),
            Ok(Some(backends)) => {
                verdict.expect(subject(), !backends.answered.is_empty(), || {
                    let fault = backends.fault.as_ref().map_or_else(|| "no reason".into(), ToString::to_string);
                    Finding::new(
                        "a Service answers at its ClusterIP of the second family",
                        format!("no backend answers: {fault}"),
                    )
                    .impact("clients of that family do not reach Services")
                    .fix(
                        "check that clusterCIDR has both families (kubectl -n kube-system get configmap kube-proxy \
                         -o yaml), and read the log of kube-proxy on these nodes: kubectl -n kube-system logs -l \
                         k8s-app=kube-proxy --prefix",
                    )
                    .severity(Severity::Major)
                });
            }
        }
    }
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
    use crate::check::testing;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::probe_reports::answers::{Answers, Fault, ServiceAnswer};
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
        testing::seen_of(&judged(facts))
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
        assert_eq!(seen(&facts), ["Node n1: ranges of one family"]);
        assert_eq!(judged(&facts).findings(Severity::Minor)[0].evidence, ["n1: 10.244.0.0/24"]);
        let mut facts = dual();
        facts.cidrs.ranges.get_mut("kubernetes").unwrap().cidrs.pop();
        assert_eq!(seen(&facts), ["the cluster: ranges of IPv4 only"]);
        let mut facts = dual();
        facts.pods.0.get_mut(&named("a/b")).unwrap().addresses.pop();
        assert_eq!(seen(&facts), ["Pod a/b: one address"]);
    }

    #[test]
    fn a_node_whose_probe_tried_no_service_is_not_checked() {
        let mut facts = dual();
        facts.reports.0.get_mut("n1").unwrap().answers.as_mut().unwrap().service = None;
        assert_eq!((judged(&facts).gaps().len(), seen(&facts).len()), (1, 0));
    }

    #[test]
    fn a_second_address_that_is_missing_or_does_not_answer_is_found() {
        let mut facts = dual();
        let answers = facts.reports.0.get_mut("n1").unwrap().answers.as_mut().unwrap();
        let other_family = &mut answers.service.as_mut().unwrap().other_family;
        *other_family = Some(Backends { asked: 1, fault: Some(Fault::TimedOut), ..Backends::default() });
        let silent = testing::in_full(&judged(&facts));
        assert_eq!(silent, ["major Node n1: no backend answers: no answer"]);
        facts.reports.0.get_mut("n1").unwrap().answers.as_mut().unwrap().service.as_mut().unwrap().other_family = None;
        assert_eq!(seen(&facts), ["Node n1: it got one"]);
    }
}
