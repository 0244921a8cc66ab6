//! The pod network.

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite { name: "cni", about: "the pod network between all nodes", checks: &[] };
