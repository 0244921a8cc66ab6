//! # The cluster's address ranges do not overlap other networks
//!
//! ## Why
//! A Service or pod range that covers the nodes, the link-local addresses or a company network makes those unreachable
//! from every pod: a database in 10.96.0.0/12 answers everyone but the cluster, and no error shows why.
//!
//! ## Fix
//! Ranges are chosen when a cluster is built (`networking.serviceSubnet` and `networking.podSubnet` of kubeadm). To
//! stop using a Service range, create another ServiceCIDR, delete the old one (`kubectl delete servicecidr NAME
//! --wait=false`) and recreate its Services. The pod range changes only with a new cluster, or with a network plugin
//! that can migrate pools. If only `networking.podSubnet` in ConfigMap kube-system/kubeadm-config is wrong, and no
//! node's range is within it, correct the ConfigMap.
//! Name your own networks in the profile, as `expect: {outside-networks: [10.0.0.0/8]}`.
//!
//! ## Source
//! RFC 3927; kubernetes/kubernetes `cmd/kubeadm/app/apis/kubeadm/v1beta4/defaults.go` (the default 10.96.0.0/12);
//! <https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/>. SN-02 compares the Service ranges
//! with those of pods and nodes, and CN-03 compares the nodes' pod ranges with each other.

use super::helpers::service_cidr::retire;
use crate::check::{Finding, Subject, Verdict};
use crate::cidr::Cidr;
use crate::fact::facts::expectations::Expectations;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::service_cidrs::ServiceCidrs;
use crate::suites::node_ranges;

crate::check!("SN-11", "address-ranges", Major, judge);

/// Ranges with a fixed use: clouds serve metadata and nodes run DNS caches at link-local addresses.
const RESERVED: [(&str, &str); 4] = [
    ("169.254.0.0/16", "link-local addresses"),
    ("fe80::/10", "link-local addresses"),
    ("127.0.0.0/8", "loopback addresses"),
    ("224.0.0.0/4", "multicast addresses"),
];

const SERVICE_RANGE: &str = "the Service range";
const POD_RANGE: &str = "the pod range";
const REBUILD: &str = "build a new cluster with another pod range (networking.podSubnet of kubeadm), unless the \
     network plugin can migrate pods to another pool, as Calico can";

/// A range of the cluster.
struct Range {
    subject: Subject,
    kind: &'static str,
    cidr: Cidr,
    /// What to do if it overlaps something.
    fix: String,
}

fn judge(
    nodes: &Nodes,
    kubeadm: Option<&KubeadmConfig>,
    services: Option<&ServiceCidrs>,
    expectations: &Expectations,
) -> Verdict {
    let mut verdict = Verdict::new();
    let pods = pod_ranges(&mut verdict, nodes, kubeadm);
    let cidrs: Vec<Cidr> = pods.iter().map(|(_, cidr)| *cidr).collect();
    let entry_is_wrong = node_ranges::contradict(nodes, &cidrs);
    let fix = if entry_is_wrong { node_ranges::CORRECT_SUBNET } else { REBUILD };
    let pods = pods.into_iter().map(|(subject, cidr)| Range { subject, kind: POD_RANGE, cidr, fix: fix.into() });
    let ranges: Vec<Range> = service_ranges(services).chain(pods).collect();
    if ranges.is_empty() && verdict.observations() == 0 {
        return verdict.does_not_apply(
            "neither ServiceCIDR objects, nor ConfigMap kubeadm-config, nor the nodes contain an address range",
        );
    }
    for range in &ranges {
        for (reserved, what) in RESERVED {
            // Constants that parse, as a test shows.
            let Ok(reserved) = reserved.parse::<Cidr>() else { continue };
            judge_overlap(&mut verdict, range, &reserved, what);
        }
        for outside in &expectations.outside_networks {
            judge_overlap(&mut verdict, range, outside, "a network outside the cluster that the profile names");
        }
        if range.kind == POD_RANGE {
            judge_nodes(&mut verdict, range, nodes, entry_is_wrong);
        }
    }
    verdict
}

fn service_ranges(services: Option<&ServiceCidrs>) -> impl Iterator<Item = Range> {
    let ranges = services.into_iter().flat_map(|services| &services.ranges).filter(|(_, range)| !range.deleting);
    ranges.flat_map(|(name, range)| {
        range.cidrs.iter().map(move |cidr| Range {
            subject: Subject::cluster_object("ServiceCIDR", name),
            kind: SERVICE_RANGE,
            cidr: *cidr,
            fix: retire(name),
        })
    })
}

/// The pod range that kubeadm was given; without one, the ranges of the nodes.
fn pod_ranges(verdict: &mut Verdict, nodes: &Nodes, kubeadm: Option<&KubeadmConfig>) -> Vec<(Subject, Cidr)> {
    let config = || Subject::object("ConfigMap", "kube-system", "kubeadm-config");
    let subnet = kubeadm.and_then(|kubeadm| kubeadm.pod_subnet.as_deref()).filter(|subnet| !subnet.is_empty());
    let ranges: Vec<(Subject, &str)> = match subnet {
        Some(subnet) => subnet.split(',').map(|cidr| (config(), cidr)).collect(),
        None => nodes
            .0
            .iter()
            .flat_map(|(name, node)| node.pod_cidrs.iter().map(move |cidr| (Subject::node(name), cidr.as_str())))
            .collect(),
    };
    let parsed = ranges.into_iter().filter_map(|(subject, text)| match text.parse::<Cidr>() {
        Ok(cidr) => Some((subject, cidr)),
        Err(cause) => {
            let fix = match subnet {
                Some(_) => "write networking.podSubnet as ranges with a comma between them: kubectl -n kube-system \
                            edit configmap kubeadm-config"
                    .to_owned(),
                None => node_ranges::another(&subject.name, nodes),
            };
            let finding = Finding::new("the pod range is an address range", cause.to_string())
                .impact("pods get no addresses from it")
                .fix(fix);
            verdict.find(subject, finding);
            None
        }
    });
    parsed.collect()
}

fn judge_overlap(verdict: &mut Verdict, range: &Range, other: &Cidr, what: &str) {
    let Range { subject, kind, cidr, fix } = range;
    verdict.expect(subject.clone(), !cidr.overlaps(other), || {
        Finding::new(format!("{kind} does not overlap {other} ({what})"), format!("it overlaps {other}"))
            .evidence([format!("{cidr} ({subject})")])
            .impact("pods and nodes cannot reach servers outside the cluster that have such an address")
            .fix(fix)
    });
}

/// Judges that no node has an address in the range. If no node's pod range is within it, only the entry is wrong.
fn judge_nodes(verdict: &mut Verdict, range: &Range, nodes: &Nodes, entry_is_wrong: bool) {
    let Range { subject, kind, cidr, fix } = range;
    let addresses = nodes
        .0
        .iter()
        .flat_map(|(name, node)| node.internal_addresses().map(move |address| (name, address)))
        .filter(|(_, address)| cidr.contains(*address));
    let within: Vec<String> = addresses.map(|(name, address)| format!("{cidr}: {address} of {name}")).collect();
    verdict.expect(subject.clone(), within.is_empty(), || {
        let (seen, impact) = if entry_is_wrong {
            (
                "it contains addresses of nodes, and no node's pod range is within it",
                "when a kubeadm upgrade writes it into the controller-manager, pods get addresses of nodes",
            )
        } else {
            (
                "it contains addresses of nodes",
                "a pod can get the address of a node, and traffic for one of them reaches the other",
            )
        };
        Finding::new(format!("{kind} contains no address of a node"), seen).evidence(within).impact(impact).fix(fix)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::check::testing::seen;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::service_cidrs::ServiceCidr;

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
        let services = ServiceCidrs { ranges: [("extra".to_owned(), range)].into(), complaints: Ok(Vec::new()) };
        let kubeadm = KubeadmConfig { pod_subnet: pods.map(Into::into), ..KubeadmConfig::default() };
        let outside_networks = outside.iter().map(|cidr| cidr.parse().unwrap()).collect();
        let expectations = Expectations { outside_networks, ..Expectations::default() };
        judge(&Nodes([("n1".to_owned(), node)].into()), Some(&kubeadm), Some(&services), &expectations)
    }

    #[test]
    fn ranges_apart_pass() {
        let verdict = judged("10.96.0.0/12", Some("10.244.0.0/16"), &[]);
        assert_eq!((verdict.observations(), seen(&verdict)), (9, vec![]));
        assert!(RESERVED.iter().all(|(cidr, _)| cidr.parse::<Cidr>().is_ok()));
    }

    #[test]
    fn ranges_over_link_local_addresses_are_found() {
        let findings = judged("169.254.128.0/20", Some("10.244.0.0/16"), &[]).findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].seen.as_str()), (1, "it overlaps 169.254.0.0/16"));
        assert_eq!(findings[0].evidence, ["169.254.128.0/20 (ServiceCIDR extra)"]);
        assert!(findings[0].fix.contains("kubectl delete servicecidr extra"));
    }

    #[test]
    fn a_pod_range_over_the_nodes_is_found() {
        let findings = judged("10.96.0.0/12", Some("10.0.0.0/8"), &[]).findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].seen.as_str()), (1, "it contains addresses of nodes"));
        assert_eq!(findings[0].evidence, ["10.0.0.0/8: 10.77.0.11 of n1"]);
        let findings = judged("10.96.0.0/12", Some("10.77.0.0/16"), &[]).findings(Severity::Major);
        assert_eq!(findings[0].seen, "it contains addresses of nodes, and no node's pod range is within it");
        assert!(findings[0].fix.contains("edit configmap kubeadm-config"));
    }

    #[test]
    fn networks_of_the_profile_are_kept_free() {
        assert_eq!(seen(&judged("10.96.0.0/12", None, &["10.100.0.0/16"])), ["it overlaps 10.100.0.0/16"]);
    }

    #[test]
    fn without_any_range_nothing_is_judged() {
        assert!(judge(&Nodes::default(), None, None, &Expectations::default()).reason().is_some());
        let kubeadm = KubeadmConfig { pod_subnet: Some("10.244.0.0".into()), ..KubeadmConfig::default() };
        let verdict = judge(&Nodes::default(), Some(&kubeadm), None, &Expectations::default());
        assert_eq!((verdict.reason(), seen(&verdict).len()), (None, 1), "one that cannot be read is found");
    }
}
