//! The pod network.

pub mod dual_stack;
mod helpers;
pub mod mtu;
pub mod network_agent;
pub mod network_plugin;
pub mod network_policy;
pub mod pod_mesh;
pub mod pod_ranges;

crate::suite! {
    name: "cni",
    about: "the pod network between all nodes",
    checks: [
        network_plugin,
        network_agent,
        pod_ranges,
        pod_mesh,
        mtu,
        network_policy,
        dual_stack,
    ],
}
