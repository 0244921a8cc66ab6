//! # Cluster names resolve from every node, by UDP and TCP, at the Service and at every DNS pod
//!
//! ## Why
//! Everything in a cluster starts with a name. If one DNS pod fails, or UDP is lost on one node, some lookups take five
//! seconds or fail, and applications report anything but DNS.
//!
//! ## Fix
//! When the Service fails and its pods answer, look at kube-proxy and the packet filter of the node that is named. When a
//! pod fails from all nodes, look at it: `kubectl -n kube-system logs -l k8s-app=kube-dns`. When only UDP or only TCP
//! fails, a firewall (port 53) or connection tracking (`conntrack -S`) on that node is the usual cause.
//!
//! ## Source
//! <https://github.com/kubernetes/dns/blob/master/docs/specification.md>; kubernetes/kubernetes `test/e2e/network/dns.go`. Each
//! probe asks each server for `kubernetes.default.svc` directly, so that no cache and no search list answers instead.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::assumed_domain::is_certain;
use crate::check::finding::Difference;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::cluster_dns::ClusterDns;
use crate::fact::facts::cluster_domain::ClusterDomain;
use crate::fact::facts::dns_servers::DnsServers;
use crate::fact::facts::kubernetes_service::KubernetesService;
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::{DnsAnswer, Lookups};
use crate::suites::shortfall;

crate::check!("DN-04", "dns-on-nodes", Critical, judge);

/// The slowest that half of the lookups may be, in microseconds. The probes of all nodes ask at the same time, so that
/// single ones are slow on a sound cluster, and this is many times what an idle server needs.
const SLOW: u64 = 500_000;
const SO: &str = "pods there cannot find Services by name, or only sometimes";

/// What was seen by one protocol.
type Of = fn(&DnsAnswer) -> &Lookups;
/// The protocols, and how each did.
const PROTOCOLS: [(&str, Of); 2] = [("UDP", |answer| &answer.udp), ("TCP", |answer| &answer.tcp)];

fn judge(
    reports: &ProbeReports,
    servers_known: &DnsServers,
    dns: &ClusterDns,
    service: &KubernetesService,
    domain: &ClusterDomain,
) -> Verdict {
    let mut verdict = Verdict::new();
    let (mut slow, mut slowest) = (BTreeSet::new(), 0);
    let name = format!("kubernetes.default.svc.{domain}");
    if servers_known.pods.is_empty() {
        if ask_elsewhere(reports, servers_known.service) {
            let name = &dns.name;
            verdict.note(format!(
                "nobody is behind Service kube-system/{name}, and no pod is told to ask it: names come from elsewhere"
            ));
        } else {
            let subject = Subject::object("Service", "kube-system", &dns.name);
            verdict.find(subject, nobody_behind(dns, servers_known.service));
        }
    }
    if !is_certain(&mut verdict, domain, reports) {
        return verdict;
    }
    let broken = broken_pods(reports, servers_known);
    for (node, report) in &reports.0 {
        let Some(answers) = verdict.seen(|| Subject::node(node), &report.answers) else { continue };
        let servers: Vec<_> = answers.dns.iter().filter(|(server, _)| !broken.contains_key(&server.ip())).collect();
        for (protocol, of) in PROTOCOLS {
            let (servers, unseen): (Vec<_>, Vec<_>) =
                servers.iter().copied().partition(|(_, answer)| of(answer).seen().is_ok());
            if let Some(why) = unseen.iter().find_map(|(_, answer)| of(answer).seen().err()) {
                verdict.unseen(Subject::node(node), &why);
            }
            let all_silent = servers.len() > 1 && servers.iter().all(|(_, answer)| of(answer).answered == 0);
            if all_silent {
                // Not the servers are at fault but the way to them: one finding.
                let fault = servers.iter().find_map(|(_, answer)| of(answer).fault.as_ref());
                verdict.expect(Subject::node(node), false, || {
                    let fault = fault.map(ToString::to_string).unwrap_or_default();
                    Finding::new(
                        format!("{name} resolves by {protocol} at the DNS Service and its pods"),
                        format!("at none of {} servers: {fault}", servers.len()),
                    )
                    .impact(SO)
                });
                continue;
            }
            for (server, answer) in &servers {
                let lookups = of(answer);
                // A part of the Service's answers is missing because a pod behind it is, which is told below.
                let explained = !broken.is_empty() && server.ip() == servers_known.service && lookups.answered > 0;
                let way = format!("{name} resolves at {} by {protocol}", server_name(server, servers_known));
                let shortfall = shortfall::severity(lookups.asked - lookups.answered, lookups.asked);
                verdict.expect(Subject::node(node), explained || shortfall.is_none(), || {
                    Finding::new(format!("{way}, {} times of {}", lookups.asked, lookups.asked), failure(lookups))
                        .impact(SO)
                        .severity(shortfall.unwrap_or(Severity::Critical))
                });
                let wrong = lookups.addresses.iter().find(|address| **address != service.cluster_ip);
                verdict.expect(Subject::node(node), wrong.is_none(), || {
                    let seen = wrong.map(ToString::to_string).unwrap_or_default();
                    Finding::new(
                        format!("{name} is {}", service.cluster_ip),
                        format!("{} says {seen}", server_name(server, servers_known)),
                    )
                });
                if let Some(latency) = lookups.latency.filter(|latency| latency.p50_us > SLOW) {
                    slow.insert(node.clone());
                    slowest = slowest.max(latency.p50_us);
                }
            }
        }
    }
    if !slow.is_empty() {
        let expected = format!("half of the lookups take {} ms at most", SLOW / 1000);
        let seen = format!("half of them take {} ms or more", slowest / 1000);
        verdict.find(Subject::nodes(&slow), Finding::new(expected, seen).info());
    }
    for (pod, fault) in broken {
        let nodes: BTreeSet<String> =
            reports.0.iter().filter(|(_, r)| r.answers.is_ok()).map(|(node, _)| node.clone()).collect();
        verdict.find(
            Subject::address(pod),
            Finding::new(
                format!("the DNS pod {pod} answers"),
                format!("{} get no answer from it: {fault}", Subject::nodes(&nodes)),
            )
            .impact("a part of all lookups in the cluster fails or takes seconds"),
        );
    }
    verdict
}

/// Whether the pods of all nodes are told to ask others than the DNS Service, as on GKE where Cloud DNS has taken over.
fn ask_elsewhere(reports: &ProbeReports, service: IpAddr) -> bool {
    let mut answers = reports.0.values().filter_map(|report| report.answers.as_ref().ok()).peekable();
    let asks_others = |servers: &BTreeMap<SocketAddr, DnsAnswer>| {
        !servers.is_empty() && servers.keys().all(|server| server.ip() != service)
    };
    answers.peek().is_some() && answers.all(|answers| asks_others(&answers.dns))
}

/// The Service has no ready endpoint: either it selects no pod at all, or none of those that it selects is ready.
fn nobody_behind(dns: &ClusterDns, service: IpAddr) -> Difference {
    let name = &dns.name;
    let expected = format!("a ready endpoint of Service {name}");
    let of_pods = "kubectl -n kube-system get pods -l k8s-app=kube-dns --show-labels";
    let finding = match dns.servers.as_deref().map(<[_]>::len) {
        Ok(0) => Finding::new(expected, format!("no pod is ready behind {service}: the Service selects none")).fix(format!(
            "kubectl -n kube-system get service {name} -o jsonpath='{{.spec.selector}}' must be what the DNS pods have, which is \
             k8s-app: kube-dns by kubeadm ({of_pods}); if there is no such pod, see DN-02"
        )),
        _ => Finding::new(expected, format!("no pod is ready behind {service}, of those that the Service selects"))
            .fix(format!("{of_pods}; kubectl -n kube-system logs -l k8s-app=kube-dns: why is none ready?")),
    };
    finding.impact("nothing in the cluster has a name")
}

/// DNS pods that answer nobody, with a reason: one finding about the pod, none about the nodes.
fn broken_pods(reports: &ProbeReports, servers: &DnsServers) -> BTreeMap<IpAddr, String> {
    let answers = || reports.0.values().filter_map(|report| report.answers.as_ref().ok());
    let of = |pod: IpAddr| {
        answers().flat_map(move |a| a.dns.iter().filter(move |(server, _)| server.ip() == pod).map(|(_, dns)| dns))
    };
    let broken =
        |pod: &IpAddr| of(*pod).count() > 1 && of(*pod).all(|dns| dns.udp.answered == 0 && dns.tcp.answered == 0);
    servers
        .pods
        .iter()
        .filter(|pod| broken(pod))
        .map(|pod| (*pod, of(*pod).find_map(|dns| dns.udp.fault.as_ref()).map(ToString::to_string).unwrap_or_default()))
        .collect()
}

fn server_name(server: &SocketAddr, servers: &DnsServers) -> String {
    match server.ip() {
        ip if ip == servers.service => format!("the DNS Service {ip}"),
        ip if servers.pods.contains(&ip) => format!("the DNS pod {ip}"),
        ip => format!("{ip}, the server that pods are told to ask,"),
    }
}

fn failure(lookups: &Lookups) -> String {
    let fault = lookups.fault.as_ref().map(ToString::to_string).unwrap_or_default();
    match lookups.answered {
        0 => format!("never: {fault}"),
        some => format!("{some} times of {}: {fault}", lookups.asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::cluster_dns::DnsServer;
    use crate::fact::facts::cluster_domain::testing::cluster_local;
    use crate::fact::facts::kubernetes_service::testing::kubernetes_service;
    use crate::fact::facts::probe_reports::answers::{Answers, Fault, Latency};
    use crate::fact::facts::probe_reports::testing::reports;

    const SERVICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 96, 0, 10));
    const POD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 244, 1, 2));
    const API: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 96, 0, 1));

    fn good() -> Lookups {
        let latency = Some(Latency { p50_us: 300, p99_us: 900 });
        Lookups { asked: 5, answered: 5, addresses: vec![API], fault: None, latency }
    }

    fn lost(fault: Fault) -> Lookups {
        Lookups { asked: 5, fault: Some(fault), ..Lookups::default() }
    }

    fn healthy() -> ProbeReports {
        let dns = [SERVICE, POD]
            .map(|server| (SocketAddr::new(server, 53), DnsAnswer { udp: good(), tcp: good(), records: Vec::new() }));
        let answers = Answers { dns: dns.into(), ..Answers::default() };
        reports(["n1", "n2"].map(|node| (node, answers.clone())))
    }

    fn at(reports: &mut ProbeReports, node: &str, server: IpAddr) -> Option<DnsAnswer> {
        let dns = &mut reports.0.get_mut(node)?.answers.as_mut().ok()?.dns;
        dns.insert(
            SocketAddr::new(server, 53),
            DnsAnswer { udp: lost(Fault::TimedOut), tcp: lost(Fault::TimedOut), records: Vec::new() },
        )
    }

    fn dns(ready: Option<bool>) -> ClusterDns {
        let server = |ready| DnsServer { address: POD, port: 53, ready, pod: None, node: None };
        ClusterDns {
            name: "kube-dns".into(),
            addresses: vec![SERVICE],
            labels: BTreeMap::new(),
            ports: Vec::new(),
            servers: Ok(ready.map(server).into_iter().collect()),
        }
    }

    fn judged(reports: &ProbeReports) -> Verdict {
        let service = kubernetes_service(API);
        judge(
            reports,
            &DnsServers { service: SERVICE, pods: [POD].into(), pod_port: 53 },
            &dns(Some(true)),
            &service,
            &cluster_local(),
        )
    }

    #[test]
    fn names_that_resolve_everywhere_pass() {
        let verdict = judged(&healthy());
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical).len()), (16, 0));
    }

    #[test]
    fn a_service_that_selects_nothing_is_told_from_pods_that_are_not_ready() {
        for (ready, mend) in [(None, ".spec.selector"), (Some(false), "why is none ready")] {
            let servers = DnsServers { service: SERVICE, pods: BTreeSet::new(), pod_port: 53 };
            let domain = cluster_local();
            let verdict = judge(&healthy(), &servers, &dns(ready), &kubernetes_service(API), &domain);
            let finding = verdict.findings(Severity::Critical).remove(0);
            assert_eq!(finding.expected, "a ready endpoint of Service kube-dns");
            assert!(finding.fix.contains(mend));
        }
    }

    #[test]
    fn a_service_that_nobody_asks_needs_no_pods() {
        let cache: SocketAddr = "169.254.169.254:53".parse().unwrap();
        let judged = |lookups: &Lookups| {
            let answer = DnsAnswer { udp: lookups.clone(), tcp: lookups.clone(), records: Vec::new() };
            let answers = Answers { dns: [(cache, answer)].into(), ..Answers::default() };
            let servers = DnsServers { service: SERVICE, pods: BTreeSet::new(), pod_port: 53 };
            let domain = cluster_local();
            judge(&reports([("n1", answers)]), &servers, &dns(None), &kubernetes_service(API), &domain)
        };
        let verdict = judged(&good());
        assert_eq!((verdict.findings(Severity::Critical).len(), crate::check::testing::notes(&verdict).len()), (0, 1));
        let seen = judged(&lost(Fault::TimedOut)).findings(Severity::Critical).remove(0);
        assert!(seen.expected.contains("169.254.169.254, the server that pods are told to ask"), "{}", seen.expected);
    }

    #[test]
    fn a_node_that_loses_udp_is_named_with_the_protocol() {
        let mut reports = healthy();
        for server in [SERVICE, POD] {
            let old = at(&mut reports, "n2", server).unwrap();
            let dns = &mut reports.0.get_mut("n2").unwrap().answers.as_mut().unwrap().dns;
            dns.get_mut(&SocketAddr::new(server, 53)).unwrap().tcp = old.tcp;
        }
        let findings = judged(&reports).findings(Severity::Critical);
        assert_eq!((findings.len(), findings[0].subjects[0].to_string()), (1, "Node n2".into()));
        assert!(findings[0].expected.contains("by UDP"), "{}", findings[0].expected);
        assert_eq!(findings[0].seen, "at none of 2 servers: no answer");
    }

    #[test]
    fn a_pod_that_answers_nobody_is_one_finding_about_the_pod() {
        let mut reports = healthy();
        at(&mut reports, "n1", POD);
        at(&mut reports, "n2", POD);
        let dns = &mut reports.0.get_mut("n2").unwrap().answers.as_mut().unwrap().dns;
        dns.get_mut(&SocketAddr::new(SERVICE, 53)).unwrap().udp.answered = 3;
        let findings = judged(&reports).findings(Severity::Critical);
        assert_eq!((findings.len(), findings[0].subjects[0].to_string()), (1, POD.to_string()));
    }

    #[test]
    fn one_lost_datagram_is_chance_and_more_are_told() {
        for (answered, severity) in [(19, None), (18, Some(Severity::Major)), (15, Some(Severity::Critical))] {
            let mut reports = healthy();
            let dns = &mut reports.0.get_mut("n1").unwrap().answers.as_mut().unwrap().dns;
            let lookups = &mut dns.get_mut(&SocketAddr::new(SERVICE, 53)).unwrap().udp;
            (lookups.asked, lookups.answered, lookups.fault) = (20, answered, Some(Fault::TimedOut));
            let findings = judged(&reports).findings(Severity::Critical);
            assert_eq!(findings.first().map(|finding| finding.severity), severity, "{answered}");
        }
    }

    #[test]
    fn a_wrong_address_is_a_finding() {
        let mut reports = healthy();
        let dns = &mut reports.0.get_mut("n1").unwrap().answers.as_mut().unwrap().dns;
        dns.get_mut(&SocketAddr::new(POD, 53)).unwrap().udp.addresses = vec![SERVICE];
        assert_eq!(judged(&reports).findings(Severity::Critical)[0].seen, "the DNS pod 10.244.1.2 says 10.96.0.10");
    }
}
