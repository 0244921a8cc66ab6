//! # The cluster's address ranges do not overlap other networks
//!
//! ## Why
//! A Service or pod range that covers the nodes, the link-local addresses or a company network makes those unreachable
//! from every pod: a database in 10.96.0.0/12 answers everyone but the cluster, and no error shows why.
//!
//! ## Fix
//! Ranges are chosen when a cluster is built (`networking.serviceSubnet` and `networking.podSubnet` of kubeadm). To take a range
//! of Services away, create a further ServiceCIDR, recreate its Services and delete the old one (`kubectl delete
//! servicecidr NAME`). For the pods' range there is no way but a new cluster, or a network plugin that can migrate pools;
//! unless only `networking.podSubnet` in ConfigMap kube-system/kubeadm-config is wrong, and no node's range is of it: correct it.
//! Name your own networks in the profile, as `expect: {outside-networks: [10.0.0.0/8]}`.
//!
//! ## Source
//! RFC 3927; kubernetes/kubernetes `cmd/kubeadm/app/apis/kubeadm/v1beta4/defaults.go` (the default 10.96.0.0/12);
//! <https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/>. How service ranges lie to the pods' and the
//! nodes' is judged by SN-02, and how the nodes' pod ranges lie to each other by CN-03.

use crate::check::{Finding, Subject, Verdict};
use crate::cidr::Cidr;
use crate::fact::facts::expectations::Expectations;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::service_cidrs::ServiceCidrs;
use crate::suites::node_ranges;

crate::check!("SN-11", "address-ranges", Major, judge);

/// Link-local addresses, where nodes find each other, DNS caches and the metadata of clouds; and the loopback's.
const RESERVED: [(&str, &str); 4] = [
    ("169.254.0.0/16", "link-local addresses"),
    ("fe80::/10", "link-local addresses"),
    ("127.0.0.0/8", "loopback addresses"),
    ("224.0.0.0/4", "multicast addresses"),
];

/// A range of the cluster.
struct Range {
    subject: Subject,
    what: &'static str,
    cidr: Cidr,
}

fn judge(
    nodes: &Nodes,
    kubeadm: Option<&KubeadmConfig>,
    services: Option<&ServiceCidrs>,
    expectations: &Expectations,
) -> Verdict {
    let mut verdict = Verdict::new();
    let pods = pod_ranges(&mut verdict, nodes, kubeadm);
    let ranges: Vec<Range> = service_ranges(services).into_iter().chain(pods).collect();
    if ranges.is_empty() {
        return Verdict::not_applicable(
            "neither ServiceCIDR objects, nor ConfigMap kubeadm-config, nor the nodes tell the cluster's ranges",
        );
    }
    let pods: Vec<Cidr> = ranges.iter().filter(|range| range.what == PODS).map(|range| range.cidr).collect();
    let is_nobodys = node_ranges::contradict(nodes, &pods);
    for range in &ranges {
        for (reserved, what) in RESERVED {
            // Constants that parse, as a test shows.
            let Ok(reserved) = reserved.parse::<Cidr>() else { continue };
            apart(&mut verdict, range, &reserved, what);
        }
        for outside in &expectations.outside_networks {
            apart(&mut verdict, range, outside, "a network outside of the cluster, by the profile");
        }
        if range.what == PODS {
            apart_from_nodes(&mut verdict, range, nodes, is_nobodys);
        }
    }
    verdict
}

const PODS: &str = "the pods' range";

fn service_ranges(services: Option<&ServiceCidrs>) -> Vec<Range> {
    let ranges = services.iter().flat_map(|services| &services.ranges).filter(|(_, range)| !range.deleting);
    ranges
        .flat_map(|(name, range)| {
            let subject = Subject::cluster_object("ServiceCIDR", name);
            range.cidrs.iter().map(move |cidr| Range {
                subject: subject.clone(),
                what: "the services' range",
                cidr: *cidr,
            })
        })
        .collect()
}

/// The pods' range as kubeadm was told; the nodes' shares where nobody says.
fn pod_ranges(verdict: &mut Verdict, nodes: &Nodes, kubeadm: Option<&KubeadmConfig>) -> Vec<Range> {
    let config = Subject::object("ConfigMap", "kube-system", "kubeadm-config");
    let subnet = kubeadm.and_then(|kubeadm| kubeadm.pod_subnet.as_deref()).filter(|subnet| !subnet.is_empty());
    let told: Vec<(Subject, &str)> = match subnet {
        Some(subnet) => subnet.split(',').map(|cidr| (config.clone(), cidr)).collect(),
        None => nodes
            .0
            .iter()
            .flat_map(|(name, node)| node.pod_cidrs.iter().map(move |cidr| (Subject::node(name), cidr.as_str())))
            .collect(),
    };
    let parsed = told.into_iter().filter_map(|(subject, text)| match text.parse() {
        Ok(cidr) => Some(Range { subject, what: PODS, cidr }),
        Err(cause) => {
            verdict.find(subject, Finding::new("a range of addresses", format!("{cause}")));
            None
        }
    });
    parsed.collect()
}

fn apart(verdict: &mut Verdict, range: &Range, other: &Cidr, what: &str) {
    verdict.expect(range.subject.clone(), !range.cidr.overlaps(other), || {
        Finding::new(
            format!("{} is apart from {other} ({what})", range.what),
            format!("{} overlaps {other}", range.cidr),
        )
        .impact("pods and nodes cannot reach addresses there that are not the cluster's own")
    });
}

/// All nodes in one finding. Of a range that is nobody's only the entry is wrong, for the time being.
fn apart_from_nodes(verdict: &mut Verdict, range: &Range, nodes: &Nodes, is_nobodys: bool) {
    let within: Vec<String> = nodes
        .0
        .iter()
        .flat_map(|(name, node)| node.internal_addresses().map(move |address| (name, address)))
        .filter(|(_, address)| range.cidr.contains(*address))
        .map(|(name, address)| format!("{address} of {name}"))
        .collect();
    verdict.expect(range.subject.clone(), within.is_empty(), || {
        let others = within.len().saturating_sub(1);
        let more = if others == 0 { String::new() } else { format!(" and {others} more") };
        let seen = format!("{} holds {}{more}", range.cidr, within.first().map_or("", String::as_str));
        let expected = format!("{} is apart from the nodes' addresses", range.what);
        if is_nobodys {
            return Finding::new(expected, format!("{seen}; no node's pod range is of it"))
                .impact("the entry is wrong: once a kubeadm upgrade has written it into the controller-manager, pods get addresses of nodes")
                .fix(node_ranges::CORRECT_SUBNET);
        }
        Finding::new(expected, seen).impact("a pod can get the address of a node, and pods are routed to nodes by mistake")
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::service_cidrs::ServiceCidr;

    fn seen(services: &str, pods: Option<&str>, outside: &[&str]) -> Vec<String> {
        judged(services, pods, outside).findings(Severity::Major).into_iter().map(|finding| finding.seen).collect()
    }

    fn judged(services: &str, pods: Option<&str>, outside: &[&str]) -> Verdict {
        let node = Node {
            addresses: vec![("InternalIP".into(), "10.77.0.11".into())],
            pod_cidrs: vec!["10.244.0.0/24".into()],
            ..Node::default()
        };
        let range = ServiceCidr {
            cidrs: vec![services.parse().unwrap()],
            ready: true,
            message: String::new(),
            deleting: false,
        };
        let services = ServiceCidrs { ranges: [("kubernetes".to_owned(), range)].into(), complaints: Ok(Vec::new()) };
        let kubeadm = KubeadmConfig { pod_subnet: pods.map(Into::into), ..KubeadmConfig::default() };
        let outside_networks = outside.iter().map(|cidr| cidr.parse().unwrap()).collect();
        let expectations = Expectations { outside_networks, ..Expectations::default() };
        judge(&Nodes([("n1".to_owned(), node)].into()), Some(&kubeadm), Some(&services), &expectations)
    }

    #[test]
    fn ranges_apart_pass() {
        let verdict = judged("10.96.0.0/12", Some("10.244.0.0/16"), &[]);
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (9, vec![]));
        assert!(RESERVED.iter().all(|(cidr, _)| cidr.parse::<Cidr>().is_ok()));
    }

    #[test]
    fn ranges_over_link_local_addresses_are_found() {
        assert_eq!(seen("169.254.128.0/20", Some("10.244.0.0/16"), &[]), ["169.254.128.0/20 overlaps 169.254.0.0/16"]);
    }

    #[test]
    fn a_pod_network_over_the_nodes_is_found() {
        assert_eq!(seen("10.96.0.0/12", Some("10.0.0.0/8"), &[]), ["10.0.0.0/8 holds 10.77.0.11 of n1"]);
        let findings = judged("10.96.0.0/12", Some("10.77.0.0/16"), &[]).findings(Severity::Major);
        assert_eq!(findings[0].seen, "10.77.0.0/16 holds 10.77.0.11 of n1; no node's pod range is of it");
        assert!(findings[0].fix.contains("edit configmap kubeadm-config"));
    }

    #[test]
    fn networks_of_the_profile_are_kept_free() {
        assert_eq!(seen("10.96.0.0/12", None, &["10.100.0.0/16"]), ["10.96.0.0/12 overlaps 10.100.0.0/16"]);
    }

    #[test]
    fn without_any_range_nothing_is_judged() {
        assert!(judge(&Nodes::default(), None, None, &Expectations::default()).reason().is_some());
    }
}
