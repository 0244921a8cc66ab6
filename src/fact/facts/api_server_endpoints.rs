//! The addresses at which API server instances are published.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use k8s_openapi::api::core::v1::Endpoints;
use serde::{Deserialize, Serialize};

use crate::cluster::Call;
use crate::control_plane::published;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};

/// The addresses at which API server instances are published.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ApiServerEndpoints {
    /// The addresses in the EndpointSlices of Service default/kubernetes; empty while no API server is ready.
    pub slices: BTreeSet<SocketAddr>,
    /// The addresses in the Endpoints object default/kubernetes, deprecated since 1.33, or why they were not seen.
    pub endpoints: Seen<BTreeSet<SocketAddr>>,
}

impl Observe for ApiServerEndpoints {
    type Needs<'a> = ();
    const NAME: &'static str = "api-server-endpoints";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] =
        &[published::RULE, Rule::namespaced("default", "", "endpoints", &["get"]).named(&["kubernetes"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let slices = published::slices(cluster, published::request()).await?;
        let endpoints = cluster.fetch::<Endpoints>(&Call::get_in::<Endpoints>("default", "kubernetes")).await;
        Ok(Self { slices, endpoints: endpoints.map(|endpoints| endpoint_addresses(&endpoints)) })
    }
}

fn endpoint_addresses(endpoints: &Endpoints) -> BTreeSet<SocketAddr> {
    let subsets = endpoints.subsets.iter().flatten();
    subsets
        .flat_map(|subset| {
            let ports = subset.ports.iter().flatten().filter_map(|port| u16::try_from(port.port).ok());
            published::pairs(subset.addresses.iter().flatten().map(|address| &address.ip), ports)
        })
        .collect()
}

crate::observed!(ApiServerEndpoints);
