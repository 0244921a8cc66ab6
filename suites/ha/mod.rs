//! What the cluster survives.

pub mod endpoint_spread;
pub mod etcd_clients;
pub mod etcd_members;
pub mod etcd_version;
pub mod failure_tolerance;
mod helpers;
pub mod loss_drill;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "ha",
    about: "high availability: what the control plane and etcd survive",
    checks: &[
        &failure_tolerance::CHECK,
        &endpoint_spread::CHECK,
        &etcd_members::CHECK,
        &etcd_clients::CHECK,
        &etcd_version::CHECK,
        &loss_drill::CHECK,
    ],
};
