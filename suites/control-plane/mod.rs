//! The control plane: its instances, its static pods, its leaders.

pub mod leader_leases;

use crate::check::Suite;

/// The control plane's suite.
pub static SUITE: Suite = Suite {
    name: "control-plane",
    about: "API server instances, static pods, leader election",
    checks: &[&leader_leases::CHECK],
};
