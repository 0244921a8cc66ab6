//! # The resolv.conf of pods has the cluster's DNS address, search list and ndots
//!
//! ## Why
//! The kubelet writes `/etc/resolv.conf` into every pod from its own configuration. A node pool with another template,
//! or a kubelet without `clusterDNS`, gives its pods a resolver that does not resolve Services.
//!
//! ## Fix
//! Set `clusterDNS` and `clusterDomain` in `/var/lib/kubelet/config.yaml` on the node that is named to what the others
//! have (ConfigMap kube-system/kubelet-config), restart the kubelet, and delete the pods that were started before.
//!
//! ## Source
//! <https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/>; kubernetes/kubernetes
//! `pkg/kubelet/network/dns/dns.go`. That the list works is tried with `kubernetes.default`, by the C library musl. A
//! NodeLocal cache at a link-local address is as good as the Service's own address.

use std::net::IpAddr;

use super::helpers::assumed_domain::is_certain;
use super::helpers::node_cache::is_of_a_cache;
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::cluster_dns::ClusterDns;
use crate::fact::facts::cluster_domain::ClusterDomain;
use crate::fact::facts::kubernetes_service::KubernetesService;
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::Resolver;
use crate::seen::Unobserved;

crate::check!(
    "DN-05",
    "pod-resolver",
    Major,
    judge,
    builds_on: ["DN-01"],
    blocked_by: ["CN-04", "CP-08", "DN-02", "DN-03", "DN-06", "DN-08", "SN-01", "SN-04", "SN-07", "SN-09"]
);

/// The checks of what a lookup in a pod passes.
const WAY_TO_DNS: &[&str] = &["CN-04", "DN-02", "DN-03", "DN-06", "DN-08", "SN-04", "SN-07", "SN-09"];

fn judge(reports: &ProbeReports, dns: &ClusterDns, domain: &ClusterDomain, api: Option<&KubernetesService>) -> Verdict {
    let Some(address) = dns.addresses.first() else {
        return Verdict::not_applicable(format!("Service kube-system/{} is headless", dns.name));
    };
    let mut verdict = Verdict::new();
    let is_certain = is_certain(&mut verdict, domain, reports);
    for (node, report) in &reports.0 {
        let Some(answers) = verdict.seen(|| Subject::node(node), &report.answers) else { continue };
        let resolver = answers.resolver();
        let Some(Resolver { nameservers, search, options }) = verdict.seen(|| Subject::node(node), &resolver) else {
            continue;
        };
        let ours = |server: &String| {
            server.parse::<IpAddr>().is_ok_and(|ip| dns.addresses.contains(&ip) || is_of_a_cache(dns, ip))
        };
        verdict.expect(Subject::node(node), !nameservers.is_empty() && nameservers.iter().all(ours), || {
            let expected = format!("pods use nameserver {address}, which is Service kube-system/{}", dns.name);
            Finding::new(expected, "they use other nameservers")
                .evidence([line(node, "nameserver", nameservers)])
                .impact("pods there cannot resolve Service names")
                .fix(format!(
                    "if all nodes are listed, the Service has another address than before: see DN-01. Otherwise {}",
                    configure(&format!("clusterDNS: [{address}]"))
                ))
        });
        let suffixes = [format!("svc.{domain}"), domain.name.clone()];
        let in_order = search.first().is_some_and(|first| first.ends_with(&format!(".{}", suffixes[0])))
            && suffixes.iter().all(|suffix| search.contains(suffix));
        if is_certain {
            verdict.expect(Subject::node(node), in_order, || {
                let expected = format!("pods search NAMESPACE.{0}, {0}, {1}", suffixes[0], suffixes[1]);
                Finding::new(expected, "they have another search list")
                    .same_as(&["CP-08"])
                    .evidence([line(node, "search", search)])
                    .impact("short names such as `database` or `database.shop` do not resolve in pods there")
                    .fix(configure(&format!("clusterDomain: {domain}")))
            });
        }
        verdict.expect(Subject::node(node), options.iter().any(|option| option == "ndots:5"), || {
            Finding::new("pods have the option ndots:5", "they do not have it")
                .evidence([line(node, "options", options)])
                .impact("names with a dot, such as `database.shop`, are not looked up in the cluster first")
                .fix(format!(
                    "{} (without it pods get the resolv.conf of their node). If it is set, an admission webhook may \
                     change dnsConfig of pods: kubectl get mutatingwebhookconfigurations",
                    configure(&format!("clusterDNS: [{address}]"))
                ))
        });
        // Where not even the full name resolves, DN-04 reports it.
        let served = answers.dns.values().any(|server| server.udp.answered > 0);
        if let (Some(Err(slow)), true) = (&answers.short_name, served)
            && slow.is_silence()
        {
            verdict.unseen(Subject::node(node), &Unobserved::unreachable("kubernetes.default in a pod", slow));
        } else if let (Some(short_name), true) = (&answers.short_name, served) {
            let is_api = |found: &IpAddr| api.is_none_or(|api| api.cluster_ip == *found);
            let found = short_name.as_ref().is_ok_and(|found| found.iter().any(is_api));
            verdict.expect(Subject::node(node), found, || {
                let seen = match short_name {
                    Ok(_) => "it resolves to another address".to_owned(),
                    Err(fault) => fault.to_string(),
                };
                let address = api.map(|api| format!(" to {}", api.cluster_ip)).unwrap_or_default();
                Finding::new(format!("kubernetes.default resolves{address} in pods, by their search list"), seen)
                    .evidence(short_name.iter().flatten().map(|found| format!("{node}: {found}")))
                    .same_as(WAY_TO_DNS)
                    .impact("programs that use short names, or the C library musl, do not find Services")
                    .fix(
                        "see DN-06: a DNS server that answers NXDOMAIN to AAAA queries is the usual cause. Otherwise \
                         read /etc/resolv.conf in a pod there: the search list must begin with the pod's namespace",
                    )
            });
        }
    }
    verdict
}

/// A line of the `/etc/resolv.conf` of pods on a node.
fn line(node: &str, keyword: &str, words: &[String]) -> String {
    let words = if words.is_empty() { "(none)".to_owned() } else { words.join(" ") };
    format!("{node}: {keyword} {words}")
}

/// How to change what a kubelet writes into `/etc/resolv.conf`.
fn configure(setting: &str) -> String {
    format!(
        "on each of these nodes, set {setting} in /var/lib/kubelet/config.yaml, run systemctl restart kubelet, and \
         recreate the pods that started before"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::check::testing::seen;
    use crate::fact::facts::cluster_domain::testing::cluster_local;
    use crate::fact::facts::kubernetes_service::testing::kubernetes_service;
    use crate::fact::facts::probe_reports::answers::{Answers, DnsAnswer, Fault, Got, Lookups};
    use crate::fact::facts::probe_reports::testing::reports;

    /// The evidence for what is wrong.
    fn judged(resolver: Resolver) -> Vec<String> {
        let verdict = judged_of(Answers { resolver: Some(resolver), ..Answers::default() });
        verdict.findings(Severity::Major).into_iter().flat_map(|finding| finding.evidence).collect()
    }

    fn judged_of(answers: Answers) -> Verdict {
        let dns = ClusterDns {
            name: "kube-dns".into(),
            addresses: vec![[10, 96, 0, 10].into(), "fd01::a".parse().unwrap()],
            labels: [].into(),
            ports: Vec::new(),
            servers: Ok(Vec::new()),
            manager: None,
        };
        let (domain, api) = (cluster_local(), kubernetes_service([10, 96, 0, 1]));
        judge(&reports([("n1", answers)]), &dns, &domain, Some(&api))
    }

    fn healthy() -> Resolver {
        Resolver {
            nameservers: vec!["10.96.0.10".into()],
            search: ["x.svc.cluster.local", "svc.cluster.local", "cluster.local"].map(str::to_owned).to_vec(),
            options: vec!["ndots:5".into()],
        }
    }

    #[test]
    fn the_kubelets_own_configuration_passes() {
        assert!(judged(healthy()).is_empty());
        for others in [&["169.254.20.10"][..], &["fd00::169:254:2:53"], &["10.96.0.10", "fd01::a"]] {
            let nameservers = others.iter().map(|server| (*server).to_owned()).collect();
            assert!(judged(Resolver { nameservers, ..healthy() }).is_empty(), "{others:?}");
        }
    }

    #[test]
    fn another_server_is_evidence() {
        let nameservers = vec!["10.77.0.1".into()];
        assert_eq!(judged(Resolver { nameservers, ..healthy() }), ["n1: nameserver 10.77.0.1"]);
    }

    #[test]
    fn the_short_name_must_be_the_apis_where_the_full_one_resolves() {
        let with = |answered: u32, short_name: Option<Got<&str>>| {
            let udp = Lookups { asked: 5, answered, ..Lookups::default() };
            let answer = DnsAnswer { udp, tcp: Lookups::default(), records: Vec::new() };
            let short_name = short_name.map(|got| got.map(|address| [address.parse().unwrap()].into()));
            let dns = [(([10, 96, 0, 10], 53).into(), answer)].into();
            judged_of(Answers { resolver: Some(healthy()), dns, short_name, ..Answers::default() })
        };
        let unknown = || Some(Err(Fault::Unresolved("no such name".into())));
        assert_eq!((with(5, Some(Ok("10.96.0.1"))).observations(), seen(&with(5, Some(Ok("10.96.0.1"))))), (4, vec![]));
        let other = with(5, Some(Ok("192.0.2.1"))).findings(Severity::Major).remove(0);
        assert_eq!((other.seen.as_str(), &other.evidence[0][..]), ("it resolves to another address", "n1: 192.0.2.1"));
        assert_eq!(seen(&with(5, unknown())), ["the name does not resolve: no such name"]);
        let slow = with(5, Some(Err(Fault::TimedOut)));
        assert_eq!((seen(&slow).len(), slow.gaps().len()), (0, 1));
        assert_eq!((with(0, unknown()).observations(), with(5, None).observations()), (3, 3));
    }

    #[test]
    fn an_empty_resolv_conf_is_wrong_in_every_line() {
        assert_eq!(judged(Resolver::default()), ["n1: nameserver (none)", "n1: search (none)", "n1: options (none)"]);
    }
}
