//! The clocks of the nodes, from the dates in their kubelets' answers.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::clock;
pub(crate) use super::clock::Dated;
use super::nodes::{Node, Nodes};
use crate::cluster::Identity;
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
        let client = cluster.stranger_to_kubelets()?;
        let server = clock::read(cluster, &Identity::Anonymous).await?;
        let asked = nodes.0.iter().map(async |(name, node)| (name.clone(), ask(&client, name, node).await));
        Ok(Self { server, nodes: join_all(asked).await.into_iter().collect() })
    }
}

async fn ask(client: &reqwest::Client, name: &str, node: &Node) -> Seen<Dated> {
    let url = format!("https://{}/healthz", node.kubelet(name)?);
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
