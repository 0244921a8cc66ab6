//! The ports of nodes that probes try.

use std::net::{IpAddr, SocketAddr};

use crate::fact::facts::control_plane_listeners::{ControlPlaneListeners, Listener};
use crate::fact::facts::nodes::{Node, Nodes};
use crate::ports::{self, ETCD, KUBELET, LEADERS, RETIRED};
use crate::probe::endpoint::Endpoint;
use crate::probe::mesh;

/// What serves on every node. The kubelet's API must be open, and is the control for the others.
const NODE: [u16; 5] =
    [KUBELET, ports::KUBELET_READ_ONLY, ports::KUBELET_HEALTHZ, ports::KUBE_PROXY_HEALTHZ, ports::KUBE_PROXY_METRICS];
/// What is asked of the control plane's components: it shows more than that the port is open, and only reads.
pub(crate) const METRICS: &str = "/metrics";
/// What is asked of the kubelet with a token that has no rights.
pub(crate) const KUBELET_PATHS: [&str; 2] = ["/metrics", "/pods"];
/// A checkpoint of a pod that cannot exist.
pub(crate) const CHECKPOINT: &str = "/checkpoint/seaworthy-none/none/none";

/// What the probe on a node tries: its own node closely, the others from outside. Up to 16 nodes every probe tries all others,
/// beyond that as many as it has peers.
pub(crate) fn of(own: &str, nodes: &Nodes, listeners: &ControlPlaneListeners, turn: u64) -> Vec<Endpoint> {
    let all: Vec<(&String, &Node)> = nodes.0.iter().collect();
    let Some(at) = all.iter().position(|(name, _)| *name == own) else { return Vec::new() };
    // A node that is not ready is known to be in trouble; to ask it would only take long.
    let others = mesh::peers(at, all.len(), turn).into_iter().map(|i| all[i]).filter(|(_, node)| node.is_ready());
    let revealed = |name: &String| listeners.0.get(name).into_iter().flatten().map(Listener::endpoint);
    let mut endpoints = closely(all[at].1);
    endpoints.extend(revealed(all[at].0));
    for (name, node) in others {
        endpoints.extend(from_outside(node));
        endpoints.extend(revealed(name));
    }
    endpoints
}

fn closely(node: &Node) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for (i, ip) in node.internal_addresses().enumerate() {
        let kubelet = SocketAddr::new(ip, KUBELET);
        endpoints.extend(KUBELET_PATHS.map(|path| Endpoint::get_with_token(kubelet, path)));
        endpoints.push(Endpoint::post_with_token(kubelet, CHECKPOINT));
        endpoints.extend(of_every_node(ip));
        if node.is_control_plane() {
            // A member has one certificate for all its addresses, and a whole one takes much of an answer's room.
            let etcd = |at: (IpAddr, u16)| if i == 0 { Endpoint::certificate(at) } else { Endpoint::tls(at) };
            endpoints.extend(ETCD.map(|port| etcd((ip, port))));
            endpoints.extend(of_leaders(ip));
        }
    }
    endpoints
}

fn from_outside(node: &Node) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for ip in node.internal_addresses() {
        endpoints.extend(of_every_node(ip));
        if node.is_control_plane() {
            endpoints.extend(ETCD.map(|port| Endpoint::tls((ip, port))));
            endpoints.extend(of_leaders(ip));
        }
    }
    endpoints
}

fn of_every_node(ip: IpAddr) -> impl Iterator<Item = Endpoint> {
    NODE.into_iter().map(move |port| Endpoint::tcp((ip, port)))
}

fn of_leaders(ip: IpAddr) -> impl Iterator<Item = Endpoint> {
    let secure = LEADERS.into_iter().map(move |port| Endpoint::https((ip, port), METRICS));
    secure.chain(RETIRED.into_iter().map(move |port| Endpoint::http((ip, port), METRICS)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fact::facts::nodes::Condition;

    fn nodes(count: usize) -> Nodes {
        let node = |i: usize| {
            let ready = Condition { status: "True".into(), reason: String::new(), message: String::new() };
            let mut node = Node {
                addresses: vec![(
                    "InternalIP".into(),
                    std::net::Ipv4Addr::from_bits(0x0a4d_0000 + u32::try_from(i).unwrap()).to_string(),
                )],
                conditions: BTreeMap::from([("Ready".into(), ready)]),
                ..Node::default()
            };
            if i < 3 {
                node.labels.insert("node-role.kubernetes.io/control-plane".into(), String::new());
            }
            (format!("n{i:04}"), node)
        };
        Nodes((0..count).map(node).collect())
    }

    fn texts(own: &str, nodes: &Nodes) -> Vec<String> {
        of(own, nodes, &ControlPlaneListeners::default(), 7).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_probe_looks_at_its_own_node_closely_and_at_others_from_outside() {
        let mut nodes = nodes(4);
        let seen = texts("n0003", &nodes);
        assert!(seen.contains(&"GET https://10.77.0.3:10250/pods with token".into()));
        assert!(!seen.contains(&"GET https://10.77.0.1:10250/pods with token".into()));
        assert!(seen.contains(&"tls 10.77.0.1:2379".into()) && seen.contains(&"tcp 10.77.0.1:10255".into()));
        assert!(!seen.iter().any(|endpoint| endpoint.contains("10.77.0.3:2379")), "n0003 is not a control-plane node");
        assert!(texts("n0001", &nodes).contains(&"certificate 10.77.0.1:2379".into()));
        nodes.0.get_mut("n0001").unwrap().conditions.clear();
        assert!(!texts("n0003", &nodes).iter().any(|endpoint| endpoint.contains("10.77.0.1:")), "it is not ready");
    }

    #[test]
    fn what_flags_reveal_is_tried_by_the_own_probe_and_by_others() {
        let nodes = nodes(4);
        let (at, component) = ("10.77.0.1:2381".parse().unwrap(), "etcd".to_owned());
        let listener = Listener { component, flag: "listen-metrics-urls", at, tls: false };
        let listeners = ControlPlaneListeners([("n0001".to_owned(), vec![listener.clone()])].into());
        for own in ["n0001", "n0003"] {
            assert!(of(own, &nodes, &listeners, 7).contains(&listener.endpoint()), "{own}");
        }
    }

    #[test]
    fn a_probe_of_a_large_cluster_looks_at_few_nodes() {
        let most = |count| {
            let nodes = nodes(count);
            nodes.0.keys().map(|own| of(own, &nodes, &ControlPlaneListeners::default(), 7).len()).max().unwrap()
        };
        assert!(most(1000) <= most(16) && most(5000) <= most(16));
    }
}
