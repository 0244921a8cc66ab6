//! Service addresses and the proxy behind them.

pub mod api_from_pods;
pub mod kube_proxy_health;
pub mod service_dataplane;
pub mod kubernetes_service;
pub mod service_ranges;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "service-network",
    about: "the API at its ClusterIP, service addresses, the service proxy",
    checks: &[&api_from_pods::CHECK, &kube_proxy_health::CHECK, &service_dataplane::CHECK],
    checks: &[&kubernetes_service::CHECK, &service_ranges::CHECK],
};
