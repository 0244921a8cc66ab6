//! How new nodes find and join the cluster.

pub mod bad_tokens;
pub mod bootstrap_rights;
pub mod cluster_info;
pub mod cluster_info_access;
pub mod cluster_info_endpoint;
pub mod join_rehearsal;
pub mod kubeadm_certs;
mod kubeadm_grants;
pub mod kubeadm_rbac;
pub mod signatures;
pub mod signatures_in_step;
pub mod token_hygiene;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "discovery",
    about: "kube-public/cluster-info and bootstrap tokens: whether a new node can join, and nobody else",
    checks: &[
        &cluster_info::CHECK,
        &cluster_info_access::CHECK,
        &cluster_info_endpoint::CHECK,
        &signatures::CHECK,
        &signatures_in_step::CHECK,
        &token_hygiene::CHECK,
        &bootstrap_rights::CHECK,
        &kubeadm_rbac::CHECK,
        &kubeadm_certs::CHECK,
        &join_rehearsal::CHECK,
        &bad_tokens::CHECK,
    ],
};
