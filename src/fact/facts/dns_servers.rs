//! The addresses of the cluster's DNS servers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::{Deserialize, Serialize};

use crate::cluster::{Call, Cluster};
use crate::fact::{Access, Observe, Rule, Seen, Unobserved};

/// The addresses at which the cluster's DNS can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DnsServers {
    /// The address of Service kube-system/kube-dns.
    pub service: IpAddr,
    /// The pods behind it that are ready.
    pub pods: BTreeSet<IpAddr>,
}

impl Observe for DnsServers {
    type Needs<'a> = ();
    const NAME: &'static str = "dns-servers";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[
        Rule::namespaced("kube-system", "", "services", &["get"]).named(&["kube-dns"]),
        Rule::namespaced("kube-system", "discovery.k8s.io", "endpointslices", &["list"]),
    ];

    async fn observe(cluster: &Cluster, (): Self::Needs<'_>) -> Seen<Self> {
        let service = Call::get_in::<Service>("kube-system", "kube-dns");
        let slices = Call::list::<EndpointSlice>()
            .in_namespace("kube-system")
            .with("labelSelector", "kubernetes.io/service-name=kube-dns");
        let (found, pods) =
            tokio::join!(cluster.fetch::<Service>(&service), cluster.list(slices, |slice| ready_addresses(&slice)));
        let address = found?.spec.unwrap_or_default().cluster_ip.unwrap_or_default();
        let invalid = |_| Unobserved::invalid(service.to_string(), format!("clusterIP {address:?} is not an address"));
        Ok(Self { service: address.parse().map_err(invalid)?, pods: pods?.into_iter().flatten().collect() })
    }
}

fn ready_addresses(slice: &EndpointSlice) -> Vec<IpAddr> {
    let endpoints = slice.endpoints.iter().flatten();
    // Readiness that nobody states means ready.
    let ready = endpoints.filter(|endpoint| endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true));
    ready.flat_map(|endpoint| &endpoint.addresses).filter_map(|address| address.parse().ok()).collect()
}

crate::observed!(DnsServers);
