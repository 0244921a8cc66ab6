//! # Cluster names resolve from every node, by UDP and TCP, at the Service and at every DNS pod
//!
//! ## Why
//! Everything in a cluster starts with a name. If one DNS pod fails, or UDP is lost on one node, some lookups take five
//! seconds or fail, and applications report anything but DNS.
//!
//! ## Fix
//! When the Service fails and its pods answer, look at kube-proxy and the packet filter of the node that is named. When
//! a pod fails from all nodes, look at it: `kubectl -n kube-system logs -l k8s-app=kube-dns`. When only UDP or only TCP
//! fails, a firewall (port 53) or connection tracking (`conntrack -S`) on that node is the usual cause.
//!
//! ## Source
//! <https://github.com/kubernetes/dns/blob/master/docs/specification.md>; kubernetes/kubernetes
//! `test/e2e/network/dns.go`. Each probe asks each server for `kubernetes.default.svc` directly, so that no cache and
//! no search list answers instead.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::helpers::assumed_domain::is_certain;
use super::helpers::no_endpoint::no_ready_endpoint;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::cluster_dns::ClusterDns;
use crate::fact::facts::cluster_domain::ClusterDomain;
use crate::fact::facts::dns_servers::DnsServers;
use crate::fact::facts::kubernetes_service::KubernetesService;
use crate::fact::facts::probe_reports::answers::{DnsAnswer, Fault, Lookups};
use crate::fact::facts::probe_reports::{ProbeReport, ProbeReports};
use crate::suites::shortfall;

crate::check!(
    "DN-04",
    "dns-on-nodes",
    Critical,
    judge,
    builds_on: ["CN-04", "DN-01", "DN-02", "DN-03", "DN-08", "KL-01", "SN-04", "SN-07", "SN-09"]
);

/// The slowest that half of the lookups may be, in microseconds. The probes of all nodes ask at the same time, so that
/// single ones are slow on a healthy cluster, and this is many times what an idle server needs.
const SLOW: u64 = 500_000;
const IMPACT: &str = "pods there cannot resolve Service names, or only sometimes";

/// The lookups over one protocol.
type Of = fn(&DnsAnswer) -> &Lookups;
/// The protocols, and the lookups over each.
const PROTOCOLS: [(&str, Of); 2] = [("UDP", |answer| &answer.udp), ("TCP", |answer| &answer.tcp)];

fn judge(
    reports: &ProbeReports,
    servers_known: &DnsServers,
    dns: &ClusterDns,
    service: &KubernetesService,
    domain: &ClusterDomain,
) -> Verdict {
    let mut verdict = Verdict::new();
    let name = format!("kubernetes.default.svc.{domain}");
    if servers_known.pods.is_empty() {
        let subject = Subject::object("Service", "kube-system", &dns.name);
        if ask_elsewhere(reports, servers_known.service) {
            verdict.note_about(subject, "it has no ready endpoint and no pod uses it: DNS is provided elsewhere");
        } else {
            verdict.find(subject, no_ready_endpoint(dns));
        }
    }
    if !is_certain(&mut verdict, domain, reports) {
        return verdict;
    }
    let departed: BTreeSet<IpAddr> = reports.0.values().flat_map(|report| &report.departed).copied().collect();
    for pod in &departed {
        verdict.note_about(named(dns, *pod), format!("the DNS pod {pod} was deleted while probes asked it"));
    }
    let broken = broken_pods(reports, servers_known);
    for (node, report) in &reports.0 {
        let Some(answers) = verdict.seen(|| Subject::node(node), &report.answers) else { continue };
        for (protocol, of) in PROTOCOLS {
            let servers = answers.dns.iter().filter(|(server, _)| !broken.contains_key(&server.ip()));
            let (servers, unseen): (Vec<_>, Vec<_>) = servers.partition(|(_, answer)| of(answer).seen().is_ok());
            if let Some(why) = unseen.iter().find_map(|(_, answer)| of(answer).seen().err()) {
                verdict.unseen(Subject::node(node), &why);
            }
            if let [(_, first), _, ..] = servers[..]
                && servers.iter().all(|(_, answer)| of(answer).answered == 0)
            {
                // The path to the servers is at fault, not each of them: one finding.
                let fault = of(first).fault.as_ref();
                let fix = format!(
                    "on these nodes, look for rules that drop port 53/{protocol} (iptables-save | grep -w 53; nft list \
                     ruleset | grep -w 53) and for a full connection table (conntrack -S); if every node is affected, see CN-04"
                );
                verdict.find(
                    Subject::node(node),
                    Finding::new(
                        format!("{name} resolves over {protocol} at the DNS Service and its pods"),
                        format!("it fails at all {} servers: {}", servers.len(), cause(fault)),
                    )
                    .impact(IMPACT)
                    .fix(remedy(fault, fix)),
                );
                continue;
            }
            for (server, answer) in servers {
                let lookups = of(answer);
                // Some of the Service's answers are missing because one of its pods does not answer, see below, or is deleted.
                let lacks_pod = !broken.is_empty() || !departed.is_empty();
                let explained = lacks_pod && server.ip() == servers_known.service && lookups.answered > 0;
                let shortfall = shortfall::severity(lookups.asked - lookups.answered, lookups.asked);
                let (server, fix) = described(server.ip(), servers_known, &dns.name, protocol);
                let path = Path { node, protocol, server, api: (&name, service.cluster_ip), lookups };
                path.judge(&mut verdict, shortfall.filter(|_| !explained), fix);
            }
        }
    }
    for (pod, fault) in broken {
        judge_broken(&mut verdict, reports, dns, pod, fault);
    }
    verdict
}

/// The lookups from one node over one protocol at one server.
struct Path<'a> {
    node: &'a str,
    protocol: &'a str,
    /// What the server is called.
    server: String,
    /// The name that was asked for, and its address.
    api: (&'a str, IpAddr),
    lookups: &'a Lookups,
}

impl Path<'_> {
    fn judge(&self, verdict: &mut Verdict, shortfall: Option<Severity>, fix: String) {
        let Self { node, protocol, server, api: (name, address), lookups } = self;
        let Lookups { asked, answered, fault, .. } = *lookups;
        verdict.expect(Subject::node(*node), shortfall.is_none(), || {
            let how_many = if *answered == 0 { "all" } else { "some" };
            Finding::new(
                format!("{name} resolves over {protocol} at {server}"),
                format!("{how_many} lookups fail: {}", cause(fault.as_ref())),
            )
            .evidence([format!("{node}: {answered} of {asked} succeed")])
            .impact(IMPACT)
            .fix(remedy(fault.as_ref(), fix))
            .severity(shortfall.unwrap_or(Severity::Critical))
        });
        let wrong = lookups.addresses.iter().find(|found| *found != address);
        verdict.expect(Subject::node(*node), wrong.is_none(), || {
            let wrong = wrong.map(ToString::to_string).unwrap_or_default();
            Finding::new(format!("{name} is {address}"), format!("{server} returns {wrong}"))
                .impact("pods that use this name connect to the wrong address")
                .fix(
                    "look for hosts, rewrite or template in kubectl -n kube-system get configmap coredns -o yaml. If \
                     none of them returns it, the server is out of date: kubectl -n kube-system rollout restart \
                     deployment coredns",
                )
        });
        if let Some(latency) = lookups.latency.filter(|latency| latency.p50_us > SLOW) {
            let expected = format!("half of the lookups take {} ms at most", SLOW / 1000);
            let finding = Finding::new(expected, "half of them take longer")
                .evidence([format!("{node}: {} ms over {protocol} at {server}", latency.p50_us / 1000)])
                .impact("connections to names begin late")
                .fix(
                    "see whether CoreDNS lacks CPU: kubectl -n kube-system top pods -l k8s-app=kube-dns; if so, raise \
                     its limit or its replicas: kubectl -n kube-system edit deployment coredns",
                );
            verdict.find(Subject::node(*node), finding.info());
        }
    }
}

fn judge_broken(verdict: &mut Verdict, reports: &ProbeReports, dns: &ClusterDns, pod: IpAddr, fault: Option<&Fault>) {
    let asked = reports.0.iter().filter(|(_, report)| answers_of(report, pod).next().is_some());
    let asked: Vec<String> = asked.map(|(node, _)| format!("asked from {node}")).collect();
    // Pods in the node's network share its address: only those of DNS may be deleted.
    let select = format!("-l k8s-app=kube-dns --field-selector status.podIP={pod}");
    let fix = format!(
        "look for rules about port 53 on its node: kubectl -n kube-system get pods -o wide {select}. If there are none, \
         recreate it: kubectl -n kube-system delete pods {select}"
    );
    verdict.find(
        named(dns, pod),
        Finding::new(
            format!("the DNS pod {pod} answers"),
            format!("no lookup from {} nodes succeeds: {}", asked.len(), cause(fault)),
        )
        .evidence(asked)
        .impact("some of the lookups in the whole cluster fail or take seconds")
        .fix(remedy(fault, fix)),
    );
}

/// The DNS pod with this address, by its name if it is known.
fn named(dns: &ClusterDns, pod: IpAddr) -> Subject {
    let named = dns.servers.iter().flatten().find(|server| server.address == pod);
    let named = named.and_then(|server| server.pod.as_ref());
    named.map_or_else(|| Subject::address(pod), |name| Subject::object("Pod", "kube-system", name))
}

/// Whether the pods of all nodes use other servers than the DNS Service, as on GKE where Cloud DNS has taken over.
fn ask_elsewhere(reports: &ProbeReports, service: IpAddr) -> bool {
    let mut answers = reports.0.values().filter_map(|report| report.answers.as_ref().ok()).peekable();
    let asks_others = |servers: &BTreeMap<SocketAddr, DnsAnswer>| {
        !servers.is_empty() && servers.keys().all(|server| server.ip() != service)
    };
    answers.peek().is_some() && answers.all(|answers| asks_others(&answers.dns))
}

/// What a probe got from this server.
fn answers_of(report: &ProbeReport, server: IpAddr) -> impl Iterator<Item = &DnsAnswer> {
    let answers = report.answers.iter().flat_map(|answers| &answers.dns);
    answers.filter(move |(at, _)| at.ip() == server).map(|(_, answer)| answer)
}

/// DNS pods that answer no node, with a reason: one finding about the pod, none about the nodes.
fn broken_pods<'a>(reports: &'a ProbeReports, servers: &DnsServers) -> BTreeMap<IpAddr, Option<&'a Fault>> {
    let broken = |pod: &IpAddr| {
        let all: Vec<_> = reports.0.values().flat_map(|report| answers_of(report, *pod)).collect();
        let is_broken = all.len() > 1 && all.iter().all(|dns| dns.udp.answered == 0 && dns.tcp.answered == 0);
        is_broken.then(|| (*pod, all.iter().find_map(|dns| dns.udp.fault.as_ref())))
    };
    servers.pods.iter().filter_map(broken).collect()
}

/// What one of several servers is called, and how to find out why it fails.
fn described(server: IpAddr, servers: &DnsServers, service: &str, protocol: &str) -> (String, String) {
    if server == servers.service {
        let fix = format!(
            "check that the Service has port 53/{protocol}: kubectl -n kube-system get service {service}; then check \
             kube-proxy on these nodes (SN-05, SN-07): kubectl -n kube-system get pods -l k8s-app=kube-proxy -o wide"
        );
        (format!("the DNS Service {server}"), fix)
    } else if servers.pods.contains(&server) {
        let fix = format!(
            "look for rules that drop port 53/{protocol} between these nodes and the node of the pod (CN-04): kubectl \
             -n kube-system get pods -o wide --field-selector status.podIP={server}"
        );
        (format!("the DNS pod {server}"), fix)
    } else {
        let fix = format!(
            "if {server} is a DNS cache on the node, check it: kubectl get pods -A -o wide | grep -i dns; otherwise pods \
             have the address of another server than the DNS Service: see DN-05"
        );
        (format!("the nameserver {server} of pods"), fix)
    }
}

/// How to fix a path on which packets are lost; unless the servers answer, but without an address.
fn remedy(fault: Option<&Fault>, of_path: String) -> String {
    match fault {
        Some(Fault::Unresolved(_)) => {
            "it is answered without an address: compare the zone of the Corefile (DN-03) and the permissions of CoreDNS \
             (DN-08), and read kubectl -n kube-system logs -l k8s-app=kube-dns"
                .into()
        }
        _ => of_path,
    }
}

/// A failure in words; it is there wherever a lookup failed.
fn cause(fault: Option<&Fault>) -> String {
    fault.map(ToString::to_string).unwrap_or_default()
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
            manager: None,
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
    fn a_pod_that_was_deleted_meanwhile_is_a_note_and_explains_what_its_service_lost() {
        let mut reports = healthy();
        for report in reports.0.values_mut() {
            report.departed = [POD].into();
            let dns = &mut report.answers.as_mut().unwrap().dns;
            dns.retain(|server, _| server.ip() != POD);
            let service = dns.values_mut().next().unwrap();
            service.udp = Lookups { asked: 10, fault: Some(Fault::TimedOut), ..good() };
        }
        let verdict = judged(&reports);
        assert_eq!((verdict.findings(Severity::Critical), verdict.gaps().len()), (vec![], 0));
        assert_eq!(verdict.notes().len(), 1);
    }

    #[test]
    fn names_that_resolve_everywhere_pass() {
        let verdict = judged(&healthy());
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical).len()), (16, 0));
    }

    #[test]
    fn a_service_that_selects_nothing_differs_from_pods_that_are_not_ready() {
        for (ready, fix) in [(None, ".spec.selector"), (Some(false), "why none is ready")] {
            let servers = DnsServers { service: SERVICE, pods: BTreeSet::new(), pod_port: 53 };
            let domain = cluster_local();
            let verdict = judge(&healthy(), &servers, &dns(ready), &kubernetes_service(API), &domain);
            let finding = verdict.findings(Severity::Critical).remove(0);
            assert_eq!(finding.expected, "a ready endpoint of Service kube-dns");
            assert!(finding.fix.contains(fix));
        }
    }

    #[test]
    fn a_service_that_no_pod_asks_needs_no_pods() {
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
        assert!(seen.expected.contains("the nameserver 169.254.169.254 of pods"), "{}", seen.expected);
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
        assert!(findings[0].expected.contains("over UDP"), "{}", findings[0].expected);
        assert_eq!(findings[0].seen, "it fails at all 2 servers: no answer");
    }

    #[test]
    fn a_pod_that_answers_no_node_is_one_finding_about_the_pod() {
        let mut reports = healthy();
        at(&mut reports, "n1", POD);
        at(&mut reports, "n2", POD);
        let dns = &mut reports.0.get_mut("n2").unwrap().answers.as_mut().unwrap().dns;
        dns.get_mut(&SocketAddr::new(SERVICE, 53)).unwrap().udp.answered = 3;
        let findings = judged(&reports).findings(Severity::Critical);
        assert_eq!((findings.len(), findings[0].subjects[0].to_string()), (1, POD.to_string()));
    }

    #[test]
    fn one_lost_datagram_is_chance_and_more_are_found() {
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
        assert_eq!(judged(&reports).findings(Severity::Critical)[0].seen, "the DNS pod 10.244.1.2 returns 10.96.0.10");
    }
}
