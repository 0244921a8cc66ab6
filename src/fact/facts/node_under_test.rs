//! The node in whose name the authorizers and the admission are asked, and the objects that they are asked about.

use super::nodes::Nodes;
use super::pods::{Pod, Pods};
use crate::fact::Derive;
use crate::object_ref::NamespacedName;
use crate::seen::{Seen, Unobserved};

/// A name that no object has: to the Node authorizer it is one that has nothing to do with the node.
pub const NONE: &str = "seaworthy-none";

/// A node, what it must be able to reach, and what it must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeUnderTest {
    /// The node.
    pub node: String,
    /// Another node; none in a cluster of one.
    pub other: Option<String>,
    /// A pod of the node.
    pub pod: NamespacedName,
    /// A ConfigMap of that pod.
    pub config_map: NamespacedName,
    /// The service account of that pod.
    pub service_account: NamespacedName,
    /// A pod of another node.
    pub foreign_pod: Option<NamespacedName>,
    /// A ConfigMap that only pods of other nodes refer to.
    pub foreign_config_map: Option<NamespacedName>,
    /// A Secret that only pods of other nodes refer to.
    pub foreign_secret: Option<NamespacedName>,
    /// A service account that only pods of other nodes have.
    pub foreign_service_account: Option<NamespacedName>,
    /// A pod of another node that has the same service account as the node's own pod.
    pub foreign_sibling: Option<NamespacedName>,
}

/// An object of the same namespace as a pod, or the pod itself.
fn beside(pod: &Pod, name: &str) -> NamespacedName {
    NamespacedName::new(pod.namespace.clone(), name.to_owned())
}

impl Derive for NodeUnderTest {
    type Needs<'a> = (&'a Nodes, &'a Pods);
    const NAME: &'static str = "node-under-test";

    /// The first Ready node that has something to read, preferably one that does not run a pod of every service
    /// account, so that there is something real that it must not reach.
    fn derive((nodes, pods): Self::Needs<'_>) -> Seen<Self> {
        let ready = nodes.0.iter().filter(|(_, node)| node.is_ready()).map(|(name, _)| name);
        let candidates: Vec<Self> = ready.filter_map(|name| candidate(name, nodes, pods)).collect();
        let best = candidates.iter().position(|candidate| candidate.foreign_service_account.is_some()).unwrap_or(0);
        candidates.into_iter().nth(best).ok_or_else(|| {
            Unobserved::absent(
                "no Ready node runs a pod that refers to a ConfigMap, which its kubelet would have to read",
            )
        })
    }
}

fn candidate(node: &str, nodes: &Nodes, pods: &Pods) -> Option<NodeUnderTest> {
    // A running pod was read by its kubelet, so the Node authorizer knows of it. Mirror pods grant nothing.
    let settled = |pod: &&Pod| pod.phase == "Running" && !pod.deleting && !pod.is_mirror();
    let here = |pod: &&Pod| pod.node.as_deref() == Some(node);
    let elsewhere = |pod: &&Pod| pod.node.as_ref().is_some_and(|of| of != node && nodes.0.contains_key(of));
    let pod = pods.0.values().filter(here).filter(settled).find(|pod| !pod.config_maps.is_empty())?;
    let foreign = |names: fn(&Pod) -> Vec<&String>| {
        let own = |candidate: &NamespacedName| {
            pods.0.values().filter(here).any(|pod| {
                pod.namespace == candidate.namespace && names(pod).iter().any(|name| **name == candidate.name)
            })
        };
        let all = pods.0.values().filter(elsewhere).filter(settled);
        all.flat_map(|pod| names(pod).into_iter().map(|name| beside(pod, name))).find(|candidate| !own(candidate))
    };
    Some(NodeUnderTest {
        node: node.into(),
        other: nodes.0.keys().find(|name| *name != node).cloned(),
        pod: beside(pod, &pod.name),
        config_map: beside(pod, &pod.config_maps[0]),
        service_account: beside(pod, &pod.service_account),
        foreign_pod: pods.0.values().filter(elsewhere).find(settled).map(|pod| beside(pod, &pod.name)),
        foreign_config_map: foreign(|pod| pod.config_maps.iter().collect()),
        foreign_secret: foreign(|pod| pod.secrets.iter().collect()),
        foreign_service_account: foreign(|pod| vec![&pod.service_account]),
        foreign_sibling: pods
            .0
            .values()
            .filter(elsewhere)
            .filter(settled)
            .find(|other| (&other.namespace, &other.service_account) == (&pod.namespace, &pod.service_account))
            .map(|pod| beside(pod, &pod.name)),
    })
}

crate::derived!(NodeUnderTest);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::nodes::{Condition, Node};

    fn nodes(names: &[&str]) -> Nodes {
        let ready = Condition { status: "True".into(), reason: String::new(), message: String::new() };
        let node = Node { conditions: [("Ready".to_owned(), ready)].into(), ..Node::default() };
        Nodes(names.iter().map(|name| ((*name).to_owned(), node.clone())).collect())
    }

    fn pod(name: &str, node: &str, service_account: &str, config_maps: &[&str]) -> (NamespacedName, Pod) {
        let pod = Pod {
            namespace: "kube-system".into(),
            name: name.into(),
            node: Some(node.into()),
            phase: "Running".into(),
            service_account: service_account.into(),
            config_maps: config_maps.iter().map(|name| (*name).to_owned()).collect(),
            ..Pod::default()
        };
        (pod.key(), pod)
    }

    #[test]
    fn a_node_that_lacks_something_is_preferred() {
        let pods = Pods(
            [
                pod("coredns-1", "n1", "coredns", &["coredns", "kube-root-ca.crt"]),
                pod("kube-proxy-1", "n1", "kube-proxy", &["kube-root-ca.crt"]),
                pod("kube-proxy-2", "n2", "kube-proxy", &["kube-root-ca.crt"]),
            ]
            .into(),
        );
        let chosen = NodeUnderTest::derive((&nodes(&["n1", "n2"]), &pods)).unwrap();
        assert_eq!((chosen.node.as_str(), chosen.other.as_deref()), ("n2", Some("n1")));
        assert_eq!(chosen.pod.to_string(), "kube-system/kube-proxy-2");
        assert_eq!(chosen.foreign_service_account.unwrap().to_string(), "kube-system/coredns");
        assert_eq!(chosen.foreign_config_map.unwrap().to_string(), "kube-system/coredns");
        assert_eq!(chosen.foreign_secret, None);
        assert_eq!(chosen.foreign_pod.unwrap().to_string(), "kube-system/coredns-1");
        assert_eq!(chosen.foreign_sibling.unwrap().to_string(), "kube-system/kube-proxy-1");
    }

    #[test]
    fn a_cluster_of_one_node_has_nothing_foreign() {
        let pods = Pods([pod("coredns-1", "n1", "coredns", &["coredns"])].into());
        let chosen = NodeUnderTest::derive((&nodes(&["n1"]), &pods)).unwrap();
        assert_eq!((chosen.other, chosen.foreign_pod, chosen.foreign_service_account), (None, None, None));
    }

    #[test]
    fn a_cluster_without_such_a_pod_has_no_node_to_ask_about() {
        let pods = Pods([pod("agent", "n1", "default", &[])].into());
        assert!(NodeUnderTest::derive((&nodes(&["n1"]), &pods)).unwrap_err().is_skip());
    }
}
