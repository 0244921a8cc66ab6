//! Nodes and their kubelets.

pub mod kubelet_anonymous;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite =
    Suite { name: "nodes", about: "nodes and their kubelets", checks: &[&kubelet_anonymous::CHECK] };
