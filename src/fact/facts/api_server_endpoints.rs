//! The addresses at which API server instances are published.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::Endpoints;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::{Deserialize, Serialize};

use crate::cluster::{Call, Cluster};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};

/// The addresses at which API server instances are published.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiServerEndpoints {
    /// The addresses in the EndpointSlices of Service default/kubernetes; empty while no API server is ready.
    pub slices: BTreeSet<SocketAddr>,
    /// The addresses in the Endpoints object default/kubernetes, deprecated since 1.33, or why they were not seen.
    pub endpoints: Seen<BTreeSet<SocketAddr>>,
}

impl Observe for ApiServerEndpoints {
    type Needs<'a> = ();
    const NAME: &'static str = "api-server-endpoints";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[
        Rule::namespaced("default", "discovery.k8s.io", "endpointslices", &["list"]),
        Rule::namespaced("default", "", "endpoints", &["get"]).named(&["kubernetes"]),
    ];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let slices = slices(cluster, published()).await?;
        let endpoints = cluster.fetch::<Endpoints>(&Call::get_in::<Endpoints>("default", "kubernetes")).await;
        Ok(Self { slices, endpoints: endpoints.map(|endpoints| endpoint_addresses(&endpoints)) })
    }
}

/// The request for the EndpointSlices of Service default/kubernetes.
pub(super) fn published() -> Call {
    let of = "kubernetes.io/service-name=kubernetes";
    Call::list::<EndpointSlice>().in_namespace("default").with("labelSelector", of)
}

/// The addresses in the EndpointSlices that a request lists.
pub(super) async fn slices(cluster: &Cluster, call: Call) -> Seen<BTreeSet<SocketAddr>> {
    let slices = cluster.list(call, |slice: EndpointSlice| slice_addresses(&slice)).await?;
    Ok(slices.into_iter().flatten().collect())
}

fn slice_addresses(slice: &EndpointSlice) -> Vec<SocketAddr> {
    let ports = slice.ports.iter().flatten().filter_map(|port| port.port).filter_map(|port| u16::try_from(port).ok());
    let addresses = slice.endpoints.iter().flatten().flat_map(|endpoint| &endpoint.addresses);
    pairs(addresses, ports)
}

fn endpoint_addresses(endpoints: &Endpoints) -> BTreeSet<SocketAddr> {
    let subsets = endpoints.subsets.iter().flatten();
    subsets
        .flat_map(|subset| {
            let ports = subset.ports.iter().flatten().filter_map(|port| u16::try_from(port.port).ok());
            pairs(subset.addresses.iter().flatten().map(|address| &address.ip), ports)
        })
        .collect()
}

fn pairs<'a>(addresses: impl Iterator<Item = &'a String>, ports: impl Iterator<Item = u16> + Clone) -> Vec<SocketAddr> {
    addresses
        .filter_map(|address| address.parse::<IpAddr>().ok())
        .flat_map(|address| ports.clone().map(move |port| SocketAddr::new(address, port)))
        .collect()
}

crate::observed!(ApiServerEndpoints);
