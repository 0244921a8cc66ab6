//! The cluster's DNS.

pub mod pod_resolver;
pub mod resolution_on_nodes;
pub mod coredns_rights;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "dns",
    about: "the cluster's DNS: its Service, its servers, its answers",
    checks: &[&resolution_on_nodes::CHECK, &pod_resolver::CHECK],
    checks: &[&coredns_rights::CHECK],
};
