//! The clocks of the nodes, from the dates in their kubelets' answers.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::clock;
pub(crate) use super::clock::Dated;
use super::nodes::{Node, Nodes};
use crate::cluster::{Cluster, Identity};
use crate::fact::Observe;
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The clocks of the nodes, and of the API server. Every answer has a date, also a refusal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KubeletClocks {
    /// The API server's clock.
    pub server: Dated,
    /// The clock of each node, from the date in its kubelet's answer.
    pub nodes: BTreeMap<String, Seen<Dated>>,
}

impl Observe for KubeletClocks {
    type Needs<'a> = (&'a Nodes,);
    const NAME: &'static str = "kubelet-clocks";
    const ACCESS: Access = Access::Anonymous;
    // Thousands of nodes, of which many may not answer.
    const DEADLINE: Duration = Duration::from_secs(60);

    async fn observe(Live { cluster, .. }: &Live, (nodes,): Self::Needs<'_>) -> Seen<Self> {
        let server = clock::read(cluster, &Identity::Anonymous).await?;
        let nodes = nodes.each(cluster, Self::DEADLINE, |name, node| ask(cluster, name, node)).await;
        Ok(Self { server, nodes })
    }
}

async fn ask(cluster: &Cluster, name: &str, node: &Node) -> Seen<Dated> {
    let kubelet = node.kubelet(name)?;
    cluster.as_stranger(kubelet, |client| dated(client, format!("https://{kubelet}/healthz"))).await
}

async fn dated(client: reqwest::Client, url: String) -> Seen<Dated> {
    let before = Timestamp::now();
    let response =
        client.get(&url).send().await.map_err(|e| Unobserved::unreachable(&url, crate::cluster::causes(&e)))?;
    let after = Timestamp::now();
    let date = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    let date = date.ok_or_else(|| Unobserved::invalid(&url, "the answer has no Date header"))?;
    let said = jiff::fmt::rfc2822::parse(date).map_err(|e| Unobserved::invalid(&url, e))?.timestamp();
    Ok(Dated { said, before, after })
}

crate::observed!(KubeletClocks);
