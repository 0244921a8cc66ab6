//! Add-ons that the whole cluster depends on: those of the distribution, metrics and storage.

pub mod component_configs;
pub mod kubeadm_addons;
pub mod storage_defaults;
pub mod system_pods;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "addons",
    about: "add-ons: kube-proxy, CoreDNS, metrics and storage drivers",
    checks: &[&kubeadm_addons::CHECK, &component_configs::CHECK, &system_pods::CHECK, &storage_defaults::CHECK],
};
