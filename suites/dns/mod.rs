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

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "dns",
    about: "the cluster's DNS: its Service, its servers, its answers",
    checks: &[
        &dns_service::CHECK,
        &dns_deployment::CHECK,
        &corefile::CHECK,
        &resolution_on_nodes::CHECK,
        &pod_resolver::CHECK,
        &records::CHECK,
        &outside_names::CHECK,
        &coredns_rights::CHECK,
        &dns_failures::CHECK,
    ],
};
