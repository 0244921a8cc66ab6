//! The addresses at which API servers are published.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::cluster::{Call, Cluster};
use crate::rule::Rule;
use crate::seen::Seen;

/// The permission to read their EndpointSlices.
pub(crate) const RULE: Rule = Rule::namespaced("default", "discovery.k8s.io", "endpointslices", &["list"]);

/// The request for the EndpointSlices of Service default/kubernetes.
pub(crate) fn request() -> Call {
    let of = "kubernetes.io/service-name=kubernetes";
    Call::list::<EndpointSlice>().in_namespace("default").with("labelSelector", of)
}

/// The addresses in the EndpointSlices that a request lists.
pub(crate) async fn slices(cluster: &Cluster, call: Call) -> Seen<BTreeSet<SocketAddr>> {
    let slices = cluster.list(call, |slice: EndpointSlice| slice_addresses(&slice)).await?;
    Ok(slices.into_iter().flatten().collect())
}

fn slice_addresses(slice: &EndpointSlice) -> Vec<SocketAddr> {
    let ports = slice.ports.iter().flatten().filter_map(|port| port.port).filter_map(|port| u16::try_from(port).ok());
    let addresses = slice.endpoints.iter().flatten().flat_map(|endpoint| &endpoint.addresses);
    pairs(addresses, ports)
}

/// Each of these addresses with each of these ports.
pub(crate) fn pairs<'a>(
    addresses: impl Iterator<Item = &'a String>,
    ports: impl Iterator<Item = u16> + Clone,
) -> Vec<SocketAddr> {
    addresses
        .filter_map(|address| address.parse::<IpAddr>().ok())
        .flat_map(|address| ports.clone().map(move |port| SocketAddr::new(address, port)))
        .collect()
}
