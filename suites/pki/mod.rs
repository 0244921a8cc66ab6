//! Certificates and the authorities behind them.

pub mod apiserver_names;
pub mod authorities;
pub mod client_certificate;
pub mod endpoint_certificate;
pub mod etcd_certificates;
pub mod expiring_clients;
pub mod front_proxy;
pub mod instance_certificates;
mod instances;
pub(crate) mod issued;
pub mod kubelet_certificates;
pub mod kubelet_rotation;
pub(crate) mod lifetime;
pub mod pki_on_disk;
pub mod root_ca;
pub mod serving_certificate_lifetime;
pub mod shared_keys;
pub mod signing_requests;
#[cfg(test)]
pub(crate) mod testing;
pub mod tls_floor;
pub mod trust_bundles;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "pki",
    about: "the certificates of API servers, kubelets and etcd, and the authorities behind them",
    checks: &[
        &endpoint_certificate::CHECK,
        &apiserver_names::CHECK,
        &instance_certificates::CHECK,
        &serving_certificate_lifetime::CHECK,
        &authorities::CHECK,
        &root_ca::CHECK,
        &front_proxy::CHECK,
        &kubelet_certificates::CHECK,
        &signing_requests::CHECK,
        &kubelet_rotation::CHECK,
        &expiring_clients::CHECK,
        &client_certificate::CHECK,
        &shared_keys::CHECK,
        &tls_floor::CHECK,
        &etcd_certificates::CHECK,
        &trust_bundles::CHECK,
        &pki_on_disk::CHECK,
    ],
};
