//! The control plane: its instances, its static pods, its leaders, what it asks others.

pub mod admission_policies;
pub mod aggregated_apis;
pub mod api_server_health;
pub mod closed_ports;
pub mod controllers;
pub mod identities;
pub mod kubeadm_config;
pub mod leader_leases;
pub mod self_hosted;
pub mod static_pods;
pub mod version_spread;
pub mod webhooks;

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
        &identities::CHECK,
        &controllers::CHECK,
        &kubeadm_config::CHECK,
        &closed_ports::CHECK,
        &aggregated_apis::CHECK,
        &webhooks::CHECK,
        &admission_policies::CHECK,
    ],
};
