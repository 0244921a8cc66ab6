//! # The DNS Service has the address that kubelets give to pods, for UDP and TCP
//!
//! ## Why
//! The kubelet writes the address of the DNS Service into every pod's `/etc/resolv.conf` from its own configuration. If
//! the Service was recreated at another address, no pod queries it. Without TCP, answers that are too long for UDP
//! never arrive.
//!
//! ## Fix
//! Recreate the Service at the address that kubelets have: `kubectl -n kube-system get service kube-dns -o yaml >
//! kube-dns.yaml`, set `clusterIP`, remove `clusterIPs`, `resourceVersion` and `uid`, `kubectl -n kube-system delete
//! service kube-dns`, `kubectl create -f kube-dns.yaml`. `kubeadm init phase addon coredns --config kubeadm.yaml` (with
//! the cluster's own settings, as AD-01 shows) recreates Service and Deployment as kubeadm creates them.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/addons/dns/manifests.go`, `cmd/kubeadm/app/constants` (GetDNSIP: the
//! tenth address of the service range); <https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/>

use std::net::IpAddr;

use super::helpers::node_cache::is_of_a_cache;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::cluster_dns::ClusterDns;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::kubelet_defaults::KubeletDefaults;
use crate::fact::facts::service_range::ServiceRange;
use crate::ports;
use crate::seen::Unobserved;
use crate::suites::kubeadm_phase::again;

crate::check!("DN-01", "dns-service", Critical, judge, builds_on: ["SN-01", "SN-02"]);

/// The place of the DNS Service in the service range, by kubeadm's rule.
const PLACE: u32 = 10;
/// The impact of a Service that pods do not find.
const NO_NAME: &str = "pods send DNS queries to an address that does not answer: no name resolves";

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
            let finding = Finding::new("the Service that kubeadm creates", evidence)
                .impact("no name in the cluster resolves")
                .fix(format!("run on a control-plane node; {}", again("addon coredns")));
            verdict.find(subject("kube-dns"), finding);
            return verdict;
        }
        Err(Unobserved::Absent { evidence }) => {
            return verdict.does_not_apply(format!("{evidence}: the cluster uses another DNS server"));
        }
        Err(why) => {
            verdict.unseen(subject("kube-dns"), why);
            return verdict;
        }
    };
    let name = &dns.name;
    if let Some((field, cause)) = kubelets.and_then(|kubelets| kubelets.unread.get_key_value("clusterDNS")) {
        let map = Subject::object("ConfigMap", "kube-system", "kubelet-config");
        verdict.unseen(map, &Unobserved::invalid(format!("field {field} of KubeletConfiguration"), cause));
    }
    let configured = kubelets.map(|kubelets| &kubelets.cluster_dns[..]).unwrap_or_default();
    judge_address(&mut verdict, dns, configured, kubeadm.and(range));
    for (protocol, port_name, impact) in [
        ("UDP", "dns", "no name in the cluster resolves"),
        ("TCP", "dns-tcp", "answers that are too long for UDP never arrive"),
    ] {
        verdict.expect(subject(name), dns.listens(ports::DNS, protocol), || {
            let target = dns.servers.iter().flatten().next().map_or(ports::DNS, |server| server.port);
            Finding::new(format!("port 53/{protocol}"), "it has only other ports")
                .evidence(dns.ports.iter().map(|port| format!("{}/{}", port.port, port.protocol)))
                .impact(impact)
                .fix(format!(
                    "kubectl -n kube-system patch service {name} --type json -p '[{{op: add, path: /spec/ports/-, \
                     value: {{name: {port_name}, port: 53, protocol: {protocol}, targetPort: {target}}}}}]'"
                ))
                .managed_by(dns.manager.as_ref())
        });
    }
    let label = dns.labels.get("k8s-app").map_or("none", String::as_str);
    verdict.expect(subject(name), label == "kube-dns", || {
        Finding::new("label k8s-app=kube-dns", format!("label k8s-app: {label}"))
            .impact("monitoring and other tools that select the DNS Service by this label miss it")
            .fix(format!("kubectl -n kube-system label service {name} k8s-app=kube-dns --overwrite"))
            .managed_by(dns.manager.as_ref())
            .severity(Severity::Minor)
    });
    verdict
}

fn subject(service: &str) -> Subject {
    Subject::object("Service", "kube-system", service)
}

fn judge_address(verdict: &mut Verdict, dns: &ClusterDns, configured: &[IpAddr], range: Option<&ServiceRange>) {
    let subject = || subject(&dns.name);
    let seen = || format!("clusterIP {}", dns.addresses.first().map_or("None".to_owned(), ToString::to_string));
    let has_any = |wanted: &[IpAddr]| dns.addresses.iter().any(|address| wanted.contains(address));
    let tenth = range.and_then(|range| range.cidr.nth(PLACE));
    let headless = |behind_caches: bool| {
        let fix = match tenth.filter(|_| behind_caches) {
            Some(tenth) => format!("recreate the Service: {}", recreate(dns, &tenth.to_string())),
            None => format!(
                "on a node, recreate the Service with the address that its kubelet gives to pods: \
                 address=$(sed -n '/^clusterDNS:/{{n;s/^- //p}}' /var/lib/kubelet/config.yaml) && {}",
                recreate(dns, "$address")
            ),
        };
        Finding::new("a clusterIP", seen()).fix(fix).managed_by(dns.manager.as_ref())
    };
    let caches: Vec<_> = configured.iter().filter(|address| is_of_a_cache(dns, **address)).collect();
    if let (Some(wanted), true) = (configured.first(), caches.is_empty()) {
        verdict.expect(subject(), has_any(configured), || {
            Finding::new(format!("clusterIP {wanted}, which kubelets give to pods as their DNS server"), seen())
                .evidence(configured.iter().map(|address| format!("ConfigMap kube-system/kubelet-config: {address}")))
                .evidence(dns.addresses.iter().map(|address| format!("Service: {address}")))
                .impact(NO_NAME)
                .fix(format!(
                    "if DN-05 passes, correct only clusterDNS in the ConfigMap: kubectl -n kube-system edit configmap \
                     kubelet-config; otherwise recreate the Service: {}",
                    recreate(dns, &wanted.to_string())
                ))
                .managed_by(dns.manager.as_ref())
        });
        if let Some(tenth) = tenth.filter(|tenth| !dns.addresses.contains(tenth)) {
            verdict.note(format!("{}, not the {tenth} that kubeadm chooses", seen()));
        }
    } else if !caches.is_empty() {
        for address in caches {
            verdict.note_about(Subject::address(address), "kubelets make pods use this DNS cache on their own node");
        }
        verdict.expect(subject(), !dns.addresses.is_empty(), || {
            headless(true).impact("clients that bypass the caches have no DNS server")
        });
    } else if let (Some(tenth), Some(range)) = (tenth, range) {
        verdict.expect(subject(), has_any(&[tenth]), || {
            Finding::new(format!("clusterIP {tenth}, the tenth of {} ({})", range.cidr, range.source), seen())
                .impact(NO_NAME)
                .fix(format!("recreate the Service: {}", recreate(dns, &tenth.to_string())))
                .managed_by(dns.manager.as_ref())
        });
    } else {
        verdict.expect(subject(), !dns.addresses.is_empty(), || headless(false).impact(NO_NAME));
    }
}

/// The commands that recreate the Service at another address, if that is free and in the service range.
fn recreate(dns: &ClusterDns, address: &str) -> String {
    let name = &dns.name;
    let old = dns.addresses.first().map_or("None".to_owned(), ToString::to_string);
    format!(
        "kubectl -n kube-system create service clusterip check --clusterip={address} --tcp=53 --dry-run=server && \
         kubectl -n kube-system get service {name} -o yaml | sed \"s/clusterIP: {old}\\$/clusterIP: {address}/; \
         s/^  - {old}\\$/  - {address}/\" > {name}.yaml && kubectl replace --force -f {name}.yaml"
    )
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
            manager: None,
        }
    }

    fn judged(dns: &ClusterDns, configured: &[&str]) -> Verdict {
        let kubelets = KubeletDefaults {
            cluster_dns: configured.iter().map(|a| a.parse().unwrap()).collect(),
            ..KubeletDefaults::default()
        };
        let range = ServiceRange { cidr: "10.96.0.0/12".parse().unwrap(), source: "ServiceCIDR kubernetes" };
        judge(Ok(dns), Some(&kubelets), Some(&KubeadmConfig::default()), Some(&range))
    }

    #[test]
    fn the_address_that_kubelets_have_passes() {
        let verdict = judged(&dns("10.96.0.10"), &["10.96.0.10"]);
        assert_eq!((verdict.observations(), seen(&verdict)), (4, vec![]));
        assert!(crate::check::testing::notes(&verdict).is_empty());
        let chosen = judged(&dns("10.96.0.53"), &["10.96.0.53"]);
        assert_eq!(
            (seen(&chosen), crate::check::testing::notes(&chosen)),
            (vec![], vec!["clusterIP 10.96.0.53, not the 10.96.0.10 that kubeadm chooses".to_owned()])
        );
    }

    #[test]
    fn another_address_is_found() {
        let findings = judged(&dns("10.96.0.53"), &["10.96.0.10"]).findings(Severity::Critical);
        assert_eq!(findings[0].seen, "clusterIP 10.96.0.53");
        assert_eq!(findings[0].expected, "clusterIP 10.96.0.10, which kubelets give to pods as their DNS server");
        assert_eq!(findings[0].evidence, ["ConfigMap kube-system/kubelet-config: 10.96.0.10", "Service: 10.96.0.53"]);
        let unknown = judged(&dns("10.96.0.53"), &[]).findings(Severity::Critical);
        assert_eq!(unknown[0].expected, "clusterIP 10.96.0.10, the tenth of 10.96.0.0/12 (ServiceCIDR kubernetes)");
    }

    #[test]
    fn a_cache_on_each_node_may_come_first() {
        let verdict = judged(&dns("10.96.0.53"), &["169.254.20.10"]);
        assert_eq!((seen(&verdict), crate::check::testing::notes(&verdict).len()), (vec![], 1));
    }

    #[test]
    fn missing_tcp_is_found() {
        let mut dns = dns("10.96.0.10");
        dns.ports.pop();
        let findings = judged(&dns, &["10.96.0.10"]).findings(Severity::Critical);
        assert_eq!((findings[0].expected.as_str(), findings[0].evidence.join(" ")), ("port 53/TCP", "53/UDP".into()));
    }

    #[test]
    fn no_service_is_a_fault_only_where_kubeadm_creates_it() {
        let absent = Unobserved::absent("services \"kube-dns\" not found");
        let verdict = judge(Err(&absent), None, Some(&KubeadmConfig::default()), None);
        assert_eq!(seen(&verdict), ["services \"kube-dns\" not found"]);
        assert!(judge(Err(&absent), None, None, None).reason().is_some());
        assert_eq!(judge(Err(&Unobserved::Interrupted), None, None, None).gaps().len(), 1);
    }
}
