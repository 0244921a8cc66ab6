//! Nodes and their kubelets.

pub mod kubelet_anonymous;
pub mod readiness;
pub mod version_skew;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "nodes",
    about: "nodes and their kubelets",
    checks: &[&readiness::CHECK, &version_skew::CHECK, &kubelet_anonymous::CHECK],
};
