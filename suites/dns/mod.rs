//! The cluster's DNS.

pub mod coredns_rights;
pub mod corefile;
pub mod dns_deployment;
pub mod dns_failures;
pub mod dns_on_nodes;
pub mod dns_records;
pub mod dns_service;
pub mod existing_services;
mod helpers;
pub mod outside_names;
pub mod pod_resolver;

crate::suite! {
    name: "dns",
    about: "the cluster's DNS: its Service, its servers, its answers",
    checks: [
        dns_service,
        dns_deployment,
        corefile,
        dns_on_nodes,
        pod_resolver,
        dns_records,
        outside_names,
        coredns_rights,
        dns_failures,
        existing_services,
    ],
}
