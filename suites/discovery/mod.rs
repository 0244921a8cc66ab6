//! How new nodes find and join the cluster.

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "discovery",
    about: "kube-public/cluster-info and bootstrap tokens: whether a new node can join, and nobody else",
    checks: &[],
};
