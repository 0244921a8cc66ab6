//! What the cluster survives.

pub mod endpoint;
pub mod etcd_version;
pub mod topology;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "ha",
    about: "high availability: what the control plane survives",
    checks: &[&topology::CHECK, &endpoint::CHECK, &etcd_version::CHECK],
};
