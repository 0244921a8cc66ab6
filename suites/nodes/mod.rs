//! Nodes and their kubelets.

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite { name: "nodes", about: "nodes and their kubelets", checks: &[] };
