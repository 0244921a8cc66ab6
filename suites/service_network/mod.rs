//! Service addresses and the service proxy.

pub mod address_ranges;
pub mod api_endpoints;
pub mod api_from_pods;
pub mod exposure;
mod helpers;
pub mod kube_proxy_endpoint;
pub mod kube_proxy_health;
pub mod kubernetes_service_address;
pub mod proxy_mode;
pub mod service_changes;
pub mod service_dataplane;
pub mod service_proxy;
pub mod service_ranges;

crate::suite! {
    name: "service-network",
    about: "the API at its ClusterIP, service addresses, the service proxy",
    checks: [
        kubernetes_service_address,
        service_ranges,
        api_endpoints,
        api_from_pods,
        service_proxy,
        proxy_mode,
        kube_proxy_health,
        kube_proxy_endpoint,
        service_dataplane,
        exposure,
        address_ranges,
        service_changes,
    ],
}
