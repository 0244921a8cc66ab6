//! What time it is on the nodes, as their kubelets date their answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::nodes::{Node, Nodes};
use crate::cluster::{Call, Cluster, Identity};
use crate::fact::{Access, Observe, Seen, Unobserved};

/// The port of the kubelet's API.
const PORT: u16 = 10250;

/// The clocks of the nodes, and the one that they should agree with. Any answer is dated, a refusal among them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KubeletClocks {
    /// The API server's clock.
    pub server: Dated,
    /// The clock of each node, as its kubelet dates its answers.
    pub nodes: BTreeMap<String, Seen<Dated>>,
}

/// A clock that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dated {
    /// What it said, to the second below.
    pub said: Timestamp,
    /// Our own clock before asking.
    pub before: Timestamp,
    /// Our own clock after the answer.
    pub after: Timestamp,
}

impl Observe for KubeletClocks {
    type Needs<'a> = (&'a Nodes,);
    const NAME: &'static str = "kubelet-clocks";
    const ACCESS: Access = Access::Anonymous;
    // Thousands of nodes, of which many may not answer.
    const DEADLINE: Duration = Duration::from_secs(60);

    async fn observe(cluster: &Cluster, (nodes,): Self::Needs<'_>) -> Seen<Self> {
        let client = reqwest::Client::builder()
            // Nothing secret is sent, and a self-signed certificate is the kubelet's default.
            .tls_danger_accept_invalid_certs(true)
            .timeout(cluster.deadline(cluster.settings().request_timeout))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(crate::USER_AGENT)
            .build()
            .map_err(|e| Unobserved::invalid("the HTTP client", e))?;
        let call = Call::url("/version").by(Identity::Anonymous);
        let before = Timestamp::now();
        let reply = cluster.send(&call).await?;
        let after = Timestamp::now();
        let said = reply.date.ok_or_else(|| Unobserved::invalid(call.to_string(), "the answer has no Date header"))?;
        let server = Dated { said, before, after };
        let asked = nodes.0.iter().map(async |(name, node)| (name.clone(), ask(&client, name, node).await));
        Ok(Self { server, nodes: join_all(asked).await.into_iter().collect() })
    }
}

async fn ask(client: &reqwest::Client, name: &str, node: &Node) -> Seen<Dated> {
    let address = node.internal_addresses().next();
    let address = address.ok_or_else(|| Unobserved::invalid(format!("Node {name}"), "it has no InternalIP"))?;
    let url = format!("https://{}/healthz", SocketAddr::new(address, PORT));
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
