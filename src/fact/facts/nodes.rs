//! The cluster's nodes.

mod listed;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use serde::{Deserialize, Serialize};

use self::listed::Listed;
use crate::cluster::{Call, Cluster};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::ports;
use crate::seen::{Access, Seen, Unobserved};

/// The label that kubeadm and others put on control-plane nodes.
pub(crate) const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
/// The label with a node's zone.
pub(crate) const ZONE: &str = "topology.kubernetes.io/zone";
/// Labels of virtual nodes: they run no pods of DaemonSets, and no probes.
const VIRTUAL: [(&str, &str); 2] = [("eks.amazonaws.com/compute-type", "fargate"), ("type", "virtual-kubelet")];

/// All nodes, by name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Nodes(pub BTreeMap<String, Node>);

/// The parts of a node that checks use.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Node {
    /// When the Node was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Since when it is being deleted, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleting: Option<Timestamp>,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The annotations' keys; values may contain anything.
    pub annotations: Vec<String>,
    /// The taints.
    pub taints: Vec<Taint>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// The addresses, by type (`InternalIP`, `Hostname`, …).
    pub addresses: Vec<(String, String)>,
    /// The conditions, by type.
    pub conditions: BTreeMap<String, Condition>,
    /// The pod address ranges.
    pub pod_cidrs: Vec<String>,
    /// The most pods that its kubelet runs, if it has reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_limit: Option<u64>,
    /// The id that the cloud provider gave it.
    pub provider_id: Option<String>,
    /// The kubelet's version.
    pub kubelet_version: String,
    /// `linux` or `windows`.
    pub operating_system: String,
    /// The processor architecture, as `amd64`.
    pub architecture: String,
    /// The operating system's name.
    pub os_image: String,
    /// The port of the kubelet's API, if it has reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubelet_port: Option<u16>,
    /// The machine that it runs on, if its kubelet has reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
}

/// The machine that a node runs on, as its kubelet reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "machineID is the API's own name")]
pub struct Machine {
    /// The content of `/etc/machine-id`.
    pub machine_id: String,
    /// The id in the firmware.
    pub system_uuid: String,
    /// The id of this boot.
    pub boot_id: String,
    /// The container runtime, as `containerd://2.1.4`.
    pub runtime: String,
    /// The kernel's release.
    pub kernel: String,
}

/// A taint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taint {
    /// The key.
    pub key: String,
    /// The value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// The reason, in one word.
    pub reason: String,
    /// The message.
    pub message: String,
}

impl Nodes {
    /// The nodes that are marked as control plane.
    pub fn control_plane(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.0.iter().filter(|(_, node)| node.is_control_plane())
    }

    /// All nodes, or at most so many, spread evenly.
    pub fn sample(&self, most: usize) -> impl Iterator<Item = (&String, &Node)> {
        self.0.iter().step_by(self.0.len().div_ceil(most).max(1))
    }

    /// Asks about each node. What is not answered in nine tenths of `deadline` is missing for that reason; the rest is kept.
    pub async fn each<'a, T, F: Future<Output = Seen<T>>>(
        &'a self,
        cluster: &Cluster,
        deadline: Duration,
        ask: impl Fn(&'a str, &'a Node) -> F,
    ) -> BTreeMap<String, Seen<T>> {
        let limit = cluster.deadline(deadline) * 9 / 10;
        let asked = self.0.iter().map(|(name, node)| {
            let asked = tokio::time::timeout(limit, ask(name, node));
            async move {
                let late = |_| Err(Unobserved::timed_out(format!("the kubelet of {name}"), limit));
                (name.clone(), asked.await.unwrap_or_else(late))
            }
        });
        join_all(asked).await.into_iter().collect()
    }

    /// The nodes for probes: those that run Linux and are Ready, workers first. An error if there is none.
    pub fn ready_workers_first(&self) -> Seen<Vec<(&str, &Node)>> {
        let mut linux: Vec<_> = self.linux().map(|(name, node)| (name.as_str(), node)).collect();
        if linux.is_empty() {
            return Err(Unobserved::absent("no node runs Linux"));
        }
        linux.retain(|(_, node)| node.is_ready());
        if linux.is_empty() {
            return Err(Unobserved::unreachable("the kubelets", "no node that runs Linux is Ready"));
        }
        linux.sort_by_key(|(_, node)| node.is_control_plane());
        Ok(linux)
    }

    /// The machines that run Linux.
    pub fn linux(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.0.iter().filter(|(_, node)| node.operating_system == "linux" && !node.is_virtual())
    }
}

impl Node {
    /// Whether the node is marked as control plane.
    pub fn is_control_plane(&self) -> bool {
        self.labels.contains_key(CONTROL_PLANE)
    }

    /// The zone that it is in, if it has the label.
    pub fn zone(&self) -> Option<&str> {
        self.labels.get(ZONE).map(String::as_str)
    }

    /// Whether it is a virtual node: each pod runs on a machine of its own, on another platform.
    pub fn is_virtual(&self) -> bool {
        VIRTUAL.iter().any(|(key, value)| self.labels.get(*key).is_some_and(|label| label == value))
    }

    /// Whether the kubelet reports itself ready.
    pub fn is_ready(&self) -> bool {
        self.conditions.get("Ready").is_some_and(|condition| condition.status == "True")
    }

    /// Whether its kubelet has sent no heartbeat for so long that it is not known what runs there.
    pub fn is_silent(&self) -> bool {
        self.conditions.get("Ready").is_some_and(|condition| condition.status == "Unknown")
    }

    /// The address of the kubelet's API: its port on the node's first InternalIP.
    pub fn kubelet(&self, name: &str) -> Seen<SocketAddr> {
        let address = self
            .internal_addresses()
            .next()
            .ok_or_else(|| Unobserved::invalid(format!("Node {name}"), "it has no address of type InternalIP"))?;
        Ok(SocketAddr::new(address, self.kubelet_port.unwrap_or(ports::KUBELET)))
    }

    /// The addresses inside the cluster.
    pub fn internal_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.iter().filter(|(kind, _)| kind == "InternalIP").filter_map(|(_, address)| address.parse().ok())
    }
}

/// Why it is not known what runs on a node without heartbeats.
pub(crate) fn silence(name: &str) -> Unobserved {
    Unobserved::unreachable(format!("the kubelet of {name}"), "Ready=Unknown")
}

impl Observe for Nodes {
    type Needs<'a> = ();
    const NAME: &'static str = "nodes";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::cluster("", "nodes", &["list"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let nodes = cluster.list(Call::list::<core::Node>(), Listed::trimmed).await?;
        Ok(Self(nodes.into_iter().collect()))
    }
}

crate::observed!(Nodes);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_answered_is_kept_when_a_node_does_not_answer() {
        let cluster = crate::cluster::testing::cluster("http://127.0.0.1:1", 1, Duration::from_secs(5));
        let nodes = Nodes((0..100).map(|i| (format!("n{i:02}"), Node::default())).collect());
        let ask = async |name: &str, _: &Node| {
            if name == "n42" {
                std::future::pending::<()>().await;
            }
            Ok(())
        };
        let seen = nodes.each(&cluster, Duration::from_millis(200), ask).await;
        assert_eq!(seen.values().filter(|seen| seen.is_ok()).count(), 99);
        let why = seen["n42"].as_ref().unwrap_err().to_string();
        assert_eq!(why, "the kubelet of n42 did not answer within 0.18 s");
    }

    #[test]
    fn of_a_large_cluster_a_sample_is_spread() {
        for (count, expected) in [(0, 0), (1, 1), (20, 20), (21, 11), (5000, 20)] {
            let nodes = Nodes((0..count).map(|i| (format!("n{i:04}"), Node::default())).collect());
            assert_eq!(nodes.sample(20).count(), expected, "{count}");
        }
    }
}
