//! What the cluster survives.

pub mod control_plane_loss;
pub mod endpoint;
pub mod etcd_clients;
pub mod etcd_members;
pub mod etcd_version;
mod etcdctl;
mod member_disk;
mod member_metrics;
pub mod topology;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "ha",
    about: "high availability: what the control plane and etcd survive",
    checks: &[
        &topology::CHECK,
        &endpoint::CHECK,
        &etcd_members::CHECK,
        &etcd_clients::CHECK,
        &etcd_version::CHECK,
        &control_plane_loss::CHECK,
    ],
};
