//! Nodes and their kubelets.

pub mod api_server_to_kubelet;
pub mod checkpoint;
pub mod clocks;
pub mod drainable_budgets;
pub mod exec_and_port_forward;
pub mod init_system;
pub mod kubelet_anonymous;
pub mod kubelet_authorization;
pub mod kubelet_configuration;
pub mod local_ports;
mod monitoring_rights;
pub mod node_identity;
pub mod pod_start;
mod reach;
pub mod readiness;
pub mod runtime_and_kernel;
pub mod static_pods;
pub mod version_skew;

crate::suite! {
    name: "nodes",
    about: "nodes and their kubelets",
    checks: [
        readiness,
        version_skew,
        kubelet_anonymous,
        kubelet_authorization,
        local_ports,
        kubelet_configuration,
        static_pods,
        init_system,
        api_server_to_kubelet,
        checkpoint,
        runtime_and_kernel,
        node_identity,
        clocks,
        exec_and_port_forward,
        drainable_budgets,
        pod_start,
    ],
}
