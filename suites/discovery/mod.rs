//! How new nodes discover and join the cluster.

pub mod bad_tokens;
pub mod bootstrap_rights;
pub mod cluster_info;
pub mod cluster_info_access;
pub mod cluster_info_endpoint;
mod helpers;
pub mod join_rehearsal;
pub mod kubeadm_certs;
pub mod kubeadm_rbac;
pub mod signatures;
pub mod signatures_in_step;
pub mod token_hygiene;

crate::suite! {
    name: "discovery",
    about: "kube-public/cluster-info and bootstrap tokens: whether new nodes, and only they, can join",
    checks: [
        cluster_info,
        cluster_info_access,
        cluster_info_endpoint,
        signatures,
        signatures_in_step,
        token_hygiene,
        bootstrap_rights,
        kubeadm_rbac,
        kubeadm_certs,
        join_rehearsal,
        bad_tokens,
    ],
}
