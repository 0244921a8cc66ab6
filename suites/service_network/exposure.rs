//! # Node ports answer on every node, and no Service is exposed in a way that others can hijack
//!
//! ## Why
//! Load balancers in front of a cluster use the node ports of every node; a blocked one loses its share of the
//! requests. A Service of type LoadBalancer that stays pending serves no one. Anyone who may create a Service with
//! `externalIPs` receives the cluster's own traffic to that address, no matter who owns it (CVE-2020-8554).
//!
//! ## Fix
//! Open TCP and UDP 30000 to 32767 between the nodes and from the load balancers (host firewalls, security groups), and
//! check `nodePortAddresses` in ConfigMap kube-system/kube-proxy. For a pending load balancer, install a controller for
//! it (a cloud controller manager, MetalLB), or change the Service to type NodePort. Replace `externalIPs` by type
//! LoadBalancer, and forbid them with the admission plugin DenyServiceExternalIPs; if you need one, name it in the
//! profile, as `expect: {external-ips: [192.0.2.0/24]}`.
//!
//! ## Source
//! <https://kubernetes.io/docs/reference/networking/virtual-ips/>; KEP-5707 (externalIPs, deprecated in 1.36);
//! CVE-2020-8554. Each probe connects to the node port of a Service in front of all probes on other nodes; SN-09 does
//! so on the probe's own node.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::expectations::Expectations;
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::Fault;
use crate::fact::facts::service_exposure::{Exposure, ServiceExposure};
use crate::object_ref::NamespacedName;
use crate::seen::Unobserved;

crate::check!("SN-10", "exposure", Minor, judge, builds_on: ["SN-09"]);

/// How long a load balancer may take, in seconds.
const PATIENCE: i64 = 300;

fn judge(
    reports: Result<&ProbeReports, &Unobserved>,
    nodes: &Nodes,
    services: &ServiceExposure,
    clock: &Clock,
    expectations: &Expectations,
) -> Verdict {
    let mut verdict = Verdict::new();
    match reports {
        Ok(reports) => judge_node_ports(&mut verdict, reports, nodes),
        // Where no probes may run, the Services are still worth a verdict.
        Err(why) if why.is_skip() => verdict.note(format!("node ports were not tested: {why}")),
        Err(why) => verdict.unseen(Subject::cluster(), why),
    }
    for (name, service) in &services.0 {
        judge_external_ips(&mut verdict, name, service, expectations);
        judge_load_balancer(&mut verdict, name, service, clock);
    }
    verdict
}

fn judge_node_ports(verdict: &mut Verdict, reports: &ProbeReports, nodes: &Nodes) {
    let owners: BTreeMap<IpAddr, &String> =
        nodes.0.iter().flat_map(|(name, node)| node.internal_addresses().map(move |address| (address, name))).collect();
    for (from, report) in &reports.0 {
        let Some(answers) = verdict.seen(|| Subject::node(from), &report.answers) else { continue };
        for (address, got) in answers.service.iter().flat_map(|service| &service.other_nodes) {
            let subject = || owners.get(address).map_or_else(|| Subject::address(address), |name| Subject::node(*name));
            match got {
                Ok(()) => verdict.confirm(),
                Err(fault @ Fault::Unanswered) => {
                    let why = Unobserved::unreachable(format!("the node port at {address}"), fault);
                    verdict.unseen(Subject::node(from), &why);
                }
                Err(fault) => verdict.find(
                    subject(),
                    Finding::new(
                        "node ports of every node answer pods on other nodes",
                        format!("a connection to its node port fails: {fault}"),
                    )
                    .evidence([format!("from {from} to {address}")])
                    .impact("load balancers that send requests to this node lose them")
                    .fix(
                        "on each of these nodes, let TCP and UDP 30000 to 32767 (--service-node-port-range of \
                         kube-apiserver) from other nodes and load balancers through the firewall, and check \
                         nodePortAddresses in ConfigMap kube-system/kube-proxy",
                    )
                    .severity(Severity::Major),
                ),
            }
        }
    }
}

fn judge_external_ips(verdict: &mut Verdict, name: &NamespacedName, service: &Exposure, expectations: &Expectations) {
    let is_expected = |ip: &&String| {
        let address: Option<IpAddr> = ip.parse().ok();
        address.is_some_and(|address| expectations.external_ips.iter().any(|range| range.contains(address)))
    };
    let (expected, others): (Vec<&String>, Vec<&String>) = service.external_ips.iter().partition(is_expected);
    verdict.expect(name.of("Service").into(), others.is_empty(), || {
        Finding::new("spec.externalIPs has only addresses that the profile names", "it has others")
            .evidence(others)
            .impact("nodes send all traffic for these addresses to the Service's pods, even if they belong to others")
            .fix(format!(
                "kubectl -n {} patch service {} --type merge -p '{{\"spec\":{{\"externalIPs\":{expected:?}}}}}'",
                name.namespace, name.name
            ))
            .managed_by(service.manager.as_ref())
    });
}

fn judge_load_balancer(verdict: &mut Verdict, name: &NamespacedName, service: &Exposure, clock: &Clock) {
    let Some(since) = service.pending_since else { return };
    let seconds = clock.server.as_second() - since.as_second();
    verdict.expect(name.of("Service").into(), seconds <= PATIENCE, || {
        Finding::new(
            format!("a load balancer gives the Service an address within {} minutes", PATIENCE / 60),
            "status.loadBalancer is still empty",
        )
        .evidence([format!("{name} was created {} minutes ago", seconds / 60)])
        .impact("clients outside the cluster reach it only at its node ports")
        .fix(
            "if a controller for load balancers runs (a cloud controller manager, MetalLB), read its events: kubectl \
             get events -A --field-selector involvedObject.kind=Service; otherwise install one, or change these \
             Services to type NodePort",
        )
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::seen_of;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::probe_reports::answers::{Answers, Backends, ServiceAnswer};
    use crate::fact::facts::probe_reports::testing;
    use crate::manager::Manager;
    use crate::object_ref::testing::named;

    fn reports() -> ProbeReports {
        let seen = |own: u8| {
            let service = ServiceAnswer {
                tcp: Backends::default(),
                udp: Backends::default(),
                affinity: Backends::default(),
                node_port: None,
                other_family: None,
                other_nodes: (1..4).filter(|i| *i != own).map(|i| (IpAddr::from([10, 77, 0, i]), Ok(()))).collect(),
            };
            (format!("n{own}"), Answers { service: Some(service), ..Answers::default() })
        };
        testing::reports((1..4).map(seen))
    }

    fn block(reports: &mut ProbeReports, from: &str, to: u8) {
        let answers = reports.0.get_mut(from).unwrap().answers.as_mut().unwrap();
        answers.service.as_mut().unwrap().other_nodes.insert([10, 77, 0, to].into(), Err(Fault::TimedOut));
    }

    fn judged(reports: &ProbeReports, service: Exposure, expectations: &Expectations) -> Verdict {
        let node = |i: u8| {
            let addresses = vec![("InternalIP".into(), format!("10.77.0.{i}"))];
            (format!("n{i}"), Node { addresses, ..Node::default() })
        };
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let services = ServiceExposure([(named("shop/web"), service)].into());
        let nodes = Nodes((1..4).map(node).collect());
        judge(Ok(reports), &nodes, &services, &Clock { server: now, here: now }, expectations)
    }

    #[test]
    fn node_ports_that_answer_all_nodes_pass() {
        let verdict = judged(&reports(), Exposure::default(), &Expectations::default());
        assert_eq!((verdict.observations(), seen_of(&verdict).len()), (7, 0));
    }

    #[test]
    fn a_node_whose_ports_are_blocked_is_named_once() {
        let mut reports = reports();
        block(&mut reports, "n1", 3);
        block(&mut reports, "n2", 3);
        let verdict = judged(&reports, Exposure::default(), &Expectations::default());
        assert_eq!(seen_of(&verdict), ["Node n3: a connection to its node port fails: no answer"]);
        let evidence = ["from n1 to 10.77.0.3", "from n2 to 10.77.0.3"];
        assert_eq!(verdict.findings(Severity::Major)[0].evidence, evidence);
        let mut reports = self::reports();
        block(&mut reports, "n2", 3);
        let verdict = judged(&reports, Exposure::default(), &Expectations::default());
        assert_eq!(verdict.findings(Severity::Major)[0].evidence, evidence[1..]);
    }

    #[test]
    fn external_addresses_are_found_unless_the_profile_names_them() {
        let claims = || Exposure { external_ips: vec!["192.0.2.7".into()], ..Exposure::default() };
        let verdict = judged(&reports(), claims(), &Expectations::default());
        assert_eq!(seen_of(&verdict), ["Service shop/web: it has others"]);
        let found = &verdict.findings(Severity::Minor)[0];
        assert_eq!(found.evidence, ["192.0.2.7"]);
        let command = r#"kubectl -n shop patch service web --type merge -p '{"spec":{"externalIPs":[]}}'"#;
        assert_eq!(found.fix, command);
        let expected = Expectations { external_ips: vec!["192.0.2.0/24".parse().unwrap()], ..Expectations::default() };
        assert!(seen_of(&judged(&reports(), claims(), &expected)).is_empty());
    }

    #[test]
    fn the_fix_shows_what_manages_the_service() {
        let manager = Some(Manager::HelmRelease(named("shop/web")));
        let claims = Exposure { external_ips: vec!["192.0.2.7".into()], manager, ..Exposure::default() };
        let verdict = judged(&reports(), claims, &Expectations::default());
        let advice = "; change it in Helm release web in namespace shop (values or chart), because the next upgrade \
                      overwrites an edit in place";
        let fix = &verdict.findings(Severity::Minor)[0].fix;
        assert!(fix.ends_with(advice), "{fix}");
    }

    #[test]
    fn a_load_balancer_that_stays_pending_is_found() {
        let pending = |since: &str| Exposure { pending_since: since.parse().ok(), ..Exposure::default() };
        assert!(seen_of(&judged(&reports(), pending("2026-11-22T11:56:00Z"), &Expectations::default())).is_empty());
        let verdict = judged(&reports(), pending("2026-11-22T11:30:00Z"), &Expectations::default());
        assert_eq!(seen_of(&verdict), ["Service shop/web: status.loadBalancer is still empty"]);
        assert_eq!(verdict.findings(Severity::Minor)[0].evidence, ["shop/web was created 30 minutes ago"]);
    }

    #[test]
    fn a_silent_probe_is_a_gap() {
        let mut reports = reports();
        reports.0.get_mut("n2").unwrap().answers = Err(Unobserved::Interrupted);
        assert_eq!(judged(&reports, Exposure::default(), &Expectations::default()).gaps().len(), 1);
    }
}
