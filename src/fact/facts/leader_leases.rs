//! The leases of the leaders of controller-manager and scheduler.

pub(crate) use crate::control_plane::leases::LeaderLease;
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cluster::{Cluster, until};
use crate::control_plane::leases;
pub(crate) use crate::control_plane::leases::COMPONENTS;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// How long to wait for a stale lease: after a restart of the API server, the leaders need a moment.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(500);

/// The leases of the components that elect a leader, by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LeaderLeases(pub BTreeMap<String, Seen<LeaderLease>>);

impl Observe for LeaderLeases {
    type Needs<'a> = ();
    const NAME: &'static str = "leader-leases";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[leases::RULE];

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
    let call = leases::request(name);
    let done = |seen: &Seen<_>| seen.as_ref().map_or(true, |(lease, now)| is_fresh(lease, *now));
    let (lease, _) = until(PATIENCE, PAUSE, || leases::read(cluster, &call), done).await?;
    Ok(lease)
}

crate::observed!(LeaderLeases);
