//! The kubelets' ports without authentication, seen from where the program runs.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use super::nodes::{Node, Nodes};
use crate::cluster::Cluster;
use crate::fact::Observe;
use crate::live::Live;
use crate::ports;
use crate::seen::{Access, Seen, Unobserved};

/// The open ports of each node, by node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct KubeletPorts(pub BTreeMap<String, Seen<Ports>>);

/// The outcome of connections to a node's ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ports {
    /// The dialled address.
    pub address: IpAddr,
    /// The port of the kubelet's API, which shows that the node can be reached.
    pub api: Seen<()>,
    /// The read-only port.
    pub read_only: Seen<Port>,
    /// The health port.
    pub health: Seen<Port>,
}

/// The outcome of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Port {
    /// It was accepted.
    Open,
    /// It was refused: nothing listens.
    Closed,
    /// Nothing answered: nothing listens, or packets are dropped on the way.
    Silent,
}

impl Observe for KubeletPorts {
    type Needs<'a> = (&'a Nodes,);
    const NAME: &'static str = "kubelet-ports";
    const ACCESS: Access = Access::Handshake;
    // Thousands of nodes, of which many may not answer.
    const DEADLINE: Duration = Duration::from_secs(60);

    async fn observe(Live { cluster, .. }: &Live, (nodes,): Self::Needs<'_>) -> Seen<Self> {
        Ok(Self(nodes.each(cluster, Self::DEADLINE, |name, node| dial(cluster, name, node)).await))
    }
}

async fn dial(cluster: &Cluster, name: &str, node: &Node) -> Seen<Ports> {
    // The other ports mean something only where the kubelet's API is open.
    let api_at = node.kubelet(name)?;
    let address = api_at.ip();
    let at = |port| SocketAddr::new(address, port);
    let api = cluster.reach_kubelet(api_at).await;
    // Without an answer of the API, another port that is closed means nothing.
    let (read_only, health) = match &api {
        Ok(()) => {
            let (read_only, health) = (at(ports::KUBELET_READ_ONLY), at(ports::KUBELET_HEALTHZ));
            cluster
                .beside_kubelet(api_at, |deadline| join(connect(read_only, deadline), connect(health, deadline)))
                .await?
        }
        Err(why) => (Err(why.clone()), Err(why.clone())),
    };
    Ok(Ports { address, api, read_only, health })
}

async fn connect(address: SocketAddr, deadline: Duration) -> Seen<Port> {
    match tokio::time::timeout(deadline, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(Port::Open),
        Ok(Err(e)) if e.kind() == ErrorKind::ConnectionRefused => Ok(Port::Closed),
        Ok(Err(e)) => Err(Unobserved::unreachable(address.to_string(), e)),
        Err(_) => Ok(Port::Silent),
    }
}

crate::observed!(KubeletPorts);
