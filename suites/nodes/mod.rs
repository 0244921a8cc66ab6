//! Nodes and their kubelets.

pub mod api_server_to_kubelet;
pub mod checkpoint;
pub mod clocks;
pub mod exec_and_port_forward;
pub mod init_system;
pub mod kubelet_anonymous;
pub mod kubelet_authorization;
pub mod kubelet_configuration;
pub mod local_ports;
mod monitoring_rights;
pub mod node_identity;
mod reach;
pub mod readiness;
pub mod runtime_and_kernel;
pub mod static_pods;
pub mod version_skew;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "nodes",
    about: "nodes and their kubelets",
    checks: &[
        &readiness::CHECK,
        &version_skew::CHECK,
        &kubelet_anonymous::CHECK,
        &kubelet_authorization::CHECK,
        &local_ports::CHECK,
        &kubelet_configuration::CHECK,
        &static_pods::CHECK,
        &init_system::CHECK,
        &api_server_to_kubelet::CHECK,
        &checkpoint::CHECK,
        &runtime_and_kernel::CHECK,
        &node_identity::CHECK,
        &clocks::CHECK,
        &exec_and_port_forward::CHECK,
    ],
};
