//! The certificates that kubelets present.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::nodes::{Node, Nodes};
use crate::cluster::Cluster;
use crate::fact::Observe;
use crate::handshake::{Handshake, Target};
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
        let handshakes = nodes.0.iter().map(async |(name, node)| (name.clone(), kubelet(cluster, name, node).await));
        Ok(Self(join_all(handshakes).await.into_iter().collect()))
    }
}

async fn kubelet(cluster: &Cluster, name: &str, node: &Node) -> Seen<Handshake> {
    let target = Target::of(node.kubelet(name)?.into());
    cluster.handshake(&target, cluster.authorities()).await
}

crate::observed!(KubeletHandshakes);
