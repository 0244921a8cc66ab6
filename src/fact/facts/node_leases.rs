//! The leases of the nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use serde::{Deserialize, Serialize};

use super::nodes::Nodes;
use crate::cluster::{Call, until};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};

/// How long to wait for the missing lease of a Ready node: a kubelet that has just joined creates it when it first
/// renews it, up to ten seconds later.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(500);
/// The namespace of the leases of nodes.
const NAMESPACE: &str = "kube-node-lease";

/// The leases of all nodes, by the node's name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct NodeLeases(pub BTreeMap<String, NodeLease>);

/// The lease of a node, which its kubelet renews.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeLease {
    /// When it last renewed the lease; none before the first time.
    pub renewed: Option<Timestamp>,
    /// After how many seconds without renewal the node counts as lost.
    pub duration_seconds: Option<i32>,
}

impl Observe for NodeLeases {
    type Needs<'a> = (&'a Nodes,);
    const NAME: &'static str = "node-leases";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::namespaced(NAMESPACE, "coordination.k8s.io", "leases", &["list"])];

    async fn observe(Live { cluster, .. }: &Live, (nodes,): Self::Needs<'_>) -> Seen<Self> {
        let look = async || -> Seen<Self> {
            let leases = cluster.list(Call::list::<Lease>().in_namespace(NAMESPACE), trim).await?;
            Ok(Self(leases.into_iter().collect()))
        };
        let is_complete =
            |leases: &Self| nodes.0.iter().all(|(name, node)| !node.is_ready() || leases.0.contains_key(name));
        until(PATIENCE, PAUSE, look, |seen| seen.as_ref().map_or(true, is_complete)).await
    }
}

fn trim(lease: Lease) -> (String, NodeLease) {
    let spec = lease.spec.unwrap_or_default();
    let trimmed = NodeLease { renewed: spec.renew_time.map(|at| at.0), duration_seconds: spec.lease_duration_seconds };
    (lease.metadata.name.unwrap_or_default(), trimmed)
}

crate::observed!(NodeLeases);
