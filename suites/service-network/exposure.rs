//! # Node ports answer on every node, and no Service is exposed in a way that others can hijack
//!
//! ## Why
//! Load balancers in front of a cluster use the node ports of every node; a blocked one loses its share of the
//! requests. A Service of type LoadBalancer that stays pending serves no one. Anyone who may create a Service with
//! `externalIPs` receives the cluster's own traffic to that address, no matter who owns it (CVE-2020-8554).
//!
//! ## Fix
//! Open TCP and UDP 30000 to 32767 between the nodes and from the load balancers (host firewalls, security groups), and look
//! at `nodePortAddresses` in ConfigMap kube-system/kube-proxy. For a pending load balancer, install a controller for it
//! (a cloud controller manager, MetalLB), or make it a NodePort. Replace `externalIPs` by type LoadBalancer, and forbid
//! them with the admission plugin DenyServiceExternalIPs; where one is meant, name it in the profile, as
//! `expect: {external-ips: [192.0.2.0/24]}`.
//!
//! ## Source
//! <https://kubernetes.io/docs/reference/networking/virtual-ips/>; KEP-5707 (externalIPs, deprecated in 1.36); CVE-2020-8554.
//! Each probe tries the node port of a Service in front of all probes on other nodes; on its own node SN-09 does.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::expectations::Expectations;
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::{Fault, Got};
use crate::fact::facts::service_exposure::{Exposure, ServiceExposure};
use crate::object_ref::NamespacedName;
use crate::seen::Unobserved;

crate::check!("SN-10", "exposure", Minor, judge);

/// How long a load balancer may take, in seconds.
const PENDING: i64 = 300;

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
        // Where no probes may run, what the objects say is still worth a verdict.
        Err(why) if why.is_skip() => verdict.note(format!("node ports were not tried: {why}")),
        Err(why) => verdict.unseen(Subject::cluster(), why),
    }
    for (name, service) in &services.0 {
        judge_service(&mut verdict, name, service, clock, expectations);
    }
    verdict
}

fn judge_node_ports(verdict: &mut Verdict, reports: &ProbeReports, nodes: &Nodes) {
    let mut tried: BTreeMap<IpAddr, BTreeMap<&str, &Got<()>>> = BTreeMap::new();
    for (from, report) in &reports.0 {
        let Some(answers) = verdict.seen(|| Subject::node(from), &report.answers) else { continue };
        for (address, got) in answers.service.iter().flat_map(|service| &service.other_nodes) {
            if let Err(fault @ Fault::Unanswered) = got {
                let why = Unobserved::unreachable(format!("the node port at {address}"), fault);
                verdict.unseen(Subject::node(from), &why);
                continue;
            }
            tried.entry(*address).or_default().insert(from, got);
        }
    }
    for (address, from) in tried {
        let node = nodes.0.iter().find(|(_, node)| node.internal_addresses().any(|own| own == address));
        let subject = node.map_or_else(|| Subject::address(address), |(name, _)| Subject::node(name));
        let failed: Vec<&str> = from.iter().filter(|(_, got)| got.is_err()).map(|(node, _)| *node).collect();
        (1..from.len()).for_each(|_| verdict.confirm());
        verdict.expect(subject, failed.is_empty(), || {
            let fault = from.values().find_map(|got| got.as_ref().err()).map(ToString::to_string).unwrap_or_default();
            let whom =
                if failed.len() == from.len() { "no other node".into() } else { format!("not {}", names(&failed)) };
            Finding::new(
                format!("a node port answers pods of other nodes at {address}"),
                format!("it answers {whom} ({fault})"),
            )
            .impact("load balancers that send requests to this node lose them")
            .severity(Severity::Major)
        });
    }
}

fn judge_service(
    verdict: &mut Verdict,
    name: &NamespacedName,
    service: &Exposure,
    clock: &Clock,
    expectations: &Expectations,
) {
    let subject = || Subject::from(name.of("Service"));
    let strangers: Vec<String> = service
        .external_ips
        .iter()
        .filter(|ip| {
            let address: Option<IpAddr> = ip.parse().ok();
            !expectations.external_ips.iter().any(|range| address.is_some_and(|address| range.contains(address)))
        })
        .cloned()
        .collect();
    verdict.expect(subject(), strangers.is_empty(), || {
        Finding::new("no spec.externalIPs, or those that the profile names", strangers.join(", "))
            .impact("every node sends the cluster's traffic to this address to the Service's pods, whoever owns the address")
            .fix(format!("kubectl -n {} patch service {} --type json -p '[{{\"op\":\"remove\",\"path\":\"/spec/externalIPs\"}}]'", name.namespace, name.name))
    });
    if let Some(since) = service.pending_since {
        let seconds = clock.server.as_second() - since.as_second();
        verdict.expect(subject(), seconds <= PENDING, || {
            Finding::new(
                format!("a load balancer gives it an address within {} minutes", PENDING / 60),
                format!("status.loadBalancer is empty {} minutes after it was created", seconds / 60),
            )
            .impact("nobody outside of the cluster reaches it, except by its node ports")
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::seen_of;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::probe_reports::answers::{Answers, Backends, ServiceAnswer};
    use crate::fact::facts::probe_reports::testing;
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
    fn node_ports_that_answer_everybody_pass() {
        let verdict = judged(&reports(), Exposure::default(), &Expectations::default());
        assert_eq!((verdict.observations(), seen_of(&verdict).len()), (7, 0));
    }

    #[test]
    fn a_node_whose_ports_are_blocked_is_named_once() {
        let mut reports = reports();
        block(&mut reports, "n1", 3);
        block(&mut reports, "n2", 3);
        let verdict = judged(&reports, Exposure::default(), &Expectations::default());
        assert_eq!(seen_of(&verdict), ["Node n3: it answers no other node (no answer)"]);
        let mut reports = self::reports();
        block(&mut reports, "n2", 3);
        let verdict = judged(&reports, Exposure::default(), &Expectations::default());
        assert_eq!(seen_of(&verdict), ["Node n3: it answers not n2 (no answer)"]);
    }

    #[test]
    fn external_addresses_are_found_unless_the_profile_names_them() {
        let claims = || Exposure { external_ips: vec!["192.0.2.7".into()], ..Exposure::default() };
        let verdict = judged(&reports(), claims(), &Expectations::default());
        assert_eq!(seen_of(&verdict), ["Service shop/web: 192.0.2.7"]);
        let expected = Expectations { external_ips: vec!["192.0.2.0/24".parse().unwrap()], ..Expectations::default() };
        assert!(seen_of(&judged(&reports(), claims(), &expected)).is_empty());
    }

    #[test]
    fn a_load_balancer_that_stays_pending_is_found() {
        let pending = |since: &str| Exposure { pending_since: since.parse().ok(), ..Exposure::default() };
        assert!(seen_of(&judged(&reports(), pending("2026-11-22T11:56:00Z"), &Expectations::default())).is_empty());
        let verdict = judged(&reports(), pending("2026-11-22T11:30:00Z"), &Expectations::default());
        assert_eq!(
            seen_of(&verdict),
            ["Service shop/web: status.loadBalancer is empty 30 minutes after it was created"]
        );
    }

    #[test]
    fn a_silent_probe_is_undecided_and_a_forbidden_one_told() {
        let mut reports = reports();
        reports.0.get_mut("n2").unwrap().answers = Err(Unobserved::Interrupted);
        assert_eq!(judged(&reports, Exposure::default(), &Expectations::default()).gaps().len(), 1);
    }
}
