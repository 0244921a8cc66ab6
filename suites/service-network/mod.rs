//! Service addresses and the proxy behind them.

pub mod address_ranges;
pub mod api_endpoints;
pub mod api_from_pods;
pub mod exposure;
pub mod kube_proxy_endpoint;
pub mod kube_proxy_health;
pub mod kubernetes_service;
pub mod proxy_mode;
pub mod service_changes;
pub mod service_dataplane;
pub mod service_proxy;
pub mod service_ranges;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "service-network",
    about: "the API at its ClusterIP, service addresses, the service proxy",
    checks: &[
        &kubernetes_service::CHECK,
        &service_ranges::CHECK,
        &api_endpoints::CHECK,
        &api_from_pods::CHECK,
        &service_proxy::CHECK,
        &proxy_mode::CHECK,
        &kube_proxy_health::CHECK,
        &kube_proxy_endpoint::CHECK,
        &service_dataplane::CHECK,
        &exposure::CHECK,
        &address_ranges::CHECK,
        &service_changes::CHECK,
    ],
};
