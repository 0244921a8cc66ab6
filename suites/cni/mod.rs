//! The pod network.

pub mod network_plugin;
pub mod pod_mesh;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "cni",
    about: "the pod network between all nodes",
    checks: &[&network_plugin::CHECK, &pod_mesh::CHECK],
};
