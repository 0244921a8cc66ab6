//! The control plane: its instances, static pods and leaders, and the servers that it calls.

pub mod admission_policies;
pub mod admission_webhooks;
pub mod aggregated_apis;
pub mod api_server_health;
pub mod api_server_identities;
pub mod bootstrap_controllers;
pub mod closed_ports;
pub mod kubeadm_config;
pub mod leader_leases;
pub mod self_hosted;
pub mod static_pods;
pub mod version_spread;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "control-plane",
    about: "API server instances, static pods, leader election, controllers, aggregated APIs, admission",
    checks: &[
        &api_server_health::CHECK,
        &version_spread::CHECK,
        &static_pods::CHECK,
        &self_hosted::CHECK,
        &leader_leases::CHECK,
        &api_server_identities::CHECK,
        &bootstrap_controllers::CHECK,
        &kubeadm_config::CHECK,
        &closed_ports::CHECK,
        &aggregated_apis::CHECK,
        &admission_webhooks::CHECK,
        &admission_policies::CHECK,
    ],
};
