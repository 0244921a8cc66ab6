//! The certificates that the members of etcd present.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::pods::Pods;
use crate::cluster::Cluster;
use crate::cluster::handshake::{Handshake, Target};
use crate::fact::{Access, Observe, Seen, Unobserved};

/// Where members serve clients, and each other.
pub const PORTS: [u16; 2] = [2379, 2380];

/// What each member of etcd that runs as a static pod presents, by node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EtcdHandshakes(pub BTreeMap<String, EtcdMember>);

/// A member of etcd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdMember {
    /// The address of its node.
    pub address: IpAddr,
    /// What it presents there, by port.
    pub presented: BTreeMap<u16, Seen<Handshake>>,
}

impl Observe for EtcdHandshakes {
    type Needs<'a> = (&'a Pods,);
    const NAME: &'static str = "etcd-handshakes";
    const ACCESS: Access = Access::Handshake;

    async fn observe(cluster: &Cluster, (pods,): Self::Needs<'_>) -> Seen<Self> {
        let members: Vec<(String, IpAddr)> = pods
            .of_namespace("kube-system")
            .filter(|pod| pod.component() == Some("etcd") && pod.host_network)
            .filter_map(|pod| Some((pod.node.clone()?, pod.addresses.first()?.parse().ok()?)))
            .collect();
        if members.is_empty() {
            return Err(Unobserved::absent(
                "no pod of kube-system is a member of etcd: it is hidden, runs elsewhere, or is not used",
            ));
        }
        let dialled = members.into_iter().map(async |(node, address)| {
            let presented = PORTS.map(async |port| {
                let target = Target { address: SocketAddr::new(address, port).into(), server_name: None };
                (port, cluster.handshake(&target, &[]).await)
            });
            (node, EtcdMember { address, presented: join_all(presented).await.into_iter().collect() })
        });
        Ok(Self(join_all(dialled).await.into_iter().collect()))
    }
}

crate::observed!(EtcdHandshakes);
