//! The Service of the cluster's DNS, and its endpoints.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::{Deserialize, Serialize};

use crate::cluster::{Call, Cluster};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::manager::Manager;
use crate::ports;
use crate::seen::{Access, Seen, Unobserved};

/// The namespace of the cluster's DNS, except on OpenShift.
pub(super) const NAMESPACE: &str = "kube-system";
/// The name of the Service, whatever its server is; only charts of CoreDNS use another.
const SERVICE: &str = "kube-dns";
/// The Service of the cluster's DNS: kube-system/kube-dns, or else the one with the label `k8s-app=kube-dns`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterDns {
    /// The Service's name, in kube-system.
    pub name: String,
    /// Its addresses, the primary one first; empty for a headless Service.
    pub addresses: Vec<IpAddr>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its ports.
    pub ports: Vec<DnsPort>,
    /// Its endpoints.
    pub servers: Seen<Vec<DnsServer>>,
    /// What manages the Service, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

/// A port of the Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DnsPort {
    /// The port.
    pub port: u16,
    /// `UDP` or `TCP`.
    pub protocol: String,
}

/// An endpoint of the Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct DnsServer {
    /// Its address.
    pub address: IpAddr,
    /// Its UDP port, which may differ from that of the Service.
    pub port: u16,
    /// Whether it is ready.
    pub ready: bool,
    /// Its pod.
    pub pod: Option<String>,
    /// Its node.
    pub node: Option<String>,
}

impl ClusterDns {
    /// Whether the Service has this port.
    pub(crate) fn listens(&self, port: u16, protocol: &str) -> bool {
        self.ports.iter().any(|each| each.port == port && each.protocol == protocol)
    }
}

impl Observe for ClusterDns {
    type Needs<'a> = ();
    const NAME: &'static str = "cluster-dns";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[
        Rule::namespaced(NAMESPACE, "", "services", &["get"]).named(&[SERVICE]),
        Rule::namespaced(NAMESPACE, "", "services", &["list"]),
        Rule::namespaced(NAMESPACE, "discovery.k8s.io", "endpointslices", &["list"]),
    ];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let usual = Call::get_in::<core::Service>(NAMESPACE, SERVICE);
        let (usual, servers) = tokio::join!(cluster.fetch::<core::Service>(&usual), servers(cluster, SERVICE));
        match usual {
            Ok(service) => read(service, servers),
            Err(absent @ Unobserved::Absent { .. }) => {
                let labelled =
                    Call::list::<core::Service>().in_namespace(NAMESPACE).with("labelSelector", "k8s-app=kube-dns");
                let service = cluster.list(labelled, |service: core::Service| service).await?;
                let service = service.into_iter().next().ok_or(absent)?;
                let servers = self::servers(cluster, service.metadata.name.as_deref().unwrap_or_default()).await;
                read(service, servers)
            }
            Err(why) => Err(why),
        }
    }
}

fn read(service: core::Service, servers: Seen<Vec<DnsServer>>) -> Seen<ClusterDns> {
    let manager = Manager::of(&service.metadata);
    let name = service.metadata.name.unwrap_or_default();
    let spec = service.spec.unwrap_or_default();
    let addresses = spec.cluster_ips.unwrap_or_default();
    let addresses = addresses.iter().filter(|address| *address != "None").map(|address| {
        let invalid = |_| Unobserved::invalid(format!("Service {NAMESPACE}/{name}"), format!("clusterIP {address:?}"));
        address.parse().map_err(invalid)
    });
    Ok(ClusterDns {
        addresses: addresses.collect::<Seen<_>>()?,
        name,
        labels: service.metadata.labels.unwrap_or_default(),
        ports: spec
            .ports
            .unwrap_or_default()
            .into_iter()
            .filter_map(|port| {
                let protocol = port.protocol.unwrap_or_else(|| "TCP".into());
                Some(DnsPort { port: u16::try_from(port.port).ok()?, protocol })
            })
            .collect(),
        servers,
        manager,
    })
}

async fn servers(cluster: &Cluster, service: &str) -> Seen<Vec<DnsServer>> {
    let slices = Call::list::<EndpointSlice>()
        .in_namespace(NAMESPACE)
        .with("labelSelector", format!("kubernetes.io/service-name={service}"));
    let servers = cluster.list(slices, |slice: EndpointSlice| slice_servers(&slice)).await?;
    let mut servers: Vec<_> = servers.into_iter().flatten().collect();
    servers.sort();
    servers.dedup();
    Ok(servers)
}

fn slice_servers(slice: &EndpointSlice) -> Vec<DnsServer> {
    let udp = slice.ports.iter().flatten().find(|port| port.protocol.as_deref() == Some("UDP"));
    let port = udp.and_then(|port| u16::try_from(port.port?).ok()).unwrap_or(ports::DNS);
    let endpoints = slice.endpoints.iter().flatten();
    let servers = endpoints.flat_map(|endpoint| {
        endpoint.addresses.iter().filter_map(|address| address.parse().ok()).map(|address| DnsServer {
            address,
            port,
            // An endpoint without this condition counts as ready.
            ready: endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true),
            pod: endpoint.target_ref.as_ref().and_then(|pod| pod.name.clone()),
            node: endpoint.node_name.clone(),
        })
    });
    servers.collect()
}

crate::observed!(ClusterDns);
