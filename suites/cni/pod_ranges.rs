//! # Every node has its own pod range, inside the pod network and large enough
//!
//! ## Why
//! Two nodes with the same range give the same address to two pods, and one of them gets the other's packets. A node
//! without a range starts no pods; packets from a range outside the pod network are masqueraded and filtered. If a
//! range is smaller than the kubelet's pod limit, pods on a full node wait for an address.
//!
//! ## Fix
//! Where ranges run out, or lie outside, compare `--cluster-cidr`, `--node-cidr-mask-size` and `--allocate-node-cidrs` in
//! `/etc/kubernetes/manifests/kube-controller-manager.yaml` with `networking.podSubnet` in ConfigMap
//! kube-system/kubeadm-config, and correct the one that contradicts the nodes. A node's range cannot be changed: drain a
//! worker (`kubectl drain NODE --ignore-daemonsets --delete-emptydir-data`), delete its Node object (`kubectl delete node
//! NODE`), and restart its kubelet: the controller-manager gives it a free range. A control-plane node loses its label and its
//! taint by that: take it out of the cluster with `kubeadm reset` and join it again. Where a range is too small for `maxPods` of the node's `/var/lib/kubelet/config.yaml`, lower
//! that, or give new nodes larger ranges.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/controller/nodeipam/ipam/range_allocator.go`, `test/e2e_kubeadm/networking_test.go`. Where the
//! network plugin gives out addresses by itself, which shows in the addresses of pods, the ranges mean nothing. Of a range,
//! three addresses are no pod's: the first, the gateway's and the last (<https://www.cni.dev/plugins/current/ipam/host-local/>).

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::check::finding::Difference;
use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::cidr::Cidr;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::pods::{Pod, Pods};
use crate::object_ref::NamespacedName;
use crate::seen::Unobserved;
use crate::suites::node_ranges;

crate::check!("CN-03", "pod-ranges", Major, judge);

/// How many addresses of a range are no pod's.
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
    if subnet.is_none() && ranges.values().all(Vec::is_empty) {
        return Verdict::not_applicable("no node has a pod range, and kubeadm was given no podSubnet to divide");
    }
    if let Some((example, address)) = foreign_address(pods, &ranges) {
        return Verdict::not_applicable(format!(
            "the network plugin gives out addresses by itself: {example} has {address}, which is not of its node's range"
        ));
    }
    if ranges.values().all(Vec::is_empty)
        && verdict.saw_everything()
        && let Some((example, address, _)) = addresses(pods).next()
    {
        return Verdict::not_applicable(format!(
            "the network plugin gives out addresses by itself: {example} has {address}, and no node has a range"
        ));
    }
    let subnets = subnet.map(|subnet| subnet.split(',').map(str::parse).collect::<Result<Vec<Cidr>, _>>());
    let subnets = match subnets.transpose() {
        Ok(subnets) => subnets.unwrap_or_default(),
        Err(cause) => {
            let subject = Subject::object("ConfigMap", "kube-system", "kubeadm-config");
            verdict.find(subject, Finding::new("networking.podSubnet is a range of addresses", cause.to_string()));
            Vec::new()
        }
    };
    let is_nobodys = node_ranges::contradict(nodes, &subnets);
    if is_nobodys {
        judge_entry(&mut verdict, &ranges, &subnets);
    }
    for (node, own) in &ranges {
        let assigned = !own.is_empty();
        verdict.expect(Subject::node(*node), assigned, none);
        if assigned && !subnets.is_empty() {
            judge_node(&mut verdict, node, own, &subnets, nodes, is_nobodys);
        }
        if let Some(limit) = nodes.0.get(*node).and_then(|node| node.pod_limit) {
            judge_size(&mut verdict, node, own, limit, pods);
        }
    }
    judge_twins(&mut verdict, &ranges, nodes);
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

/// A pod whose address its node's range does not hold, although the node has one: an address that the plugin chose.
fn foreign_address<'a>(pods: &'a Pods, ranges: &BTreeMap<&str, Vec<Cidr>>) -> Option<(&'a NamespacedName, IpAddr)> {
    let with_range = addresses(pods).filter_map(|(name, address, node)| Some((name, address, ranges.get(node?)?)));
    let mut judged = with_range.filter(|(.., own)| !own.is_empty()).peekable();
    // One pod may be older than its node's range; when none has an address of a range, nobody uses the ranges.
    let first = judged.peek().map(|(name, address, _)| (*name, *address))?;
    judged
        .all(|(_, address, own): (&NamespacedName, IpAddr, &Vec<Cidr>)| !own.iter().any(|cidr| cidr.contains(address)))
        .then_some(first)
}

/// Of a node without a range.
fn none() -> Difference {
    Finding::new("spec.podCIDRs has a range", "there is none")
        .impact("the network plugin has no addresses for pods there")
        .fix(
            "kubectl -n kube-system logs -l component=kube-controller-manager --tail=-1 | grep -i cidr, which says why it gives \
             none: --allocate-node-cidrs is off, or --cluster-cidr has no free range",
        )
}

/// Told once, not of each node: no node is wrong.
fn judge_entry(verdict: &mut Verdict, ranges: &BTreeMap<&str, Vec<Cidr>>, subnets: &[Cidr]) {
    let own = ranges.iter().flat_map(|(node, own)| own.iter().map(move |cidr| format!("{cidr} of {node}")));
    verdict.find(
        Subject::object("ConfigMap", "kube-system", "kubeadm-config"),
        Finding::new(
            "networking.podSubnet is the range of which the nodes' are",
            format!("it is {}, and no node's range is of it: {}", names(subnets), names(own)),
        )
        .impact("the next kubeadm upgrade writes it into the controller-manager and kube-proxy, and new nodes get ranges of it")
        .fix(node_ranges::CORRECT_SUBNET),
    );
}

fn judge_node(verdict: &mut Verdict, node: &str, own: &[Cidr], subnets: &[Cidr], nodes: &Nodes, is_nobodys: bool) {
    let outside: Vec<String> =
        own.iter().filter(|cidr| !subnets.iter().any(|subnet| subnet.covers(cidr))).map(ToString::to_string).collect();
    let written = names(subnets);
    verdict.expect(Subject::node(node), outside.is_empty() || is_nobodys, || {
        Finding::new(format!("a range inside the pod network {written}"), outside.join(", "))
            .impact("its pods are treated as strangers by masquerading and by policies")
            .fix(node_ranges::another(node, nodes))
    });
    verdict.expect(Subject::node(node), own.len() == subnets.len(), || {
        let own: Vec<String> = own.iter().map(ToString::to_string).collect();
        Finding::new(format!("a range of each family of the pod network {written}"), own.join(", "))
            .impact("its pods have no address of the other family")
    });
}

/// Of two families, each pod takes an address of both: the smaller range decides.
fn judge_size(verdict: &mut Verdict, node: &str, own: &[Cidr], limit: u64, pods: &Pods) {
    let Some(smallest) = own.iter().min_by_key(|cidr| cidr.size()) else { return };
    let without_address =
        |pod: &&Pod| pod.host_network && pod.node.as_deref() == Some(node) && pod.phase == "Running" && !pod.deleting;
    let hosts = pods.0.values().filter(without_address).count();
    let needed = limit.saturating_sub(u64::try_from(hosts).unwrap_or(u64::MAX));
    let usable = smallest.size().saturating_sub(RESERVED);
    verdict.expect(Subject::node(node), usable >= needed, || {
        Finding::new(
            format!("addresses for {needed} pods: the kubelet takes {limit}, {hosts} of them on the node's own network"),
            format!("{smallest} has {usable} for pods"),
        )
        .impact("when the node is full, its last pods wait for an address that does not come")
        .fix(format!(
            "set maxPods to {} or less in /var/lib/kubelet/config.yaml on {node} and restart its kubelet; or give new nodes larger ranges (--node-cidr-mask-size)",
            usable.saturating_add(limit - needed)
        ))
        .severity(Severity::Minor)
    });
}

/// Nodes whose ranges overlap: each pair once.
fn judge_twins(verdict: &mut Verdict, ranges: &BTreeMap<&str, Vec<Cidr>>, nodes: &Nodes) {
    let all: Vec<(&str, &Cidr)> =
        ranges.iter().flat_map(|(node, own)| own.iter().map(move |cidr| (*node, cidr))).collect();
    for (i, (node, cidr)) in all.iter().enumerate() {
        let twin = all[..i].iter().find(|(other, theirs)| other != node && theirs.overlaps(cidr));
        verdict.expect(Subject::node(*node), twin.is_none(), || {
            let seen =
                twin.map(|(other, theirs)| format!("{theirs} is the range of {other} as well")).unwrap_or_default();
            let sharing: Vec<&str> = twin.iter().map(|(other, _)| *other).chain([*node]).collect();
            let easiest = node_ranges::easiest(&sharing, nodes).unwrap_or(node);
            Finding::new(format!("{cidr} is its own"), seen)
                .impact("the same address is given to pods on both nodes, and one of them gets the other's packets")
                .fix(node_ranges::another(easiest, nodes))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        judged(ranges, subnet).findings(Severity::Major).into_iter().map(|finding| finding.seen).collect()
    }

    #[test]
    fn ranges_of_their_own_pass() {
        let verdict = judged(&[&["10.244.0.0/24"], &["10.244.1.0/24"]], "10.244.0.0/16");
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (8, vec![]));
    }

    #[test]
    fn twins_are_one_finding() {
        assert_eq!(
            seen(&[&["10.244.0.0/24"], &["10.244.0.0/24"]], "10.244.0.0/16"),
            ["10.244.0.0/24 is the range of n1 as well"]
        );
    }

    #[test]
    fn a_missing_range_and_one_outside_are_found() {
        assert_eq!(seen(&[&["10.244.0.0/24"], &[]], "10.244.0.0/16"), ["there is none"]);
        assert_eq!(seen(&[&["10.244.0.0/24"], &["10.99.1.0/24"]], "10.244.0.0/16"), ["10.99.1.0/24"]);
        assert_eq!(seen(&[&["10.244.0.0/24"]], "10.244.0.0/16,fd00::/48"), ["10.244.0.0/24"]);
    }

    #[test]
    fn an_entry_that_contradicts_all_nodes_is_one_finding_about_the_entry() {
        let findings = judged(&[&["10.244.0.0/24"], &["10.244.1.0/24"]], "10.64.0.0/10").findings(Severity::Major);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subjects[0].to_string(), "ConfigMap kube-system/kubeadm-config");
        assert!(findings[0].fix.starts_with("no node is to be changed"));
    }

    #[test]
    fn nodes_without_ranges_are_one_finding_unless_pods_have_addresses_all_the_same() {
        let kubeadm = KubeadmConfig { pod_subnet: Some("10.244.0.0/16".into()), ..KubeadmConfig::default() };
        let findings = judge(&nodes(&[&[], &[]]), &Pods::default(), Some(&kubeadm)).findings(Severity::Major);
        assert_eq!((findings.len(), crate::check::subject::listed(&findings[0].subjects)), (1, "Node n1, n2".into()));
        let verdict = judge(&nodes(&[&[], &[]]), &pods("10.244.0.5"), Some(&kubeadm));
        assert!(verdict.reason().unwrap().contains("10.244.0.5, and no node has a range"));
    }

    #[test]
    fn a_range_smaller_than_the_pods_that_the_kubelet_takes_is_found() {
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
        assert_eq!(sized(&["10.244.0.0/24"], 255), ["minor 10.244.0.0/24 has 253 for pods"]);
        assert_eq!(sized(&["fd00:1::/64", "10.244.0.0/26"], 110), ["minor 10.244.0.0/26 has 61 for pods"]);
        assert!(sized(&["fd00:1::/64"], 100_000).is_empty());
    }

    #[test]
    fn ranges_that_nobody_uses_are_not_judged() {
        let kubeadm = KubeadmConfig { pod_subnet: Some("10.244.0.0/16".into()), ..KubeadmConfig::default() };
        let verdict = judge(&nodes(&[&["10.244.0.0/24"]]), &pods("192.168.3.7"), Some(&kubeadm));
        assert!(verdict.reason().unwrap().contains("192.168.3.7"));
        assert!(judge(&nodes(&[&[]]), &pods("192.168.3.7"), None).reason().is_some());
    }
}
