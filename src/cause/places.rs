//! On which node something is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::check::Subject;
use crate::fact::Facts;
use crate::fact::facts::certificate_signing_requests::CertificateSigningRequests;
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::pods::{Pods, Word};
use crate::object_ref::NamespacedName;

/// The components that run as static pods where kubeadm built the control plane.
const STATIC_PODS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// The kind of a zone as a subject.
const ZONE: &str = "zone";

/// The nodes of a cluster, and what facts place on them.
#[derive(Clone, Default)]
pub(crate) struct Places {
    addresses: BTreeMap<IpAddr, Word>,
    /// Where pods are looked up: of 100,000 there is no second list.
    facts: Option<Arc<Facts>>,
    /// The nodes of the requests for certificates that they make.
    requests: BTreeMap<Subject, String>,
    /// The nodes of the pods of workloads that are not ready.
    workloads: BTreeMap<Subject, BTreeSet<Word>>,
    control_plane: BTreeSet<String>,
    /// The nodes of each zone.
    zones: BTreeMap<String, BTreeSet<String>>,
    /// All nodes.
    nodes: BTreeSet<String>,
}

impl Places {
    /// What these facts place.
    pub(crate) fn of(facts: &Arc<Facts>) -> Self {
        let mut places = facts.seen::<Nodes>().map(|nodes| Self::of_nodes(&nodes.0)).unwrap_or_default();
        places.facts = Some(facts.clone());
        for pod in facts.seen::<Pods>().iter().flat_map(|pods| pods.0.values()) {
            let Some(node) = &pod.node else { continue };
            let should_run = !pod.deleting && pod.phase != "Succeeded";
            if should_run
                && !pod.ready
                && let Some(workload) = pod.workload()
            {
                places.workloads.entry(workload.into()).or_default().insert(node.clone());
            }
            // A pod in the host network has the node's address.
            for address in pod.addresses.iter().filter_map(|address| address.parse().ok()) {
                places.addresses.entry(address).or_insert_with(|| node.clone());
            }
        }
        for request in facts.seen::<CertificateSigningRequests>().iter().flat_map(|requests| &requests.0) {
            if let Some(node) = request.user.strip_prefix("system:node:") {
                let request = Subject::cluster_object("CertificateSigningRequest", &request.name);
                places.requests.insert(request, node.to_owned());
            }
        }
        places
    }

    pub(super) fn of_nodes(nodes: &BTreeMap<String, Node>) -> Self {
        let mut places = Self::default();
        for (name, node) in nodes {
            places.nodes.insert(name.clone());
            places.addresses.extend(node.internal_addresses().map(|address| (address, name.as_str().into())));
            if node.is_control_plane() {
                places.control_plane.insert(name.clone());
            }
            if let Some(zone) = node.zone() {
                places.zones.entry(zone.to_owned()).or_default().insert(name.clone());
            }
        }
        places
    }

    #[cfg(test)]
    pub(super) fn with_workload(mut self, workload: Subject, nodes: &[&str]) -> Self {
        self.workloads.insert(workload, nodes.iter().map(|node| (*node).into()).collect());
        self
    }

    /// The nodes that something is on; none for what is of the whole cluster, or is not known to be on a node. A workload fails
    /// on the nodes of those of its pods that are not ready, and a zone on all of its nodes.
    pub(crate) fn of_subject<'a>(&'a self, subject: &'a Subject) -> BTreeSet<&'a str> {
        match (self.workloads.get(subject), self.of_zone(subject)) {
            (Some(nodes), _) => nodes.iter().map(Word::as_str).collect(),
            (None, Some(nodes)) => nodes.iter().map(String::as_str).collect(),
            (None, None) => self.node(subject).into_iter().collect(),
        }
    }

    /// The nodes that several things are on; none if one of them is of the whole cluster, or not known to be on a node.
    pub(super) fn of_all<'a>(&'a self, subjects: &'a [Subject]) -> Option<BTreeSet<&'a str>> {
        let mut all = BTreeSet::new();
        for subject in subjects {
            let nodes = self.of_subject(subject);
            if nodes.is_empty() {
                return None;
            }
            all.extend(nodes);
        }
        Some(all).filter(|all| !all.is_empty())
    }

    fn of_zone(&self, subject: &Subject) -> Option<&BTreeSet<String>> {
        let name = Some(&subject.name).filter(|_| subject.kind == ZONE && subject.namespace.is_none())?;
        self.zones.get(name)
    }

    /// The node that something is on, which no other is.
    fn node<'a>(&'a self, subject: &'a Subject) -> Option<&'a str> {
        let at = |name: &str| {
            let address = name.parse::<SocketAddr>().map(|at| at.ip()).or_else(|_| name.parse()).ok()?;
            self.addresses.get(&address).map(Word::as_str)
        };
        match (subject.kind.as_str(), &subject.namespace) {
            ("Node", None) => Some(&subject.name),
            ("Pod", Some(namespace)) => self.of_pod(namespace, &subject.name).or_else(|| self.of_static_pod(subject)),
            (_, None) => self.requests.get(subject).map(String::as_str).or_else(|| at(&subject.name)),
            _ => self.of_static_pod(subject),
        }
    }

    /// The node of a pod.
    fn of_pod(&self, namespace: &str, name: &str) -> Option<&str> {
        let pods = self.facts.as_ref()?.seen::<Pods>().ok()?;
        pods.0.get(&NamespacedName::new(namespace.to_owned(), name.to_owned()))?.node.as_deref()
    }

    /// The node of a static pod of the control plane that does not exist: its name contains it.
    fn of_static_pod(&self, subject: &Subject) -> Option<&str> {
        let is_pod = subject.kind == "Pod" && subject.namespace.as_deref() == Some("kube-system");
        let name = Some(subject.name.as_str()).filter(|_| is_pod)?;
        let node = STATIC_PODS.iter().find_map(|component| name.strip_prefix(component)?.strip_prefix('-'))?;
        self.nodes.get(node).map(String::as_str)
    }

    /// The nodes of several things; none if one of them is not on one node alone or a zone, or there are none. What is wrong
    /// with a workload is wrong for all that use it.
    pub(crate) fn nodes<'a>(&'a self, subjects: impl IntoIterator<Item = &'a Subject>) -> Option<BTreeSet<&'a str>> {
        let mut all = BTreeSet::new();
        for subject in subjects {
            match self.of_zone(subject) {
                Some(zone) => all.extend(zone.iter().map(String::as_str)),
                None => _ = all.insert(self.node(subject)?),
            }
        }
        Some(all).filter(|all| !all.is_empty())
    }

    /// All nodes.
    pub(super) fn all(&self) -> BTreeSet<&str> {
        self.nodes.iter().map(String::as_str).collect()
    }

    /// Whether no node of the control plane is missing among these. Where no node has its role, none is known.
    pub(crate) fn are_control_plane(&self, nodes: &BTreeSet<&str>) -> bool {
        !self.control_plane.is_empty() && self.control_plane.iter().all(|node| nodes.contains(node.as_str()))
    }

    /// What these nodes have in common that others do not: there is one, or they are all of a zone.
    pub(crate) fn common(&self, nodes: &BTreeSet<&str>) -> Option<Subject> {
        let all = |zone: &BTreeSet<String>| zone.iter().map(String::as_str).eq(nodes.iter().copied());
        if nodes.len() == self.nodes.len() {
            return None;
        }
        match nodes.first() {
            Some(node) if nodes.len() == 1 => Some(Subject::node(*node)),
            _ => self.zones.iter().find(|(_, zone)| all(zone)).map(|(name, _)| Subject::cluster_object(ZONE, name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zoned(zones: &[(&str, &str)]) -> Places {
        let node = |(name, zone): &(&str, &str)| {
            let labels = BTreeMap::from([("topology.kubernetes.io/zone".into(), (*zone).to_owned())]);
            ((*name).to_owned(), Node { labels, ..Node::default() })
        };
        Places::of_nodes(&zones.iter().map(node).collect())
    }

    #[test]
    fn a_static_pod_that_does_not_exist_belongs_to_the_node_in_its_name() {
        let places = zoned(&[("n1", "a"), ("n2", "a")]);
        let at = |namespace: &str, name: &str| places.node(&Subject::object("Pod", namespace, name)).map(str::to_owned);
        assert_eq!(at("kube-system", "etcd-n2").unwrap(), "n2");
        assert_eq!(at("kube-system", "kube-controller-manager-n1").unwrap(), "n1");
        assert_eq!(at("kube-system", "etcd-n3"), None);
        assert_eq!(at("kube-system", "web-n1"), None);
        assert_eq!(at("shop", "etcd-n1"), None);
    }

    #[test]
    fn nodes_have_in_common_that_they_are_one_or_a_whole_zone() {
        let places = zoned(&[("n1", "a"), ("n2", "a"), ("n3", "b"), ("n4", "c")]);
        let common = |nodes: &[&'static str]| places.common(&nodes.iter().copied().collect()).map(|it| it.to_string());
        assert_eq!(common(&["n2"]).unwrap(), "Node n2");
        assert_eq!(common(&["n1", "n2"]).unwrap(), "zone a");
        assert_eq!(common(&["n1", "n3"]), None);
        assert_eq!(common(&["n1", "n2", "n3", "n4"]), None);
    }
}
