//! How new nodes find and join the cluster.

pub mod bootstrap_rights;
mod kubeadm_grants;
pub mod kubeadm_rbac;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "discovery",
    about: "kube-public/cluster-info and bootstrap tokens: whether a new node can join, and nobody else",
    checks: &[&bootstrap_rights::CHECK, &kubeadm_rbac::CHECK],
};
