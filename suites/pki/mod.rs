//! Certificates and the CAs that sign them.

pub mod apiserver_names;
pub mod authorities;
pub mod client_certificate;
pub mod cluster_trust_bundles;
pub mod endpoint_certificate;
pub mod etcd_certificates;
pub mod expiring_clients;
pub mod front_proxy;
mod helpers;
pub mod instance_certificates;
pub mod kubelet_certificates;
pub mod kubelet_rotation;
pub mod one_key_per_server;
pub mod pki_on_disk;
pub mod root_ca;
pub mod serving_certificate_lifetime;
pub mod stuck_signing_requests;
pub mod tls_floor;

#[cfg(test)]
pub(crate) use helpers::testing;
pub(crate) use helpers::{issued, lifetime};

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "pki",
    about: "the certificates of API servers, kubelets and etcd, and the CAs that sign them",
    checks: &[
        &endpoint_certificate::CHECK,
        &apiserver_names::CHECK,
        &instance_certificates::CHECK,
        &serving_certificate_lifetime::CHECK,
        &authorities::CHECK,
        &root_ca::CHECK,
        &front_proxy::CHECK,
        &kubelet_certificates::CHECK,
        &stuck_signing_requests::CHECK,
        &kubelet_rotation::CHECK,
        &expiring_clients::CHECK,
        &client_certificate::CHECK,
        &one_key_per_server::CHECK,
        &tls_floor::CHECK,
        &etcd_certificates::CHECK,
        &cluster_trust_bundles::CHECK,
        &pki_on_disk::CHECK,
    ],
};
