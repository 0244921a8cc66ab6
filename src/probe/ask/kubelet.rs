//! The probe's own node: its kubelet and its kube-proxy, as any pod on it can reach them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use futures_util::future::join_all;

use super::http::Strangers;
use super::terms::Terms;
use super::unreachable_fault;
use crate::cluster::handshake::{Authority, Target, handshake};
use crate::ports;
use crate::probe::answer::{KubeProxyAnswer, KubeletAnswer};
use crate::probe::fault::Got;

/// What is asked of a kubelet without credentials. All of it only reads.
const PATHS: [&str; 3] = ["/pods", "/metrics", "/configz"];

/// Asks the kubelet at each address of the node.
pub async fn ask_kubelets(
    addresses: &[IpAddr],
    strangers: &Got<Strangers>,
    terms: &Terms,
) -> BTreeMap<IpAddr, KubeletAnswer> {
    let answers = join_all(addresses.iter().map(|address| async {
        let at = SocketAddr::new(*address, ports::KUBELET);
        let target = Target { address: Authority::from(at), server_name: None };
        let (seen, anonymous) = tokio::join!(
            terms.answered(async { handshake(&target, &[], terms.answer).await.map_err(unreachable_fault) }),
            join_all(PATHS.map(|path| async move {
                (path.to_owned(), status(strangers, &format!("https://{at}{path}"), terms).await)
            })),
        );
        let certificate = seen.map(|seen| seen.leaf().clone());
        (*address, KubeletAnswer { certificate, anonymous: anonymous.into_iter().collect() })
    }));
    answers.await.into_iter().collect()
}

/// Asks the kube-proxy at each address of the node.
pub async fn ask_kube_proxies(
    addresses: &[IpAddr],
    strangers: &Got<Strangers>,
    terms: &Terms,
) -> BTreeMap<IpAddr, KubeProxyAnswer> {
    let answers = join_all(addresses.iter().map(|address| async {
        let url = |port, path| format!("http://{}{path}", SocketAddr::new(*address, port));
        let (healthz, livez) = (url(ports::KUBE_PROXY_HEALTHZ, "/healthz"), url(ports::KUBE_PROXY_HEALTHZ, "/livez"));
        let metrics = url(ports::KUBE_PROXY_METRICS, "/metrics");
        let (healthz, livez, metrics) = tokio::join!(
            status(strangers, &healthz, terms),
            status(strangers, &livez, terms),
            status(strangers, &metrics, terms)
        );
        (*address, KubeProxyAnswer { healthz, livez, metrics })
    }));
    answers.await.into_iter().collect()
}

async fn status(strangers: &Got<Strangers>, url: &str, terms: &Terms) -> Got<u16> {
    let strangers = strangers.as_ref().map_err(Clone::clone)?;
    terms.answered(strangers.status(url)).await
}
