//! The clocks of the nodes, from the dates in their kubelets' answers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock;
pub(crate) use super::clock::Dated;
use super::nodes::{Node, Nodes};
use crate::cluster::{Cluster, Identity, StrangersAnswer};
use crate::fact::Observe;
use crate::live::Live;
use crate::seen::{Access, Seen};

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
    let mut answers = cluster.ask_kubelet_as_stranger(node.kubelet(name)?, &["/healthz"]).await?;
    let StrangersAnswer { date, before, after, .. } = answers.remove(0);
    Ok(Dated { said: date?, before, after })
}

crate::observed!(KubeletClocks);
