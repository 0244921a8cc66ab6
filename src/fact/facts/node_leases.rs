//! The leases by which kubelets say that they are alive.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use serde::{Deserialize, Serialize};

use crate::cluster::{Call, Cluster};
use crate::fact::{Access, Observe, Rule, Seen};

/// Where the leases of nodes live.
const NAMESPACE: &str = "kube-node-lease";

/// The leases of all nodes, by the node's name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NodeLeases(pub BTreeMap<String, NodeLease>);

/// When a kubelet was last heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLease {
    /// When it last renewed the lease; none before the first time.
    pub renewed: Option<Timestamp>,
    /// After how many seconds without renewal the node counts as lost.
    pub duration_seconds: Option<i32>,
}

impl Observe for NodeLeases {
    type Needs<'a> = ();
    const NAME: &'static str = "node-leases";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::namespaced(NAMESPACE, "coordination.k8s.io", "leases", &["list"])];

    async fn observe(cluster: &Cluster, (): Self::Needs<'_>) -> Seen<Self> {
        let leases = cluster.list(Call::list::<Lease>().in_namespace(NAMESPACE), trim).await?;
        Ok(Self(leases.into_iter().collect()))
    }
}

fn trim(lease: Lease) -> (String, NodeLease) {
    let spec = lease.spec.unwrap_or_default();
    let trimmed = NodeLease { renewed: spec.renew_time.map(|at| at.0), duration_seconds: spec.lease_duration_seconds };
    (lease.metadata.name.unwrap_or_default(), trimmed)
}

crate::observed!(NodeLeases);
