//! What checks about the nodes' pod ranges share: whether an entry contradicts all of them, and how a node gets
//! another.

use crate::cidr::Cidr;
use crate::fact::facts::nodes::{Node, Nodes};

/// Whether nodes have ranges, and all of them lie outside of these: then the nodes are right, and the entry is not. A
/// range that cannot be read lies outside.
pub fn contradict(nodes: &Nodes, subnets: &[Cidr]) -> bool {
    let mut ranges = nodes.0.values().flat_map(|node| &node.pod_cidrs).peekable();
    let is_within =
        |range: &String| range.parse::<Cidr>().is_ok_and(|range| subnets.iter().any(|subnet| subnet.covers(&range)));
    !subnets.is_empty() && ranges.peek().is_some() && !ranges.any(is_within)
}

/// How to correct networking.podSubnet, which contradicts the ranges of the nodes.
pub const CORRECT_SUBNET: &str = "leave the nodes as they are: kubectl -n kube-system edit configmap kubeadm-config, \
                                  and set networking.podSubnet to the value of --cluster-cidr in \
                                  /etc/kubernetes/manifests/kube-controller-manager.yaml, which contains the ranges \
                                  of the nodes";

/// How a node gets another range: as a new Node object, since spec.podCIDR cannot be changed. A control-plane node
/// loses more by that than a worker.
pub fn another(node: &str, nodes: &Nodes) -> String {
    let drain = format!("kubectl drain {node} --ignore-daemonsets --delete-emptydir-data");
    let is_control_plane = nodes.0.get(node).is_some_and(Node::is_control_plane);
    let others = nodes.control_plane().filter(|(name, _)| *name != node).count();
    match (is_control_plane, others) {
        (false, _) => format!(
            "{drain} && kubectl delete node {node}; then on {node}: systemctl restart kubelet; then restore the \
             labels and taints that were set by hand"
        ),
        (true, 0) => format!(
            "do not just delete Node {node}, the only control-plane node: the new Node object lacks the label and \
             the taint of the control plane until kubeadm init phase mark-control-plane --node-name {node} restores \
             them"
        ),
        (true, _) => format!(
            "do not just delete Node {node}: the new Node object would lack the label and the taint of the control \
             plane. One such node at a time: {drain}; on {node}, kubeadm reset (which removes its member of etcd); \
             kubectl delete node {node}; join it again with kubeadm join --control-plane"
        ),
    }
}

/// The node, of several, to which another range does the least harm: a worker, if there is one; otherwise the last.
pub fn easiest<'a>(sharing: &[&'a str], nodes: &Nodes) -> Option<&'a str> {
    let is_worker = |name: &&&str| nodes.0.get(**name).is_some_and(|node| !node.is_control_plane());
    sharing.iter().rev().find(is_worker).or(sharing.last()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(planes: usize) -> Nodes {
        let node = |i: usize| {
            let mut node = Node { pod_cidrs: vec![format!("10.244.{i}.0/24")], ..Node::default() };
            if i <= planes {
                node.labels.insert("node-role.kubernetes.io/control-plane".into(), String::new());
            }
            (format!("n{i}"), node)
        };
        Nodes((1..=3).map(node).collect())
    }

    #[test]
    fn a_range_that_contains_no_node_range_contradicts_them_all() {
        let subnets = |all: &[&str]| all.iter().map(|cidr| cidr.parse().unwrap()).collect::<Vec<Cidr>>();
        assert!(contradict(&nodes(1), &subnets(&["10.64.0.0/10"])));
        assert!(!contradict(&nodes(1), &subnets(&["10.244.3.0/24"])) && !contradict(&nodes(1), &[]));
        assert!(!contradict(&Nodes::default(), &subnets(&["10.64.0.0/10"])));
    }

    #[test]
    fn a_control_plane_node_is_not_simply_deleted() {
        assert!(another("n3", &nodes(1)).contains("&& kubectl delete node n3"));
        assert!(another("n1", &nodes(1)).contains("mark-control-plane --node-name n1"));
        assert!(another("n1", &nodes(2)).contains("on n1, kubeadm reset"));
        assert_eq!(easiest(&["n1", "n3"], &nodes(2)), Some("n3"));
        assert_eq!(easiest(&["n3", "n1"], &nodes(2)), Some("n3"));
        assert_eq!(easiest(&["n1", "n2"], &nodes(2)), Some("n2"));
    }
}
