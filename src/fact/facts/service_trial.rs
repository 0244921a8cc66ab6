//! Whether nodes start to serve a Service when it gets a backend, and stop when it is deleted.

pub(crate) use crate::probe::sight::Sight;
pub(crate) use crate::trial::service::ServiceSights;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::nodes::{Node, Nodes};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};
use crate::trial::service::{self, Changes};

/// The most watching nodes: each takes a pod.
const MOST: usize = 20;

/// Whether nodes start to serve a Service when it gets a backend, and stop when it is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceTrial {
    /// How long the nodes were watched after the backend ran, in milliseconds.
    pub opening_ms: u64,
    /// How long the nodes were watched after the Service was deleted, in milliseconds.
    pub closing_ms: u64,
    /// The results, by node.
    pub nodes: BTreeMap<String, Seen<ServiceSights>>,
    /// How many other nodes there are.
    pub others: usize,
}

impl Observe for ServiceTrial {
    type Needs<'a> = (&'a Nodes,);
    const NAME: &'static str = "service-trial";
    const ACCESS: Access = Access::Create;
    const RULES: &'static [Rule] = service::RULES;
    const DEADLINE: Duration = Duration::from_secs(150);

    async fn observe(live: &Live, (nodes,): Self::Needs<'_>) -> Seen<Self> {
        let (backend_on, _) = nodes.ready_workers_first()?[0];
        let (watching, others) = watching(nodes);
        let Changes { opening_ms, closing_ms, nodes } = service::run(live, backend_on, &watching).await?;
        Ok(Self { opening_ms, closing_ms, nodes, others })
    }
}

crate::observed!(ServiceTrial);

/// The nodes that watch, or why one of them cannot, and how many others there are.
fn watching(nodes: &Nodes) -> (Vec<(&str, Seen<()>)>, usize) {
    let sample: Vec<(&String, &Node)> = nodes.sample(MOST).collect();
    let others = nodes.0.len() - sample.len();
    let linux = sample.into_iter().filter(|(_, node)| node.operating_system == "linux" && !node.is_virtual());
    let watching = linux.map(|(name, node)| {
        let unready = || Unobserved::unreachable(format!("the kubelet of {name}"), "the node is not Ready");
        (name.as_str(), node.is_ready().then_some(()).ok_or_else(unready))
    });
    (watching.collect(), others)
}
