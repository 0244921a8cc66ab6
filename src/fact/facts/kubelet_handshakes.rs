//! The certificates that kubelets present.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::nodes::{Node, Nodes};
use crate::cluster::Cluster;
use crate::fact::Observe;
use crate::handshake::Handshake;
use crate::live::Live;
use crate::seen::{Access, Seen};

/// The handshake with each node's kubelet at its first InternalIP, by the node's name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct KubeletHandshakes(pub BTreeMap<String, Seen<Handshake>>);

impl Observe for KubeletHandshakes {
    type Needs<'a> = (&'a Nodes,);
    const NAME: &'static str = "kubelet-handshakes";
    const ACCESS: Access = Access::Handshake;
    // Thousands of nodes, of which many may not answer.
    const DEADLINE: Duration = Duration::from_secs(60);

    async fn observe(Live { cluster, .. }: &Live, (nodes,): Self::Needs<'_>) -> Seen<Self> {
        Ok(Self(nodes.each(cluster, Self::DEADLINE, |name, node| kubelet(cluster, name, node)).await))
    }
}

async fn kubelet(cluster: &Cluster, name: &str, node: &Node) -> Seen<Handshake> {
    cluster.handshake_with_kubelet(node.kubelet(name)?).await
}

crate::observed!(KubeletHandshakes);
