//! The running configuration of kubelets.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kubelet_configuration::KubeletConfiguration;
use super::nodes::{Node, Nodes};
use crate::cluster::Cluster;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The path of a kubelet's running configuration.
const PATH: &str = "/configz";
/// The permission that it needs.
const PERMISSION: &str = "get nodes/configz";
/// The largest configuration that is read, in bytes; a real one has five thousand.
const LIMIT: usize = 1 << 20;

/// The running configuration of each node's kubelet, as it reports it. Most are equal, and each is kept once.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct KubeletConfigs {
    /// The configurations, each once.
    configurations: Vec<KubeletConfiguration>,
    /// The index of each node's configuration, or why it was not seen.
    nodes: BTreeMap<String, Seen<usize>>,
}

#[derive(Deserialize)]
struct Configz {
    kubeletconfig: Value,
}

impl KubeletConfigs {
    /// Keeps equal configurations once.
    #[expect(clippy::disallowed_types, reason = "JSON has no order; the places restore that of the nodes")]
    pub(crate) fn new(seen: impl IntoIterator<Item = (String, Seen<KubeletConfiguration>)>) -> Self {
        let mut places: std::collections::HashMap<KubeletConfiguration, usize> = std::collections::HashMap::new();
        let mut place = |configuration| {
            let next = places.len();
            *places.entry(configuration).or_insert(next)
        };
        let nodes = seen.into_iter().map(|(node, seen)| (node, seen.map(&mut place))).collect();
        let mut configurations: Vec<_> = places.into_iter().collect();
        configurations.sort_by_key(|(_, place)| *place);
        Self { configurations: configurations.into_iter().map(|(configuration, _)| configuration).collect(), nodes }
    }

    /// Each node with its configuration.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Seen<&KubeletConfiguration>)> {
        self.nodes.iter().map(|(node, at)| {
            let configuration = at.clone().and_then(|at| {
                let found = self.configurations.get(at);
                found.ok_or_else(|| Unobserved::invalid(Self::NAME, format!("there is no configuration {at}")))
            });
            (node.as_str(), configuration)
        })
    }
}

impl Observe for KubeletConfigs {
    type Needs<'a> = (&'a Nodes,);
    const NAME: &'static str = "kubelet-configs";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::cluster("", "nodes/configz", &["get"])];
    // Thousands of nodes, of which many may not answer.
    const DEADLINE: Duration = Duration::from_secs(60);

    async fn observe(Live { cluster, .. }: &Live, (nodes,): Self::Needs<'_>) -> Seen<Self> {
        Ok(Self::new(nodes.each(cluster, Self::DEADLINE, |name, node| ask(cluster, name, node)).await))
    }
}

async fn ask(cluster: &Cluster, name: &str, node: &Node) -> Seen<KubeletConfiguration> {
    let address = node.kubelet(name)?;
    let reply = cluster.ask_kubelet(address, PATH, PERMISSION).await?;
    let unusable = |cause: String| Unobserved::invalid(format!("GET {PATH} on {address}"), cause);
    if reply.body.len() > LIMIT {
        return Err(unusable(format!("{} bytes, more than {LIMIT}", reply.body.len())));
    }
    let read: Configz = serde_json::from_slice(&reply.body).map_err(|e| unusable(e.to_string()))?;
    Ok(KubeletConfiguration::new(read.kubeletconfig))
}

crate::observed!(KubeletConfigs);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_configurations_are_kept_once() {
        let with = |pods: u32| Ok(KubeletConfiguration::new(json!({"maxPods": pods})));
        let configs = KubeletConfigs::new([
            ("n1".to_owned(), with(110)),
            ("n2".to_owned(), with(110)),
            ("n3".to_owned(), with(250)),
            ("n4".to_owned(), Err(Unobserved::Interrupted)),
        ]);
        assert_eq!(configs.configurations.len(), 2);
        let pods: Vec<_> = configs.iter().map(|(node, c)| (node, c.ok().and_then(|c| c.get("maxPods")))).collect();
        let (usual, many) = (json!(110), json!(250));
        assert_eq!(pods, [("n1", Some(&usual)), ("n2", Some(&usual)), ("n3", Some(&many)), ("n4", None)]);
    }
}
