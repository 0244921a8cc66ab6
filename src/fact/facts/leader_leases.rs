//! The leases of the leaders of controller-manager and scheduler.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use serde::{Deserialize, Serialize};

use crate::cluster::{Call, Cluster, until};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The components that elect a leader.
pub(super) const COMPONENTS: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];

/// How long to wait for a stale lease: after a restart of the API server, the leaders need a moment.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(500);

/// The leases of the components that elect a leader, by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeaderLeases(pub BTreeMap<String, Seen<LeaderLease>>);

/// A leader's lease.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeaderLease {
    /// The leading instance.
    pub holder: String,
    /// When it was last renewed.
    pub renewed: Timestamp,
    /// After how many seconds without renewal others may take over.
    pub duration_seconds: i32,
    /// How often the leader changed.
    pub transitions: i32,
}

impl LeaderLease {
    /// How many seconds ago it was renewed.
    pub fn age(&self, now: Timestamp) -> i64 {
        now.as_second() - self.renewed.as_second()
    }
}

impl Observe for LeaderLeases {
    type Needs<'a> = ();
    const NAME: &'static str = "leader-leases";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] =
        &[Rule::namespaced("kube-system", "coordination.k8s.io", "leases", &["get"]).named(&COMPONENTS)];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let leases = join_all(COMPONENTS.map(async |name| (name.to_owned(), settled(cluster, name).await))).await;
        let leases: BTreeMap<_, _> = leases.into_iter().collect();
        if let [Some(Err(absent @ Unobserved::Absent { .. })), Some(Err(Unobserved::Absent { .. }))] =
            COMPONENTS.map(|component| leases.get(component))
        {
            // Managed control planes hide both.
            return Err(absent.clone());
        }
        Ok(Self(leases))
    }
}

/// The lease, as soon as it is fresh or the time is over.
async fn settled(cluster: &Cluster, name: &str) -> Seen<LeaderLease> {
    let is_fresh = |lease: &LeaderLease, now: Option<Timestamp>| {
        now.is_none_or(|now| lease.age(now) <= i64::from(lease.duration_seconds))
    };
    let call = request(name);
    let done = |seen: &Seen<_>| seen.as_ref().map_or(true, |(lease, now)| is_fresh(lease, *now));
    let (lease, _) = until(PATIENCE, PAUSE, || lease(cluster, &call), done).await?;
    Ok(lease)
}

/// The request for a component's lease.
pub(super) fn request(component: &str) -> Call {
    Call::get_in::<Lease>("kube-system", component)
}

/// The lease, and the server's clock when it answered.
pub(super) async fn lease(cluster: &Cluster, call: &Call) -> Seen<(LeaderLease, Option<Timestamp>)> {
    let reply = cluster.send(call).await?;
    let spec = reply.decode::<Lease>(call)?.spec.unwrap_or_default();
    let missing = |field| Unobserved::invalid(call.to_string(), format!("the lease has no {field}"));
    let lease = LeaderLease {
        holder: spec.holder_identity.ok_or_else(|| missing("holderIdentity"))?,
        renewed: spec.renew_time.map(|at| at.0).ok_or_else(|| missing("renewTime"))?,
        duration_seconds: spec.lease_duration_seconds.ok_or_else(|| missing("leaseDurationSeconds"))?,
        transitions: spec.lease_transitions.unwrap_or_default(),
    };
    Ok((lease, reply.date))
}

crate::observed!(LeaderLeases);
