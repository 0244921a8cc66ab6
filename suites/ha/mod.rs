//! What the cluster survives.

pub mod endpoint_spread;
pub mod etcd_clients;
pub mod etcd_members;
pub mod etcd_version;
pub mod etcd_writes;
pub mod failure_tolerance;
mod helpers;
pub mod loss_drill;

crate::suite! {
    name: "ha",
    about: "high availability: what the control plane and etcd survive",
    checks: [
        failure_tolerance,
        endpoint_spread,
        etcd_members,
        etcd_clients,
        etcd_version,
        loss_drill,
        etcd_writes,
    ],
}
