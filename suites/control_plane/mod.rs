//! The control plane: its instances, static pods and leaders, and the servers that it calls.

pub mod admission_policies;
pub mod admission_webhooks;
pub mod aggregated_apis;
pub mod api_server_health;
pub mod api_server_identities;
pub mod bootstrap_controllers;
pub mod closed_ports;
pub mod conversion_webhooks;
pub mod encryption_settings;
pub mod kubeadm_config;
pub mod lasting_flags;
pub mod leader_leases;
pub mod open_listeners;
pub mod pod_admission;
pub mod recent_restarts;
pub mod second_manifests;
pub mod self_hosted;
pub mod static_pods;
pub mod version_spread;

crate::suite! {
    name: "control-plane",
    about: "API server instances, static pods, leader election, controllers, aggregated APIs, admission",
    checks: [
        api_server_health,
        version_spread,
        static_pods,
        self_hosted,
        leader_leases,
        api_server_identities,
        bootstrap_controllers,
        kubeadm_config,
        closed_ports,
        aggregated_apis,
        admission_webhooks,
        admission_policies,
        open_listeners,
        conversion_webhooks,
        pod_admission,
        lasting_flags,
        second_manifests,
        encryption_settings,
        recent_restarts,
    ],
}
