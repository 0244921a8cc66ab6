//! The probe's own node: its kubelet and its kube-proxy, as any pod on it can reach them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use futures_util::future::join_all;

use super::batch::Terms;
use super::http::Strangers;
use super::unreachable_fault;
use crate::cluster::handshake::{Authority, Target, handshake};
use crate::probe::answer::{Got, KubeProxyAnswer, KubeletAnswer};

/// The kubelet's API.
pub const KUBELET: u16 = 10250;
/// kube-proxy's health.
const HEALTH: u16 = 10256;
/// kube-proxy's metrics, which belong to the node alone.
const METRICS: u16 = 10249;
/// What is asked of a kubelet without credentials. All of it only reads.
const PATHS: [&str; 3] = ["/pods", "/metrics", "/configz"];

/// Asks the kubelet at each address of the node.
pub async fn ask_kubelets(
    addresses: &[IpAddr],
    strangers: &Got<Strangers>,
    terms: &Terms,
) -> BTreeMap<IpAddr, KubeletAnswer> {
    let answers = join_all(addresses.iter().map(|address| async {
        let at = SocketAddr::new(*address, KUBELET);
        let target = Target { address: Authority::from(at), server_name: None };
        let (seen, anonymous) =
            tokio::join!(
                handshake(&target, &[], terms.answer),
                join_all(PATHS.map(|path| async move {
                    (path.to_owned(), status(strangers, &format!("https://{at}{path}")).await)
                })),
            );
        let certificate = seen.map(|seen| seen.leaf().clone()).map_err(unreachable_fault);
        (*address, KubeletAnswer { certificate, anonymous: anonymous.into_iter().collect() })
    }));
    answers.await.into_iter().collect()
}

/// Asks the kube-proxy at each address of the node.
pub async fn ask_kube_proxies(addresses: &[IpAddr], strangers: &Got<Strangers>) -> BTreeMap<IpAddr, KubeProxyAnswer> {
    let answers = join_all(addresses.iter().map(|address| async {
        let url = |port, path| format!("http://{}{path}", SocketAddr::new(*address, port));
        let (healthz, livez, metrics) = (url(HEALTH, "/healthz"), url(HEALTH, "/livez"), url(METRICS, "/metrics"));
        let (healthz, livez, metrics) =
            tokio::join!(status(strangers, &healthz), status(strangers, &livez), status(strangers, &metrics));
        (*address, KubeProxyAnswer { healthz, livez, metrics })
    }));
    answers.await.into_iter().collect()
}

async fn status(strangers: &Got<Strangers>, url: &str) -> Got<u16> {
    strangers.as_ref().map_err(Clone::clone)?.status(url).await
}
