//! The leases by which controller-manager and scheduler elect their leaders.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use serde::{Deserialize, Serialize};

use crate::cluster::{Call, Cluster};
use crate::fact::{Access, Observe, Rule, Seen, Unobserved};

/// The components that elect a leader.
const COMPONENTS: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];

/// The leases of the components that elect a leader, by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeaderLeases(pub BTreeMap<String, Seen<LeaderLease>>);

/// Who leads, and since when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeaderLease {
    /// The instance that leads.
    pub holder: String,
    /// When it last said so.
    pub renewed: Timestamp,
    /// After how many seconds without renewal others may take over.
    pub duration_seconds: i32,
    /// How often the leader changed.
    pub transitions: i32,
}

impl Observe for LeaderLeases {
    type Needs<'a> = ();
    const NAME: &'static str = "leader-leases";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] =
        &[Rule::namespaced("kube-system", "coordination.k8s.io", "leases", &["get"]).named(&COMPONENTS)];

    async fn observe(cluster: &Cluster, (): Self::Needs<'_>) -> Seen<Self> {
        let mut leases = BTreeMap::new();
        for component in COMPONENTS {
            leases.insert(component.to_owned(), lease(cluster, component).await);
        }
        if let [Some(Err(absent @ Unobserved::Absent { .. })), Some(Err(Unobserved::Absent { .. }))] =
            COMPONENTS.map(|component| leases.get(component))
        {
            // A managed control plane hides both.
            return Err(absent.clone());
        }
        Ok(Self(leases))
    }
}

async fn lease(cluster: &Cluster, name: &str) -> Seen<LeaderLease> {
    let call = Call::get_in::<Lease>("kube-system", name);
    let spec = cluster.fetch::<Lease>(&call).await?.spec.unwrap_or_default();
    let missing = |field| Unobserved::invalid(call.to_string(), format!("the lease has no {field}"));
    Ok(LeaderLease {
        holder: spec.holder_identity.ok_or_else(|| missing("holderIdentity"))?,
        renewed: spec.renew_time.map(|at| at.0).ok_or_else(|| missing("renewTime"))?,
        duration_seconds: spec.lease_duration_seconds.ok_or_else(|| missing("leaseDurationSeconds"))?,
        transitions: spec.lease_transitions.unwrap_or_default(),
    })
}

crate::observed!(LeaderLeases);
