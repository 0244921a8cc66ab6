//! Certificates and the authorities behind them.

pub mod apiserver_names;
pub mod authorities;
pub mod client_certificate;
pub mod endpoint_certificate;
pub mod expiring_clients;
pub mod front_proxy;
pub mod instance_certificates;
mod instances;
pub mod kubelet_certificates;
pub(crate) mod lifetime;
pub mod root_ca;
pub mod serving_certificate_lifetime;
#[cfg(test)]
pub(crate) mod testing;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "pki",
    about: "the certificates of API servers and kubelets, and the authorities behind them",
    checks: &[
        &endpoint_certificate::CHECK,
        &apiserver_names::CHECK,
        &instance_certificates::CHECK,
        &serving_certificate_lifetime::CHECK,
        &authorities::CHECK,
        &root_ca::CHECK,
        &front_proxy::CHECK,
        &kubelet_certificates::CHECK,
        &expiring_clients::CHECK,
        &client_certificate::CHECK,
    ],
};
