//! Whether servers still accept outdated versions of TLS.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::{join_all, join3};
use serde::{Deserialize, Serialize};

use super::api_server_handshakes::ApiServerHandshakes;
use super::etcd_handshakes::EtcdHandshakes;
use super::kubeconfig_summary::KubeconfigSummary;
use super::kubelet_handshakes::KubeletHandshakes;
use crate::cluster::Cluster;
use crate::fact::Observe;
use crate::handshake::{Authority, Outdated, Target};
use crate::live::Live;
use crate::ports;
use crate::seen::{Access, Seen, Unobserved};

/// The answers of servers to a client that supports at most TLS 1.1. Only servers that complete a current handshake are
/// asked, which is the control: a server that refuses everything is not secure but down. The API server at the configured
/// URL is also asked if it speaks TLS and refuses a current handshake.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct OutdatedTls {
    /// The API server at the configured URL, and each published instance.
    pub api_servers: BTreeMap<Authority, Seen<Outdated>>,
    /// The kubelets, by node.
    pub kubelets: BTreeMap<String, Seen<Outdated>>,
    /// The members of etcd, by the address for clients.
    pub etcd: BTreeMap<Authority, Seen<Outdated>>,
}

impl Observe for OutdatedTls {
    type Needs<'a> = (
        &'a KubeconfigSummary,
        &'a ApiServerHandshakes,
        Result<&'a KubeletHandshakes, &'a Unobserved>,
        Result<&'a EtcdHandshakes, &'a Unobserved>,
    );
    const NAME: &'static str = "outdated-tls";
    const ACCESS: Access = Access::Handshake;
    // Thousands of nodes.
    const DEADLINE: Duration = Duration::from_secs(60);

    async fn observe(Live { cluster, .. }: &Live, (kubeconfig, api, kubelets, etcd): Self::Needs<'_>) -> Seen<Self> {
        let offer = async |target: Target| {
            let answer = cluster.outdated_handshake(&target).await;
            (target.address, answer)
        };
        let instances = api.instances.iter().flatten().filter_map(|(_, seen)| seen.as_ref().ok());
        let api_servers = instances
            .chain(&api.endpoint)
            .map(|seen| Target { address: seen.address.clone(), server_name: seen.server_name.clone() });
        // One that refuses clients of today may speak only what came before.
        let refused = api.endpoint.is_err() && api.refusal.is_some();
        let api_servers = api_servers.chain(refused.then(|| kubeconfig.target()));
        let kubelets = kubelets.iter().flat_map(|kubelets| &kubelets.0);
        let kubelets = kubelets.filter_map(|(node, seen)| Some((node, seen.as_ref().ok()?)));
        let limit = cluster.deadline(Self::DEADLINE) * 9 / 10;
        let kubelets = kubelets.map(async |(node, seen)| {
            let offered = tokio::time::timeout(limit, offer_kubelet(cluster, &seen.address)).await;
            let late = |_| Err(Unobserved::timed_out(format!("the kubelet of {node}"), limit));
            (node.clone(), offered.unwrap_or_else(late))
        });
        let members = etcd.iter().flat_map(|etcd| etcd.dialled()).filter_map(|(_, member)| {
            member.presented.get(&ports::ETCD_CLIENT)?.as_ref().ok()?;
            Some(Target { address: at(member.address), server_name: None })
        });
        let (api_servers, kubelets, etcd) =
            join3(join_all(api_servers.map(offer)), join_all(kubelets), join_all(members.map(offer))).await;
        Ok(Self {
            api_servers: api_servers.into_iter().collect(),
            kubelets: kubelets.into_iter().collect(),
            etcd: etcd.into_iter().collect(),
        })
    }
}

async fn offer_kubelet(cluster: &Cluster, address: &Authority) -> Seen<Outdated> {
    match address.host().parse::<IpAddr>() {
        Ok(ip) => cluster.outdated_handshake_with_kubelet(SocketAddr::new(ip, address.port())).await,
        Err(e) => Err(Unobserved::invalid(address.to_string(), e)),
    }
}

fn at(address: IpAddr) -> Authority {
    SocketAddr::new(address, ports::ETCD_CLIENT).into()
}

crate::observed!(OutdatedTls);
