//! The leases of the leaders of controller-manager and scheduler.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use serde::{Deserialize, Serialize};

use crate::cluster::{Call, Cluster};
use crate::rule::Rule;
use crate::seen::{Seen, Unobserved};

/// The components that elect a leader.
pub(crate) const COMPONENTS: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];

/// The permission to read their leases.
pub(crate) const RULE: Rule =
    Rule::namespaced("kube-system", "coordination.k8s.io", "leases", &["get"]).named(&COMPONENTS);

/// A leader's lease.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LeaderLease {
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
    pub(crate) fn age(&self, now: Timestamp) -> i64 {
        now.as_second() - self.renewed.as_second()
    }
}

/// The request for a component's lease.
pub(crate) fn request(component: &str) -> Call {
    Call::get_in::<Lease>("kube-system", component)
}

/// The lease, and the server's clock when it answered.
pub(crate) async fn read(cluster: &Cluster, call: &Call) -> Seen<(LeaderLease, Option<Timestamp>)> {
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

/// Whether the holder of a lease runs on this node: its name begins with its hostname. One of the two names may have a
/// domain in addition.
pub(crate) fn is_held_on(holder: &str, node: &str) -> bool {
    let host = holder.rsplit_once('_').map_or(holder, |(host, _)| host).to_ascii_lowercase();
    let longer = |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('.'));
    host == node || longer(&host, node) || longer(node, &host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_held_by_a_host() {
        assert!(is_held_on("n1_0a1b", "n1") && is_held_on("N1_0a1b", "n1"));
        assert!(is_held_on("n1.example.org_0a1b", "n1") && is_held_on("n1_0a1b", "n1.example.org"));
        assert!(!is_held_on("n10_0a1b", "n1") && !is_held_on("n1_0a1b", "n10") && !is_held_on("", "n1"));
        assert!(is_held_on("my_host_0a1b", "my_host"));
    }
}
