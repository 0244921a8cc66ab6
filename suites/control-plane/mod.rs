//! The control plane: its instances, its static pods, its leaders.

pub mod api_server_health;
pub mod leader_leases;
pub mod static_pods;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "control-plane",
    about: "API server instances, static pods, leader election",
    checks: &[&api_server_health::CHECK, &static_pods::CHECK, &leader_leases::CHECK],
};
