//! The answers of kubelets to requests without credentials, sent from where the program runs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::nodes::Nodes;
use crate::fact::Observe;
use crate::live::Live;
use crate::seen::{Access, Seen};

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
        // One connection serves all paths: a kubelet that cannot be reached is tried only once.
        let asked = nodes.each(cluster, Self::DEADLINE, async |name, node| {
            let answers = cluster.ask_kubelet_as_stranger(node.kubelet(name)?, &PATHS).await?;
            Ok(PATHS.iter().zip(answers).map(|(path, answer)| ((*path).to_owned(), answer.status)).collect())
        });
        Ok(Self(asked.await))
    }
}

crate::observed!(KubeletAnonymous);
