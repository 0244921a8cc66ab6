//! What runs in kube-system for everybody: the add-ons of the distribution, metrics, storage.

pub mod component_configs;
pub mod inventory;
pub mod storage;
pub mod system_pods;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "addons",
    about: "add-ons: kube-proxy, CoreDNS and what else serves everybody",
    checks: &[&inventory::CHECK, &component_configs::CHECK, &system_pods::CHECK, &storage::CHECK],
};
