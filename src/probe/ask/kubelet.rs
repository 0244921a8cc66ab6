//! The kubelet of the probe's own node, as any pod on the node can reach it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::asker::Asker;
use super::handshake::presented;
use super::{Ask, whole};
use crate::certificate::Certificate;
use crate::ports;
use crate::probe::fault::Got;

/// What is asked of a kubelet without credentials. All of it only reads.
const PATHS: [&str; 3] = ["/pods", "/metrics", "/configz"];
/// What the answer adds to a message, in bytes. The certificate, the same at each of the node's addresses, is most of it.
const SIZE: usize = 1300;

/// The kubelet of the probe's own node, at each of the node's addresses: whether to ask, and what it answers.
pub struct OwnKubelet;

/// What a kubelet answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubeletAnswer {
    /// The serving certificate.
    pub certificate: Got<Certificate>,
    /// The status of requests without credentials, by path.
    pub anonymous: BTreeMap<String, Got<u16>>,
}

impl Ask for OwnKubelet {
    type Question = bool;
    type Answer = BTreeMap<IpAddr, KubeletAnswer>;

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

async fn one(address: IpAddr, asker: &Asker) -> KubeletAnswer {
    let at = SocketAddr::new(address, ports::KUBELET);
    let status = async |path: &str| (path.to_owned(), asker.status(&format!("https://{at}{path}")).await);
    let (seen, anonymous) = tokio::join!(presented(at, None, &[], &asker.terms), join_all(PATHS.map(status)));
    KubeletAnswer { certificate: seen.map(|seen| seen.leaf().clone()), anonymous: anonymous.into_iter().collect() }
}
