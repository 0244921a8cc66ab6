//! # The DNS Service has the address that kubelets give to pods, for UDP and TCP
//!
//! ## Why
//! The kubelet writes the address of the DNS Service into every pod's `/etc/resolv.conf` from its own configuration. If
//! the Service was recreated at another address, no pod queries it. Without TCP, answers that are too long for UDP
//! never arrive.
//!
//! ## Fix
//! Recreate the Service at the address that kubelets have: `kubectl -n kube-system get service kube-dns -o yaml >
//! kube-dns.yaml`, set `clusterIP`, remove `clusterIPs`, `resourceVersion` and `uid`, `kubectl -n kube-system delete service
//! kube-dns`, `kubectl create -f kube-dns.yaml`. `kubeadm init phase addon coredns --config kubeadm.yaml` (with the
//! cluster's own settings, as AD-01 shows) writes Service and Deployment as kubeadm makes them.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/addons/dns/manifests.go`, `cmd/kubeadm/app/constants` (GetDNSIP: the tenth
//! address of the service range); <https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/>

use std::net::IpAddr;

use super::node_cache::is_of_a_cache;
use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::fact::facts::cluster_dns::ClusterDns;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::kubelet_defaults::KubeletDefaults;
use crate::fact::facts::service_range::ServiceRange;
use crate::ports;
use crate::seen::Unobserved;

crate::check!("DN-01", "dns-service", Critical, judge);

/// The place of the DNS Service in the service range, by kubeadm's rule.
const PLACE: u32 = 10;

fn judge(
    dns: Result<&ClusterDns, &Unobserved>,
    kubelets: Option<&KubeletDefaults>,
    kubeadm: Option<&KubeadmConfig>,
    range: Option<&ServiceRange>,
) -> Verdict {
    let mut verdict = Verdict::new();
    let dns = match dns {
        Ok(dns) => dns,
        Err(Unobserved::Absent { evidence }) if kubeadm.is_some() => {
            verdict.find(
                Subject::object("Service", "kube-system", "kube-dns"),
                Finding::new("the Service that kubeadm makes", evidence).impact("no name in the cluster resolves"),
            );
            return verdict;
        }
        Err(Unobserved::Absent { evidence }) => {
            return Verdict::not_applicable(format!("{evidence}: the cluster's DNS is another one"));
        }
        Err(why) => {
            verdict.unseen(Subject::object("Service", "kube-system", "kube-dns"), why);
            return verdict;
        }
    };
    let subject = || Subject::object("Service", "kube-system", &dns.name);
    let told = kubelets.map(|kubelets| &kubelets.cluster_dns[..]).unwrap_or_default();
    judge_address(&mut verdict, dns, told, kubeadm.and(range));
    for protocol in ["UDP", "TCP"] {
        verdict.expect(subject(), dns.listens(ports::DNS, protocol), || {
            let ports: Vec<String> = dns.ports.iter().map(|port| format!("{}/{}", port.port, port.protocol)).collect();
            let consequence = match protocol {
                "TCP" => "answers that are too long for UDP never arrive",
                _ => "no name in the cluster resolves",
            };
            Finding::new(format!("port 53/{protocol}"), format!("ports {}", names(ports))).impact(consequence)
        });
    }
    let label = dns.labels.get("k8s-app").map_or("none", String::as_str);
    verdict.expect(subject(), label == "kube-dns", || {
        Finding::new("label k8s-app=kube-dns", format!("label k8s-app: {label}"))
            .impact("monitoring and network policies that look for the label miss it")
            .severity(Severity::Minor)
    });
    verdict
}

fn judge_address(verdict: &mut Verdict, dns: &ClusterDns, told: &[IpAddr], range: Option<&ServiceRange>) {
    let subject = || Subject::object("Service", "kube-system", &dns.name);
    let seen = || format!("clusterIP {}", if dns.addresses.is_empty() { "None".into() } else { names(&dns.addresses) });
    let consequence = "pods ask an address that nobody answers: no name resolves";
    let tenth = range.and_then(|range| range.cidr.nth(PLACE));
    if told.iter().any(|address| is_of_a_cache(dns, *address)) {
        verdict.note(format!("kubelets send pods to a cache on their own node: {}", names(told)));
        verdict.expect(subject(), !dns.addresses.is_empty(), || Finding::new("an address", seen()));
    } else if !told.is_empty() {
        verdict.expect(subject(), dns.addresses.iter().any(|address| told.contains(address)), || {
            let told = names(told);
            Finding::new(format!("{told}, the clusterDNS of ConfigMap kube-system/kubelet-config"), seen())
                .impact(consequence)
        });
        if let Some(tenth) = tenth.filter(|tenth| !dns.addresses.contains(tenth)) {
            verdict.note(format!("{}, not kubeadm's usual {tenth}", seen()));
        }
    } else if let (Some(tenth), Some(range)) = (tenth, range) {
        verdict.expect(subject(), dns.addresses.contains(&tenth), || {
            Finding::new(format!("{tenth}, the tenth address of {} ({})", range.cidr, range.source), seen())
                .impact(consequence)
        });
    } else {
        verdict.expect(subject(), !dns.addresses.is_empty(), || Finding::new("an address", seen()).impact(consequence));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::seen;
    use crate::fact::facts::cluster_dns::DnsPort;

    fn dns(address: &str) -> ClusterDns {
        let port = |protocol: &str| DnsPort { port: 53, protocol: protocol.into() };
        ClusterDns {
            name: "kube-dns".into(),
            addresses: vec![address.parse().unwrap()],
            labels: [("k8s-app".to_owned(), "kube-dns".to_owned())].into(),
            ports: vec![port("UDP"), port("TCP")],
            servers: Ok(Vec::new()),
        }
    }

    fn judged(dns: &ClusterDns, told: &[&str]) -> Verdict {
        let told = KubeletDefaults {
            cluster_dns: told.iter().map(|a| a.parse().unwrap()).collect(),
            ..KubeletDefaults::default()
        };
        let range = ServiceRange { cidr: "10.96.0.0/12".parse().unwrap(), source: "ServiceCIDR kubernetes" };
        judge(Ok(dns), Some(&told), Some(&KubeadmConfig::default()), Some(&range))
    }

    #[test]
    fn the_address_that_kubelets_have_passes() {
        let verdict = judged(&dns("10.96.0.10"), &["10.96.0.10"]);
        assert_eq!((verdict.observations(), seen(&verdict)), (4, vec![]));
        assert!(crate::check::testing::notes(&verdict).is_empty());
        let chosen = judged(&dns("10.96.0.53"), &["10.96.0.53"]);
        assert_eq!(
            (seen(&chosen), crate::check::testing::notes(&chosen)),
            (vec![], vec!["clusterIP 10.96.0.53, not kubeadm's usual 10.96.0.10".to_owned()])
        );
    }

    #[test]
    fn another_address_is_found() {
        let findings = judged(&dns("10.96.0.53"), &["10.96.0.10"]).findings(Severity::Critical);
        assert_eq!(findings[0].seen, "clusterIP 10.96.0.53");
        assert_eq!(findings[0].expected, "10.96.0.10, the clusterDNS of ConfigMap kube-system/kubelet-config");
        let unknown = judged(&dns("10.96.0.53"), &[]).findings(Severity::Critical);
        assert_eq!(unknown[0].expected, "10.96.0.10, the tenth address of 10.96.0.0/12 (ServiceCIDR kubernetes)");
    }

    #[test]
    fn a_cache_on_each_node_stands_between() {
        let verdict = judged(&dns("10.96.0.53"), &["169.254.20.10"]);
        assert_eq!((seen(&verdict), crate::check::testing::notes(&verdict).len()), (vec![], 1));
    }

    #[test]
    fn missing_tcp_is_found() {
        let mut dns = dns("10.96.0.10");
        dns.ports.pop();
        let findings = judged(&dns, &["10.96.0.10"]).findings(Severity::Critical);
        assert_eq!((findings[0].expected.as_str(), findings[0].seen.as_str()), ("port 53/TCP", "ports 53/UDP"));
    }

    #[test]
    fn no_service_is_a_fault_only_where_kubeadm_makes_it() {
        let absent = Unobserved::absent("services \"kube-dns\" not found");
        let verdict = judge(Err(&absent), None, Some(&KubeadmConfig::default()), None);
        assert_eq!(seen(&verdict), ["services \"kube-dns\" not found"]);
        assert!(judge(Err(&absent), None, None, None).reason().is_some());
        assert_eq!(judge(Err(&Unobserved::Interrupted), None, None, None).gaps().len(), 1);
    }
}
