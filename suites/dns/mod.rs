//! The cluster's DNS.

mod assumed_domain;
pub mod coredns_rights;
pub mod corefile;
pub mod dns_deployment;
pub mod dns_failures;
pub mod dns_service;
mod node_cache;
pub mod outside_names;
pub mod pod_resolver;
pub mod records;
pub mod resolution_on_nodes;

crate::suite! {
    name: "dns",
    about: "the cluster's DNS: its Service, its servers, its answers",
    checks: [
        dns_service,
        dns_deployment,
        corefile,
        resolution_on_nodes,
        pod_resolver,
        records,
        outside_names,
        coredns_rights,
        dns_failures,
    ],
}
