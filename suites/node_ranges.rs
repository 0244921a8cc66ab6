//! What checks about the nodes' pod ranges share: whether an entry contradicts all of them, and how a node gets another.

use crate::cidr::Cidr;
use crate::fact::facts::nodes::Nodes;

/// Whether nodes have ranges, and not one of them is of these: then the nodes are right, and who wrote these is not. Ranges
/// that cannot be read belong nowhere.
pub fn contradict(nodes: &Nodes, subnets: &[Cidr]) -> bool {
    let mut ranges = nodes.0.values().flat_map(|node| &node.pod_cidrs).peekable();
    let is_within =
        |range: &String| range.parse::<Cidr>().is_ok_and(|range| subnets.iter().any(|subnet| subnet.covers(&range)));
    !subnets.is_empty() && ranges.peek().is_some() && !ranges.any(is_within)
}

/// How to correct networking.podSubnet, which contradicts the ranges of all nodes.
pub const CORRECT_SUBNET: &str = "no node is to be changed: kubectl -n kube-system edit configmap kubeadm-config, and set \
     networking.podSubnet to the range of which the nodes' are, which is --cluster-cidr in \
     /etc/kubernetes/manifests/kube-controller-manager.yaml";

/// How a node gets another range: as a new Node object, since spec.podCIDR cannot be changed. That of a control-plane node
/// loses more than a worker's.
pub fn another(node: &str, nodes: &Nodes) -> String {
    let drain = format!("kubectl drain {node} --ignore-daemonsets --delete-emptydir-data");
    let is_plane = |name: &str| nodes.0.get(name).is_some_and(crate::fact::facts::nodes::Node::is_control_plane);
    let others = nodes.control_plane().filter(|(name, _)| *name != node).count();
    match (is_plane(node), others) {
        (false, _) => format!(
            "{drain} && kubectl delete node {node}; then systemctl restart kubelet on {node}, and give it again the labels and \
             taints that it was given by hand"
        ),
        (true, 0) => format!(
            "not by deleting Node {node} alone: it is the only control-plane node, and its new Node would have neither the label \
             nor the taint of one, until kubeadm init phase mark-control-plane --node-name {node} restores them"
        ),
        (true, _) => format!(
            "not by deleting Node {node} alone, whose new one would have neither the label nor the taint of a control-plane \
             node: {drain}, kubeadm reset on {node} (which removes its member of etcd), kubectl delete node {node}, and join it \
             again by kubeadm join --control-plane; one such node at a time"
        ),
    }
}

/// Which of several nodes gets another range with the least harm: a worker, if there is one; else the last.
pub fn easiest<'a>(sharing: &[&'a str], nodes: &Nodes) -> Option<&'a str> {
    let is_worker = |name: &&&str| nodes.0.get(**name).is_some_and(|node| !node.is_control_plane());
    sharing.iter().rev().find(is_worker).or(sharing.last()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::nodes::Node;

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
    fn a_range_of_which_no_node_is_contradicts_them_all() {
        let subnets = |all: &[&str]| all.iter().map(|cidr| cidr.parse().unwrap()).collect::<Vec<Cidr>>();
        assert!(contradict(&nodes(1), &subnets(&["10.64.0.0/10"])));
        assert!(!contradict(&nodes(1), &subnets(&["10.244.3.0/24"])) && !contradict(&nodes(1), &[]));
        assert!(!contradict(&Nodes::default(), &subnets(&["10.64.0.0/10"])));
    }

    #[test]
    fn a_control_plane_node_is_not_simply_deleted() {
        assert!(another("n3", &nodes(1)).contains("&& kubectl delete node n3"));
        assert!(another("n1", &nodes(1)).contains("mark-control-plane --node-name n1"));
        assert!(another("n1", &nodes(2)).contains("kubeadm reset on n1"));
        assert_eq!(easiest(&["n1", "n3"], &nodes(2)), Some("n3"));
        assert_eq!(easiest(&["n3", "n1"], &nodes(2)), Some("n3"));
        assert_eq!(easiest(&["n1", "n2"], &nodes(2)), Some("n2"));
    }
}
