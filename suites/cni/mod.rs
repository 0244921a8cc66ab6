//! The pod network.

pub mod dual_stack;
pub mod mtu;
pub mod network_agent;
pub mod network_plugin;
pub mod network_policy;
pub mod paths;
pub mod pod_mesh;
pub mod pod_ranges;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "cni",
    about: "the pod network between all nodes",
    checks: &[
        &network_plugin::CHECK,
        &network_agent::CHECK,
        &pod_ranges::CHECK,
        &pod_mesh::CHECK,
        &mtu::CHECK,
        &network_policy::CHECK,
        &dual_stack::CHECK,
    ],
};
