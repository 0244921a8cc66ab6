//! On which node something is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::check::Subject;
use crate::fact::Facts;
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::pods::Pods;
use crate::object_ref::NamespacedName;

/// The nodes of a cluster, and what facts place on them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    addresses: BTreeMap<IpAddr, String>,
    pods: BTreeMap<NamespacedName, String>,
}

impl Places {
    /// What these facts place.
    pub(crate) fn of(facts: &Facts) -> Self {
        let mut places = Self::default();
        for (name, node) in facts.seen::<Nodes>().iter().flat_map(|nodes| &nodes.0) {
            places.addresses.extend(node.internal_addresses().map(|address| (address, name.clone())));
        }
        for (name, pod) in facts.seen::<Pods>().iter().flat_map(|pods| &pods.0) {
            let Some(node) = &pod.node else { continue };
            places.pods.insert(name.clone(), node.clone());
            // A pod in the host network has the node's address.
            for address in pod.addresses.iter().filter_map(|address| address.parse().ok()) {
                places.addresses.entry(address).or_insert_with(|| node.clone());
            }
        }
        places
    }

    /// The node of something; none for what is of the whole cluster, or is not known to be on a node.
    pub(crate) fn node<'a>(&'a self, subject: &'a Subject) -> Option<&'a str> {
        let named = |name: &str| {
            let address = name.parse::<SocketAddr>().map(|at| at.ip()).or_else(|_| name.parse()).ok()?;
            self.addresses.get(&address).map(String::as_str)
        };
        match (subject.kind.as_str(), &subject.namespace) {
            ("Node", None) => Some(&subject.name),
            ("Pod", Some(namespace)) => {
                let pod = NamespacedName::new(namespace.clone(), subject.name.clone());
                self.pods.get(&pod).map(String::as_str)
            }
            (_, None) => named(&subject.name),
            _ => None,
        }
    }

    /// The nodes of several things; none if one of them is not on a node.
    pub(crate) fn nodes<'a>(&'a self, subjects: &'a [Subject]) -> Option<BTreeSet<&'a str>> {
        subjects.iter().map(|subject| self.node(subject)).collect()
    }
}
