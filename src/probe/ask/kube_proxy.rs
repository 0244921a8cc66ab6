//! The kube-proxy of the probe's own node, as any pod on the node can reach it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::asker::Asker;
use super::{Ask, whole};
use crate::ports;
use crate::probe::fault::Got;

/// What the answer adds to a message, in bytes.
const SIZE: usize = 40;

/// The kube-proxy of the probe's own node, at each of the node's addresses: whether to ask, and what it answers.
pub struct OwnKubeProxy;

/// What a kube-proxy answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubeProxyAnswer {
    /// The status of /healthz at port 10256.
    pub healthz: Got<u16>,
    /// The status of /livez at port 10256.
    pub livez: Got<u16>,
    /// Whether the metrics port 10249 answers; it should refuse.
    pub metrics: Got<u16>,
}

impl Ask for OwnKubeProxy {
    type Question = bool;
    type Answer = BTreeMap<IpAddr, KubeProxyAnswer>;

    fn parts(question: &bool) -> Vec<(usize, bool)> {
        whole(question, SIZE)
    }

    async fn ask(question: &bool, asker: &Asker) -> Self::Answer {
        let answers = asker
            .node_addresses
            .iter()
            .filter(|_| *question)
            .map(async |address| (*address, one(*address, asker).await));
        join_all(answers).await.into_iter().collect()
    }
}

async fn one(address: IpAddr, asker: &Asker) -> KubeProxyAnswer {
    let status =
        async |port, path: &str| asker.status(&format!("http://{}{path}", SocketAddr::new(address, port))).await;
    let (healthz, livez, metrics) = tokio::join!(
        status(ports::KUBE_PROXY_HEALTHZ, "/healthz"),
        status(ports::KUBE_PROXY_HEALTHZ, "/livez"),
        status(ports::KUBE_PROXY_METRICS, "/metrics")
    );
    KubeProxyAnswer { healthz, livez, metrics }
}
