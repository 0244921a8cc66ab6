//! The answers of kubelets to requests without credentials, sent from where the program runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::nodes::Nodes;
use crate::fact::Observe;
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The requested paths, which only read.
pub(crate) const PATHS: [&str; 3] = ["/pods", "/metrics", "/configz"];

/// The status of anonymous requests to each node's kubelet, by node and path.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KubeletAnonymous(pub BTreeMap<String, Seen<BTreeMap<String, u16>>>);

impl Observe for KubeletAnonymous {
    type Needs<'a> = (&'a Nodes,);
    const NAME: &'static str = "kubelet-anonymous";
    const ACCESS: Access = Access::Anonymous;
    // Thousands of nodes, of which many may not answer.
    const DEADLINE: Duration = Duration::from_secs(60);

    async fn observe(Live { cluster, .. }: &Live, (nodes,): Self::Needs<'_>) -> Seen<Self> {
        let asked = nodes.each(cluster, Self::DEADLINE, async |name, node| {
            let kubelet = node.kubelet(name)?;
            cluster.as_stranger(kubelet, |client| ask(client, kubelet)).await
        });
        Ok(Self(asked.await))
    }
}

async fn ask(client: reqwest::Client, kubelet: SocketAddr) -> Seen<BTreeMap<String, u16>> {
    let mut statuses = BTreeMap::new();
    for path in PATHS {
        let url = format!("https://{kubelet}{path}");
        // One connection serves all paths: a kubelet that cannot be reached is tried only once.
        let response =
            client.get(&url).send().await.map_err(|e| Unobserved::unreachable(url, crate::cluster::causes(&e)))?;
        statuses.insert(path.to_owned(), response.status().as_u16());
    }
    Ok(statuses)
}

crate::observed!(KubeletAnonymous);
