//! # Every node has its own pod range, inside the pod network and large enough
//!
//! ## Why
//! Two nodes with the same range give the same address to two pods, and one of them gets the other's packets. A node
//! without a range starts no pods; packets from a range outside the pod network are masqueraded and filtered. If a
//! range is smaller than the kubelet's pod limit, pods on a full node wait for an address.
//!
//! ## Fix
//! If ranges run out or lie outside of the pod network, compare `--cluster-cidr`, `--node-cidr-mask-size` and
//! `--allocate-node-cidrs` in `/etc/kubernetes/manifests/kube-controller-manager.yaml` with `networking.podSubnet` in
//! ConfigMap kube-system/kubeadm-config, and correct the one that contradicts the nodes. A node's range cannot be
//! changed: drain a worker (`kubectl drain NODE --ignore-daemonsets --delete-emptydir-data`), delete its Node object
//! (`kubectl delete node NODE`), and restart its kubelet; the controller-manager assigns it a free range. A
//! control-plane node would lose its label and its taint: remove it from the cluster with `kubeadm reset` and join it
//! again. If a range is too small for `maxPods` in the node's `/var/lib/kubelet/config.yaml`, lower that, or give new
//! nodes larger ranges.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/controller/nodeipam/ipam/range_allocator.go`, `test/e2e_kubeadm/networking_test.go`.
//! The ranges mean nothing where the network plugin assigns addresses itself, which the addresses of pods show. Three
//! addresses of a range belong to no pod: the first, the gateway's and the last
//! (<https://www.cni.dev/plugins/current/ipam/host-local/>).

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::cidr::Cidr;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::pods::{Pod, Pods};
use crate::object_ref::NamespacedName;
use crate::seen::Unobserved;
use crate::suites::node_ranges;

crate::check!("CN-03", "pod-ranges", Major, judge, builds_on: ["SN-11"]);

/// How many addresses of a range belong to no pod.
const RESERVED: u64 = 3;

fn judge(nodes: &Nodes, pods: &Pods, kubeadm: Option<&KubeadmConfig>) -> Verdict {
    let subnet = kubeadm.and_then(|kubeadm| kubeadm.pod_subnet.as_deref()).filter(|subnet| !subnet.is_empty());
    let mut verdict = Verdict::new();
    let mut ranges: BTreeMap<&str, Vec<Cidr>> = BTreeMap::new();
    for (name, node) in &nodes.0 {
        match node.pod_cidrs.iter().map(|cidr| cidr.parse()).collect::<Result<Vec<Cidr>, _>>() {
            Ok(cidrs) => drop(ranges.insert(name, cidrs)),
            Err(cause) => verdict.unseen(Subject::node(name), &Unobserved::invalid(format!("Node {name}"), cause)),
        }
    }
    let no_ranges = ranges.values().all(Vec::is_empty) && verdict.saw_everything();
    if subnet.is_none() && no_ranges {
        return verdict.does_not_apply("no node has a pod range, and kubeadm's configuration has no podSubnet");
    }
    let foreign = foreign_address(pods, &ranges)
        .or_else(|| addresses(pods).next().filter(|_| no_ranges).map(|(name, address, _)| (name, address)));
    if let Some((example, address)) = foreign {
        return verdict.does_not_apply(format!(
            "the network plugin assigns addresses itself: Pod {example} has {address}, which no range of its node \
             contains"
        ));
    }
    let entry = || Subject::object("ConfigMap", "kube-system", "kubeadm-config");
    let subnets = subnet.map(|subnet| subnet.split(',').map(str::parse).collect::<Result<Vec<Cidr>, _>>());
    let subnets = match subnets.transpose() {
        Ok(subnets) => subnets.unwrap_or_default(),
        Err(cause) => {
            let finding = Finding::new("networking.podSubnet is a range of addresses", cause.to_string())
                .impact("kubeadm reads this value when nodes join and when the cluster is upgraded, and cannot use it")
                .fix(node_ranges::CORRECT_SUBNET);
            verdict.find(entry(), finding);
            Vec::new()
        }
    };
    let is_contradicted = node_ranges::contradict(nodes, &subnets);
    if is_contradicted {
        // One finding about the entry, not one of each node: the nodes are right.
        let own = ranges.iter().flat_map(|(node, own)| own.iter().map(move |cidr| format!("{node}: {cidr}")));
        let finding = Finding::new(
            "networking.podSubnet contains the pod ranges of the nodes",
            format!("{} contains no node's range", joined(&subnets)),
        )
        .evidence(own)
        .impact("the next kubeadm upgrade writes it to the controller-manager, and new nodes get ranges of it")
        .fix(node_ranges::CORRECT_SUBNET);
        verdict.find(entry(), finding);
    }
    let hosts = hosts(pods);
    for (node, own) in &ranges {
        verdict.expect(Subject::node(*node), !own.is_empty(), || {
            Finding::new("spec.podCIDRs contains a range", "spec.podCIDRs is empty")
                .impact("the network plugin has no addresses for pods there")
                .fix(
                    "find out why the controller-manager assigns none (--allocate-node-cidrs is off, or \
                     --cluster-cidr has no free range): kubectl -n kube-system logs -l \
                     component=kube-controller-manager --tail=-1 | grep -i cidr",
                )
        });
        if !own.is_empty() && !subnets.is_empty() {
            judge_node(&mut verdict, node, own, &subnets, nodes, is_contradicted);
        }
        if let Some(limit) = nodes.0.get(*node).and_then(|node| node.pod_limit) {
            judge_size(&mut verdict, node, own, limit, hosts.get(node).copied().unwrap_or_default());
        }
    }
    judge_overlaps(&mut verdict, &ranges, nodes);
    verdict
}

/// The running pods' addresses on the pod network, with their nodes.
fn addresses(pods: &Pods) -> impl Iterator<Item = (&NamespacedName, IpAddr, Option<&str>)> {
    let on_pod_network = pods.0.iter().filter(|(_, pod)| !pod.host_network && pod.phase == "Running");
    on_pod_network.flat_map(|(name, pod)| {
        let addresses = pod.addresses.iter().filter_map(|address| address.parse().ok());
        addresses.map(move |address| (name, address, pod.node.as_deref()))
    })
}

/// A pod with an address outside of its node's range, although the node has one: the network plugin chose the address.
fn foreign_address<'a>(pods: &'a Pods, ranges: &BTreeMap<&str, Vec<Cidr>>) -> Option<(&'a NamespacedName, IpAddr)> {
    let with_range = addresses(pods).filter_map(|(name, address, node)| Some((name, address, ranges.get(node?)?)));
    let mut judged = with_range.filter(|(.., own)| !own.is_empty()).peekable();
    // A pod may be older than its node's range. Only if no pod has an address of a range are the ranges unused.
    let first = judged.peek().map(|(name, address, _)| (*name, *address))?;
    judged
        .all(|(_, address, own): (&NamespacedName, IpAddr, &Vec<Cidr>)| !own.iter().any(|cidr| cidr.contains(address)))
        .then_some(first)
}

fn joined(cidrs: &[Cidr]) -> String {
    cidrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

fn judge_node(verdict: &mut Verdict, node: &str, own: &[Cidr], subnets: &[Cidr], nodes: &Nodes, is_contradicted: bool) {
    let has_family = |cidr: &Cidr| subnets.iter().any(|subnet| subnet.is_ipv4() == cidr.is_ipv4());
    let is_inside = |cidr: &Cidr| subnets.iter().any(|subnet| subnet.covers(cidr));
    // A family that only the pod network lacks is found below.
    let is_extra = |cidr: &Cidr| own.len() > subnets.len() && !has_family(cidr);
    let outside: Vec<Cidr> = own.iter().filter(|cidr| !is_inside(cidr) && !is_extra(cidr)).copied().collect();
    let network = joined(subnets);
    if !is_contradicted {
        verdict.expect(Subject::node(node), outside.is_empty(), || {
            Finding::new(format!("a range inside the pod network {network}"), joined(&outside))
                .impact("masquerading and policies treat pods there as outside of the cluster")
                .fix(node_ranges::another(node, nodes))
        });
    }
    verdict.expect(Subject::node(node), own.len() == subnets.len(), || {
        let finding = |seen| {
            Finding::new(format!("a range of each family of the pod network {network}"), seen)
                .evidence([format!("{node}: {}", joined(own))])
        };
        if own.len() > subnets.len() {
            return finding("more families in spec.podCIDRs")
                .impact("the next kubeadm upgrade removes the family that networking.podSubnet lacks")
                .fix(node_ranges::CORRECT_SUBNET);
        }
        finding("fewer families in spec.podCIDRs").impact("pods there have no address of the other family").fix(format!(
            "set --cluster-cidr={} in /etc/kubernetes/manifests/kube-controller-manager.yaml on every control-plane \
             node, unless it is set already; then recreate the Node objects of these nodes, as \
             `seaworthy explain CN-03` shows",
            network.replace(" and ", ",")
        ))
    });
}

/// How many running pods of each node have host networking: they take no address of its range.
fn hosts(pods: &Pods) -> BTreeMap<&str, u64> {
    let without_address = |pod: &&Pod| pod.host_network && pod.phase == "Running" && !pod.deleting;
    let mut hosts: BTreeMap<&str, u64> = BTreeMap::new();
    for node in pods.0.values().filter(without_address).filter_map(|pod| pod.node.as_deref()) {
        *hosts.entry(node).or_default() += 1;
    }
    hosts
}

/// With two families, each pod takes an address of both: the smaller range decides.
fn judge_size(verdict: &mut Verdict, node: &str, own: &[Cidr], limit: u64, hosts: u64) {
    let Some(smallest) = own.iter().min_by_key(|cidr| cidr.size()) else { return };
    let needed = limit.saturating_sub(hosts);
    let usable = smallest.size().saturating_sub(RESERVED);
    verdict.expect(Subject::node(node), usable >= needed, || {
        Finding::new(
            format!("addresses for {needed} pods: the kubelet accepts {limit}, {hosts} of them with host networking"),
            format!("the pod range has {usable} for pods"),
        )
        .evidence([format!("{node}: {smallest}")])
        .impact("when the node is full, its last pods wait for an address that never becomes free")
        .fix(format!(
            "on these nodes, set maxPods: {} or less in /var/lib/kubelet/config.yaml, then systemctl restart \
             kubelet; or give new nodes larger ranges (--node-cidr-mask-size of kube-controller-manager)",
            usable.saturating_add(limit - needed)
        ))
        .severity(Severity::Minor)
    });
}

/// Finds nodes whose ranges overlap: each pair once.
fn judge_overlaps(verdict: &mut Verdict, ranges: &BTreeMap<&str, Vec<Cidr>>, nodes: &Nodes) {
    let all: Vec<(&str, &Cidr)> =
        ranges.iter().flat_map(|(node, own)| own.iter().map(move |cidr| (*node, cidr))).collect();
    for (i, (node, cidr)) in all.iter().enumerate() {
        let overlaps = |(other, theirs): &&(&str, &Cidr)| theirs.overlaps(cidr) && other != node;
        let Some((other, theirs)) = all[..i].iter().find(overlaps) else {
            verdict.confirm();
            continue;
        };
        let seen = format!("their ranges overlap: {other} has {theirs}, {node} has {cidr}");
        let easiest = node_ranges::easiest(&[*other, *node], nodes).unwrap_or(*node);
        let finding = Finding::new("every node has its own pod range", seen)
            .impact("pods on both nodes get the same address, and one of them gets the other's packets")
            .fix(node_ranges::another(easiest, nodes));
        verdict.find_together([other, node].map(|node| Subject::node(*node)), 1, finding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing;
    use crate::fact::facts::nodes::Node;
    use crate::object_ref::testing::named;

    fn nodes(ranges: &[&[&str]]) -> Nodes {
        let node = |(i, ranges): (usize, &&[&str])| {
            let pod_cidrs = ranges.iter().map(ToString::to_string).collect();
            (format!("n{}", i + 1), Node { pod_cidrs, ..Node::default() })
        };
        Nodes(ranges.iter().enumerate().map(node).collect())
    }

    fn pods(address: &str) -> Pods {
        let pod =
            Pod { node: Some("n1".into()), phase: "Running".into(), addresses: vec![address.into()], ..Pod::default() };
        Pods([(named("kube-system/coredns"), pod)].into())
    }

    fn judged(ranges: &[&[&str]], subnet: &str) -> Verdict {
        let kubeadm = KubeadmConfig { pod_subnet: Some(subnet.into()), ..KubeadmConfig::default() };
        judge(&nodes(ranges), &pods("10.244.0.5"), Some(&kubeadm))
    }

    fn seen(ranges: &[&[&str]], subnet: &str) -> Vec<String> {
        testing::seen(&judged(ranges, subnet))
    }

    #[test]
    fn ranges_of_their_own_pass() {
        let verdict = judged(&[&["10.244.0.0/24"], &["10.244.1.0/24"]], "10.244.0.0/16");
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (8, vec![]));
    }

    #[test]
    fn a_shared_range_is_one_finding_about_both_nodes() {
        assert_eq!(
            testing::seen_of(&judged(&[&["10.244.0.0/24"], &["10.244.0.0/24"]], "10.244.0.0/16")),
            ["Node n1, n2: their ranges overlap: n1 has 10.244.0.0/24, n2 has 10.244.0.0/24"]
        );
    }

    #[test]
    fn a_missing_range_and_one_outside_are_found() {
        assert_eq!(seen(&[&["10.244.0.0/24"], &[]], "10.244.0.0/16"), ["spec.podCIDRs is empty"]);
        assert_eq!(seen(&[&["10.244.0.0/24"], &["10.99.1.0/24"]], "10.244.0.0/16"), ["10.99.1.0/24"]);
        assert_eq!(seen(&[&["10.244.0.0/24"]], "10.244.0.0/16,fd00::/48"), ["fewer families in spec.podCIDRs"]);
        let both = ["10.244.0.0/24", "fd00::/64"];
        let findings = judged(&[&both], "10.244.0.0/16").findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].seen.as_str()), (1, "more families in spec.podCIDRs"));
        assert_eq!(findings[0].fix, node_ranges::CORRECT_SUBNET, "the entry lacks a family, not the node");
    }

    #[test]
    fn an_entry_that_contradicts_all_nodes_is_one_finding_about_the_entry() {
        let findings = judged(&[&["10.244.0.0/24"], &["10.244.1.0/24"]], "10.64.0.0/10").findings(Severity::Major);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subjects[0].to_string(), "ConfigMap kube-system/kubeadm-config");
        assert_eq!(findings[0].evidence, ["n1: 10.244.0.0/24", "n2: 10.244.1.0/24"]);
        assert!(findings[0].fix.starts_with("leave the nodes as they are"));
    }

    #[test]
    fn nodes_without_ranges_are_one_finding_unless_pods_have_addresses_anyway() {
        let kubeadm = KubeadmConfig { pod_subnet: Some("10.244.0.0/16".into()), ..KubeadmConfig::default() };
        let findings = judge(&nodes(&[&[], &[]]), &Pods::default(), Some(&kubeadm)).findings(Severity::Major);
        assert_eq!((findings.len(), crate::check::subject::listed(&findings[0].subjects)), (1, "Node n1, n2".into()));
        let verdict = judge(&nodes(&[&[], &[]]), &pods("10.244.0.5"), Some(&kubeadm));
        assert!(verdict.reason().unwrap().contains("10.244.0.5, which no range of its node contains"));
    }

    #[test]
    fn a_range_smaller_than_the_kubelets_pod_limit_is_found() {
        let sized = |ranges: &[&str], limit| {
            let mut nodes = nodes(&[ranges]);
            nodes.0.get_mut("n1").unwrap().pod_limit = Some(limit);
            let mut pods = pods("10.244.0.5");
            let host = Pod { node: Some("n1".into()), phase: "Running".into(), host_network: true, ..Pod::default() };
            pods.0.insert(named("kube-system/kube-proxy"), host);
            let found = judge(&nodes, &pods, None).findings(Severity::Major).into_iter();
            found.map(|finding| format!("{} {}", finding.severity, finding.seen)).collect::<Vec<_>>()
        };
        assert!(sized(&["10.244.0.0/24"], 110).is_empty() && sized(&["10.244.0.0/24"], 254).is_empty());
        assert_eq!(sized(&["10.244.0.0/24"], 255), ["minor the pod range has 253 for pods"]);
        assert_eq!(sized(&["fd00:1::/64", "10.244.0.0/26"], 110), ["minor the pod range has 61 for pods"]);
        assert!(sized(&["fd00:1::/64"], 100_000).is_empty());
    }

    #[test]
    fn unused_ranges_are_not_judged() {
        let kubeadm = KubeadmConfig { pod_subnet: Some("10.244.0.0/16".into()), ..KubeadmConfig::default() };
        let verdict = judge(&nodes(&[&["10.244.0.0/24"]]), &pods("192.168.3.7"), Some(&kubeadm));
        assert!(verdict.reason().unwrap().contains("192.168.3.7"));
        assert!(judge(&nodes(&[&[]]), &pods("192.168.3.7"), None).reason().is_some());
    }
}
