//! The node as which authorizers and admission are asked, and the objects of the questions.

use std::collections::{BTreeMap, BTreeSet};

use super::nodes::Nodes;
use super::pods::{Pod, Pods, Word};
use crate::fact::Derive;
use crate::object_ref::NamespacedName;
use crate::seen::{Seen, Unobserved};

/// A name that no object has: to the Node authorizer it is unrelated to the node.
pub(crate) const NONE: &str = "seaworthy-none";

/// A node, with objects that it must be able to read, and objects that it must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeUnderTest {
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

/// The namespace and the name of an object.
type Key<'a> = (&'a str, &'a str);
/// The names of objects in a pod's namespace that the pod refers to.
type Names = fn(&Pod) -> &[Word];

const ACCOUNTS: Names = |pod| std::slice::from_ref(&pod.service_account);
const CONFIG_MAPS: Names = |pod| &pod.config_maps;
const SECRETS: Names = |pod| &pod.secrets;

fn keys(pod: &Pod, names: Names) -> impl Iterator<Item = Key<'_>> {
    names(pod).iter().map(move |name| (pod.namespace.as_str(), name.as_str()))
}

fn named((namespace, name): Key<'_>) -> NamespacedName {
    NamespacedName::new(namespace.to_owned(), name.to_owned())
}

/// Whether a pod was read by its kubelet, so that the Node authorizer has it. Mirror pods grant nothing.
fn is_settled(pod: &Pod) -> bool {
    pod.phase == "Running" && !pod.deleting && !pod.is_mirror()
}

/// The pods of a cluster, in order, so that each node is searched without going through all pods again.
struct Index<'a> {
    by_node: BTreeMap<&'a str, Vec<&'a Pod>>,
    /// The settled pods on existing nodes.
    settled: Vec<&'a Pod>,
    /// The same pods, by service account.
    by_account: BTreeMap<Key<'a>, Vec<&'a Pod>>,
    /// The objects that settled pods refer to, each once.
    accounts: Vec<Key<'a>>,
    config_maps: Vec<Key<'a>>,
    secrets: Vec<Key<'a>>,
}

impl<'a> Index<'a> {
    fn new(nodes: &Nodes, pods: &'a Pods) -> Self {
        let mut by_node: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
        let mut by_account: BTreeMap<Key<'_>, Vec<&Pod>> = BTreeMap::new();
        let mut settled = Vec::new();
        for pod in pods.0.values() {
            let Some(node) = pod.node.as_deref().filter(|node| nodes.0.contains_key(*node)) else { continue };
            by_node.entry(node).or_default().push(pod);
            if is_settled(pod) {
                settled.push(pod);
                by_account.entry((&pod.namespace, &pod.service_account)).or_default().push(pod);
            }
        }
        let distinct = |names: Names| {
            let mut seen = BTreeSet::new();
            settled.iter().copied().flat_map(|pod| keys(pod, names)).filter(|key| seen.insert(*key)).collect::<Vec<_>>()
        };
        let (accounts, config_maps, secrets) = (distinct(ACCOUNTS), distinct(CONFIG_MAPS), distinct(SECRETS));
        Self { by_node, settled, by_account, accounts, config_maps, secrets }
    }

    /// A node with its objects, if one of its pods refers to a ConfigMap.
    fn candidate(&self, node: &str, nodes: &Nodes) -> Option<NodeUnderTest> {
        let own = self.by_node.get(node).map(Vec::as_slice).unwrap_or_default();
        let pod = own.iter().find(|pod| is_settled(pod) && !pod.config_maps.is_empty())?;
        // At most as many keys are skipped as the node has: only other nodes have the rest.
        let foreign = |all: &[Key<'_>], names: Names| {
            let own: BTreeSet<Key<'_>> = own.iter().copied().flat_map(|pod| keys(pod, names)).collect();
            all.iter().find(|key| !own.contains(*key)).map(|key| named(*key))
        };
        let elsewhere = |pods: &[&Pod]| {
            let pod = pods.iter().find(|pod| pod.node.as_deref() != Some(node));
            pod.map(|pod| pod.key())
        };
        let account = (pod.namespace.as_str(), pod.service_account.as_str());
        // One that is not Ready may be deleted before it is asked for.
        let other = nodes.0.iter().filter(|(name, _)| *name != node).min_by_key(|(_, node)| !node.is_ready());
        Some(NodeUnderTest {
            node: node.into(),
            other: other.map(|(name, _)| name.clone()),
            pod: pod.key(),
            config_map: named((&pod.namespace, &pod.config_maps[0])),
            service_account: named(account),
            foreign_pod: elsewhere(&self.settled),
            foreign_config_map: foreign(&self.config_maps, CONFIG_MAPS),
            foreign_secret: foreign(&self.secrets, SECRETS),
            foreign_service_account: foreign(&self.accounts, ACCOUNTS),
            foreign_sibling: self.by_account.get(&account).and_then(|pods| elsewhere(pods)),
        })
    }
}

impl Derive for NodeUnderTest {
    type Needs<'a> = (&'a Nodes, &'a Pods);
    const NAME: &'static str = "node-under-test";

    /// The first Ready node with something to read, preferably one that does not run a pod of every service account, so
    /// that there is a real object that it must not read.
    fn derive((nodes, pods): Self::Needs<'_>) -> Seen<Self> {
        let index = Index::new(nodes, pods);
        let ready = nodes.0.iter().filter(|(_, node)| node.is_ready());
        let mut candidates = ready.filter_map(|(name, _)| index.candidate(name, nodes));
        let none = || Unobserved::absent("no Ready node runs a pod that refers to a ConfigMap");
        let first = candidates.next().ok_or_else(none)?;
        if first.foreign_service_account.is_some() {
            return Ok(first);
        }
        Ok(candidates.find(|candidate| candidate.foreign_service_account.is_some()).unwrap_or(first))
    }
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
            config_maps: config_maps.iter().map(|name| (*name).into()).collect(),
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

    #[test]
    fn a_large_cluster_of_equal_nodes_is_searched_in_no_time() {
        let names: Vec<String> = (0..2000).map(|i| format!("n{i:04}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut pods = Pods::default();
        for node in &names {
            let own = (0..20).map(|i| pod(&format!("p{i}-{node}"), node, &format!("a{i}"), &["kube-root-ca.crt"]));
            pods.0.extend(own);
        }
        let chosen = NodeUnderTest::derive((&nodes(&names), &pods)).unwrap();
        assert_eq!((chosen.node.as_str(), &chosen.foreign_service_account), ("n0000", &None));
        assert_eq!(chosen.foreign_sibling.unwrap().to_string(), "kube-system/p0-n0001");
        pods.0.remove(&NamespacedName::new("kube-system", "p7-n1234"));
        let chosen = NodeUnderTest::derive((&nodes(&names), &pods)).unwrap();
        assert_eq!(
            (chosen.node.as_str(), chosen.foreign_service_account),
            ("n1234", Some(named(("kube-system", "a7"))))
        );
    }
}
